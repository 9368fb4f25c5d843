"""The screen of `python -m infra status`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.aws.mode import Mode
from infra.cli.release_view import SIGNS, capacity, requests
from infra.diagnostics.printable import printable
from infra.monitoring.overview import TRAFFIC_SECONDS, Overview, ServedModel
from infra.release.records import RESULTS


def overview_view(overviews: Sequence[Overview]) -> RenderableType:
    """A block for each endpoint."""
    blocks: list[RenderableType] = []
    for overview in overviews:
        blocks += [*([""] if blocks else []), _heading(overview), _facts(overview)]
    return Group(*blocks)


def _heading(overview: Overview) -> Text:
    release = overview.release
    sign, color = SIGNS[release.status] if release else ("✖", "red")
    state = f"{release.status} ({release.endpoint_status})" if release else "does not exist"
    return Text.assemble((f"{sign} {overview.endpoint}", f"bold {color}"), f" ({overview.mode})  ", (state, color))


def _facts(overview: Overview) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    for name, text in _rows(overview):
        table.add_row(f"  {name}", text)
    return table


def _rows(overview: Overview) -> Iterator[tuple[str, Text]]:
    release = overview.release
    if release is not None:
        yield "", Text(printable(release.message))
        for model in overview.models:
            yield "serves", Text(_model(model, several=len(overview.models) > 1))
        for fleet in release.fleets:
            limits = ", ".join(f"{model.limits[0]} to {model.limits[1]}" for model in overview.models if model.limits)
            scaling = f", autoscaling {limits}" if limits else ""
            yield "fleet", Text(f"{fleet.role}: {capacity(fleet)}{scaling}")
        if release.mode is Mode.ASYNCHRONOUS:
            yield "queue", Text("no data" if release.backlog is None else requests(release.backlog))
        yield "traffic", Text(_traffic(overview))
        yield "alarms", _alarms(overview)
        if record := release.last_release:
            ended = datetime.fromtimestamp(record.ended, UTC)
            release_words = f"{record.to_config} {RESULTS[record.result]} {ended:%Y-%m-%d %H:%M}Z"
            yield "last release", Text(printable(f"{release_words}, begun by {record.who}"))
    for difference in overview.drift:
        yield "drift", Text(difference, "yellow")


def _model(model: ServedModel, several: bool) -> str:
    variant = f"{model.variant}: " if several else ""
    digest = model.image.partition("@")[2][:19] or ("not by digest" if model.image else "unknown")
    return f"{variant}{model.artifact or model.model} on {model.capacity}, image {digest}"


def _traffic(overview: Overview) -> str:
    traffic = overview.traffic
    if traffic.requests is None:
        return "no data"
    parts = [f"{requests(traffic.requests)} in {TRAFFIC_SECONDS // 60} minutes"]
    if traffic.error_percent is not None:
        parts.append(f"{traffic.error_percent:.2g} % errors")
    if traffic.p99_milliseconds is not None:
        parts.append(f"p99 model latency {traffic.p99_milliseconds:.4g} ms")
    return ", ".join(parts)


def _alarms(overview: Overview) -> Text:
    if not overview.alarms:
        return Text("none")
    if firing := overview.firing:
        return Text("; ".join(printable(f"{alarm.name} fires: {alarm.reason}") for alarm in firing), "red")
    return Text(f"none of {len(overview.alarms)} fires")
