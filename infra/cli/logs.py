"""`python -m infra logs`: the log of an endpoint's containers."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from infra.cli.options import Directory, EndpointName, Json, Stack
from infra.cli.release_target import find
from infra.cli.time_range import Since, beginning
from infra.diagnostics.printable import printable
from infra.errors import INTERRUPTED
from infra.monitoring.logs import EndpointLog, InvalidFilter, LogEvent, NoLog
from infra.triton.log_line import LogLine

_STYLES = {"": "", "info": "", "warning": "yellow", "error": "red"}

app = typer.Typer(add_completion=False)


@app.command()
def logs(
    stack: Stack,
    endpoint: EndpointName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with new lines until interrupted.")] = False,
    since: Since = "15m",
    pattern: Annotated[
        str,
        typer.Option(
            "--filter", metavar="PATTERN", help="Print the events that match a CloudWatch Logs filter pattern."
        ),
    ] = "",
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Print the log of an endpoint's containers.

    A line has the time in UTC, variant and instance, the severity and the message.

    Exit codes: 0, 1 if no container has written a line yet, 2 if the endpoint does not exist or its log cannot be read,
    and 130 if interrupted.
    """
    target = find(stack, endpoint, cwd)
    began = beginning(since, datetime.now(UTC)).timestamp()
    log = EndpointLog(target.session.client("logs"), target.name, pattern)
    console = Console(soft_wrap=True, highlight=False)
    printed = False
    try:
        for event in log.follow(began, target.is_listed, note=_note) if follow else log.events(began):
            _print(console, event, as_json)
            printed = True
    except NoLog:
        if not target.is_listed and target.observer().endpoint() is None:
            raise target.no_endpoint() from None
        raise
    except InvalidFilter as error:
        raise typer.BadParameter(str(error), param_hint="--filter") from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if not printed:
        _note(f"no {'matching ' if pattern else ''}line since {since}; --since looks further back")


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(console: Console, event: LogEvent, as_json: bool) -> None:
    line = LogLine.of(event.message)
    time = datetime.fromtimestamp(event.timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if as_json:
        facts = {"time": time, "stream": event.stream, "level": line.level, "message": line.message}
        print(json.dumps(facts, ensure_ascii=False), flush=True)
        return
    text = Text.assemble(
        (time, "dim"),
        " ",
        (event.stream, "cyan"),
        f" {line.level.upper():7} ",
        (printable(line.message), _STYLES[line.level]),
    )
    console.print(text)
    sys.stdout.flush()
