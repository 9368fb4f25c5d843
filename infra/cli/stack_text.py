"""A stack file as its text stands: what Pulumi would make of it, and where in it each key is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from infra.cli.place import MERGE, Place, entries
from infra.cli.project import Project, content
from infra.cli.yaml_document import ExcessiveError, compose
from infra.cli.yaml_error import mistake
from infra.cli.yaml_scalar import misread, misread_key, value_of
from infra.diagnostics.location import Location
from infra.diagnostics.messages import command_to_encrypt
from infra.diagnostics.problem import Problem, key_of, path_of
from infra.diagnostics.suggest import nearest

SECRET = "(a secret)"
"""What a secret below a setting is read as: only the engine can decrypt it."""

NOT_CHECKED = (
    "some values come from environments (%s) that only the engine opens. They are not checked here, and nothing is "
    "reported as missing; `pulumi preview` checks them."
)

_PULUMIS_KEYS = ("config", "environment", "secretsprovider", "encryptedkey", "encryptionsalt")
_BASE64 = r"(?:[A-Za-z0-9+/]{4})%s(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_CIPHERTEXT = re.compile(rf"v1:{_BASE64 % '+'}:{_BASE64 % '+'}|{_BASE64 % '{5,}'}")
"""Of passphrases and of clouds' keys (AES-GCM: nonce, ciphertext), or of Pulumi Cloud, longer than a block of AES."""


@dataclass
class StackText:
    """A stack file, with what the project's own file adds to it.

    Attributes:
        of: the Pulumi project that it belongs to.
        config: what Pulumi hands to a program: text as it is, all else as values. Secrets below a key are `SECRET`; a
            key that is secret as a whole is missing.
        secrets: where a secret stands, and what Pulumi encrypted it to.
        problems: what is wrong with the file itself.
        not_checked: a warning where environments add values.
    """

    path: Path
    of: Project
    config: dict[str, Any] = field(default_factory=dict)
    secrets: dict[Location, str] = field(default_factory=dict)
    problems: list[tuple[Place, Problem]] = field(default_factory=list)
    not_checked: list[tuple[Place, Problem]] = field(default_factory=list)
    environments: str = ""
    """Pulumi ESC's environments, which may add keys and of which only the engine knows the values; empty if none."""
    _node: Node | None = None
    _of_project: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    _entries: dict[int, dict[str, tuple[Node, Node]]] = field(default_factory=dict)
    _has_config: bool = True
    _told: set[Location] = field(default_factory=set)
    """What `problems` say all about that there is to say."""

    @classmethod
    def read(cls, path: Path, instead: str | None = None) -> StackText:
        """
        Args:
            instead: a text that is read in the file's place.

        Raises:
            StackFileError: there is no such file, or no `Pulumi.yaml` beside or above it.
        """
        text = cls(path, Project.at(path.absolute().parent, "A stack file lies in its project's directory."))
        document = text._parsed(content(path) if instead is None else instead)
        if isinstance(document, MappingNode):
            text._node = document
            text._take(document)
        elif not text.problems and not (document is None and text.of.config):
            text._problem((), "a stack file is a mapping with the key `config`.")
            text._has_config = False
        text._take_project()
        return text

    @property
    def has_config(self) -> bool:
        """Whether what is below `config` could be read."""
        return self._has_config

    @property
    def project(self) -> str:
        """The project's name."""
        return self.of.name

    @property
    def root(self) -> Path:
        """The project's directory."""
        return self.of.root

    @property
    def stack(self) -> str | None:
        """The stack's name, if the file is called as Pulumi calls it."""
        found = re.fullmatch(r"Pulumi\.(.+)\.yaml", self.path.name)
        return found[1] if found else None

    def place(self, path: Location) -> Place:
        """Where the last of these keys is that the files have."""
        *_, (place, _) = self._walk(path)
        return place

    @property
    def pulumis_config(self) -> dict[str, str]:
        """`config` as a program gets it: text as it is, all else as JSON."""
        return {key: each if isinstance(each, str) else json.dumps(each) for key, each in self.config.items()}

    @property
    def secret(self) -> set[str]:
        """The keys of `config`, and those missing in it, that hold a secret."""
        return {str(key) for key, *_ in self.secrets}

    @property
    def secret_as_a_whole(self) -> list[str]:
        """The keys that are missing in `config`."""
        return [str(key) for key, *below in self.secrets if not below]

    @property
    def misplaced_secrets(self) -> list[Problem]:
        """Settings that a secret hides from whoever checks them."""
        from infra.settings.load import MISPLACED_SECRET

        return [
            Problem("misplaced-secret", MISPLACED_SECRET, path=path)
            for path in self.secrets
            if self._is_misplaced(path)
        ]

    @property
    def doubtful_secrets(self) -> list[Problem]:
        """Secrets that Pulumi cannot have encrypted and would refuse, by the form of what stands there."""
        form = "v1:NONCE:CIPHERTEXT, or base64 from Pulumi Cloud"
        message = f"is nothing that Pulumi encrypted ({form}), and may be the secret itself. Take it out and type: "
        return [
            Problem("not-encrypted", message + command_to_encrypt(key_of(path), self.stack), path=path)
            for path, ciphertext in self.secrets.items()
            if not self._is_misplaced(path) and not _CIPHERTEXT.fullmatch(ciphertext)
        ]

    @property
    def plain_secrets(self) -> list[Problem]:
        """The parts of secret settings that are not encrypted while others are."""
        from infra.settings.load import in_plain_text

        keys = {f"{self.project}:{name}" for name in _secret_keys()} & self.secret & self.config.keys()
        plain = ((key, _without_secrets(self.config[key])) for key in keys)
        return [each for key, value in plain if value for each in in_plain_text(key, value, self.stack)]

    def can_tell(self, problem: Problem) -> bool:
        """Whether the problem is none of `problems` in other words, and does not come from what the file cannot show:
        secrets, and keys from elsewhere."""
        above = [problem.path[:length] for length in range(len(problem.path) + 1)]
        hidden = (each for each in above if each in self.secrets and (len(each) == 1 or self._is_misplaced(each)))
        if not self._has_config or any(hidden) or not self._told.isdisjoint(above):
            return False
        return not self.environments or not self.may_be_completed(problem.path)

    def may_be_completed(self, path: Location) -> bool:
        """Whether environments can add to what stands there: they merge into mappings, and replace nothing."""
        found = list(self._walk(path))
        return len(found) <= len(path) + 1 or isinstance(found[-1][1], MappingNode)

    def has(self, path: Location) -> bool:
        """Whether the files have the key."""
        return len(list(self._walk(path))) > len(path) + 1

    def _walk(self, path: Location) -> Iterator[tuple[Place, Node | None]]:
        """The file, and as many of the keys as there are, from `config` on: each with its place and its value."""
        node, file, parts = self._node, None, ("config", *path)
        yield Place(), node
        if path and (of_project := self._of_project.get(str(path[0]))):
            (key, node), file, parts = of_project, self.of.file, path[1:]
            yield from [(Place.of(key, file), node)] * 2  # for `config`, and for the key
        for part in parts:
            if (found := self._entry(node, part)) is None:
                return
            key, node = found
            yield Place.of(key, file), node

    def _entry(self, node: Node | None, part: str | int) -> tuple[Node, Node] | None:
        """The key and the value of a mapping's part; of a list's, the value twice.

        Each mapping is gone through once: a file may have thousands of endpoints, and a mistake in each.
        """
        if isinstance(node, SequenceNode):
            return (node.value[part],) * 2 if isinstance(part, int) and part < len(node.value) else None
        if id(node) not in self._entries:
            self._entries[id(node)] = entries(node)
        return self._entries[id(node)].get(str(part))

    def _parsed(self, content: str) -> Node | None:
        try:
            return compose(content)
        except ExcessiveError as error:
            at, said = error.problem_mark.index, f"{error.problem}."
        except (YAMLError, ValueError) as error:
            at, said = mistake(error, content)
            said = f"this is no YAML: {said}."
        self.problems.append((Place.in_text(content, at), Problem("yaml-syntax", said)))
        self._has_config = False
        return None

    def _take(self, document: MappingNode) -> None:
        keys = self._mapping(document, ())
        elsewhere = keys.get("environment")
        if isinstance(elsewhere, CollectionNode) and elsewhere.value:
            self.environments = _environments(elsewhere)
            place = Place.of(entries(document)["environment"][0])
            self.not_checked.append(
                (place, Problem("environment-values", NOT_CHECKED % self.environments, "warning", ("environment",)))
            )
        is_setting = isinstance(elsewhere, ScalarNode) and elsewhere.value
        for key in keys:
            if key not in _PULUMIS_KEYS or (key == "environment" and is_setting):
                self._problem((key,), self._not_of_stack_files(key), entries(document)[key][0])
        match keys.get("config"):
            case MappingNode() as config:
                self._take_config(config)
            case None:
                self._has_config = not self.problems
            case ScalarNode(value=""):
                pass
            case other:
                self._problem((), "config is a mapping of keys to values.", other)
                self._has_config = False

    def _take_config(self, config: MappingNode) -> None:
        for key, node in self._mapping(config, ()).items():
            if key.count(":") != 1:
                did_you_mean = f"; did you mean {meant}?" if (meant := self._meant_by(key)) else "."
                self._problem((key,), f"keys are written NAMESPACE:NAME{did_you_mean}")
            elif _is_secret(node):
                self.secrets[(key,)] = _ciphertext(node)
            else:
                value = self._value(node, (key,))
                self.config[key] = "" if value is None else value

    def _take_project(self) -> None:
        for key, (key_node, node) in self.of.config.items():
            if self._has_config and key not in self.config and (key,) not in self.secrets:
                self._of_project[key] = key_node, node
                self.config[key] = self._value(node, (key,))

    def _not_of_stack_files(self, key: str) -> str:
        """What is wrong with a key beside `config`."""
        if found := nearest(key, set(_PULUMIS_KEYS) - {key}):
            return f"unknown key; did you mean {found}?"
        if meant := self._meant_by(key):
            return f"unknown key here; did you mean {meant}, indented below config?"
        return f"unknown key; a stack file has: {', '.join(_PULUMIS_KEYS)}."

    def _meant_by(self, key: str) -> str | None:
        """The key of `config` that one beside it or of another form stands for; that it is missing, is told."""
        namespace, *below = [part for part in key.split(":") if part] or [key]
        name = nearest(key, _names())
        if below:
            meant = f"{namespace}:{below[-1]}"
        elif name:
            (meant,) = map(str, path_of((name,), self.project))
        else:
            return None
        if not self.has((meant,)):
            self._told.add((meant,))
        return meant

    def _value(self, node: Node, path: Location) -> Any:
        """What Pulumi makes of a node: numbers without a fraction are whole, and what JSON has not is text."""
        if isinstance(node, MappingNode):
            if _is_secret(node):
                self.secrets[path] = _ciphertext(node)
                return SECRET
            items = self._mapping(node, path)
            return {key: self._value(each, (*path, key)) for key, each in items.items()}
        if isinstance(node, SequenceNode):
            return [self._value(each, (*path, n)) for n, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        if said := misread(node):
            self._problem(path, said)
            self._told.add(path)
        return value_of(node)

    def _mapping(self, node: MappingNode, path: Location) -> dict[str, Node]:
        """The values by key; keys that are there twice are problems."""
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if key.tag == MERGE:
                for each in value.value if isinstance(value, SequenceNode) else [value]:
                    if isinstance(each, MappingNode):
                        merged = self._mapping(each, path) | merged
            elif not isinstance(key, ScalarNode):
                self._problem(path, "a key is a list or a mapping; keys are text.", key)
            elif key.value in own:
                first = Place.of(_key_node(node, key.value)).line
                message = f"the key is there twice, first in line {first}. Join the two."
                self._problem((*path, key.value), message, key)
            else:
                self._check_key(key, value, path)
                own[key.value] = value
        return merged | own

    def _check_key(self, key: ScalarNode, value: Node, path: Location) -> None:
        if path and key.end_mark.index == value.start_mark.index and ":" in key.value:
            self._problem((*path, key.value), 'a space is missing after the ":".', key)
            self._told |= {(*path, key.value), (*path, key.value.partition(":")[0])}
        elif said := misread_key(key):
            self._problem((*path, key.value), said, key)

    def _is_misplaced(self, path: Location) -> bool:
        namespace, _, name = str(path[0]).partition(":")
        return namespace == self.project and name not in _secret_keys() and "environment" not in path[-2:-1]

    def _problem(self, path: Location, message: str, at: Node | None = None) -> None:
        file = self.of.file if path and path[0] in self._of_project else None
        self.problems.append(
            (Place.of(at, file) if at else self.place(path), Problem("stack-file", message, path=path))
        )


def _names() -> Collection[str]:
    from infra.diagnostics.location import keys_at
    from infra.settings.stack import Settings

    return keys_at(Settings, ())


def _secret_keys() -> Collection[str]:
    from infra.settings.load import SECRET_KEYS

    return SECRET_KEYS


def _environments(node: CollectionNode) -> str:
    """Their names, as far as the file has them: it may be a list of them, or an environment of its own."""
    imports = node if isinstance(node, SequenceNode) else entries(node).get("imports", (None, None))[1]
    names = [each.value for each in imports.value if isinstance(each, ScalarNode)] if imports else []
    return ", ".join(names) or "environment.values"


def _key_node(node: MappingNode, key: str) -> Node:
    """The first that is written so."""
    found: Node = next(each for each, _ in node.value if each.value == key)
    return found


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: below for key, each in value.items() if (below := _without_secrets(each)) not in (SECRET, {})}
    return value


def _is_secret(node: Node) -> bool:
    return isinstance(node, MappingNode) and [key.value for key, _ in node.value] == ["secure"]


def _ciphertext(secret: Node) -> str:
    _, value = secret.value[0]
    return str(value.value) if isinstance(value, ScalarNode) else ""
