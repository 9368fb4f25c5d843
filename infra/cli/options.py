"""The arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Stack = Annotated[str, typer.Option("--stack", "-s", metavar="NAME", help="The name of the stack.")]
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
