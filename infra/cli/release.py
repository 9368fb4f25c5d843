"""`python -m infra release`: the status of a release, its history, and its emergency stop."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.live import Live

from infra.cli.options import Directory, EndpointName, Json, Stack
from infra.cli.release_target import ReleaseTarget, find
from infra.cli.release_view import history_view, status_view
from infra.cli.terminal import confirm, console
from infra.errors import INTERRUPTED
from infra.release.observer import ReleaseObserver
from infra.release.status import ReleaseStatus
from infra.release.stop import ReleaseStop
from infra.release.waiting import Clock

RECORD_SECONDS = 120
"""How long `watch` waits for the record of a release that has ended: `pulumi up` polls every 10 seconds, and may wait a
minute for the metrics of `release.minimumInvocations`."""

app = typer.Typer(
    help="Show or stop the release of a stack's endpoint, and list earlier ones.",
    add_completion=False,
    no_args_is_help=True,
)


@app.command()
def status(stack: Stack, endpoint: EndpointName = None, as_json: Json = False, cwd: Directory = Path()) -> None:
    """Show the endpoint and the release in progress, then exit.

    Exit codes: 0 if the endpoint is in service and its last release succeeded, 1 if a release failed or is being rolled
    back, 3 if one is in progress, and 2 if that cannot be determined.
    """
    target = find(stack, endpoint, cwd)
    current = _poll(target, target.observer())
    if as_json:
        print(json.dumps(current.facts(), indent=2, ensure_ascii=False))
    else:
        console().print(status_view(current))
    raise typer.Exit(current.exit_code)


@app.command()
def watch(stack: Stack, endpoint: EndpointName = None, cwd: Directory = Path()) -> None:
    """Show the endpoint and its release live, until no change is in progress.

    Exit codes: those of `status`, 1 if the endpoint was deleted meanwhile, and 130 if interrupted.
    """
    target = find(stack, endpoint, cwd)
    try:
        last = _watched(target)
    except KeyboardInterrupt:
        _print(f"{target.name}: stopped watching; the change in progress continues.")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(last.exit_code)


@app.command()
def history(
    stack: Stack,
    endpoint: EndpointName = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """List past releases, newest first."""
    target = find(stack, endpoint, cwd)
    observer = target.observer()
    records = observer.history(limit)
    if not records and not target.is_listed and observer.endpoint() is None:
        raise target.no_endpoint()
    if as_json:
        print(json.dumps([json.loads(record.json()) for record in records], indent=2, ensure_ascii=False))
    elif records:
        console().print(history_view(records))
    else:
        _print(f"{target.name}: no release is on record.")


@app.command()
def stop(
    stack: Stack,
    endpoint: EndpointName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cwd: Directory = Path(),
) -> None:
    """Roll back the release in progress by setting an alarm to ALARM, and wait for the end of the rollback.

    Exit codes: 0 if the old configuration is live again, 1 if the release ended otherwise, and 2 if it cannot be
    stopped.
    """
    target = find(stack, endpoint, cwd)
    before = target.observer().endpoint()
    if before is None:
        raise target.no_endpoint()
    stopping = ReleaseStop(target.session.client("sagemaker"), target.session.client("cloudwatch"), _print)
    stopping.alarm(before)
    confirm(f"Roll back {target.name} from {before.target_config} to {before.config_name}?", yes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job must not leave the alarm firing
    try:
        after = stopping.run(before, target.caller(), target.deadline_seconds())
    except KeyboardInterrupt:
        _print(f"{target.name}: the stop was cancelled, and the alarm is OK again. SageMaker may still roll back.")
        raise typer.Exit(INTERRUPTED) from None
    if after is None:
        _fail(f"{target.name} was deleted by someone else.")
    reason = f": {after.failure_reason}" if after.failure_reason else "."
    if after.serves(before.config_name):
        _print(f"{target.name}: stopped the release of {before.target_config}; {before.config_name} is live{reason}")
        _print(
            f"Restore the previous model and settings, or the next `pulumi up` releases {before.target_config} again."
        )
        return
    if after.serves(before.target_config):
        _fail(
            f"{target.name}: too late. The release of {before.target_config} ended before the stop took effect, and it "
            "is live. Release the previous model to go back."
        )
    _fail(f"{target.name}: {after.status} to {after.target_config}; {after.config_name} is live{reason}")


def _poll(target: ReleaseTarget, observer: ReleaseObserver) -> ReleaseStatus:
    current = observer.poll()
    if current is None:
        raise target.no_endpoint()
    return current


def _watched(target: ReleaseTarget) -> ReleaseStatus:
    """The status once no change is in progress, shown until then: live on a terminal, else a line for each change."""
    terminal, followed = console(), _followed(target, target.observer())
    current = next(followed)
    if sys.stdout.isatty():
        with Live(status_view(current), console=terminal, auto_refresh=False) as live:
            for current in followed:
                live.update(status_view(current), refresh=True)
        return current
    last_line = ""
    for following in followed:
        if current.line != last_line:
            last_line = current.line
            _print(f"{current.endpoint}: {last_line}")
        current = following
    terminal.print(status_view(current))
    return current


def _followed(target: ReleaseTarget, observer: ReleaseObserver) -> Iterator[ReleaseStatus]:
    """The status at each poll, until no change is in progress and a release that was seen is on record. `pulumi up`
    records it after its own work; one that was interrupted does not."""
    clock, end, is_new = Clock(), 0.0, False
    current = _poll(target, observer)
    while True:
        yield current
        is_new |= current.endpoint_status in ("Creating", "Failed")
        if current.in_progress:
            end = clock.elapsed + RECORD_SECONDS
        elif not observer.awaits_record or clock.elapsed >= end:
            return
        clock.pause()
        if (following := observer.poll()) is None:
            reason = " `pulumi up` does so after a failed creation, and prints its reason." if is_new else ""
            _fail(f"{target.name} was deleted.{reason}")
        current = following


def _fail(message: str) -> NoReturn:
    _print(message)
    raise typer.Exit(1)


def _print(line: str) -> None:
    print(line, flush=True)
