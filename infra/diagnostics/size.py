"""Amounts of data in what people read."""

from __future__ import annotations


def decimal_size(count: float) -> str:
    """Bytes in the largest unit that is not above them, in powers of ten as in the ECR console: `8.1 GB`, `21.0 MB`."""
    for unit, factor in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
