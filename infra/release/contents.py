"""What an endpoint configuration serves, and what differs between two of them. No calls are made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = {
    "InstanceType": "instance type",
    "InitialInstanceCount": "initial instance count",
    "InitialVariantWeight": "weight",
}
"""Members of API `ProductionVariant` in words; any other goes by its own name."""


_QUEUE, _SERVERLESS = "AsyncInferenceConfig", "ServerlessConfig"
"""Members whose own members are listed as changes."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What differs in `new`, one change a line that begins with the variant.

    Only the names of environment variables are given: values may be secrets.

    Args:
        old: an answer of DescribeEndpointConfig.
        new: another one.
        models: answers of DescribeModel by name, as far as the models exist.
    """
    before, after = _variants(old), _variants(new)
    removed = [f"{name}: removed" for name in before if name not in after]
    added = [f"{name}: added" for name in after if name not in before]
    changed = [
        f"{name}: {change}"
        for name, variant in after.items()
        if name in before
        for change in (*_fleet_changes(before[name], variant), *_model_changes(before[name], variant, models))
    ]
    queue = [f"queue: {change}" for change in _value_changes(_flat(old, _QUEUE), _flat(new, _QUEUE))]
    return (*removed, *added, *changed, *queue)


def artifacts(config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The addresses of the artifacts that a configuration serves; none unless all of its models are known.

    Environments are left out: their values may be secrets, and releases record these addresses.

    Args:
        config: an answer of DescribeEndpointConfig.
        models: answers of DescribeModel by name, as far as the models exist.
    """
    names = [variant.get("ModelName", "") for variant in config["ProductionVariants"]]
    if not all(name in models for name in names):
        return ()
    containers = [{**_container(models[name]), "Environment": {}} for name in names]
    return tuple(sorted(set(s3_addresses(containers))))


def s3_addresses(described: Any) -> Iterator[str]:
    """All S3 addresses in an answer of AWS."""
    if isinstance(described, str) and described.startswith("s3://"):
        yield described
    elif isinstance(described, dict | list):
        for value in described.values() if isinstance(described, dict) else described:
            yield from s3_addresses(value)


def _variants(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {variant["VariantName"]: variant for variant in config["ProductionVariants"]}


def _fleet_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, after = (
        {key: value for key, value in variant.items() if key not in ("ModelName", _SERVERLESS)}
        | _flat(variant, _SERVERLESS)
        for variant in (old, new)
    )
    yield from _value_changes(before, after)


def _value_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*_WORDS, *sorted(old.keys() | new.keys()))):
        if old.get(key) != new.get(key):
            yield f"{_WORDS.get(key, key)} {_text(old.get(key))} -> {_text(new.get(key))}"


def _flat(config: Mapping[str, Any], member: str) -> dict[str, Any]:
    """The innermost members of a member of an answer, by their own names, which differ."""
    members: dict[str, Any] = {}
    for key, value in config.get(member, {}).items():
        members |= _flat({key: value}, key) if isinstance(value, dict) else {key: value}
    return members


def _model_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    names = old.get("ModelName", ""), new.get("ModelName", "")
    if not all(name in models for name in names):
        if names[0] != names[1]:
            yield f"model {names[0]} -> {names[1]}"
        return
    before, after = (_container(models[name]) for name in names)
    if before.get("Image") != after.get("Image"):
        yield f"image {_digest(before.get('Image', ''))} -> {_digest(after.get('Image', ''))}"
    if before.get("ModelDataUrl") != after.get("ModelDataUrl"):
        yield f"model data {_text(before.get('ModelDataUrl'))} -> {_text(after.get('ModelDataUrl'))}"
    variables = before.get("Environment", {}), after.get("Environment", {})
    if changed := sorted({key for key, _ in variables[0].items() ^ variables[1].items()}):
        yield f"environment variables {', '.join(changed)}"


def _container(model: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = model.get("PrimaryContainer") or next(iter(model.get("Containers", [])), {})
    return container


def _digest(image: str) -> str:
    """`sha256:…` alone if the image is named by digest."""
    return image.rpartition("@")[2]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
