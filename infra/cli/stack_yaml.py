"""Stack files as YAML: the values that Pulumi reads in them, and the position of each key."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from io import StringIO
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from infra.diagnostics.problem import Location, Problem, Severity
from infra.settings.bounds import MAX_DEPTH, MAX_DIGITS, MAX_VALUES
from infra.settings.environment import SECRET

_MERGE = "tag:yaml.org,2002:merge"
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r"'(<[a-z ]+>|\\t|[^\w\s'\"])'")
"""What the parser may quote of a text that may hold secrets: the kind of a token, or a single punctuation mark."""
_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)
_TIMES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")
"""The timestamps of Go's YAML, without fractions of a second."""
_NOT_FINITE = re.compile(r"[+-]?[.](?:inf|nan)", re.IGNORECASE)
_OCTAL = re.compile(r"[+-]?0[0-9_]*[1-9][0-9_]*")


class Position(NamedTuple):
    """A position in a file, counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    @classmethod
    def of(cls, mark: Any) -> Position:
        """That of ruamel.yaml's mark."""
        return cls(mark.name, mark.line + 1, mark.column + 1)


class InvalidYamlError(Exception):
    """The text is not valid YAML, or exceeds a bound. The message quotes no value of it.

    Attributes:
        rule: the id of the rule.
        position: where the parser stopped.
    """

    def __init__(self, rule: str, message: str, position: Position) -> None:
        super().__init__(message)
        self.rule, self.position = rule, position


def compose(text: str, file: str) -> Node | None:
    """The root node of a document; None if the document is empty.

    Args:
        file: the name that positions give the file.

    Raises:
        InvalidYamlError: the text is not valid YAML, is more than one document, or is nested deeper than `MAX_DEPTH`.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # Pulumi accepts them, and the warning shows the lines
    stream = StringIO(text)
    stream.name = file
    try:
        root: Node | None = yaml.compose(stream)
    except MaxDepthExceededError as error:
        raise _too_deep(error.problem_mark) from None
    except MarkedYAMLError as error:
        raise InvalidYamlError(
            "yaml-syntax", _syntax(error), Position.of(error.problem_mark or error.context_mark)
        ) from None
    except ReaderError as error:
        before = text[: error.position]
        position = Position(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        message = f"not valid YAML: control character U+{error.character:04X}. Remove it."
        raise InvalidYamlError("yaml-syntax", message, position) from None
    except (YAMLError, ValueError) as error:  # ruamel.yaml raises ValueError for some directives
        raise InvalidYamlError("yaml-syntax", f"not valid YAML: {_scrubbed(str(error))}.", Position(file)) from None
    return root


class ConfigReader:
    """Reads nodes as Pulumi does.

    Attributes:
        positions: where each key, or item of a list, begins, by its path.
        secrets: the ciphertext of each `{secure: …}`, by its path.
        problems: keys and values that Pulumi reads differently from what they look like, or refuses.
    """

    def __init__(self) -> None:
        self.positions: dict[Location, Position] = {}
        self.secrets: dict[Location, str] = {}
        self.problems: list[Problem] = []
        self._visited = 0

    def value(self, node: Node, path: Location) -> Any:
        """What Pulumi reads at `path`; `SECRET` for a secret.

        Raises:
            InvalidYamlError: the values exceed `MAX_VALUES` or `MAX_DEPTH`, both with aliases resolved.
        """
        self._visit(node, len(path))
        if isinstance(node, MappingNode):
            if _is_secret(node):
                self.secrets[path] = _ciphertext(node)
                return SECRET
            return {key: self.value(below, (*path, key)) for key, (_, below) in self.entries(node, path).items()}
        if isinstance(node, SequenceNode):
            self.positions |= {(*path, index): Position.of(item.start_mark) for index, item in enumerate(node.value)}
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        if misread := _misread(node):
            self.report(*misread, path)
        return scalar(node)

    def entries(self, node: MappingNode, path: Location, merges: int = 0) -> dict[str, tuple[ScalarNode, Node]]:
        """The keys of a mapping, each with its own node and that of its value; own keys hide merged ones."""
        own: dict[str, tuple[ScalarNode, Node]] = {}
        merged: dict[str, tuple[ScalarNode, Node]] = {}
        for key, value in node.value:
            self._visit(key, len(path) + merges)
            if key.tag == _MERGE:
                for source in value.value if isinstance(value, SequenceNode) else [value]:
                    if isinstance(source, MappingNode):
                        merged = self.entries(source, path, merges + 1) | merged
            elif not isinstance(key, ScalarNode):
                self.report("key-not-text", "a key is a list or a mapping; keys must be text.", path, key)
            elif first := own.get(key.value):
                message = f"duplicate key; the first is on line {first[0].start_mark.line + 1}. Merge the two."
                self.report("duplicate-key", message, (*path, key.value), key)
            else:
                own[key.value] = key, value
                self._check_key(key, value, path)
        entries = merged | own
        self.positions |= {(*path, name): Position.of(key.start_mark) for name, (key, _) in entries.items()}
        return entries

    def report(
        self, rule: str, message: str, path: Location, node: Node | None = None, severity: Severity = "error"
    ) -> None:
        """Add a problem, at the node or else at its key."""
        position = Position.of(node.start_mark) if node else self.positions[path]
        self.problems.append(Problem(rule, message, severity, path, *position))

    def _check_key(self, key: ScalarNode, value: Node, path: Location) -> None:
        if path and key.end_mark.index == value.start_mark.index and ":" in key.value:
            self.report("missing-space", 'a space is missing after ":".', (*path, key.value), key)
        elif _misread(key) or _differs(key):
            message = "Pulumi does not read this key as the text it looks like. Put it in quotes."
            self.report("misread-key", message, (*path, key.value), key)

    def _visit(self, node: Node, depth: int) -> None:
        """Count a node wherever an alias repeats it: a kilobyte of aliases may name billions of values."""
        self._visited += 1
        if depth > MAX_DEPTH:
            raise _too_deep(node.start_mark)
        if self._visited > MAX_VALUES:
            message = f"more than {MAX_VALUES:,} values; an alias counts as all the values that it refers to."
            raise InvalidYamlError("too-many-values", message, Position.of(node.start_mark))
        if isinstance(node, ScalarNode) and _SURROGATE.search(node.value):
            message = "half of a surrogate pair is not a character. Write the character itself."
            raise InvalidYamlError("surrogate", message, Position.of(node.start_mark))


def scalar(node: ScalarNode) -> Any:
    """The value that Pulumi reads: a number without a fraction is an integer, what JSON cannot express is text."""
    text, number = node.value, node.value.replace("_", "")
    try:
        match _type(node):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" if len(text) <= MAX_DIGITS:
                return int(number, 0 if number.lstrip("+-")[1:2].isalpha() else 10)
            case "float" if math.isfinite(value := float(number)):
                return int(value) if value.is_integer() else value
    except ValueError:  # `!!int` before text, and .inf
        pass
    return text


def _is_secret(node: Node) -> bool:
    """Whether a node is `{secure: …}`, as Pulumi writes secrets."""
    return isinstance(node, MappingNode) and [key.value for key, _ in node.value] == ["secure"]


def _ciphertext(secret: MappingNode) -> str:
    _, value = secret.value[0]
    return str(value.value) if isinstance(value, ScalarNode) else ""


def _misread(node: ScalarNode) -> tuple[str, str] | None:
    """The rule and message for a value that Pulumi reads differently from what it looks like.

    Pulumi uses Go's YAML, which follows version 1.1 for octal numbers and timestamps; ruamel.yaml follows version 1.2.
    """
    text, kind = node.value, _type(node)
    if kind == "int" and len(text) > MAX_DIGITS:
        return "long-number", f"Pulumi reads a number of {len(text):,} digits as text; use at most {MAX_DIGITS} digits."
    if kind == "int" and _OCTAL.fullmatch(text):
        message = "Pulumi reads a number with a leading 0 as octal. For text, put it in quotes. Otherwise remove the 0."
        return "octal-number", message
    if kind == "float" and _NOT_FINITE.fullmatch(text):
        return "non-finite-number", "Pulumi does not accept infinite numbers and NaN. For text, put it in quotes."
    is_plain = not node.style and not node.ctag.handle
    if is_plain and text[4:5] == "-" and any(_matches(text, form) for form in _TIMES):
        return "date", "Pulumi reads a date as a timestamp, not as text. Put it in quotes."
    return None


def _differs(key: ScalarNode) -> bool:
    """Whether a key as Pulumi reads it is not the text that is written."""
    value = scalar(key)
    return value is None or (value if isinstance(value, str) else json.dumps(value)) != key.value


def _matches(text: str, form: str) -> bool:
    try:
        return bool(datetime.strptime(re.sub(r"(?<=:\d\d)\.\d+", "", text), form))
    except ValueError:
        return False


def _type(node: ScalarNode) -> str:
    return str(node.tag).rpartition(":")[2]


def _too_deep(mark: Any) -> InvalidYamlError:
    message = f"mappings and lists are nested deeper than {MAX_DEPTH} levels."
    return InvalidYamlError("too-deep", message, Position.of(mark))


def _syntax(error: MarkedYAMLError) -> str:
    """The parser's own words."""
    begin, mark = error.context_mark, error.problem_mark
    since = f" from line {begin.line + 1}" if begin and mark and begin.line != mark.line else ""
    context = f"{error.context}{since}, " if error.context else ""
    return f"not valid YAML: {_scrubbed(f'{context}{error.problem}')}."


def _scrubbed(words: str) -> str:
    """What the parser says, without values that it quotes."""
    marked = _TOKEN.sub("\0\\1\0", " ".join(words.split()))
    return _QUOTED.sub("…", marked).replace("\0", "'")
