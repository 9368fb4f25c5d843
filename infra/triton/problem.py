"""Problems of a model repository."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from infra.diagnostics.problem import Problem
from infra.errors import UserError

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
