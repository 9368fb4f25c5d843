"""`python -m infra validate`: problems of stack files, without the engine, network and credentials."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import Directory, separate
from infra.cli.problems import As, Format, Json, print_problems
from infra.cli.project import Project, StackFileError, relative
from infra.cli.stack_file import ENVIRONMENT_VALUES, StackFile
from infra.diagnostics.problem import ConfigurationError, Problem
from infra.stack import Stack

app = typer.Typer(add_completion=False)


Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE", help="Stack files.", show_default="all stack files of the project"),
]


@app.command()
def validate(
    context: typer.Context, files: Files = None, as_json: Json = False, as_: As = Format.TEXT, cwd: Directory = Path()
) -> None:
    """Validate stack files and the model repositories that they name.

    Reports every problem with file, line and column. Runs without the Pulumi engine, network and credentials.

    Exit codes: 0 if there are no errors (warnings are allowed), 1 if there are, and 2 if a file cannot be read.
    """
    separate(context, "FILE", "--cwd")
    paths = files or _stack_files(Project.at(cwd.absolute()))
    problems, unreadable = list[Problem](), list[str]()
    for path in paths:
        try:
            problems += check(path)
        except StackFileError as error:
            unreadable.append(str(error))
    as_ = Format.JSON if as_json else as_
    print_problems(problems, as_)
    if unreadable:
        raise StackFileError("\n".join(unreadable))
    if any(problem.severity == "error" for problem in problems):
        raise typer.Exit(1)
    if as_ is Format.TEXT:
        incomplete = {problem.file for problem in problems if problem.rule == ENVIRONMENT_VALUES}
        if valid := [str(path) for path in paths if str(path) not in incomplete]:
            print(f"{', '.join(valid)}: valid")
        for path in (path for path in paths if str(path) in incomplete):
            print(f"{path}: no errors; values from environments were not checked")


def check(path: Path) -> list[Problem]:
    """Every problem of a stack file and of the model repositories that it names, in the order of files and lines.

    Raises:
        StackFileError: the file does not exist, or is not in a project.
    """
    file = StackFile.read(path)
    problems = {*file.problems, *file.located(_of_settings(file)), *file.secret_problems()}
    return sorted(problems, key=lambda problem: (problem.file != str(path), _order(problem)))


def _order(problem: Problem) -> tuple[str | int, ...]:
    return problem.file or "", problem.line or 0, problem.column or 0, problem.key, problem.message


def _of_settings(file: StackFile) -> Iterable[Problem]:
    project = file.project
    try:
        stack = Stack.read(file.pulumi_config, project.name, file.secret_keys, project.root, file.stack, file.misread)
    except ConfigurationError as error:
        # the file shows which part of a setting is secret, and `secret_problems` reports that
        return [problem for problem in error.problems + error.warnings if problem.rule != "misplaced-secret"]
    return stack.warnings


def _stack_files(project: Project) -> list[Path]:
    if not project.stack_files:
        raise StackFileError(f"{project.stack_directory} contains no stack file (Pulumi.STACK.yaml).")
    return [relative(path) for path in project.stack_files]
