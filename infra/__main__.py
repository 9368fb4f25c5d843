"""`python -m infra`: what people and CI do with a stack besides `pulumi up`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from infra.cli import explain, policy, release, schema, validate
from infra.errors import UserError
from infra.printable import printable

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(release.app, name="release")
for command in (validate.validate, explain.explain, schema.schema, policy.policy):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the command line."""
    try:
        app(arguments, prog_name="python -m infra")
    except UserError as error:
        print("\n".join(map(printable, f"error: {error}".split("\n"))), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
