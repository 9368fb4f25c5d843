"""`python -m infra schema`: the JSON Schema of stack files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from infra.cli.options import Directory
from infra.cli.project import Project
from infra.settings.schema import stack_schema

FILE = Path("schema/stack.schema.json")
"""In the project's directory; stack files name it in their first line."""

app = typer.Typer(add_completion=False)


@app.command()
def schema(cwd: Directory = Path()) -> None:
    """Write the JSON Schema of stack files.

    Editors complete and check stack files by it: their first line names the file that this command writes.
    """
    project = Project.at(cwd.absolute())
    project.write(FILE, text(project.name))


def text(project: str) -> str:
    """The file's content."""
    return json.dumps(stack_schema(project), indent=2, ensure_ascii=False) + "\n"
