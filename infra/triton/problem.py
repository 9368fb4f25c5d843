"""What is wrong with a model repository."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from infra.errors import UserError
from infra.printable import printable


@dataclass(frozen=True)
class Problem:
    """One finding. `file` is relative to the repository, `rule` the name of the rule that found it."""

    severity: Literal["error", "warning"]
    file: str
    line: int | None
    message: str
    rule: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return printable(f"{place}: {self.severity}: {self.message} [{self.rule}]")


MAX_OF_A_RULE = 1000
"""Findings of one rule about one model: each step of an ensemble may lack each input of its model."""


def named(rule: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """The findings of a rule, with its name."""
    return (replace(problem, rule=rule) for problem in islice(problems, MAX_OF_A_RULE))


class ModelRepositoryError(UserError):
    """A directory that cannot be served as a model repository; the message lists every problem."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path, self.problems = path, tuple(problems)
        super().__init__("\n  ".join([f"model repository {path}:", *map(str, self.problems)]))
