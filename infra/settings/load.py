"""The settings in a stack's configuration as Pulumi passes it to the program."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from infra.aws.provider import AWS_KEYS, refusals
from infra.diagnostics import messages
from infra.diagnostics.problem import ConfigurationError, Location, Problem, key_of, path_of
from infra.diagnostics.suggest import nearest
from infra.settings.annotation import nesting
from infra.settings.bounds import MAX_DEPTH, too_deep
from infra.settings.partial import PartialValidation
from infra.settings.stack import Settings

_REGION = "aws:region"
_AUTONAMING = "pulumi:autonaming"
_KEYS = Settings.fields_by_key().keys() - {"region"}

SECRET_KEYS = {
    key: nesting(field.annotation) for key, field in Settings.fields_by_key().items() if messages.is_secret(field)
}
"""The settings that must be Pulumi secrets, and the number of names between each and a secret. They are top-level keys,
because Pulumi reports for those alone whether they are secret."""

MISPLACED_SECRET = (
    "must not be a secret, because the program must check its value. Set it in plaintext. Only "
    f"{', '.join(sorted(SECRET_KEYS))} and the variables in an endpoint's environment may be secrets."
)

SECRET_OF_JOB = (
    "must not be a secret, because anyone who may describe a job sees its environment (API CreateTransformJob). Remove "
    "it, and set the variable in secretEnvironment, which applies to the Model."
)


def load(config: Mapping[str, str], project: str, secret: Collection[str] = (), stack: str | None = None) -> Settings:
    """The settings in `config`: Pulumi's flat map of `namespace:key` to text, structured values as JSON.

    Args:
        secret: the keys of `config` that hold a secret, at any depth.
        stack: the stack's name, for commands in messages.

    Raises:
        ConfigurationError: with every problem of the configuration.
    """
    settings, validation = validate(config, project, secret, stack)
    if validation.errors:
        raise ConfigurationError(validation.errors)
    return settings


def validate(
    config: Mapping[str, str], project: str, secret: Collection[str] = (), stack: str | None = None
) -> tuple[Settings, PartialValidation]:
    """The settings as far as they are valid, and the errors of the configuration; arguments as of `load`.

    Raises:
        ConfigurationError: the configuration is nested too deep to check.
    """
    if deep := [key for key, text in config.items() if _parse(text) is _TOO_DEEP]:
        message = f"mappings and lists are nested deeper than {MAX_DEPTH} levels."
        raise ConfigurationError([Problem("too-deep", message, path=(key,)) for key in deep])
    given = _settings(config, project)
    values = {name: value for name, (_, value) in given.items()}

    def locate(place: Location) -> Location:
        first, *below = place
        return (given[str(first)][0] if first in given else path_of((first,), project)[0], *below)

    validation = PartialValidation(locate, secret, stack)
    validation.problems += _misspelt(config, project)
    validation.problems += _refused_by_our_calls(config, project)
    validation.problems += _plaintext_credentials(config, secret, stack)
    validation.problems += _autonaming(config, stack)
    validation.problems += _misplaced_secrets(secret, project)
    settings = validation.validate(Settings, values)
    reported = {problem.path for problem in validation.problems}
    for name in sorted(SECRET_KEYS.keys() & values.keys()):
        written, value = given[name]
        plain = in_plain_text(f"{project}:{name}", value, stack) if written not in secret else ()
        at = [replace(problem, path=(written, *problem.path[1:])) for problem in plain]
        validation.problems += [problem for problem in at if problem.path not in reported]
    return settings, validation


def provider_config(config: Mapping[str, str], project: str) -> dict[str, str]:
    """The known keys of the `aws` provider in `config`, including misspelt ones."""
    given = {**{_intended(key, config, project): value for key, value in config.items()}, **config}
    return {f"aws:{key}": given[f"aws:{key}"] for key in sorted(AWS_KEYS) if f"aws:{key}" in given}


def in_plain_text(key: str, value: Any, stack: str | None, *below: str) -> Iterator[Problem]:
    """A problem for each text in a setting whose values must be secrets; other types are reported as such."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from in_plain_text(key, item, stack, *below, name)
    elif isinstance(value, str) and len(below) == SECRET_KEYS[key.partition(":")[2]]:
        path = (key, *below)
        yield replace(messages.plaintext_secret(key_of(path), stack), path=path)


def _plaintext_credentials(config: Mapping[str, str], secret: Collection[str], stack: str | None) -> Iterator[Problem]:
    for key in ("aws:secretKey", "aws:token"):
        if key in config and key not in secret:
            yield Problem(
                "plaintext-credentials",
                "is stored in plaintext. Remove it and set credentials in the environment (AWS_PROFILE, "
                f"AWS_ACCESS_KEY_ID, …), or run: {messages.command_to_encrypt(key, stack)}",
                path=(key,),
            )


def _autonaming(config: Mapping[str, str], stack: str | None) -> Iterator[Problem]:
    """With names that have no random part, the engine deletes every resource before it creates the replacement,
    whatever the program requests (pulumi/pkg, autonaming.Autonamer). Other patterns create names that AWS rejects.

    Pulumi merges the key of the stack, the project (Pulumi.yaml) and an environment; the stack's takes precedence.
    """
    namings = _namings(_parse(config.get(_AUTONAMING, "")))
    if any("pattern" in naming or naming.get("mode", "default") != "default" for naming in namings):
        yield Problem(
            "autonaming",
            "must leave names to Pulumi: with fixed names, a release deletes the live endpoint's configuration, Model "
            "and role before it creates their replacements. Remove the key or, if the project or organization sets "
            f"it, override it for this stack: pulumi config set{messages.stack_option(stack)} "
            f"--path '{_AUTONAMING}.mode' default",
            path=(_AUTONAMING,),
        )


def _namings(autonaming: Any) -> Iterator[Mapping[str, Any]]:
    """The settings of `pulumi:autonaming` that apply to the program's resources. The engine accepts only mappings."""
    if not isinstance(autonaming, Mapping):
        return
    yield autonaming
    for name in ("aws", "pulumi-python"):
        provider = _mapping(_mapping(autonaming.get("providers")).get(name))
        yield provider
        yield from _mapping(provider.get("resources")).values()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _misplaced_secrets(secret: Collection[str], project: str) -> Iterator[Problem]:
    """Except in `endpoints`: Pulumi does not report which of its values are secret, and variables may be."""
    for key in sorted(secret):
        namespace, _, name = key.partition(":")
        if namespace == project and name in _KEYS - SECRET_KEYS.keys() - {"endpoints"}:
            yield Problem("misplaced-secret", MISPLACED_SECRET, path=(key,))


def _misspelt(config: Mapping[str, str], project: str) -> Iterator[Problem]:
    """Pulumi accepts any namespace, so a setting in a wrong one would be ignored."""
    for key in config:
        if (right := _intended(key, config, project)) != key:
            kind = "key" if right == _REGION or key.startswith("aws:") else "namespace"
            yield Problem("unknown-key", f"unknown {kind}; did you mean {right}?", path=(key,))


def _refused_by_our_calls(config: Mapping[str, str], project: str) -> Iterator[Problem]:
    """Keys of the provider that the program's own AWS calls do not support. They run after other resources exist."""
    provider = {key.removeprefix("aws:"): _parse(text) for key, text in config.items() if key.startswith("aws:")}
    for name, reason in refusals(provider):
        if _intended(key := f"aws:{name}", config, project) == key:
            yield Problem("provider-key", reason, path=(key,))


def _intended(key: str, config: Collection[str], project: str) -> str:
    """The key of the project or of a provider that a misspelt one probably is; else the key."""
    namespace, _, name = key.partition(":")
    known = (project, "aws", "pulumi")
    if namespace not in known:
        near = difflib.get_close_matches(namespace, known, n=1) or [project] * (namespace in project)
        is_setting = name in _KEYS and f"{project}:{name}" not in config
        namespace = near[0] if near else project if is_setting else namespace
    if namespace == project and name == "region":
        return _REGION
    if namespace == "aws" and name not in AWS_KEYS:
        name = nearest(name, AWS_KEYS) or name
    return f"{namespace}:{name}"


def _settings(config: Mapping[str, str], project: str) -> dict[str, tuple[str, Any]]:
    """The settings by name, each with its key in `config` and its value."""
    settings: dict[str, tuple[str, Any]] = {}
    for key, text in config.items():
        right = _intended(key, config, project)
        namespace, _, name = right.partition(":")
        if (namespace == project or right == _REGION) and (right == key or name not in settings):
            settings[name] = key, _parse(text)
    return settings


_TOO_DEEP = object()


def _parse(text: str) -> Any:
    """Pulumi passes structured values as JSON, and scalars as they are."""
    try:
        value = json.loads(text) if text[:1] in ("{", "[") else text
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return text
    return _TOO_DEEP if too_deep(value) else value
