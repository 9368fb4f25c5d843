"""Private copies of `Pulumi.yaml` and `Pulumi.<stack>.yaml`, so that the tracked ones stay as they are."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PLACEHOLDER = "sandbox-placeholder"
"""The value of a secret of a stack file in the sandbox, which has no key to decrypt it."""

SECRET_VARIABLE = "SANDBOX_SECRET_"
"""`SANDBOX_SECRET_LICENSE_KEY` in the shell's environment is the sandbox's value of each secret called LICENSE_KEY."""

_ENCRYPTION = ("encryptionsalt", "secretsprovider", "encryptedkey")
_IDENTITY = (
    *("profile", "accessKey", "secretKey", "token", "sharedConfigFiles", "sharedCredentialsFiles"),
    *("assumeRole", "assumeRoles", "assumeRoleWithWebIdentity", "allowedAccountIds", "forbiddenAccountIds"),
)


def project_copy(original: Path, providers: Path) -> str:
    """`Pulumi.yaml` for a directory elsewhere: the program stays where it is, providers come from `providers` only."""
    project = _load(original)
    project["main"] = str(original.parent)
    project.pop("backend", None)
    project.pop("stackConfigDir", None)
    project["plugins"] = {
        "providers": [{"name": name, "path": str(providers)} for name in ("aws", "pulumi-python")],
    }
    return _dump(project)


def stack_copy(original: Path) -> tuple[str, list[str]]:
    """A stack file that works in the sandbox, and what had to be left out of it, in words.

    That is what only the real account can use: secrets (they become `PLACEHOLDER`), the keys that encrypt them, whose
    credentials the aws provider takes, and Pulumi Cloud's environments.
    """
    settings = _load(original) or {}
    notes = []
    for key in _ENCRYPTION:
        settings.pop(key, None)
    config = settings.get("config") or {}
    if secrets := [path for path in _replace_secrets(config) if secret_value(path[-1]) == PLACEHOLDER]:
        names = ", ".join(".".join(map(str, path)) for path in secrets)
        variable = f"{SECRET_VARIABLE}{secrets[0][-1]}"
        notes.append(f"{original.name}: these secrets are placeholders here: {names}. Set a value with {variable}=…")
    unused = [key for key in (f"aws:{name}" for name in _IDENTITY) if config.pop(key, None) is not None]
    if settings.pop("environment", None) is not None:
        unused.append("environment")
    if unused:
        notes.append(f"{original.name}: not used here: {', '.join(unused)}")
    return _dump(settings), notes


def secret_value(key: str | int) -> str:
    """The value of a secret in the sandbox, by the last key that leads to it."""
    return os.environ.get(f"{SECRET_VARIABLE}{str(key).rpartition(':')[2]}", PLACEHOLDER)


def with_secret_values(value: Any, key: str | int = "") -> Any:
    """A setting with the sandbox's values in place of placeholders; the copy of the stack file never holds them."""
    if isinstance(value, Mapping):
        return {name: with_secret_values(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_secret_values(inner, index) for index, inner in enumerate(value)]
    return secret_value(key) if value == PLACEHOLDER else value


def stack_file_of(config: Mapping[str, Any]) -> str:
    """A stack file that holds `config`."""
    return _dump({"config": dict(config)})


def with_salt_of(text: str, previous: Path) -> str:
    """`text` with the `encryptionsalt` that Pulumi wrote into the `previous` copy and encrypts the state with."""
    salt = _load(previous).get("encryptionsalt") if previous.exists() else None
    return f"{text}encryptionsalt: {salt}\n" if salt else text


def _replace_secrets(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Replace every `{secure: …}` below `value` in place and yield where it was."""
    items = value.items() if isinstance(value, MutableMapping) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(items):
        if isinstance(child, Mapping) and set(child) == {"secure"}:
            value[key] = PLACEHOLDER
            yield (*path, key)
        else:
            yield from _replace_secrets(child, (*path, key))


def _yaml() -> YAML:
    """A parser that keeps scalars as they are written: `version: 23.10` is no number to round."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 10_000
    return yaml


def _load(path: Path) -> Any:
    return _yaml().load(path.read_text(encoding="utf-8"))


def _dump(value: Any) -> str:
    text = io.StringIO()
    _yaml().dump(value, text)
    return text.getvalue()
