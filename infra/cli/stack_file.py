"""A stack's configuration read from its file, without the Pulumi engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

if TYPE_CHECKING:
    from infra.aws_session import AwsSession
    from infra.settings.stack import Settings

SECRET = "(a secret)"
"""What a secret setting is read as: only the engine can decrypt it."""


class StackFileError(Exception):
    """A stack's file cannot be used; the message says why."""


@dataclass(frozen=True)
class StackFile:
    """`Pulumi.<stack>.yaml` of a project."""

    project: str
    stack: str
    path: Path
    config: Mapping[str, Any]
    """As it stands under `config:`."""

    @classmethod
    def find(cls, stack: str, directory: Path) -> StackFile:
        """The stack's file in the project that `directory` lies in, found upwards as pulumi does.

        Args:
            stack: its name, or `organization/project/stack`.
        """
        at = [each for each in (directory, *directory.parents) if (each / "Pulumi.yaml").is_file()]
        if not at:
            raise StackFileError(
                f"there is no Pulumi.yaml in {directory} or above it. Go to the project, or give --cwd."
            )
        root, name = at[0], stack.rpartition("/")[2]
        path = root / f"Pulumi.{name}.yaml"
        if not path.is_file():
            there = ", ".join(sorted(each.name for each in root.glob("Pulumi.*.yaml"))) or "none"
            raise StackFileError(f"there is no {path.name} in {root}. Stack files there: {there}.")
        project = _mapping(root / "Pulumi.yaml").get("name")
        return cls(str(project), name, path, _mapping(path).get("config") or {})

    def settings(self) -> Settings:
        """The stack's settings; secrets among them read as `SECRET`.

        Raises:
            ConfigurationError: with every problem of the configuration at once.
        """
        from infra.settings.load import load

        endpoints = f"{self.project}:endpoints"
        if _is_secret(self.config.get(endpoints)):
            raise StackFileError(
                f"{self.path.name}: {endpoints} is secret as a whole, and only the engine can decrypt it. Make the "
                "single values in it secret that are: pulumi config set --secret --path "
                f"'{endpoints}.ENDPOINT.environment.KEY'"
            )
        secret = {key for key, value in self.config.items() if list(_secrets(value))}
        plain = {key: value for key, value in self.config.items() if not _is_secret(value)}
        return load({key: _text(_without_secrets(value)) for key, value in plain.items()}, self.project, secret)

    def session(self) -> AwsSession:
        """AWS as the stack's `aws` provider sees it.

        Raises:
            StackFileError: a key of the provider is secret.
            AwsSessionRefused: these calls cannot follow a key of the provider, or are of another account.
        """
        from infra.aws_session import AwsSession

        config = {key: value for key, value in self.config.items() if key.startswith("aws:")}
        if secret := sorted(key for key, value in config.items() if list(_secrets(value))):
            raise StackFileError(
                f"{self.path.name}: {', '.join(secret)} is secret, and only the engine can decrypt it. Take it out, "
                "and give credentials through the environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, …), as pulumi takes "
                "them too."
            )
        session = AwsSession({key: _text(value) for key, value in config.items()})
        _ = session.account_id  # refuses credentials of an account that the provider would refuse
        return session


def _mapping(path: Path) -> Mapping[str, Any]:
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise StackFileError(f"{path} is no YAML: {error}") from None
    if not isinstance(found, Mapping):
        raise StackFileError(f"{path} is no mapping of keys to values.")
    return found


def _text(value: Any) -> str:
    """As Pulumi hands configuration over: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _is_secret(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}


def _secrets(value: Any) -> Iterator[Any]:
    if _is_secret(value):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets(each)


def _without_secrets(value: Any) -> Any:
    if _is_secret(value):
        return SECRET
    if isinstance(value, Mapping):
        return {key: _without_secrets(each) for key, each in value.items()}
    return [_without_secrets(each) for each in value] if isinstance(value, list) else value
