"""The golden file shows every message as it is, and code that makes one has an example there."""

from __future__ import annotations

from tests.messages import golden
from tests.messages.__main__ import SOURCES

WITHOUT_EXAMPLE = {"config-size", "ensemble-version", "memory"}
"""Rules that still need an example in `tests/messages`."""


def test_the_golden_file_has_every_message_and_every_error_an_example() -> None:
    with golden.made_errors() as made:
        assert golden.text(SOURCES) == golden.GOLDEN.read_text("utf-8"), "run `python -m tests.messages`"
    missing = [f"{file}:{line}" for file, line in sorted(golden.error_sites() - made)]
    assert not missing, "see the docstring of tests/messages/golden.py"
    assert len(made) > 100


def test_every_rule_has_an_example() -> None:
    shown = golden.rules(golden.GOLDEN.read_text("utf-8"))
    assert golden.known_rules() - shown <= WITHOUT_EXAMPLE
    assert len(shown) > 100
