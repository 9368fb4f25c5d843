"""Where the keys of a YAML document are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

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


def entries(node: Node | None, part: str | int) -> Iterator[tuple[Node, Node]]:
    """The key and the value of a mapping's part, its own before merged ones; of a list's, the value twice."""
    if isinstance(node, SequenceNode) and isinstance(part, int):
        yield from ((each, each) for each in node.value[part : part + 1])
    if isinstance(node, MappingNode):
        yield from ((key, value) for key, value in node.value if isinstance(key, ScalarNode) and key.value == part)
        for key, value in node.value:
            if key.tag == MERGE and value is not node:
                for each in value.value if isinstance(value, SequenceNode) else [value]:
                    yield from entries(each, part)
