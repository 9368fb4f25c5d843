"""What differs between two endpoint configurations, in words. Pure: no calls are made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = {
    "InstanceType": "instance type",
    "InitialInstanceCount": "initial instance count",
    "InitialVariantWeight": "weight",
}
"""Members of API `ProductionVariant`; any other goes by its own name."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What `new` brings, one change a line that begins with the variant.

    Of environment variables the names only: values may be secrets.

    Args:
        old: an answer of DescribeEndpointConfig.
        new: another one.
        models: the answers of DescribeModel, as far as there are any, by name.
    """
    before, after = _variants(old), _variants(new)
    gone = [f"{name}: removed" for name in before if name not in after]
    added = [f"{name}: added" for name in after if name not in before]
    changed = [
        f"{name}: {change}"
        for name, variant in after.items()
        if name in before
        for change in (*_of_fleet(before[name], variant), *_of_model(before[name], variant, models))
    ]
    return (*gone, *added, *changed)


def artifacts(config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The addresses of the artifacts that a configuration serves; none at all unless every one of its models is known.

    Args:
        config: an answer of DescribeEndpointConfig.
        models: the answers of DescribeModel, as far as there are any, by name.
    """
    names = [variant.get("ModelName", "") for variant in config["ProductionVariants"]]
    if not all(name in models for name in names):
        return ()
    return tuple(sorted({url for name in names if (url := _model_data(_container(models[name])))}))


def _model_data(container: Mapping[str, Any]) -> str | None:
    """The address of what it serves: a .tar.gz, or a prefix (API `ContainerDefinition`)."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    address: str | None = container.get("ModelDataUrl") or source.get("S3Uri")
    return address


def _variants(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {variant["VariantName"]: variant for variant in config["ProductionVariants"]}


def _of_fleet(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*_WORDS, *sorted(old.keys() | new.keys()))):
        if key != "ModelName" and old.get(key) != new.get(key):
            yield f"{_WORDS.get(key, key)} {_shown(old.get(key))} -> {_shown(new.get(key))}"


def _of_model(old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    names = old.get("ModelName", ""), new.get("ModelName", "")
    if not all(name in models for name in names):
        if names[0] != names[1]:
            yield f"model {names[0]} -> {names[1]}"
        return
    before, after = (_container(models[name]) for name in names)
    images = before.get("Image", ""), after.get("Image", "")
    if images[0] != images[1]:
        yield f"image {_digest(images[0])} -> {_digest(images[1])}"
    if before.get("ModelDataUrl") != after.get("ModelDataUrl"):
        yield f"model data {_shown(before.get('ModelDataUrl'))} -> {_shown(after.get('ModelDataUrl'))}"
    variables = before.get("Environment", {}), after.get("Environment", {})
    if changed := sorted({key for key, _ in variables[0].items() ^ variables[1].items()}):
        yield f"environment variables {', '.join(changed)}"


def _container(model: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = model.get("PrimaryContainer") or next(iter(model.get("Containers", [])), {})
    return container


def _digest(image: str) -> str:
    """`sha256:…` alone where the image is named by it."""
    return image.rpartition("@")[2]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
