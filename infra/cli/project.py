"""The Pulumi project that a stack file belongs to, with the configuration that `Pulumi.yaml` gives all its stacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from infra.cli.stack_yaml import ConfigReader, InvalidYamlError, compose
from infra.errors import UserError
from infra.settings.bounds import MAX_BYTES

Entries = Mapping[str, tuple[ScalarNode, Node]]
"""The keys of a mapping, each with its own node and that of its value."""

_DECLARATION = frozenset({"type", "description", "items", "default", "value", "secret"})
"""Keys of a mapping below `config` (Pulumi docs, Project file reference, `config`)."""


class StackFileError(UserError):
    """The file or project does not exist, or the file cannot be used; the message says why."""

    exit_code = 2


@dataclass(frozen=True)
class Project:
    """A Pulumi project.

    Attributes:
        file: its `Pulumi.yaml`.
        stack_directory: where its stack files are.
        config: the values that apply to every stack which does not set the key itself: the engine reads a whole key
            from one of the two files, and merges nothing below it.
    """

    name: str
    file: Path
    stack_directory: Path
    config: Entries = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The project's directory."""
        return self.file.parent

    @property
    def stack_files(self) -> list[Path]:
        """Its stack files, sorted by name."""
        return sorted(path for path in self.stack_directory.glob("Pulumi.*.yaml") if path.is_file())

    @classmethod
    def at(cls, directory: Path, way_out: str = "Change to the project's directory, or use --cwd.") -> Project:
        """The project of a directory, found upwards as Pulumi does.

        Raises:
            StackFileError: there is none, or its file cannot be used.
        """
        for root in (directory, *directory.parents):
            if (file := root / "Pulumi.yaml").is_file():
                return cls._read(file)
        raise StackFileError(f"Pulumi.yaml does not exist in {directory} or above it. {way_out}")

    def write(self, file: Path, text: str) -> None:
        """Write a file of the project, and print its name.

        Args:
            file: relative to the project's directory.

        Raises:
            StackFileError: the file cannot be written.
        """
        path = self.root / file
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StackFileError(f"cannot write {path}: {error.strerror}.") from None
        print(path)

    @classmethod
    def _read(cls, file: Path) -> Project:
        try:
            entries = _entries(compose(content(file), str(relative(file))))
            name, config = _value(entries, "name"), _value(entries, "config")
            if not isinstance(name, ScalarNode) or not name.value:
                raise StackFileError(
                    f"{file} has no name, which a Pulumi project requires. Add `name: triton-sagemaker`."
                )
            # `config` was the directory of stack files until 2022
            stacks = config if isinstance(config, ScalarNode) else _value(entries, "stackConfigDir")
            directory = file.parent / str(stacks.value) if isinstance(stacks, ScalarNode) else file.parent
            return cls(name.value, file, directory, dict(_config(_entries(config), name.value, file)))
        except InvalidYamlError as error:
            raise StackFileError(f"{':'.join(map(str, error.position))}: {error}") from None


def content(path: Path) -> str:
    """The text of a file.

    Raises:
        StackFileError: the file cannot be read, is larger than `MAX_BYTES`, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            read = file.read(MAX_BYTES + 1)
        if len(read) > MAX_BYTES:
            raise StackFileError(f"{path} is larger than {MAX_BYTES:,} bytes, the maximum.")
        return read.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise StackFileError(f"cannot read {path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise StackFileError(f"{path} is not UTF-8.") from None


def relative(path: Path) -> Path:
    """A path relative to the working directory if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _config(entries: Entries, project: str, file: Path) -> Iterator[tuple[str, tuple[ScalarNode, Node]]]:
    """Each key with its namespace, its node, and the node of `value`, `default` or, in the short form, the value
    itself."""
    for key, (key_node, declared) in entries.items():
        name = key if ":" in key else f"{project}:{key}"
        if not isinstance(declared, MappingNode):
            yield name, (key_node, declared)
            continue
        declaration = _entries(declared)
        if unknown := [part for part in declaration if part not in _DECLARATION]:
            raise StackFileError(
                f"{file}:{key_node.start_mark.line + 1}: config.{key}: unknown key {unknown[0]}. A mapping here "
                f"declares the key, with {', '.join(sorted(_DECLARATION))}. Put the value below `value:`."
            )
        for given in ("default", "value"):
            if (value := _value(declaration, given)) is not None:
                yield name, (key_node, value)


def _entries(node: Node | None) -> Entries:
    return ConfigReader().entries(node, ()) if isinstance(node, MappingNode) else {}


def _value(entries: Entries, key: str) -> Node | None:
    return entries.get(key, (None, None))[1]
