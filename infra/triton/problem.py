"""What is wrong with a model repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


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
        return f"{place}: {self.severity}: {self.message} [{self.rule}]"


class ModelRepositoryError(Exception):
    """A directory that cannot be served as a model repository; the message lists every problem."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path, self.problems = path, tuple(problems)
        super().__init__("\n  ".join([f"model repository {path}:", *map(str, self.problems)]))
