"""How commands print problems: as text, as JSON, or as annotations of GitHub Actions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from infra.cli.options import separate
from infra.diagnostics.printable import printable
from infra.diagnostics.problem import Problem


class Format(StrEnum):
    """How problems are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def _alone(context: typer.Context, as_: Format) -> Format:
    separate(context, "--json", "--format")
    return as_


Json = Annotated[bool, typer.Option("--json", is_eager=True, help="Same as --format json.")]
As = Annotated[
    Format,
    typer.Option("--format", callback=_alone, help="The output format; github prints annotations for GitHub Actions."),
]


def print_problems(problems: Sequence[Problem], as_: Format) -> None:
    """Print problems in the order given."""
    if as_ is Format.JSON:
        print(json.dumps([_facts(problem) for problem in problems], indent=2, ensure_ascii=False))
    for problem in problems if as_ is not Format.JSON else ():
        print(problem if as_ is Format.TEXT else _annotation(problem))


def _facts(problem: Problem) -> dict[str, Any]:
    """A problem as JSON."""
    return {
        "file": printable(problem.file or ""),
        "line": problem.line,
        "column": problem.column,
        "key": _key(problem),
        "rule": problem.rule,
        "severity": problem.severity,
        "message": printable(problem.message),
    }


def _key(problem: Problem) -> str:
    """The key in the stack file; empty for a problem of a file that is not about a key."""
    return problem.key if problem.path or not problem.file else ""


def _annotation(problem: Problem) -> str:
    """A problem as a workflow command of GitHub Actions."""
    title = _key(problem) or problem.rule
    place = {"file": printable(problem.file or ""), "line": problem.line, "col": problem.column, "title": title}
    parts = (f"{name}={_escaped(str(part), ':,')}" for name, part in place.items() if part is not None)
    return f"::{problem.severity} {','.join(parts)}::{_escaped(f'{printable(problem.message)} [{problem.rule}]')}"


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
