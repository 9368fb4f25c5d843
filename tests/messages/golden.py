"""The golden file of messages, `tests/messages.md`: every rule with an example of what people see.

To add an example:

1. Settings: add a change of a valid stack to `EXAMPLES` in `tests/messages/settings.py`.
2. Text of a stack file: add a file's text to `EXAMPLES` in `tests/messages/stack_yaml.py`.
3. Model repositories: add a case to `tests/infra/triton/corpus.txt`.
4. Run `python -m tests.messages`, and read the change of `tests/messages.md`: would a colleague say this aloud?
5. Another checker: a module with `TITLE` and `examples()`, listed in `SOURCES` of `tests/messages/__main__.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from infra.diagnostics import messages
from infra.diagnostics.problem import Problem

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "messages.md"

HEAD = """\
# Messages

Every rule with an example of what people see. Rewritten by `python -m tests.messages`.
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


class Source(Protocol):
    """A module with examples."""

    TITLE: str

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
