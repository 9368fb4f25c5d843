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


def too_deep(value: Any) -> bool:
    """Whether mappings and lists are nested deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level if isinstance(outer, dict | list) for item in _items(outer)]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _items(value: dict[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, dict) else value
