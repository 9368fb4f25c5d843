"""Differences between the settings of an endpoint and what the account has, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.release.live import VariantDescription, mode_of
from infra.settings.endpoint import EndpointSettings
from infra.settings.serverless import ServerlessVariant
from infra.settings.variant import InstanceVariant


def drift(
    settings: EndpointSettings,
    config: Mapping[str, Any],
    live: Sequence[VariantDescription],
    limits: Mapping[str, tuple[int, int] | None],
    missing_alarms: Sequence[str],
) -> Iterator[str]:
    """The differences. `pulumi up` removes those whose settings it has not deployed yet, `pulumi up --refresh` all but
    a mode that the endpoint cannot change to, and what UpdateEndpointWeightsAndCapacities set. An endpoint that serves
    nothing yet has none: its alarms and its autoscaling are created after it.

    Args:
        config: the configuration that is live, an answer of DescribeEndpointConfig.
        live: its variants as DescribeEndpoint shows them; capacities and weights may have changed since.
        limits: the smallest and the largest capacity of each live variant with autoscaling.
        missing_alarms: alarms of the settings that do not exist.
    """
    if not live:
        return
    if (mode := mode_of(config)) is not settings.mode:
        yield f"the endpoint is {mode}, and {settings.mode} in the settings"
        return
    configured = {variant["VariantName"]: variant for variant in config["ProductionVariants"]}
    served = {variant.name: variant for variant in live if variant.name in configured}
    for name in settings.serving_variants.keys() - served.keys():
        yield f"variant {name} is not live"
    for name in served.keys() - settings.serving_variants.keys():
        yield f"variant {name} is live, and not in the settings"
    for name in settings.serving_variants.keys() & served.keys():
        variant = settings.serving_variants[name]
        for key, (found, wanted) in _compared(variant, configured[name], served[name], limits.get(name)).items():
            if found != wanted:
                yield f"{name}: {key} is {found}, and {wanted} in the settings"
    for alarm in missing_alarms:
        yield f"alarm {alarm} does not exist"


def _compared(
    variant: InstanceVariant | ServerlessVariant,
    config: Mapping[str, Any],
    live: VariantDescription,
    limits: tuple[int, int] | None,
) -> Mapping[str, tuple[object, object]]:
    """By key, what is live and what the settings have."""
    compared: dict[str, tuple[object, object]] = {}
    if isinstance(variant, ServerlessVariant):
        serverless = variant.serverless
        compared["memoryMb"] = config["ServerlessConfig"]["MemorySizeInMB"], serverless.memory_mb
        compared["maxConcurrency"] = live.max_concurrency, serverless.max_concurrency
        capacity, size = "provisionedConcurrency", variant.provisioned_concurrency
    else:
        compared["instanceType"] = config.get("InstanceType"), variant.instance_type
        # a Float of the API may have six digits only
        compared["initialVariantWeight"] = f"{live.weight:g}", f"{variant.initial_variant_weight:g}"
        capacity, size = "initialInstanceCount", variant.instance_count
    if variant.scaling is None:
        compared[capacity] = live.capacity or "not set", size or "not set"
    scaling = (variant.scaling.min, variant.scaling.max) if variant.scaling else None
    return {**compared, "autoscaling": (_range(limits), _range(scaling))}


def _range(limits: tuple[int, int] | None) -> str:
    return f"{limits[0]} to {limits[1]}" if limits else "not registered"
