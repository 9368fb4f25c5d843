"""`python -m infra`: what people and CI do with a stack besides `pulumi up`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from infra.cli import explain, plan, schema, validate

CANNOT_TELL = 2
"""As for wrong usage: nothing is said about the stack."""

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for command in (validate.validate, plan.plan, explain.explain, schema.schema):
    app.command()(command)


@app.callback()
def _group() -> None:
    """Commands have a group of their own, however few there are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the command line."""
    try:
        app(arguments, prog_name="python -m infra")
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(CANNOT_TELL)


def _expected() -> tuple[type[Exception], ...]:
    """What a person can do something about. The modules are loaded by now, and a `--help` does without them."""
    from infra.cli.stack_text import CannotRead
    from infra.settings.error import ConfigurationError

    return CannotRead, ConfigurationError


if __name__ == "__main__":
    main()
