"""The status and history of releases on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.aws.metrics import IN_MICROSECONDS
from infra.aws.mode import Mode
from infra.cli.terminal import plain_table
from infra.diagnostics.printable import printable
from infra.release.alarms import AlarmReading
from infra.release.policy import ReleasePolicy
from infra.release.records import RESULTS, ReleaseRecord
from infra.release.status import FleetStatus, ReleaseStatus

SIGNS = {"Healthy": ("✔", "green"), "Progressing": ("◌", "yellow"), "Degraded": ("✖", "red")}


def status_view(status: ReleaseStatus) -> RenderableType:
    """All facts of a status."""
    sign, color = SIGNS[status.status]
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Endpoint:", Text(f"{status.endpoint} ({status.mode})"))
    facts.add_row("Status:", Text(f"{sign} {status.status} ({status.endpoint_status})", color))
    facts.add_row("Message:", _text(status.message))
    facts.add_row("Strategy:", Text(strategy(status.policy)))
    if stage := status.shown_stage:
        number = f" (stage {stage.number} of {stage.of})" if stage.number else ""
        facts.add_row("Stage:", Text(f"{stage.words}{number}"))
    if status.elapsed_seconds is not None:
        left = f"; about {status.seconds_left} left" if status.seconds_left else ""
        facts.add_row("Elapsed:", Text(f"{duration(status.elapsed_seconds)}{left}"))
    if status.mode is Mode.ASYNCHRONOUS:
        backlog = "unknown" if status.backlog is None else f"{requests(status.backlog)} waiting or in process"
        facts.add_row("Backlog:", Text(backlog))
    return Group(facts, *_fleets(status), *_alarms(status.alarms))


def strategy(policy: ReleasePolicy) -> str:
    """A policy in a line, with the keys of the stack file."""
    strategy = f"{policy.strategy} {policy.batch}" if policy.batch else policy.strategy
    parts = [strategy, f"{policy.wait_key} {policy.wait_seconds}"]
    if policy.strategy == "rolling":
        parts.append(f"rollbackPercent {policy.rollback_percent}")
    elif policy.termination_wait_seconds:
        parts.append(f"terminationWaitSeconds {policy.termination_wait_seconds}")
    return ", ".join([*parts, f"timeoutSeconds {policy.timeout_seconds}"])


def requests(count: int) -> str:
    """A number of requests in words."""
    return f"{count:,} request{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def history_view(records: Sequence[ReleaseRecord]) -> RenderableType:
    """Past releases."""
    table = plain_table("began", "result", "duration", "strategy", "from → to", "who", "reason", "freeze override")
    for record in records:
        began = datetime.fromtimestamp(record.began, UTC)
        color = "green" if record.result == "succeeded" else "red"
        table.add_row(
            f"{began:%Y-%m-%d %H:%M:%S}Z",
            Text(RESULTS[record.result].removeprefix("was "), color),
            duration(record.seconds) if record.seconds else "",
            _text(record.strategy),
            _text(f"{record.from_config or '(nothing)'} → {record.to_config or '(nothing)'}"),
            _text(record.who),
            _text(record.reason),
            _text(record.override or ""),
        )
    return table


def capacity(fleet: FleetStatus) -> str:
    """The instances of a fleet, or the provisioned concurrency of serverless variants."""
    if fleet.current_instances is not None:
        return f"{fleet.current_instances} of {fleet.desired_instances} instances"
    provisioned = fleet.provisioned_concurrency
    return f"provisioned concurrency {provisioned}" if provisioned else "on demand"


def _fleets(status: ReleaseStatus) -> list[RenderableType]:
    table = plain_table("fleet", "configuration", "capacity", "traffic", "requests in 3 min")
    for fleet in status.fleets:
        traffic = "unknown" if fleet.traffic_percent is None else f"{fleet.traffic_percent} %"
        received = "unknown" if fleet.recent_requests is None else str(fleet.recent_requests)
        table.add_row(fleet.role, fleet.configuration, capacity(fleet), traffic, received)
    return ["", table]


def _alarms(readings: Sequence[AlarmReading]) -> list[RenderableType]:
    if not readings:
        return []
    table = plain_table("rollback alarm", "state", "value", "threshold", "metric")
    for reading in readings:
        color = {"ALARM": "red", "OK": "green"}.get(reading.state, "")
        table.add_row(Text(reading.name), Text(reading.state, color), *map(Text, _compared(reading)))
    return ["", table]


def _compared(reading: AlarmReading) -> tuple[str, str, str]:
    if reading.fires_by_hand_only:
        return "", "", "none: `release stop` sets it"
    if reading.metric is None:
        return "", "", "(composite)"
    unit, scale = (" ms", 1000) if reading.metric.startswith(IN_MICROSECONDS) else ("", 1)
    threshold = "" if reading.threshold is None else f"{reading.comparison} {reading.threshold / scale:g}{unit}"
    value = "no data" if reading.value is None else f"{reading.value / scale:.4g}{unit}"
    return value, threshold, reading.metric


def _text(text: str) -> Text:
    """Without markup: anyone with write access to the bucket can write a record."""
    return Text(printable(text))
