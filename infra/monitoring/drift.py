"""Differences between the settings of an endpoint and what the account has, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.release.live import mode_of
from infra.settings.autoscaling import AutoscalingSettings
from infra.settings.endpoint import EndpointSettings
from infra.settings.serverless import ServerlessAutoscalingSettings, ServerlessVariant


def drift(
    settings: EndpointSettings,
    config: Mapping[str, Any],
    limits: Mapping[str, tuple[int, int] | None],
    missing_alarms: Sequence[str],
) -> Iterator[str]:
    """The differences. `pulumi up` removes those whose settings it has not deployed yet, `pulumi up --refresh` all.

    Args:
        config: the configuration that is live, an answer of DescribeEndpointConfig.
        limits: the smallest and the largest capacity of each live variant with autoscaling.
        missing_alarms: alarms of the settings that do not exist.
    """
    if (live := mode_of(config)) is not settings.mode:
        yield f"the endpoint is {live}, and {settings.mode} in the settings"
        return
    variants = {variant["VariantName"]: variant for variant in config["ProductionVariants"]}
    for name in settings.serving_variants.keys() - variants.keys():
        yield f"variant {name} is not live"
    for name in variants.keys() - settings.serving_variants.keys():
        yield f"variant {name} is live, and not in the settings"
    for name in settings.serving_variants.keys() & variants.keys():
        yield from (f"{name}: {difference}" for difference in _of_variant(settings, name, variants[name], limits))
    for alarm in missing_alarms:
        yield f"alarm {alarm} does not exist"


def _of_variant(
    settings: EndpointSettings, name: str, live: Mapping[str, Any], limits: Mapping[str, tuple[int, int] | None]
) -> Iterator[str]:
    variant = settings.serving_variants[name]
    scaling: AutoscalingSettings | ServerlessAutoscalingSettings | None
    if isinstance(variant, ServerlessVariant):
        memory, scaling = live.get("ServerlessConfig", {}).get("MemorySizeInMB"), variant.serverless.autoscaling
        if memory != variant.serverless.memory_mb:
            yield f"memoryMb is {memory}, and {variant.serverless.memory_mb} in the settings"
    else:
        scaling = variant.autoscaling
        if live.get("InstanceType") != variant.instance_type:
            yield f"instanceType is {live.get('InstanceType')}, and {variant.instance_type} in the settings"
        count = live.get("InitialInstanceCount")
        if scaling is None and count != variant.instance_count:
            yield f"initialInstanceCount is {count}, and {variant.instance_count} in the settings"
    wanted = (scaling.min, scaling.max) if scaling else None
    if (registered := limits.get(name)) != wanted:
        yield f"autoscaling is {_range(registered)}, and {_range(wanted)} in the settings"


def _range(limits: tuple[int, int] | None) -> str:
    return f"{limits[0]} to {limits[1]}" if limits else "not registered"
