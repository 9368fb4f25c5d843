"""Settings from a stack's configuration as Pulumi hands it over."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.settings.endpoint import EndpointSettings
from infra.settings.error import ConfigurationError, Problem, key_of, path_of
from infra.settings.location import Location, keys_of, meant, nesting
from infra.settings.message import command_to_encrypt, problems
from infra.settings.spelling import nearest
from infra.settings.stack import Settings

_PROVIDERS = ("aws", "pulumi")
"""Namespaces that are read besides the project's."""

SECRET_KEYS = {
    str(field.alias): nesting(field.annotation)
    for field in Settings.model_fields.values()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("secret")
}
"""The settings that are taken as Pulumi secrets only, and how many keys lead from each to a secret. They are top-level
keys: Pulumi tells a program of these alone whether they are secret."""


def load(config: Mapping[str, str], project: str, secret: Collection[str] = (), stack: str | None = None) -> Settings:
    """The settings in ``config``: Pulumi's flat map of ``namespace:key`` to text, structured values as JSON.

    Args:
        secret: the keys of ``config`` that hold a secret, at any depth.
        stack: the stack's name, for the commands that errors name.

    Raises:
        ConfigurationError: with every problem of the configuration at once.
    """
    values = _values(config, project)
    empty = {path_of(each, project): each for each in _empty(values) if each[0] not in SECRET_KEYS}
    found = [*_misplaced(config, project), *(Problem(path, _EMPTY) for path in empty)]
    wrong: list[Problem] = []
    values = _as_meant(values, dict.fromkeys(empty.values()))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        wrong = problems(_with_unknown_keys_as_meant(error.errors(), values), Settings, project, secret, stack)
    told = {each.path for each in wrong}
    for name in SECRET_KEYS.keys() & values.keys():
        if (key := f"{project}:{name}") not in secret:
            found += [each for each in in_plain_text(key, values[name], stack) if each.path not in told]
    found += [each for each in wrong if each.path not in empty]
    if found:
        raise ConfigurationError(found)
    return settings


_EMPTY = "is empty. Give it a value, or take the key out."


def _empty(value: Any, at: Location = ()) -> Iterator[Location]:
    """Where a key has no value: whoever left it so meant something by it."""
    for name, each in value.items() if isinstance(value, Mapping) else enumerate(value):
        if each is None and isinstance(value, Mapping):
            yield (*at, name)
        elif isinstance(each, list | Mapping):
            yield from _empty(each, (*at, name))


def valid_endpoints(config: Mapping[str, str], project: str) -> dict[str, EndpointSettings]:
    """Those endpoints in ``config`` that are valid for themselves, whatever else is wrong."""
    given, endpoints = _values(config, project).get("endpoints"), {}
    for name, value in given.items() if isinstance(given, dict) else ():
        with contextlib.suppress(ValidationError):
            endpoints[name] = EndpointSettings.model_validate(value)
    return endpoints


def in_plain_text(key: str, value: Any, stack: str | None, *below: str) -> Iterator[Problem]:
    """A problem for each text in a secret setting, which nobody encrypted; all else is no secret either way."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from in_plain_text(key, each, stack, *below, name)
    elif isinstance(value, str) and len(below) == SECRET_KEYS[key.partition(":")[2]]:
        path = (key, *below)
        command = command_to_encrypt(key_of(path), stack)
        message = f"stands here in plain text; only a Pulumi secret is taken. Take it out and type: {command}"
        yield Problem(path, message)


def _misplaced(config: Mapping[str, str], project: str) -> Iterator[Problem]:
    """Pulumi takes any namespace, and a setting that nobody reads would go unnoticed."""
    known = (project, *_PROVIDERS)
    regions = list(_misspelt_regions(config, project))
    yield from (Problem((key,), "unknown key; did you mean aws:region?") for key in regions)
    for key in config.keys() - set(regions):
        namespace, _, name = key.partition(":")
        if namespace not in known and (near := difflib.get_close_matches(namespace, known, n=1)):
            yield Problem((key,), f"unknown namespace; did you mean {near[0]}:{name}?")


def _misspelt_regions(config: Mapping[str, str], project: str) -> Iterator[str]:
    for key in config.keys() - {"aws:region"}:
        namespace, _, name = key.partition(":")
        of_aws = difflib.get_close_matches(namespace, ["aws"])
        if key == f"{project}:region" or (of_aws and nearest(name, ["region"])):
            yield key


def _with_unknown_keys_as_meant(found: list[ErrorDetails], values: Mapping[str, Any]) -> list[ErrorDetails]:
    """Beside unknown keys, what is wrong once they are written as they were meant: rules across keys are looked at only
    where all keys are known, and a key that is misspelt is not missing."""
    unknown = {keys_of(Settings, each["loc"]): each for each in found if each["type"] == "extra_forbidden"}
    if not unknown:
        return found
    keys = {
        location: key if (key := meant(Settings, each["loc"])) not in _at(values, location[:-1]) else None
        for location, each in unknown.items()
    }
    corrected = {(*location[:-1], key) for location, key in keys.items() if key}
    others = _errors(_as_meant(values, keys))
    return [*unknown.values(), *(each for each in others if not _within(keys_of(Settings, each["loc"]), corrected))]


def _errors(values: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        return error.errors()
    return []


def _as_meant(value: Any, keys: Mapping[Location, str | None], at: Location = ()) -> Any:
    """A copy of a structured value in which some keys are others, or left out."""
    if isinstance(value, list):
        return [_as_meant(each, keys, (*at, n)) for n, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    read = {}
    for name, each in value.items():
        key = keys.get((*at, name), name)
        if key is not None:
            read[key] = _as_meant(each, keys, (*at, name))
    return read


def _at(value: Any, location: Location) -> Any:
    for key in location:
        value = value[key]
    return value


def _within(location: Location, places: Collection[Location]) -> bool:
    return any(location[:length] in places for length in range(len(location) + 1))


def _values(config: Mapping[str, str], project: str) -> dict[str, Any]:
    prefix = f"{project}:"
    values = {key.removeprefix(prefix): _value(text) for key, text in config.items() if key.startswith(prefix)}
    values.pop("region", None)
    region = next((key for key in ("aws:region", *_misspelt_regions(config, project)) if key in config), None)
    return values | ({"region": config[region]} if region else {})


def _value(text: str) -> Any:
    """Pulumi hands structured values over as JSON, and scalars as they are."""
    try:
        return json.loads(text) if text[:1] in "{[" else text
    except ValueError:
        return text
