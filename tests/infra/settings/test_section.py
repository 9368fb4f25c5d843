"""Rules and warnings of a section: their ids, their places, and that none replaces another one."""

from __future__ import annotations

from typing import Any

from infra.diagnostics.problem import Problem
from infra.settings.partial import PartialValidation
from infra.settings.section import Broken, Section, rule, warning


class Inner(Section):
    size: int

    @warning("size")
    def too_small(self) -> str | None:
        return "is small" if self.size < 3 else None

    @warning("size")
    def not_even(self) -> str | None:
        return "is odd" if self.size % 2 else None


class Outer(Section):
    by_name: dict[str, Inner]
    listed: list[Inner]

    @rule("byName")
    def long_name(self) -> Broken:
        return {(name, "size"): "is below a long name" for name in self.by_name if len(name) > 3}

    @rule("byName")
    def no_name(self) -> str | None:
        return None if self.by_name else "has no name"


def test_warnings_at_one_key_are_all_reported_at_their_places() -> None:
    assert _problems({"byName": {"a.b": {"size": 1}}, "listed": [{"size": 4}, {"size": 2}]}) == [
        Problem("too-small", "is small", "warning", ("byName", "a.b", "size")),
        Problem("not-even", "is odd", "warning", ("byName", "a.b", "size")),
        Problem("too-small", "is small", "warning", ("listed", 1, "size")),
    ]


def test_a_broken_rule_is_an_error_with_its_id_and_place() -> None:
    path = ("byName", "a.long.name", "size")
    problems = _problems({"byName": {"a.long.name": {"size": 4}}, "listed": []})
    assert problems == [Problem("long-name", "is below a long name", path=path)]


def _problems(values: dict[str, Any]) -> list[Problem]:
    validation = PartialValidation(lambda place: place)
    validation.validate(Outer, values)
    validation.add_warnings()
    return validation.problems
