"""`python -m infra status`: the endpoints of a stack on one screen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from infra.cli.options import Directory, Json, Stack, separate
from infra.cli.project import StackFileError
from infra.cli.release_target import observer
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cli.status_view import overview_view
from infra.cli.terminal import console
from infra.errors import INTERRUPTED
from infra.monitoring.overview import Overview, OverviewReader
from infra.settings.stack import Settings

WATCH_SECONDS = 10

app = typer.Typer(add_completion=False)


@app.command()
def status(
    context: typer.Context,
    stack: Stack,
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="One endpoint.", show_default="all")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep the screen current until interrupted.")] = False,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Show the endpoints of a stack on one screen.

    Shows what serves, the fleet and its limits, the traffic of the last 5 minutes, alarms, the last release, and
    differences between the settings and the account.

    Exit codes: 0 if all is well, 1 if an endpoint does not serve, its last release failed or an alarm fires, 2 if that
    cannot be determined, 3 if a change is in progress, and 4 if settings and account differ.
    """
    separate(context, "--watch", "--json")
    file = StackFile.find(stack, cwd)
    settings = file.settings()
    serving = _serving(settings, endpoint)
    session = aws_session(file)
    reader = OverviewReader(session)
    observers = {
        name: observer(
            session,
            name,
            settings.endpoints[name],
            settings.bucket.name,
            [other for other in settings.endpoints if other != name],
        )
        for name in serving
    }

    def read() -> list[Overview]:
        now = time.time()
        return [reader.read(name, settings, one, now) for name, one in observers.items()]

    if watch:
        _watch(read)
    overviews = read()
    if as_json:
        print(json.dumps([_facts(overview) for overview in overviews], indent=2, ensure_ascii=False))
    else:
        console().print(overview_view(overviews))
    raise typer.Exit(worst(overviews))


def worst(overviews: Sequence[Overview]) -> int:
    """The exit code of several endpoints: a failure, then a change in progress, then drift."""
    codes = {overview.exit_code for overview in overviews}
    return next((code for code in (1, 3, 4) if code in codes), 0)


def _serving(settings: Settings, endpoint: str | None) -> list[str]:
    serving = settings.served_endpoints
    if not serving:
        raise StackFileError(
            "the stack has models for batch transform only. `python -m infra batch status` shows their jobs."
        )
    if endpoint is not None and endpoint not in serving:
        raise StackFileError(f"{endpoint} is not an endpoint of this stack. Its endpoints: {', '.join(serving)}.")
    return [endpoint] if endpoint else serving


def _watch(read: Any) -> None:
    """Show the screen until interrupted: live on a terminal, else a line of an endpoint after each of its changes."""
    terminal, shown = console(), set[str]()
    try:
        if sys.stdout.isatty():
            with Live(overview_view(read()), console=terminal, auto_refresh=False, screen=True) as live:
                while True:
                    time.sleep(WATCH_SECONDS)
                    live.update(overview_view(read()), refresh=True)
        while True:
            lines = [*map(_line, read())]
            for line in lines:
                if line not in shown:
                    print(line, flush=True)
            shown = {*lines}
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _line(overview: Overview) -> str:
    release = overview.release
    shown = {alarm.name for alarm in release.alarms if alarm.firing} if release else set()
    firing = [f"alarm {alarm.name} fires" for alarm in overview.firing if alarm.name not in shown]
    return f"{overview.endpoint}: {'; '.join([*([release.line] if release else []), *firing, *overview.drift])}"


def _facts(overview: Overview) -> dict[str, Any]:
    return {
        "endpoint": overview.endpoint,
        "mode": str(overview.mode),
        "release": overview.release and overview.release.facts(),
        "models": [asdict(model) for model in overview.models],
        "traffic": {
            "requests": overview.traffic.requests,
            "errorPercent": overview.traffic.error_percent,
            "p99Milliseconds": overview.traffic.p99_milliseconds,
        },
        "alarms": [asdict(alarm) for alarm in overview.alarms],
        "drift": list(overview.drift),
    }
