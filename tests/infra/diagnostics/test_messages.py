"""The golden file shows every message as it is."""

from __future__ import annotations

from tests.messages import golden
from tests.messages.__main__ import SOURCES

WITHOUT_EXAMPLE = {"config-size", "ensemble-version", "memory"}
"""Rules that still need an example in `tests/messages`."""


def test_the_golden_file_has_every_message() -> None:
    assert golden.text(SOURCES) == golden.GOLDEN.read_text("utf-8"), "run `python -m tests.messages`"


def test_every_rule_has_an_example() -> None:
    shown = golden.rules(golden.GOLDEN.read_text("utf-8"))
    assert golden.known_rules() - shown <= WITHOUT_EXAMPLE
    assert len(shown) > 100
