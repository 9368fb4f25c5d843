"""`python -m infra validate`: what is wrong with stack files, without engine, network and credentials."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.place import located
from infra.printable import printable

if TYPE_CHECKING:
    from infra.cli.stack_text import StackText
    from infra.diagnostics.problem import Problem


class Format(StrEnum):
    """How problems are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Stack files; all of the project if none is given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON: the same as --format json.")]
As = Annotated[Format, typer.Option("--format", help="github: annotations of GitHub Actions.")]
Directory = Annotated[Path, typer.Option("--cwd", help="A directory in the Pulumi project.")]


def validate(files: Files = None, as_json: AsJson = False, as_: As = Format.TEXT, cwd: Directory = Path()) -> None:
    """Report every problem of stack files, and of the model repositories that they name, with its place.

    Exits with 0 when there is none, 1 when there is one that `pulumi preview` would refuse, and 2 when a file cannot be
    read. Warnings are printed too.
    """
    from infra.cli.project import StackFileError

    paths, found, unreadable = files or stack_files(cwd), [], []
    for path in paths:
        try:
            found += check(path)
        except StackFileError as error:
            unreadable.append(str(error))
    if as_json or as_ is Format.JSON:
        print(json.dumps([_facts(problem) for problem in found], indent=2, ensure_ascii=False))
    else:
        for problem in found:
            print(_annotation(problem) if as_ is Format.GITHUB else problem)
    if unreadable:
        raise StackFileError("\n".join(unreadable))
    if any(problem.severity == "error" for problem in found):
        raise typer.Exit(1)
    if not as_json and as_ is Format.TEXT:
        incomplete = {str(problem.file) for problem in found if problem.rule == "environment-values"}
        if valid := [str(path) for path in paths if str(path) not in incomplete]:
            print(f"{', '.join(valid)}: valid")
        for file in sorted(incomplete):
            print(f"{file}: no mistake found; values from environments were not checked")


def stack_files(directory: Path) -> list[Path]:
    """The stack files of the project that a directory lies in.

    Raises:
        StackFileError: there is no project, or no stack file in it.
    """
    from infra.cli.project import Project, StackFileError

    files = Project.at(directory.absolute()).stack_directory
    if found := sorted(files.glob("Pulumi.*.yaml")):
        return [relative(each) for each in found]
    raise StackFileError(f"there is no stack file (Pulumi.STACK.yaml) in {files}.")


def check(path: Path) -> list[Problem]:
    """Every problem of a stack file and of the model repositories that it names, in the order of files and lines.

    Raises:
        StackFileError: there is no such file, or no project that it belongs to.
    """
    from infra.cli.stack_text import StackText

    text = StackText.read(path)
    found = {located(problem, place, path) for place, problem in (*text.problems, *text.not_checked)}
    for problem in _of_settings(text):
        if problem.file is None:
            found.add(located(problem, text.place(problem.path), path))
        else:
            found.add(replace(problem, file=str(relative(text.root / problem.file))))
    return sorted(found, key=lambda problem: (problem.file != str(path), _position(problem)))


def _position(problem: Problem) -> tuple[str | int, ...]:
    return problem.file or "", problem.line or 0, problem.column or 0, problem.key, problem.message


def _of_settings(text: StackText) -> Iterable[Problem]:
    from infra.diagnostics.problem import ConfigurationError
    from infra.stack import Stack

    try:
        stack = Stack.read(text.pulumis_config, text.project, text.secret, text.root, text.stack)
        found = [*stack.warnings]
    except ConfigurationError as error:
        found = list(error.problems)
    found = [each for each in found if each.rule != "misplaced-secret"]  # the file shows which part is secret
    found = [each for each in (*found, *text.plain_secrets) if text.can_tell(each)]
    return [*found, *text.misplaced_secrets, *text.doubtful_secrets]


def _facts(problem: Problem) -> dict[str, Any]:
    """A problem as JSON has it."""
    return {
        **{"file": printable(problem.file or ""), "line": problem.line, "column": problem.column, "key": problem.key},
        **{"rule": problem.rule, "severity": problem.severity, "message": printable(problem.message)},
    }


def _annotation(problem: Problem) -> str:
    """A problem as a workflow command of GitHub Actions."""
    place = {"file": printable(problem.file or ""), "line": problem.line, "col": problem.column, "title": problem.key}
    parts = (f"{name}={_escaped(str(part), ':,')}" for name, part in place.items() if part is not None)
    return f"::{problem.severity} {','.join(parts)}::{_escaped(f'{printable(problem.message)} [{problem.rule}]')}"


def relative(path: Path) -> Path:
    """As one would name it from here."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
