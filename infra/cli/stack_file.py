"""A stack file: its settings and problems, without the Pulumi engine."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from infra.cli.project import Project, StackFileError, content, relative
from infra.cli.stack_yaml import ConfigReader, InvalidYamlError, Position, compose
from infra.diagnostics.messages import command_to_encrypt, flat_key, is_flat, unknown_key
from infra.diagnostics.problem import ConfigurationError, Location, Problem, key_of, path_of
from infra.diagnostics.suggest import nearest
from infra.settings.load import MISPLACED_SECRET, SECRET_KEYS, SECRET_OF_JOB, in_plain_text, load
from infra.settings.stack import Settings

ENVIRONMENT_VALUES = "environment-values"
"""The rule of the warning that environments add values."""

_SECTIONS = ("config", "environment", "secretsprovider", "encryptedkey", "encryptionsalt")
"""The keys of a stack file (Pulumi docs, Stack settings file reference)."""
_BASE64 = r"(?:[A-Za-z0-9+/]{4})%s(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_CIPHERTEXT = re.compile(rf"v1:{_BASE64 % '+'}:{_BASE64 % '+'}|{_BASE64 % '{5,}'}")
"""From a passphrase or a cloud's key (AES-GCM: nonce, ciphertext), or from Pulumi Cloud: longer than a block of AES."""


def stack_path(stack: str, directory: Path) -> Path:
    """The path of a stack's file in the project that contains `directory`.

    Args:
        stack: the stack's name, or `organization/project/stack`.

    Raises:
        StackFileError: the project does not exist.
        typer.BadParameter: the file does not exist.
    """
    project = Project.at(directory.absolute())
    path = project.stack_directory / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
    if path not in project.stack_files:
        existing = ", ".join(file.name for file in project.stack_files) or "none"
        raise typer.BadParameter(
            f"{path.name} does not exist in {path.parent}. Stack files: {existing}.", param_hint="--stack"
        )
    return path


@dataclass
class StackFile:
    """`Pulumi.<stack>.yaml`, with the values that `Pulumi.yaml` gives all stacks.

    Attributes:
        config: what Pulumi passes to a program: text, and values of other types. A secret below a key is `SECRET`; a
            key that is secret as a whole is missing.
        has_config: whether `config` could be read.
        has_environments: whether Pulumi ESC environments may add values, which only the engine can read.
    """

    path: Path
    project: Project
    config: dict[str, Any] = field(default_factory=dict)
    has_config: bool = True
    has_environments: bool = False
    _yaml: ConfigReader = field(default_factory=ConfigReader)

    @classmethod
    def read(cls, path: Path, text: str | None = None) -> StackFile:
        """
        Args:
            text: what to read instead of the file's content.

        Raises:
            StackFileError: the file does not exist, or there is no `Pulumi.yaml` next to it or above it.
        """
        file = cls(path, Project.at(path.absolute().parent, "A stack file must be in its project's directory."))
        try:
            file._read_stack(compose(content(path) if text is None else text, str(path)))
            for key, (key_node, node) in file.project.config.items() if file.has_config else ():
                file._set_elsewhere(key, key_node, node)
        except InvalidYamlError as error:
            file.has_config = False
            problem = Problem(error.rule, str(error), **error.position._asdict())
            file.problems[:] = [problem]
        return file

    @classmethod
    def find(cls, stack: str, directory: Path) -> StackFile:
        """The file of a stack. Values that only the engine can read cause a warning on stderr.

        Raises:
            StackFileError: the file has problems other than those of the settings.
            typer.BadParameter: the stack does not exist.
        """
        file = cls.read(relative(stack_path(stack, directory)))
        if errors := [problem for problem in file.problems if problem.severity == "error"]:
            raise _refusal(errors)
        for warning in file.problems:
            print(warning, file=sys.stderr)
        return file

    @property
    def stack(self) -> str:
        """The stack's name; empty if the file is not named as Pulumi names it."""
        match = re.fullmatch(r"Pulumi\.(.+)\.yaml", self.path.name)
        return match[1] if match else ""

    @property
    def problems(self) -> list[Problem]:
        """Problems of the file itself, and a warning if environments add values."""
        return self._yaml.problems

    @property
    def misread(self) -> list[Location]:
        """The paths of errors of the file itself, whose values may not be those that the file shows."""
        return [problem.path for problem in self.problems if problem.severity == "error"]

    @property
    def pulumi_config(self) -> dict[str, str]:
        """`config` as Pulumi passes it to a program: text as it is, other values as JSON."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.config.items()}

    @property
    def secret_keys(self) -> set[str]:
        """The keys of `config` that hold a secret, also those that are missing in it."""
        return {str(key) for key, *_ in self._yaml.secrets}

    def has(self, path: Location) -> bool:
        """Whether `config` has a key."""
        return path in self._yaml.positions

    def settings(self) -> Settings:
        """The stack's settings; a secret in them is `SECRET`.

        Raises:
            StackFileError: with every problem of the settings, each with its position.
        """
        try:
            settings = load(self.pulumi_config, self.project.name, self.secret_keys, self.stack)
        except ConfigurationError as error:
            if problems := [*self.located(error.problems), *self.secret_problems()]:
                raise _refusal(problems) from None
            missing = ", ".join(problem.key for problem in error.problems)
            raise StackFileError(
                f"{self.path} lacks values that this command requires: {missing}. Only the engine can read "
                "environments. Set these values in the file or in Pulumi.yaml."
            ) from None
        if misplaced := [problem for problem in self.secret_problems() if problem.rule == "misplaced-secret"]:
            raise _refusal(misplaced)
        return settings

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems of settings that this file shows, each with its position.

        Left out are consequences of the file's own problems, and of values that only the engine can read.
        """
        reported = {problem.path for problem in self.problems}
        return [self._locate(problem) for problem in problems if self._shows(problem.path, reported)]

    def secret_problems(self) -> list[Problem]:
        """Secrets where they are not allowed, and secret settings that are not encrypted, each with its position."""
        problems: list[Problem] = []
        for path, encrypted in self._yaml.secrets.items():
            if self._is_misplaced(path):
                problems += self._misplaced(path)
            elif not _CIPHERTEXT.fullmatch(encrypted):
                message = (
                    "is not a value that Pulumi encrypted (v1:NONCE:CIPHERTEXT, or base64 from Pulumi Cloud), and may "
                    f"be the secret itself. Remove it and run: {command_to_encrypt(key_of(path), self.stack)}"
                )
                problems.append(Problem("not-encrypted", message, path=path))
        for key in {f"{self.project.name}:{name}" for name in SECRET_KEYS} & self.secret_keys & self.config.keys():
            plain = in_plain_text(key, self.config[key], self.stack)
            problems += [problem for problem in plain if problem.path not in self._yaml.secrets]
        return [self._locate(problem) for problem in problems]

    def _read_stack(self, root: Node | None) -> None:
        if not isinstance(root, MappingNode | None):
            self.has_config = False
            self._yaml.report("not-a-mapping", "a stack file must be a mapping with the key config.", (), root)
            return
        sections = self._yaml.entries(root, ()) if root else {}
        config_key, config = sections.pop("config", (None, None))
        if config_key:
            self._yaml.positions[()] = Position.of(config_key.start_mark)
        if isinstance(config, MappingNode):
            self._read_config(config)
        elif config and (isinstance(config, SequenceNode) or config.value):
            self.has_config = False
            self._yaml.report("not-a-mapping", "config must be a mapping of keys to values.", (), config)
        for key, (key_node, node) in sections.items():
            if key == "environment" and isinstance(node, CollectionNode) and node.value:
                self.has_environments = True
                message = (
                    "some values come from Pulumi ESC environments, which only the engine can open. They are not "
                    "checked here, and no value is reported as missing; `pulumi preview` checks them."
                )
                self._yaml.report(ENVIRONMENT_VALUES, message, (key,), key_node, "warning")
            elif key not in _SECTIONS or (key == "environment" and isinstance(node, ScalarNode) and node.value):
                self._read_misplaced(key, key_node, node)

    def _read_config(self, config: MappingNode) -> None:
        for key, (key_node, node) in self._yaml.entries(config, ()).items():
            if key.count(":") == 1:
                self._set(key, node)
            else:
                intended = self._intended(key)
                did_you_mean = f"; did you mean {intended}?" if intended else "."
                self._yaml.report("key-form", f"keys must have the form NAMESPACE:NAME{did_you_mean}", (key,), key_node)
                self._set_elsewhere(intended, key_node, node)

    def _read_misplaced(self, key: str, key_node: ScalarNode, node: Node) -> None:
        """Report a key next to `config`; a setting that is not indented is read nevertheless."""
        if section := nearest(key, {*_SECTIONS} - {key}):
            message = f"unknown key; did you mean {section}?"
            self.has_config = self.has_config and section != "config"
        elif intended := self._intended(key):
            message = f"unknown key here; did you mean {intended}, indented below config?"
            self._set_elsewhere(intended, key_node, node)
        else:
            message = f"unknown key; the keys of a stack file are: {', '.join(_SECTIONS)}."
        self._yaml.report("unknown-key", message, (key,), key_node)

    def _set_elsewhere(self, key: str | None, key_node: ScalarNode, node: Node) -> None:
        """Set a key that is not in `config`, unless `config` has it too."""
        if key and not self.has((key,)):
            self._yaml.positions[(key,)] = Position.of(key_node.start_mark)
            self._set(key, node)

    def _set(self, key: str, node: Node) -> None:
        value = self._yaml.value(node, (key,))
        if (key,) not in self._yaml.secrets:
            self.config[key] = "" if value is None else value

    def _intended(self, key: str) -> str | None:
        """The key of `config` that one of another form, or in another place, stands for."""
        namespace, *below = [part for part in key.split(":") if part] or [key]
        if below and below[:-1] in ([], ["config"]):  # NAMESPACE:config:NAME is an old form of Pulumi
            return f"{namespace}:{below[-1]}"
        name = None if below else nearest(key, Settings.fields_by_key())
        return str(path_of((name,), self.project.name)[0]) if name else None

    def _locate(self, problem: Problem) -> Problem:
        """With the position of the last of its keys that the files have, unless it is in a model repository."""
        if problem.file is not None:
            return replace(problem, file=str(relative(self.project.root / problem.file)))
        path = problem.path
        while path and path not in self._yaml.positions:
            path = path[:-1]
        return replace(problem, **self._yaml.positions.get(path, Position(str(self.path)))._asdict())

    def _shows(self, path: Location, reported: Collection[Location]) -> bool:
        above = [path[:length] for length in range(1, len(path) + 1)]
        hidden = (key in self._yaml.secrets and (len(key) == 1 or self._is_misplaced(key)) for key in above)
        if not self.has_config or any(hidden) or any(key in reported for key in above):
            return False
        return not self.has_environments or (self.has(path) and not isinstance(self._value(path), dict))

    def _value(self, path: Location) -> Any:
        value: Any = self.config
        for key in path:
            value = value[key]
        return value

    def _misplaced(self, secret: Location) -> list[Problem]:
        """The problem of a misplaced secret; that of an unknown key which is secret as a whole, because it is missing
        in `config`. `load` reports other unknown keys."""
        key, known = str(secret[0]), Settings.fields_by_key()
        if _is_of_job(secret):
            return [Problem("misplaced-secret", SECRET_OF_JOB, path=secret)]
        if (name := key.partition(":")[2]) in known:
            return [Problem("misplaced-secret", MISPLACED_SECRET, path=secret)]
        if len(secret) > 1:
            return []
        flat = is_flat(name)
        problem = flat_key(name, key, known, self.stack) if flat else unknown_key(known, nearest(name, known))
        return [replace(problem, path=secret)]

    def _is_misplaced(self, secret: Location) -> bool:
        namespace, _, name = str(secret[0]).partition(":")
        is_variable = "environment" in secret[-2:-1] and not _is_of_job(secret)
        return namespace == self.project.name and name not in SECRET_KEYS and not is_variable


def _is_of_job(secret: Location) -> bool:
    """Whether the path is that of an environment variable of transform jobs."""
    return secret[-3:-1] == ("batch", "environment")


def _refusal(problems: Sequence[Problem]) -> StackFileError:
    """As `validate` shows it."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    ordered = sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))
    return StackFileError("\n".join([f"the stack file has {count}:", *(f"  {problem}" for problem in ordered)]))
