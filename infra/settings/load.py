"""Settings from a stack's configuration as Pulumi hands it over."""

from __future__ import annotations

import contextlib
import difflib
import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from infra.aws.provider import AWS_KEYS, refusals
from infra.diagnostics.location import Location, nesting
from infra.diagnostics.messages import command_to_encrypt
from infra.diagnostics.partial import PartialValidation
from infra.diagnostics.problem import ConfigurationError, Problem, key_of, path_of
from infra.diagnostics.suggest import nearest
from infra.settings.bounds import MAX_DEPTH, MAX_DIGITS, too_deep
from infra.settings.endpoint import EndpointSettings
from infra.settings.section import InvalidSetting
from infra.settings.stack import Settings

_PROVIDERS = ("aws", "pulumi")
"""Namespaces that are read besides the project's."""

_AUTONAMING = "pulumi:autonaming"
_NAMED_BY_PULUMI = ("aws", "pulumi-python")
"""The providers of the program's resources, as `pulumi:autonaming` calls them."""

_REGION = "aws:region"
_KEYS = {str(field.alias) for field in Settings.model_fields.values()} - {"region"}

SECRET_KEYS = {
    str(field.alias): nesting(field.annotation)
    for field in Settings.model_fields.values()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("secret")
}
"""The settings that are taken as Pulumi secrets only, and how many keys lead from each to a secret. They are top-level
keys: Pulumi tells a program of these alone whether they are secret."""


MISPLACED_SECRET = (
    f"is secret, and nobody could check it. Only {', '.join(sorted(SECRET_KEYS))} and the variables of an endpoint's "
    "environment hold secrets."
)


def load(config: Mapping[str, str], project: str, secret: Collection[str] = (), stack: str | None = None) -> Settings:
    """The settings in ``config``: Pulumi's flat map of ``namespace:key`` to text, structured values as JSON.

    Args:
        secret: the keys of ``config`` that hold a secret, at any depth.
        stack: the stack's name, for the commands that errors name.

    Raises:
        ConfigurationError: with every problem of the configuration at once.
    """
    if deep := list(_too_deep(config)):
        raise ConfigurationError(deep)
    given = _values(config, project)
    values = {name: value for name, (_, value) in given.items()}
    settings = _valid(values)
    partial = _partial(given, project, secret, stack)
    if settings is None:
        partial.validate(Settings, values)
    wrong = partial.problems
    told = {each.path for each in wrong}
    found = [
        *(*_misplaced(config, project), *_refused(config, project)),
        *(*_plain_credentials(config, secret, stack), *_autonaming(config, stack)),
        *(
            Problem("misplaced-secret", MISPLACED_SECRET, path=(key,))
            for key in sorted(secret)
            if _is_misplaced_secret(key, project)
        ),
    ]
    for name in SECRET_KEYS.keys() & values.keys():
        if (key := f"{project}:{name}") not in secret:
            found += [each for each in in_plain_text(key, values[name], stack) if each.path not in told]
    if (found := [*found, *wrong]) or settings is None:
        raise ConfigurationError(found)
    return settings


def valid_endpoints(config: Mapping[str, str], project: str) -> dict[str, EndpointSettings]:
    """The endpoints in `config` whose models and instances are valid, whatever else is not."""
    given = _values(config, project)
    settings = _partial(given, project).validate(Settings, {name: value for name, (_, value) in given.items()})
    endpoints = {}
    with contextlib.suppress(InvalidSetting):
        for name, endpoint in settings.endpoints.items():
            written = given["endpoints"][1][name]
            if "model" not in written and "variants" not in written:
                continue  # the key of the model is misspelt
            with contextlib.suppress(InvalidSetting):
                for variant in endpoint.instance_variants.values():
                    _ = variant.model.model_dump(), variant.instance_type, variant.environment
                endpoints[name] = endpoint
    return endpoints


def _valid(values: Mapping[str, Any]) -> Settings | None:
    if any(value == "" or _has_empty(value) for value in values.values()):
        return None
    try:
        return Settings.model_validate(values)
    except ValidationError:
        return None


def _has_empty(value: Any) -> bool:
    """Whether a key has no value: somebody left it so by mistake, and pydantic takes it for the default."""
    if isinstance(value, dict | list):
        return any(map(_has_empty, value.values() if isinstance(value, dict) else value))
    return value is None


def _partial(
    given: Mapping[str, tuple[str, Any]], project: str, secret: Collection[str] = (), stack: str | None = None
) -> PartialValidation:
    def locate(place: Location) -> Location:
        first, *below = place
        return (given[str(first)][0] if first in given else path_of((first,), project)[0], *below)

    return PartialValidation(locate, lambda key: locate((key,))[0] in secret, stack)


def provider_config(config: Mapping[str, str], project: str) -> dict[str, str]:
    """The keys of the `aws` provider in ``config``, also those that are misspelt, without unknown ones."""
    given = {**{_meant(key, config, project): value for key, value in config.items()}, **config}
    return {f"aws:{key}": given[f"aws:{key}"] for key in sorted(AWS_KEYS) if f"aws:{key}" in given}


def in_plain_text(key: str, value: Any, stack: str | None, *below: str) -> Iterator[Problem]:
    """A problem for each text in a secret setting, which nobody encrypted; all else is no secret either way."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from in_plain_text(key, each, stack, *below, name)
    elif isinstance(value, str) and len(below) == SECRET_KEYS[key.partition(":")[2]]:
        path = (key, *below)
        command = command_to_encrypt(key_of(path), stack)
        message = f"stands here in plain text; only a Pulumi secret is taken. Take it out and type: {command}"
        yield Problem("plaintext-secret", message, path=path)


def _plain_credentials(config: Mapping[str, str], secret: Collection[str], stack: str | None) -> Iterator[Problem]:
    """Pulumi takes them as they are, and whoever reads the file has them."""
    for key in ("aws:secretKey", "aws:token"):
        if key in config and key not in secret:
            command = command_to_encrypt(key, stack)
            yield Problem(
                "plaintext-credentials",
                "stands here in plain text. Take it out, and give credentials through the environment (AWS_PROFILE, "
                f"AWS_ACCESS_KEY_ID, …), or type: {command}",
                path=(key,),
            )


def _autonaming(config: Mapping[str, str], stack: str | None) -> Iterator[Problem]:
    """Names without a random part make the engine delete every resource before it creates the replacement, whatever the
    program says (pulumi/pkg, autonaming.Autonamer), and other patterns make names that AWS refuses half-way.

    Pulumi merges the key of the stack, of the project (Pulumi.yaml) and of an environment, and the stack's own wins.
    """
    namings = _namings(_value(config.get(_AUTONAMING, "")))
    if any("pattern" in each or each.get("mode", "default") != "default" for each in namings):
        command = f"pulumi config set{f' -s {shlex.quote(stack)}' if stack else ''} --path '{_AUTONAMING}.mode' default"
        yield Problem(
            "autonaming",
            "must leave names to Pulumi: with fixed names a release deletes the live endpoint's configuration, Model "
            "and role before it creates their replacements. Remove the key here or, if the project or the organization "
            f"sets it, override it for this stack: {command}",
            path=(_AUTONAMING,),
        )


def _namings(autonaming: Any) -> Iterator[Mapping[str, Any]]:
    """Those of `pulumi:autonaming` that apply to resources of the program. The engine refuses all but mappings."""
    if not isinstance(autonaming, Mapping):
        return
    yield autonaming
    providers = _mapping(autonaming.get("providers"))
    for provider in (_mapping(providers.get(name)) for name in _NAMED_BY_PULUMI):
        yield provider
        yield from _mapping(provider.get("resources")).values()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_misplaced_secret(key: str, project: str) -> bool:
    """Of `endpoints` Pulumi does not say which part is secret; the variables of an environment may be."""
    namespace, _, name = key.partition(":")
    return namespace == project and name in _KEYS - SECRET_KEYS.keys() - {"endpoints"}


def _misplaced(config: Mapping[str, str], project: str) -> Iterator[Problem]:
    """Pulumi takes any namespace, and a setting that nobody reads would go unnoticed."""
    for key in config:
        if (right := _meant(key, config, project)) != key:
            what = "key" if right == _REGION or key.startswith("aws:") else "namespace"
            yield Problem("unknown-key", f"unknown {what}; did you mean {right}?", path=(key,))


def _refused(config: Mapping[str, str], project: str) -> Iterator[Problem]:
    """What our own AWS calls would refuse, once other resources are made already."""
    of_provider = {key.removeprefix("aws:"): _value(text) for key, text in config.items() if key.startswith("aws:")}
    for name, reason in refusals(of_provider):
        if _meant(key := f"aws:{name}", config, project) == key:
            yield Problem("provider-key", reason, path=(key,))


def _meant(key: str, config: Collection[str], project: str) -> str:
    """The key in the namespace of the project or of the provider, if it is one of theirs but for its spelling."""
    namespace, _, name = key.partition(":")
    known = (project, *_PROVIDERS)
    if namespace not in known:
        like = difflib.get_close_matches(namespace, known, n=1) or [project] * (namespace in project)
        ours = name in _KEYS and f"{project}:{name}" not in config
        namespace = like[0] if like else project if ours else namespace
    if namespace == project and name == "region":
        return _REGION
    if namespace == "aws" and name not in AWS_KEYS:
        name = nearest(name, AWS_KEYS) or name
    return f"{namespace}:{name}"


def _values(config: Mapping[str, str], project: str) -> dict[str, tuple[str, Any]]:
    """The settings by name, each with the key that it stands under."""
    values: dict[str, tuple[str, Any]] = {}
    for key, text in config.items():
        right = _meant(key, config, project)
        namespace, _, name = right.partition(":")
        if (namespace == project or right == _REGION) and (right == key or name not in values):
            values[name] = key, _value(text)
    return values


def _value(text: str) -> Any:
    """Pulumi hands structured values over as JSON, and scalars as they are; text also where it is nested too deeply."""
    try:
        value = json.loads(text, parse_int=_int) if text[:1] in "{[" else text
        return text if too_deep(value) else value
    except (ValueError, RecursionError):
        return text


def _int(digits: str) -> int | str:
    return digits if len(digits) > MAX_DIGITS else int(digits)


def _too_deep(config: Mapping[str, str]) -> Iterator[Problem]:
    for key, text in config.items():
        try:
            deep = text[:1] in "{[" and too_deep(json.loads(text, parse_int=_int))
        except RecursionError:
            deep = True
        except ValueError:
            deep = False
        if deep:
            yield Problem("too-deep", f"mappings and lists are nested deeper than {MAX_DEPTH} levels.", path=(key,))
