"""The arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Stack = Annotated[str, typer.Option("--stack", "-s", metavar="NAME", help="The name of the stack.")]
EndpointName = Annotated[str | None, typer.Argument(metavar="ENDPOINT", help="Needed if the stack has several.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Directory = Annotated[
    Path,
    typer.Option(
        "--cwd",
        metavar="DIRECTORY",
        help="Run as if started in this directory of the project.",
        exists=True,
        file_okay=False,
    ),
]
Environment = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="NAME=VALUE", help="A variable of the container. Can be repeated."),
]


def variables(env: list[str] | None) -> dict[str, str]:
    """The variables of `--env`.

    Raises:
        typer.BadParameter: one is not NAME=VALUE.
    """
    values = {}
    for assignment in env or ():
        name, separator, value = assignment.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{name or assignment} is not NAME=VALUE", param_hint="--env")
        values[name] = value
    return values
