"""`python -m infra`: what people and CI do with a stack besides `pulumi up`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from infra.cli import explain, plan, policy, release, schema, validate
from infra.printable import printable

CANNOT_TELL = 2
"""As for wrong usage: nothing is said about the stack."""

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(release.app, name="release")
for command in (validate.validate, plan.plan, explain.explain, schema.schema, policy.policy):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default that of the command line."""
    try:
        app(arguments, prog_name="python -m infra")
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        print("\n".join(map(printable, f"error: {error}".split("\n"))), file=sys.stderr)
        sys.exit(CANNOT_TELL)


def _expected() -> tuple[type[Exception], ...]:
    """What a person can do something about. The modules are loaded by now, and a `--help` does without them."""
    from infra.aws.errors import AwsRequestRefused
    from infra.aws.session import AwsSessionRefused
    from infra.cli.project import StackFileError
    from infra.release.failure import ReleaseTimeout
    from infra.release.stop import CannotStop
    from infra.settings.error import ConfigurationError

    return (
        *(AwsRequestRefused, AwsSessionRefused, StackFileError),
        *(ReleaseTimeout, CannotStop, ConfigurationError),
    )


if __name__ == "__main__":
    main()
