"""How much a stack's configuration may be: far more than any needs, and little enough to be checked at once."""

from __future__ import annotations

from typing import Any, Final

MAX_BYTES: Final = 2**20
"""Of a stack file. 3,000 endpoints take a quarter of it."""

MAX_DEPTH: Final = 32
"""Levels of mappings and lists in a file. The deepest setting is at the ninth."""

MAX_VALUES: Final = 200_000
"""Keys and values of a file, those of an alias counted wherever it stands."""

MAX_DIGITS: Final = 308
"""Of a number: Pulumi reads a longer one as text (Go's float64)."""


def too_deep(value: Any) -> bool:
    """Whether mappings and lists are nested deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [each for around in level if isinstance(around, dict | list) for each in _inside(around)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _inside(value: dict[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, dict) else value
