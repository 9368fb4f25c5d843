"""The golden file of messages, `tests/messages.md`: every rule and error with an example of what people see.

To add an example:

1. Settings: add a change of a valid stack to `EXAMPLES` in `tests/messages/settings.py`.
2. Text of a stack file: add a file's text to `EXAMPLES` in `tests/messages/stack_yaml.py`.
3. Model repositories: add a case to `tests/infra/triton/corpus.txt`.
4. Errors of commands and deployments: a call in `tests/messages/commands.py`, `images.py` or `deployments.py`.
5. Run `python -m tests.messages`, and read the change of `tests/messages.md`: would a colleague say this aloud?
6. Another checker: a module with `TITLE` and `examples()`, listed in `SOURCES` of `tests/messages/__main__.py`.
"""

from __future__ import annotations

import ast
import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from pulumi import RunError

from infra.diagnostics import messages
from infra.diagnostics.problem import ConfigurationError, Problem
from infra.errors import UserError

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "messages.md"

HEAD = """\
# Messages

Every rule, and every error of a command, with an example of what people see. Rewritten by `python -m tests.messages`.
"""

MAX_SHOWN = 3
"""Problems of one rule in one example."""

_RULE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TAKE_A_RULE = {"Problem", "violation", "model_rule", "repository_rule", "unknown", "report", "InvalidYamlError"}
"""Functions whose first argument is the id of a rule."""


@dataclass(frozen=True)
class Example:
    """What somebody wrote, and the problems in it."""

    written: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Printed(Problem):
    """An error as it is printed, which may have several lines."""

    def __str__(self) -> str:
        return "\n> ".join(self.message.splitlines())


class Source(Protocol):
    """A module with examples."""

    @property
    def TITLE(self) -> str: ...

    def examples(self) -> Iterable[Example]:
        """Each with one problem or more."""


def text(sources: Sequence[Source]) -> str:
    """The golden file."""
    return HEAD + "".join(f"\n## {source.TITLE}\n{_section(source.examples())}" for source in sources)


def rules(golden: str) -> set[str]:
    """The ids of the rules with an example."""
    return set(re.findall(r"^### (\S+)$", golden, re.MULTILINE))


def _section(examples: Iterable[Example]) -> str:
    by_rule: dict[str, list[str]] = {}
    for example in examples:
        assert example.problems, f"no problem in {example.written}"
        for rule in dict.fromkeys(problem.rule for problem in example.problems):
            problems = [f"> {_constant(problem)}\n" for problem in example.problems if problem.rule == rule]
            shown = ">\n".join(problems[:MAX_SHOWN])
            by_rule.setdefault(rule, []).append(f"\n```\n{example.written.strip()}\n```\n{shown}")
    return "".join(f"\n### {rule}\n{''.join(texts)}" for rule, texts in sorted(by_rule.items()))


def _constant(problem: Problem) -> str:
    """Without its id, and without what a new version of a dependency changes."""
    shown = str(problem).removesuffix(f" [{problem.rule}]")
    for package in ("boto3", "pulumi-aws"):
        shown = shown.replace(f"{package} {version(package)}", f"{package} X.Y.Z")
    return shown


def known_rules(directory: Path = ROOT / "infra") -> set[str]:
    """The ids of all rules in the code: marked methods, ids that functions are called with, and those of pydantic."""
    ids = {rule for file in directory.rglob("*.py") for rule in _rules_in(ast.parse(file.read_text("utf-8")))}
    return ids | {*messages.RULES.values(), "out-of-range"}


Site = tuple[str, int]
"""A file and a line."""


def error_sites(directory: Path = ROOT / "infra") -> set[Site]:
    """Where the code makes an error that people read, but not of rules or in other words for an error."""
    names = {error.__name__ for error in _subclasses(UserError)} - {ConfigurationError.__name__} | {RunError.__name__}
    return {
        (str(file), node.lineno)
        for file in directory.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and _name(node.func) in names and not _repeats_an_error(node)
    }


def _repeats_an_error(node: ast.Call) -> bool:
    """Whether the engine gets the text of another error."""
    return _name(node.func) == RunError.__name__ and any(isinstance(argument, ast.Call) for argument in node.args)


def _name(function: ast.expr) -> str:
    return str(getattr(function, "id", getattr(function, "attr", "")))


@contextlib.contextmanager
def made_errors() -> Iterator[set[Site]]:
    """The sites that make an error in the meantime."""
    sites: set[Site] = set()

    def new(class_: type[Exception], *arguments: Any, **_: Any) -> Exception:
        caller = sys._getframe(1)
        sites.add((caller.f_code.co_filename, caller.f_lineno))
        return Exception.__new__(class_, *arguments)

    with patch.object(UserError, "__new__", new), patch.object(RunError, "__new__", new):
        yield sites


def _subclasses(class_: type[Exception]) -> Iterator[type[Exception]]:
    yield class_
    for below in class_.__subclasses__():
        yield from _subclasses(below)


def _rules_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            marks = (mark.func for mark in node.decorator_list if isinstance(mark, ast.Call))
            if any(isinstance(mark, ast.Name) and mark.id in ("rule", "warning") for mark in marks):
                yield node.name.strip("_").replace("_", "-")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0].value
            if function.strip("_") in _TAKE_A_RULE and isinstance(first, str) and _RULE.fullmatch(first):
                yield first
