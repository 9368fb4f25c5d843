"""Amounts of data are decimal."""

from __future__ import annotations

import pytest

from infra.diagnostics.size import decimal_size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (21_000_000, "21.0 MB"), (8_120_000_000, "8.1 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert decimal_size(count) == text
