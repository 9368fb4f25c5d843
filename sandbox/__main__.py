"""`python -m sandbox`: an AWS on this machine, and this project's stacks on it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from sandbox import aftermath, asking, interrupts, rehearsal, rollback, teardown
from sandbox.go_program import BuildError
from sandbox.home import PROJECT, Sandbox, SandboxError, Say
from sandbox.stacks import Stack, StackFailed, stacks

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)

T = TypeVar("T")
StackName = Annotated[str, typer.Option("--stack", "-s", help="the stack, as in Pulumi.STACK.yaml")]

Speed = Annotated[
    float, typer.Option(min=1, help="how many times faster AWS's waits and alarm periods pass; 1 is real time")
]


@app.command()
def up(stack: StackName = "dev", speed: Speed = rehearsal.SPEED) -> None:
    """Deploy a stack, starting AWS if it does not run, and send its endpoints a sample request."""
    sandbox = here(say)
    chosen = Stack(sandbox, stack)
    chosen.require_file()
    aws = sandbox.start()
    with rehearsal.at_speed(sandbox, speed):  # also while an endpoint without instances waits for one
        try:
            with interrupts.left_to_the_engine():
                update = rehearsal.up(chosen, say, color())
        except StackFailed as failure:
            for line in aftermath.summary(chosen, failure):
                say(line)
            sys.exit(f"sandbox: up of {stack} failed")
        if aws.triton:
            say(f"No Triton runs here: {aws.triton}. Endpoints exist, but nothing answers for them.")
        endpoints = chosen.outputs().get("endpoints") or {}
        answers = [asking.ask(sandbox, endpoint["arn"]) for endpoint in endpoints.values() if "arn" in endpoint]
    if answers:
        console.print(asking.table(answers, console))
    done = f"{stack}: nothing changed" if update.unchanged else f"{stack}: deployed"
    if problems := [f"{each.endpoint} {each.problem}" for each in answers if each.problem]:
        say(f"{done}, but {'; '.join(problems)}")
        raise typer.Exit(1)
    say(f"{done}.")


@app.command()
def preview(stack: StackName = "dev", diff: Annotated[bool, typer.Option(help="show every property")] = False) -> None:
    """Show what `up` would do."""
    sandbox = here(say)
    chosen = Stack(sandbox, stack)
    chosen.require_file()
    sandbox.start()
    engine_does("preview", stack, lambda: chosen.preview(say, color(), diff))


@app.command()
def refresh(stack: StackName = "dev") -> None:
    """Bring a stack's state up to date with AWS, and forget what an interrupted run left as pending."""
    engine_does("refresh", stack, lambda: Stack(here(say), stack).refresh(say, color()))


@app.command()
def destroy(stack: StackName = "dev") -> None:
    """Destroy a stack's resources; protected ones refuse, as on AWS (`down` ignores that)."""
    engine_does("destroy", stack, lambda: Stack(here(say), stack).destroy(say, color()))


@app.command(name="rollback")
def rehearse_rollback() -> None:
    """Rehearse a release that fails under traffic: alarms roll it back, and `up` says so."""
    sandbox = here(say)
    if why := sandbox.start().triton:
        raise SandboxError(f"No Triton runs here, so no model can fail: {why}.")
    engine_does("up", rollback.STACK, lambda: rollback.rehearse(sandbox, say, color()))


@app.command()
def export(stack: StackName = "dev") -> None:
    """Print a stack's state as `pulumi stack export` does, and nothing else."""
    print(Stack(here(nothing), stack).export_text())


@app.command()
def env() -> None:
    """Print the exports with which any AWS client talks to the sandbox: `eval "$(python -m sandbox env)"`."""
    for name, value in here(nothing).environment().items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def status() -> None:
    """Show the sandbox's AWS, stacks and endpoints."""
    sandbox = here(say)
    aws = sandbox.running()
    since = datetime.fromtimestamp(aws.started).strftime("%Y-%m-%d %H:%M:%S")
    say(f"AWS      {aws.url}, process {aws.pid}, since {since}; region {aws.region}, account {aws.account}")
    say(f"Triton   {f'does not run here: {aws.triton}' if aws.triton else 'runs'}")
    held = Table("stack", "resources", "protected")
    for stack in stacks(sandbox):
        resources = stack.resources()
        held.add_row(stack.name, str(len(resources)), str(sum(bool(r.get("protect")) for r in resources)))
    console.print(held)
    console.print(endpoints_table(sandbox.client("sagemaker")))


@app.command()
def logs(endpoint: str) -> None:
    """Print an endpoint's log, as CloudWatch holds it."""
    client = here(say).client("logs")
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    try:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                time = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
                print(f"{time}Z {event['logStreamName']} {event['message']}")
    except client.exceptions.ResourceNotFoundException:
        hint = "`python -m sandbox status` lists the endpoints."
        raise SandboxError(f"log group {group} does not exist. {hint}") from None


@app.command()
def down(
    force: Annotated[bool, typer.Option(help="delete the sandbox without destroying its stacks first")] = False,
) -> None:
    """Unprotect and destroy every stack, name what AWS would keep, stop AWS and delete the sandbox."""
    sandbox = here(say)
    held = stacks(sandbox) if sandbox.aws and not force else []
    with interrupts.left_to_the_engine():
        failed = [stack.name for stack in held if not destroyed(stack)]
    sandbox.stop()
    sandbox.forget()
    if failed:
        sys.exit(f"sandbox: {' and '.join(failed)} could not be destroyed entirely, see above; AWS would hold the rest")


def destroyed(stack: Stack) -> bool:
    """Whether all of a stack could be destroyed."""
    try:
        teardown.take_down(stack, say, color())
    except StackFailed as failure:
        say_failure(failure)
        return False
    return True


def endpoints_table(client: Any) -> Table:
    table = Table("endpoint", "status", "configuration", "instances")
    for page in client.get_paginator("list_endpoints").paginate():
        for found in page["Endpoints"]:
            endpoint = client.describe_endpoint(EndpointName=found["EndpointName"])
            instances = (str(v.get("CurrentInstanceCount", "-")) for v in endpoint.get("ProductionVariants", []))
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            table.add_row(name, status, endpoint["EndpointConfigName"], " ".join(instances))
    return table


def engine_does(operation: str, stack: str, run: Callable[[], T]) -> T:
    """Run an operation of the engine; when it fails, the engine has printed why."""
    try:
        with interrupts.left_to_the_engine():
            return run()
    except StackFailed as failure:
        say_failure(failure)
        sys.exit(f"sandbox: {operation} of {stack} failed")


def say_failure(failure: StackFailed) -> None:
    """Say why the engine failed, unless it has said so itself."""
    if not failure.errors:
        say(str(failure))


def here(say: Say) -> Sandbox:
    """The sandbox of the Pulumi project in the current directory, else of this one."""
    root = Path.cwd()
    return Sandbox(root=root if (root / "Pulumi.yaml").exists() else PROJECT, say=say)


def color() -> str:
    return "always" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "never"


def say(line: str) -> None:
    print(line, flush=True)


def nothing(line: str) -> None:
    """For commands whose output is for a program to read."""


def main() -> None:
    try:
        app()
    except (SandboxError, BuildError) as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
