"""The terminal or the log that commands print to."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.table import Table

from infra.cli.project import StackFileError


def console(width: int = 200) -> Console:
    """A console as wide as the terminal; without a terminal, of `width` columns, so that lines are not cut to 80."""
    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def plain_table(*columns: str) -> Table:
    """A table without lines."""
    return Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="bold")


def confirm(question: str, yes: bool) -> None:
    """Ask a question, and end the command unless the answer is yes.

    Args:
        yes: the answer in advance.

    Raises:
        StackFileError: nobody can answer.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise StackFileError("cannot ask for confirmation without a terminal. Use --yes to confirm.")
    typer.confirm(question, abort=True)
