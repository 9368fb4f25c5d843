"""A YAML document as nodes, within bounds: one of a kilobyte may name billions of values by its aliases."""

from __future__ import annotations

import re
import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node, ScalarNode

from infra.settings.bounds import MAX_DEPTH, MAX_VALUES

_SURROGATE = re.compile("[\ud800-\udfff]")


class ExcessiveError(MarkedYAMLError):
    """The document is YAML, and exceeds a bound or holds what is no text: `problem`, at `problem_mark`."""


def compose(text: str) -> Node | None:
    """The document's node; None if it is empty.

    Raises:
        ExcessiveError: it exceeds a bound, or contains itself.
        YAMLError: it is not valid YAML, or more than one document.
        ValueError: as above, for directives.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _BoundedComposer
    yaml.max_depth = MAX_DEPTH
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # it shows the lines; Pulumi accepts them
            document: Node | None = yaml.compose(text)
    except MaxDepthExceededError as error:
        problem = f"mappings and lists are nested deeper than {MAX_DEPTH} levels"
        raise ExcessiveError(problem=problem, problem_mark=error.problem_mark) from None
    return document


class _BoundedComposer(Composer):
    """Counts the values below each node, so that an alias counts as much as the node it refers to."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.parser.peek_event().start_mark
        is_alias = self.parser.check_event(AliasEvent)
        before = self._values
        node = super().compose_node(parent, index)
        if isinstance(node, ScalarNode) and _SURROGATE.search(node.value):
            raise ExcessiveError(problem="half of a surrogate pair is not a character", problem_mark=mark)
        if is_alias and id(node) not in self._sizes:
            raise ExcessiveError(problem="the value contains itself, by an alias", problem_mark=mark)
        self._values += self._sizes[id(node)] if is_alias else 1
        self._sizes[id(node)] = self._values - before
        if self._values > MAX_VALUES:
            problem = f"there are more than {MAX_VALUES:,} values, those of an alias counted wherever it stands"
            raise ExcessiveError(problem=problem, problem_mark=mark)
        return node
