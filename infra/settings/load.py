"""Settings from a stack's configuration as Pulumi hands it over."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from infra.settings.endpoint import EndpointSettings
from infra.settings.error import ConfigurationError, Location, Problem, keys_of, problems
from infra.settings.stack import Settings

_PROVIDERS = ("aws", "pulumi")
"""Namespaces that are read besides the project's."""

SECRET_KEYS = frozenset(
    str(field.alias)
    for field in Settings.model_fields.values()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("secret")
)
"""The settings that are taken as Pulumi secrets only. They are top-level keys: Pulumi tells a program of these alone
whether they are secret."""


def load(config: Mapping[str, str], project: str, secret: Collection[str] = ()) -> Settings:
    """The settings in ``config``: Pulumi's flat map of ``namespace:key`` to text, structured values as JSON.

    Args:
        secret: the keys of ``config`` that hold a secret, at any depth.

    Raises:
        ConfigurationError: with every problem of the configuration at once.
    """
    values = _values(config, project)
    found = [*_misplaced(config, project)]
    for name in SECRET_KEYS & values.keys():
        if (key := f"{project}:{name}") not in secret:
            found += in_plain_text(key, values[name])
    settings = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        found += problems(error, Settings, project, secret)
        found += [each for each in _behind_unknown_keys(error, values, project, secret) if each not in found]
    if found or settings is None:
        raise ConfigurationError(found)
    return settings


def valid_endpoints(config: Mapping[str, str], project: str) -> dict[str, EndpointSettings]:
    """Those endpoints in ``config`` that are valid for themselves, whatever else is wrong."""
    given, endpoints = _values(config, project).get("endpoints"), {}
    for name, value in given.items() if isinstance(given, dict) else ():
        with contextlib.suppress(ValidationError):
            endpoints[name] = EndpointSettings.model_validate(value)
    return endpoints


def in_plain_text(key: str, value: Any, *below: str | int) -> Iterator[Problem]:
    """A problem for each part of a secret setting, which nobody encrypted."""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from in_plain_text(key, each, *below, name)
        return
    problem = Problem((key, *below), "")
    command = f"pulumi config set --secret --path '{problem.key}'"
    message = f"stands here in plain text; only a Pulumi secret is taken. Take it out and type: {command}"
    yield Problem(problem.path, message)


def _misplaced(config: Mapping[str, str], project: str) -> Iterator[Problem]:
    """Pulumi takes any namespace, and a setting that nobody reads would go unnoticed."""
    known = (project, *_PROVIDERS)
    if f"{project}:region" in config:
        yield Problem((f"{project}:region",), "unknown key; did you mean aws:region?")
    for key in config:
        namespace, _, name = key.partition(":")
        if namespace not in known and (nearest := difflib.get_close_matches(namespace, known, n=1)):
            yield Problem((key,), f"unknown namespace; did you mean {nearest[0]}:{name}?")


def _behind_unknown_keys(
    error: ValidationError, values: Mapping[str, Any], project: str, secret: Collection[str]
) -> list[Problem]:
    """What is found when unknown keys are left out: rules across keys are looked at only where all keys are known."""
    unknown = [keys_of(Settings, each["loc"]) for each in error.errors() if each["type"] == "extra_forbidden"]
    if not unknown:
        return []
    try:
        Settings.model_validate(_without(values, unknown))
    except ValidationError as other:
        return problems(other, Settings, project, secret)
    return []


def _without(value: Any, locations: Collection[Location]) -> Any:
    """A copy of a structured value, without what is at these locations."""
    below = {key: [each[1:] for each in locations if each[0] == key and len(each) > 1] for key, *_ in locations}
    if isinstance(value, Mapping):
        return {key: _without(each, below.get(key, ())) for key, each in value.items() if (key,) not in locations}
    return [_without(each, below.get(n, ())) for n, each in enumerate(value)] if isinstance(value, list) else value


def _values(config: Mapping[str, str], project: str) -> dict[str, Any]:
    prefix = f"{project}:"
    values = {key.removeprefix(prefix): _value(text) for key, text in config.items() if key.startswith(prefix)}
    values.pop("region", None)
    return values | ({"region": config["aws:region"]} if "aws:region" in config else {})


def _value(text: str) -> Any:
    """Pulumi hands structured values over as JSON, and scalars as they are."""
    try:
        return json.loads(text) if text[:1] in "{[" else text
    except ValueError:
        return text
