"""Limits of a stack's configuration: far more than a stack requires, and little enough to check."""

from __future__ import annotations

from typing import Any, Final

MAX_BYTES: Final = 2**20
"""The size of a stack file. 3,000 endpoints need a quarter of it."""

MAX_DEPTH: Final = 32
"""Levels of mappings and lists in a file. The deepest setting is at the ninth."""

MAX_VALUES: Final = 200_000
"""Keys and values of a file; those of an alias count wherever it is used."""

MAX_DIGITS: Final = 308
"""Digits of a number: Pulumi reads a longer one as text (Go's float64)."""


def too_deep(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether mappings and lists are nested deeper than `depth` levels."""
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(too_deep(item, depth - 1) for item in items)
