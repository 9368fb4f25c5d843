"""Which number was meant by one with a unit, such as `15m`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic.fields import FieldInfo

_QUANTITY = re.compile(r"((?:0|[1-9]\d*)(?:\.\d+)?)\s*([a-zA-Z]*|%)")
"""Without a leading zero: nobody can tell whether 010 was meant as octal, or as text."""
_UNITS = ("milliseconds", "seconds", "minutes", "days", "percent", "gb")
"""Those of the settings."""
_FACTORS: Sequence[Mapping[str, float]] = (
    {"ms": 1, "s": 1e3, "sec": 1e3, "m": 60e3, "min": 60e3, "h": 3600e3, "d": 86400e3}
    | {"milliseconds": 1, "seconds": 1e3, "minutes": 60e3, "hours": 3600e3, "days": 86400e3},
    {"percent": 1, "%": 1},
    {"gb": 1, "gib": 1, "g": 1},  # the GB of VolumeSizeInGB are GiB
)
"""How much a unit is of the smallest of its kind."""


def number_meant(text: str, field: FieldInfo | None, whole: bool) -> int | float | None:
    """The number to write for one with a unit, such as `15m` in a field of seconds; None if that cannot be told."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None:
        return None
    number, unit = float(found[1]), found[2].casefold()
    if unit:
        of_field = _unit_of(field)
        factors = next((each for each in _FACTORS if unit in each and of_field in each), None)
        if factors is None:
            return None
        number = number * factors[unit] / factors[of_field]
    if whole and not number.is_integer():
        return None
    return int(number) if number.is_integer() else number


def _unit_of(field: FieldInfo | None) -> str:
    """The unit at the end of the key, or at the beginning of its description."""
    words = (str(field.alias), (field.description or " ").split()[0]) if field else ()
    return next((unit for unit in _UNITS if any(word.casefold().endswith(unit) for word in words)), "")
