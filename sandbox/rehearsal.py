"""A deployment that stops for a missing artifact goes on: the command in the error is run, with the example model."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.triton.repository import ModelRepository
from sandbox.home import PROJECT, Sandbox, SandboxError, shown
from sandbox.stacks import OnOutput, Stack, StackFailed, Update

EXAMPLE = PROJECT / "examples" / "models"

SPEED = 60.0
"""How much faster than here the time of AWS passes in a rehearsal: a bake of ten minutes takes ten seconds."""

_UPLOAD = re.compile(r"aws s3 cp (?:'[^'/\n]+'|[^\s'\"`/]+) (?:'s3://[^'\n]+'|s3://[^\s'\"`]+)")


def up(stack: Stack, on_output: OnOutput | None = None, color: str = "never") -> Update:
    """`stack.up()`, repeated after each error that asks for an upload; see `Stack.up` for the rest.

    Raises:
        StackFailed: for any other error, and for one that asks for the same upload again.
    """
    uploaded: set[str] = set()
    while True:
        try:
            return stack.up(on_output, color)
        except StackFailed as failure:
            asked = uploads(failure.output) - uploaded
            if not asked:
                raise
        for command in sorted(asked):
            upload_example(stack.sandbox, command)
        uploaded |= asked
        stack.sandbox.say(f"rehearsal: uploaded; `up` of {stack.name} goes on\n")


@contextlib.contextmanager
def at_speed(sandbox: Sandbox, speed: float) -> Iterator[None]:
    """Let the waits of deployments and the periods of alarms pass this many times faster for a while, and say so."""
    real = "in real time" if speed == 1 else f"{speed:g} times faster: a minute in {60 / speed:g} s"
    sandbox.say(f"rehearsal: AWS's waits and alarm periods pass {real}")
    sandbox.impose(timeFactor=speed)
    try:
        yield
    finally:
        sandbox.impose(timeFactor=1)


def uploads(output: str) -> set[str]:
    """The `aws s3 cp FILE s3://…` commands that `output` shows."""
    return set(_UPLOAD.findall(output))


def upload_example(sandbox: Sandbox, command: str) -> None:
    """Run `command` of the AWS CLI in a directory where its file is the packed example model.

    Raises:
        SandboxError: when the command fails.
    """
    arguments = shlex.split(command)[1:]
    sandbox.say(f"rehearsal: {shown(EXAMPLE)} takes the place of your model; running\n\n    {command}\n")
    with tempfile.TemporaryDirectory() as directory:
        ModelRepository.read(EXAMPLE).pack(Path(directory, arguments[2]))
        ran = subprocess.run(
            [sys.executable, "-m", "awscli", *arguments],
            cwd=directory, env={**os.environ, **sandbox.environment()}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True,
        )  # fmt: skip
    if ran.returncode != 0:
        raise SandboxError(f"`{command}` failed: {ran.stderr.strip()}")
