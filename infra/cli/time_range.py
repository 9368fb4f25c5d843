"""The beginning of a time range, as an option of commands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from infra.monitoring.logs import since

Since = Annotated[str, typer.Option("--since", metavar="TIME", help="90s, 15m, 2h or 7d ago, or an ISO 8601 time.")]


def beginning(text: str, now: datetime) -> datetime:
    """The time that `--since` names.

    Raises:
        typer.BadParameter: it names none.
    """
    try:
        return since(text, now)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time between 1970 and now. Use 90s, 15m, 2h or 7d, or an ISO 8601 time such as "
            "2026-11-28T09:00Z.",
            param_hint="--since",
        ) from None
