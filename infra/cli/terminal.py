"""The terminal or the log that commands print to."""

from __future__ import annotations

import sys

from rich.console import Console


def console(width: int = 200) -> Console:
    """A console as wide as the terminal; without a terminal, of `width` columns, so that lines are not cut to 80."""
    return Console(width=None if sys.stdout.isatty() else width, highlight=False)
