"""Where the keys of a YAML document are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from infra.diagnostics.problem import Problem

MERGE = "tag:yaml.org,2002:merge"
"""What the key `<<` is."""


@dataclass(frozen=True)
class Place:
    """A position in a file, counted from 1; in the stack file unless another one is named."""

    line: int = 1
    column: int = 1
    file: Path | None = None

    @classmethod
    def of(cls, node: Node, file: Path | None = None) -> Place:
        """Where a node begins."""
        return cls(node.start_mark.line + 1, node.start_mark.column + 1, file)

    @classmethod
    def in_text(cls, text: str, at: int) -> Place:
        """That of a character."""
        return cls(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def located(problem: Problem, place: Place, stack_file: Path) -> Problem:
    """The problem with its position in the stack file, or in the file that the place names."""
    return replace(problem, file=str(place.file or stack_file), line=place.line, column=place.column)


def entries(node: Node | None) -> dict[str, tuple[Node, Node]]:
    """A mapping's keys, its own before merged ones, each with its node and that of its value; empty for all else."""
    found: dict[str, tuple[Node, Node]] = {}
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                found.setdefault(key.value, (key, value))
        for key, value in node.value:
            if key.tag == MERGE:
                for each in value.value if isinstance(value, SequenceNode) else [value]:
                    found = entries(each) | found
    return found
