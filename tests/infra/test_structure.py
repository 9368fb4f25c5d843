"""The rooms of infra/: imports form no cycle, the sandbox is unknown, and no file is too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "infra").rglob("*.py"))
MAX_LINES = 400


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(file): file for file in FILES}


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that code imports when it runs, also inside functions; imports for types alone do not count."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.Import(names=names):
            yield from (each.name for each in names)
        case ast.ImportFrom(module=str(package), names=names):
            yield from (name if (name := f"{package}.{each.name}") in MODULES else package for each in names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


IMPORTS = {name: {*imported(ast.parse(file.read_text()))} for name, file in MODULES.items()}


def room(name: str) -> str:
    """`infra.settings` of `infra.settings.stack`; a module at the top of infra/ is a room of its own."""
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("of", [str, room], ids=["modules", "rooms"])
def test_imports_form_no_cycle(of: type[str]) -> None:
    graph: dict[str, set[str]] = {}
    for name, imports in IMPORTS.items():
        graph.setdefault(of(name), set()).update({of(other) for other in imports & MODULES.keys()} - {of(name)})
    TopologicalSorter(graph).prepare()


def test_infra_does_not_import_the_sandbox() -> None:
    of_others = {
        name: {each for each in imports if each.startswith(("sandbox", "tests"))} for name, imports in IMPORTS.items()
    }
    assert not any(of_others.values()), of_others


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    assert [file for file in FILES if len(file.read_text().splitlines()) > MAX_LINES] == []
