"""Validate, explain and operate the stacks of this project, next to `pulumi up`.

Exit codes: 0; 1 if what a command checks, runs or watches failed, such as a job or a release; 2 if the command cannot
do its work: its usage or input is wrong, or a file, a registry or AWS refuses; 130 if interrupted. The help of a
command has what else they mean.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from typer import BadParameter, TyperException
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from infra.diagnostics.printable import printable
from infra.errors import INTERRUPTED, UserError

COMMANDS = {
    "validate": "Validate stack files and the model repositories that they name.",
    "explain": "Explain a key of stack files.",
    "schema": "Write the JSON Schema of stack files.",
    "policy": "Print the IAM policies that a principal of a stack requires.",
    "model": "Check, run, list and pack model repositories.",
    "invoke": "Send a request to an endpoint, and print the response.",
    "batch": "Run batch transform jobs with the Model of an endpoint.",
    "mirror": "Copy an image from any registry to Amazon ECR.",
    "release": "Show or stop the release of a stack's endpoint, and list earlier ones.",
    "status": "Show the endpoints of a stack on one screen.",
    "dashboard": "Print the address of the stack's CloudWatch dashboard in AWS's console.",
    "cost": "Show what the endpoints of a stack cost.",
    "logs": "Print the log of an endpoint's containers.",
}
"""The modules of `infra.cli` that are commands, each with the first sentence of its help."""


class CommandGroup(TyperGroup):
    """Imports the module of a command when that command runs: the help of the group requires none of them."""

    def __init__(self, **attributes: Any) -> None:
        commands = [TyperCommand(name, help=summary) for name, summary in COMMANDS.items()]
        super().__init__(commands=commands, no_args_is_help=True, **attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, get_command(import_module(f"infra.cli.{name}").app), rest

    def make_context(self, *args: Any, **attributes: Any) -> Any:
        with _usage_errors():
            return super().make_context(*args, **attributes)

    def invoke(self, ctx: Any) -> Any:
        with _usage_errors():
            return super().invoke(ctx)


class UsageError(UserError):
    """A command line that a command does not accept."""

    exit_code = 2


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Raise typer's errors as ours, which are lines: typer itself wraps them in a box."""
    try:
        yield
    except TyperException as error:
        is_help = not isinstance(error, BadParameter) and not error.message  # typer has printed it
        context = getattr(error, "ctx", None)
        if is_help or context is None:
            raise
        usage = UsageError(_words(error))
        if not (isinstance(error, BadParameter) and error.message):
            usage.hint = f"Run `{context.command_path} --help` for the usage."
        raise usage from None


def _words(error: TyperException) -> str:
    if isinstance(error, BadParameter):
        options = import_module("infra.cli.options")
        if error.__cause__:
            error.message = options.in_words(error)
        if error.param and error.param_hint is None:
            error.param_hint = options.name_of(error.param)
    return error.format_message()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the command line."""
    gc.set_threshold(100_000)  # a tenth of the start of a command was spent in collections during imports
    try:
        CommandGroup(help=__doc__).main(arguments, prog_name="python -m infra")
    except UserError as error:
        print(text(error), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # while a command is imported; typer handles later ones
        sys.exit(INTERRUPTED)


def text(error: UserError) -> str:
    """An error as a command prints it."""
    hint = f"\n{error.hint}" if error.hint else ""
    return "\n".join(map(printable, f"error: {error}{hint}".split("\n")))


if __name__ == "__main__":
    main()
