"""Text of others is printed in one line, without control characters."""

from __future__ import annotations

import pytest

from infra.diagnostics.printable import printable
from infra.diagnostics.problem import Problem


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain text, größe 1/2", "plain text, größe 1/2"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31m\x00\x7f\x9b", "\\x1b[31m\\x00\\x7f\\x9b"),
        ("\u202eexe.\u2066\u2028", "\\u202eexe.\\u2066\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped(raw: str, shown: str) -> None:
    assert printable(raw) == shown
    assert str(Problem("x", raw, path=("p:x", raw))).isprintable()
