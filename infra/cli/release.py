"""`python -m infra release`: what becomes of a release, and its emergency stop."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.live import Live

from infra.cli.project import StackFileError
from infra.cli.release_target import ReleaseTarget, find
from infra.cli.release_view import history_view, status_view

if TYPE_CHECKING:
    from infra.release.observer import ReleaseObserver
    from infra.release.status import ReleaseStatus

INTERRUPTED = 130

app = typer.Typer(
    help="Look at the release of a stack's endpoint, at those before it, and stop it.", no_args_is_help=True
)

Stack = Annotated[str, typer.Option("--stack", "-s", help="The stack, as in Pulumi.STACK.yaml.")]
EndpointName = Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="Needed if the stack has several.")]
Directory = Annotated[Path, typer.Option("--cwd", help="A directory in the Pulumi project.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def status(stack: Stack, endpoint: EndpointName = None, as_json: AsJson = False, cwd: Directory = Path()) -> None:
    """Show how the endpoint and its release are, and do not wait.

    Exits with 0 when it serves and its last release succeeded, 1 when a release failed or is being rolled back, 3 while
    one is under way, and 2 when that cannot be determined.
    """
    target = find(stack, endpoint, cwd)
    found = _look(target, target.observer())
    if as_json:
        print(json.dumps(found.facts(), indent=2, ensure_ascii=False))
    else:
        _console().print(status_view(found))
    raise typer.Exit(found.exit_code)


@app.command()
def watch(stack: Stack, endpoint: EndpointName = None, cwd: Directory = Path()) -> None:
    """Show the same, live, until nothing is under way, and exit as `status` does then."""
    target = find(stack, endpoint, cwd)
    try:
        found = _watched(target)
    except KeyboardInterrupt:
        _say(f"{target.name}: no longer watched; what is under way goes on.")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(found.exit_code)


@app.command()
def history(
    stack: Stack,
    endpoint: EndpointName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    as_json: AsJson = False,
    cwd: Directory = Path(),
) -> None:
    """List past releases, the newest first."""
    target = find(stack, endpoint, cwd)
    observer = target.observer()
    records = observer.history(limit)
    if not records and not target.is_listed and observer.endpoint() is None:
        raise target.no_endpoint()
    if as_json:
        print(json.dumps([json.loads(each.json()) for each in records], indent=2, ensure_ascii=False))
    elif records:
        _console().print(history_view(records))
    else:
        _say(f"{target.name}: no release is on record.")


@app.command()
def stop(
    stack: Stack,
    endpoint: EndpointName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cwd: Directory = Path(),
) -> None:
    """Roll back the release under way, by an alarm that is made to fire, and wait until that is over.

    Exits with 0 when the old configuration is live again, 1 when the release ended otherwise, and 2 when it cannot be
    stopped.
    """
    from infra.release.stop import ReleaseStop

    target = find(stack, endpoint, cwd)
    before = target.observer().endpoint()
    if before is None:
        raise target.no_endpoint()
    stopping = ReleaseStop(target.session.client("sagemaker"), target.session.client("cloudwatch"), _say)
    stopping.alarm(before)
    _confirm(f"Roll back {target.name} from {before.heading_for} to {before.config_name}?", yes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job must not leave the alarm firing
    try:
        after = stopping.run(before, target.caller(), target.deadline_seconds())
    except KeyboardInterrupt:
        _say(f"{target.name}: no longer stopped, and the alarm is OK again. SageMaker may have seen it: watch it.")
        raise typer.Exit(INTERRUPTED) from None
    if after is None:
        _fail(f"{target.name} was deleted meanwhile.")
    because = f": {after.failure_reason}" if after.failure_reason else "."
    if after.serves(before.config_name):
        _say(f"{target.name}: the release of {before.heading_for} is stopped; {before.config_name} is live{because}")
        return
    if after.serves(before.heading_for):
        _fail(
            f"{target.name}: too late. The release of {before.heading_for} ended before the stop worked, and it is "
            "live. Release the model before it to go back."
        )
    _fail(f"{target.name}: {after.status}, heading for {after.heading_for}; {after.config_name} is live{because}")


def _look(target: ReleaseTarget, observer: ReleaseObserver) -> ReleaseStatus:
    found = observer.look()
    if found is None:
        raise target.no_endpoint()
    return found


def _watched(target: ReleaseTarget) -> ReleaseStatus:
    """The status once nothing is under way, shown until then: live on a terminal, else a line for each change."""
    from infra.release.waiting import Clock

    clock, console, observer = Clock(), _console(), target.observer()
    found = _look(target, observer)
    if sys.stdout.isatty():
        with Live(status_view(found), console=console, auto_refresh=False) as live:
            while found.in_progress:
                clock.pause()
                found = _look(target, observer)
                live.update(status_view(found), refresh=True)
        return found
    said = ""
    while found.in_progress:
        if found.line != said:
            said = found.line
            _say(f"{found.endpoint}: {said}")
        clock.pause()
        found = _look(target, observer)
    console.print(status_view(found))
    return found


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StackFileError("there is no terminal to ask on. Give --yes to go ahead.")
    typer.confirm(question, abort=True)


def _fail(message: str) -> NoReturn:
    _say(message)
    raise typer.Exit(1)


def _say(line: str) -> None:
    print(line, flush=True)


def _console() -> Console:
    """Where there is no terminal, nothing is cut to 80 columns."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)
