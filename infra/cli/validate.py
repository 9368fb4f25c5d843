"""`python -m infra validate`: what is wrong with stack files, without engine, network and credentials."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.printable import printable

if TYPE_CHECKING:
    from infra.cli.place import Place
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


@dataclass(frozen=True)
class Finding:
    """A problem and its place in a file."""

    file: str
    line: int
    column: int
    key: str
    message: str
    severity: str

    def __str__(self) -> str:
        warning = "warning: " if self.severity == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {warning}{self.key}: {self.message}"

    @property
    def annotation(self) -> str:
        """As a workflow command of GitHub Actions."""
        place = f"file={_escaped(self.file, ':,')},line={self.line},col={self.column},title={_escaped(self.key, ':,')}"
        return f"::{self.severity} {place}::{_escaped(self.message)}"


def validate(files: Files = None, as_json: AsJson = False, as_: As = Format.TEXT, cwd: Directory = Path()) -> None:
    """Report every problem of stack files, and of the model repositories that they name, with its place.

    Exits with 0 when there is none, 1 when there is one that `pulumi preview` would refuse, and 2 when a file cannot be
    read. Warnings are printed too.
    """
    from infra.cli.project import StackFileError

    paths, found, unreadable = files or stack_files(cwd), [], []
    for path in paths:
        try:
            found += findings(path)
        except StackFileError as error:
            unreadable.append(str(error))
    if as_json or as_ is Format.JSON:
        print(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    else:
        for each in found:
            print(each.annotation if as_ is Format.GITHUB else each)
    if unreadable:
        raise StackFileError("\n".join(unreadable))
    if any(each.severity == "error" for each in found):
        raise typer.Exit(1)
    if not as_json and as_ is Format.TEXT:
        incomplete = {each.file for each in found if each.key == "environment"}
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


def findings(path: Path) -> list[Finding]:
    """Every problem of a stack file, in the order of its lines.

    Raises:
        StackFileError: there is no such file, or no project that it belongs to.
    """
    from infra.cli.stack_text import StackText

    text = StackText.read(path)
    placed = [*text.problems, *text.not_checked, *_of_settings(text)]
    files = [str(relative(place.file) if place.file else path) for place, _ in placed]
    found = {
        Finding(printable(file), place.line, place.column, each.key, printable(each.message), each.severity)
        for file, (place, each) in zip(files, placed, strict=True)
    }
    return sorted(found, key=lambda each: (each.line, each.column, each.key, each.message))


def _of_settings(text: StackText) -> Iterable[tuple[Place, Problem]]:
    from infra.diagnostics.problem import ConfigurationError
    from infra.settings.load import MISPLACED_SECRET
    from infra.stack import Stack

    try:
        stack = Stack.read(text.pulumis_config, text.project, text.secret, text.root, text.stack)
        problems = [*stack.warnings]
    except ConfigurationError as error:
        problems = list(error.problems)
    problems = [each for each in problems if each.message != MISPLACED_SECRET]  # the file shows which part is secret
    problems = [each for each in (*problems, *text.plain_secrets) if text.can_tell(each)]
    return [(text.place(each.path), each) for each in (*problems, *text.misplaced_secrets, *text.doubtful_secrets)]


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
