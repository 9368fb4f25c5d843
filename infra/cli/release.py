"""`python -m infra release`: what becomes of a release, and its emergency stop."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.live import Live

from infra.cli.project import StackFileError
from infra.cli.release_view import history_view, status_view
from infra.cli.stack_file import StackFile

if TYPE_CHECKING:
    from infra.aws_session import AwsSession
    from infra.release.observer import ReleaseObserver
    from infra.release.status import ReleaseStatus
    from infra.settings.endpoint import EndpointSettings

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
    one is under way, and 2 when that cannot be told.
    """
    found = _look(_target(stack, endpoint, cwd).observer())
    if as_json:
        print(json.dumps(found.facts(), indent=2, ensure_ascii=False))
    else:
        _console().print(status_view(found))
    raise typer.Exit(found.exit_code)


@app.command()
def watch(stack: Stack, endpoint: EndpointName = None, cwd: Directory = Path()) -> None:
    """Show the same, live, until nothing is under way, and exit as `status` does then."""
    target = _target(stack, endpoint, cwd)
    try:
        found = _watched(target.observer())
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
    target = _target(stack, endpoint, cwd)
    records = target.observer().history(limit)
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

    target = _target(stack, endpoint, cwd)
    before = target.observer().endpoint()
    if before is None:
        _no_endpoint(target.name)
    stopping = ReleaseStop(target.session.client("sagemaker"), target.session.client("cloudwatch"), _say)
    stopping.alarm(before)
    _confirm(f"Roll back {target.name} from {before.heading_for} to {before.config_name}?", yes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job must not leave the alarm firing
    try:
        after = stopping.run(before, target.caller(), target.settings.release_deadline_seconds)
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


@dataclass(frozen=True)
class _Target:
    """One endpoint of a stack."""

    name: str
    settings: EndpointSettings
    bucket: str | None
    session: AwsSession

    def observer(self) -> ReleaseObserver:
        from infra.release.observer import ReleaseObserver

        return ReleaseObserver(
            self.session.client,
            self.name,
            bucket=self.bucket,
            existing_alarms=self.settings.alarms.existing,
            planned=self.settings.release.policy,
            provisioning=self.settings.provisioning,
            note=lambda line: print(line, file=sys.stderr),
        )

    def caller(self) -> str:
        """The ARN of whoever acts."""
        from infra.aws_error import aws_calls

        with aws_calls("credentials"):
            return str(self.session.client("sts").get_caller_identity()["Arn"])


def _target(stack: str, endpoint: str | None, directory: Path) -> _Target:
    file = StackFile.find(stack, directory)
    settings = file.settings()
    names = ", ".join(settings.endpoints)
    if endpoint is None and len(settings.endpoints) > 1:
        raise StackFileError(f"stack {file.stack} has several endpoints; name one of them: {names}.")
    name = endpoint or next(iter(settings.endpoints))
    if name not in settings.endpoints:
        raise StackFileError(f"stack {file.stack} has no endpoint {name}; it has: {names}.")
    return _Target(name, settings.endpoints[name], settings.bucket.name, file.session())


def _look(observer: ReleaseObserver) -> ReleaseStatus:
    found = observer.look()
    if found is None:
        _no_endpoint(observer.name)
    return found


def _watched(observer: ReleaseObserver) -> ReleaseStatus:
    """The status once nothing is under way, shown until then: live on a terminal, else a line for each change."""
    from infra.release.waiting import Clock

    clock, console, found = Clock(), _console(), _look(observer)
    if sys.stdout.isatty():
        with Live(status_view(found), console=console, auto_refresh=False) as live:
            while found.in_progress:
                clock.pause()
                found = _look(observer)
                live.update(status_view(found), refresh=True)
        return found
    said = ""
    while found.in_progress:
        if found.line != said:
            said = found.line
            _say(f"{found.endpoint}: {said}")
        clock.pause()
        found = _look(observer)
    console.print(status_view(found))
    return found


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StackFileError("there is no terminal to ask on. Give --yes to go ahead.")
    typer.confirm(question, abort=True)


def _no_endpoint(name: str) -> NoReturn:
    raise StackFileError(f"there is no endpoint {name} in the stack's account and region; `pulumi up` creates it.")


def _fail(message: str) -> NoReturn:
    _say(message)
    raise typer.Exit(1)


def _say(line: str) -> None:
    print(line, flush=True)


def _console() -> Console:
    """Where there is no terminal, nothing is cut to 80 columns."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)
