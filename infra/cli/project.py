"""The Pulumi project that a stack file belongs to, with the configuration that `Pulumi.yaml` gives all its stacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from infra.cli.place import entries
from infra.cli.yaml_document import compose
from infra.errors import UserError
from infra.settings.bounds import MAX_BYTES

_DECLARATION = frozenset({"type", "description", "items", "default", "value", "secret"})
"""Keys of a mapping below `config` (Pulumi docs, Project file reference, `config`)."""


class StackFileError(UserError):
    """There is no such file or project, or the file cannot be used; the message says why."""

    exit_code = 2


@dataclass(frozen=True)
class Project:
    """A Pulumi project.

    Attributes:
        file: its `Pulumi.yaml`.
        config: the values that count for every stack which does not set the key itself, each with the node of its key:
            the engine takes a whole key from one of the two, and merges nothing below it.
    """

    name: str
    file: Path
    stack_directory: Path
    config: Mapping[str, tuple[Node, Node]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The project's directory."""
        return self.file.parent

    @classmethod
    def at(cls, directory: Path, way_out: str = "Go to the project, or give --cwd.") -> Project:
        """The project that a directory lies in, found upwards as pulumi does.

        Raises:
            StackFileError: there is none, or its file cannot be used.
        """
        for root in (directory, *directory.parents):
            if (file := root / "Pulumi.yaml").is_file():
                return cls._read(file)
        raise StackFileError(f"there is no Pulumi.yaml in {directory} or above it. {way_out}")

    @classmethod
    def _read(cls, file: Path) -> Project:
        try:
            node = compose(content(file))
        except (YAMLError, ValueError) as error:
            raise StackFileError(f"{file} is not valid YAML: {error}") from None
        name, config = _value(node, "name"), _value(node, "config")
        if not isinstance(name, ScalarNode) or not name.value:
            raise StackFileError(f"{file} does not name a project.")
        stacks = config if isinstance(config, ScalarNode) else _value(node, "stackConfigDir")  # as `config` until 2022
        directory = file.parent / str(stacks.value) if isinstance(stacks, ScalarNode) else file.parent
        return cls(name.value, file, directory, dict(_config(config, name.value, file)))


def content(path: Path) -> str:
    """The text of a file.

    Raises:
        StackFileError: it cannot be read, is larger than `MAX_BYTES`, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            read = file.read(MAX_BYTES + 1)
        if len(read) > MAX_BYTES:
            raise StackFileError(f"{path} is larger than {MAX_BYTES:,} bytes, which is the most that is read.")
        return read.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise StackFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StackFileError(f"{path} is not UTF-8.") from None


def _config(config: Node | None, project: str, file: Path) -> Iterator[tuple[str, tuple[Node, Node]]]:
    """Each key with its namespace, its node, and the node of `value`, `default` or, in the short form, the value
    itself."""
    for key, declared in config.value if isinstance(config, MappingNode) else ():
        name = key.value if ":" in key.value else f"{project}:{key.value}"
        if not isinstance(declared, MappingNode):
            yield name, (key, declared)
            continue
        if unknown := [each.value for each, _ in declared.value if each.value not in _DECLARATION]:
            raise StackFileError(
                f"{file}:{key.start_mark.line + 1}: config.{key.value}: a mapping here declares the key, with "
                f"{', '.join(sorted(_DECLARATION))}, and {unknown[0]} is none of them. Put the mapping below `value:`."
            )
        for given in ("default", "value"):
            if (value := _value(declared, given)) is not None:
                yield name, (key, value)


def _value(node: Node | None, key: str) -> Node | None:
    return entries(node).get(key, (None, None))[1]
