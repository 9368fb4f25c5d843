"""What the fleet of a deployed endpoint is billed for, to compare with that of the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from infra.aws.errors import aws_calls
from infra.aws.mode import Mode
from infra.cost import usage
from infra.cost.estimate import NOTHING, Item, PricedItem, Sizes, fleet, provisioned
from infra.cost.price_list import NoPrice, PriceList
from infra.release.autoscaling import registered_limits
from infra.release.live import EndpointReader, mode_of


@dataclass(frozen=True)
class Change:
    """The price of an endpoint's fleet in USD a month, as deployed and as in the settings.

    Attributes:
        keys: the settings below the endpoint that cause the difference; empty if it has the same price.
    """

    endpoint: str
    before: Sizes
    after: Sizes
    keys: tuple[str, ...]


def deployed_items(sagemaker: Any, autoscaling: Any, name: str) -> list[Item] | None:
    """The instances, volumes and provisioned concurrency of a deployed endpoint; None if it does not exist.

    Args:
        sagemaker, autoscaling: boto3's `sagemaker` and `application-autoscaling` clients.

    Raises:
        AwsRequestRefused: AWS refused a call.
        NoPrice: a variant of others has several instance types.
    """
    reader = EndpointReader(sagemaker)
    with aws_calls(f"endpoint {name}"):
        endpoint = reader.endpoint(name)
        config = reader.configuration(endpoint.config_name) if endpoint else None
        if config is None:
            return None
        variants = config["ProductionVariants"]
        limits = registered_limits(autoscaling, name, [variant["VariantName"] for variant in variants])
    return [item for variant in variants for item in _items(name, config, variant, limits.get(variant["VariantName"]))]


def _items(
    name: str, config: Mapping[str, Any], variant: Mapping[str, Any], limits: tuple[int, int] | None
) -> Iterator[Item]:
    if serverless := variant.get("ServerlessConfig"):
        initial = serverless.get("ProvisionedConcurrency", 0)
        least, most = limits or (initial, initial)
        yield from provisioned(name, serverless["MemorySizeInMB"], Sizes.of(least, initial, most), bool(limits))
        return
    purpose = usage.ASYNCHRONOUS if mode_of(config) is Mode.ASYNCHRONOUS else usage.HOSTING
    if not {"InstanceType", "InitialInstanceCount"} <= variant.keys():  # both are optional, with instance pools
        raise NoPrice(f"endpoint {name}: variant {variant['VariantName']} has several instance types (instance pools).")
    initial = variant["InitialInstanceCount"]
    least, most = limits or (initial, initial)
    counts = Sizes.of(least, initial, most)
    items = fleet(name, purpose, variant["InstanceType"], counts, bool(limits), variant.get("VolumeSizeInGB"))
    yield from (replace(item, variant=variant["VariantName"]) for item in items)


def change(
    endpoint: str, before: Iterable[Item] | None, after: Iterable[Item], prices: PriceList, region: str
) -> Change:
    """How the price of an endpoint's fleet changes.

    Args:
        before: None for an endpoint that does not exist.

    Raises:
        NoPrice: a part of one of the fleets has no price.
    """
    fleets = (before or (), after)
    old, new = ([PricedItem(item, prices.price(item.usage, region)) for item in items] for items in fleets)
    causes = _causes(old, new) if before is not None else ("new endpoint",) if new else ()
    return Change(endpoint, _sum(old), _sum(new), tuple(causes))


def _sum(items: Iterable[PricedItem]) -> Sizes:
    return sum((item.usd for item in items), NOTHING)


def _causes(before: Iterable[PricedItem], after: Iterable[PricedItem]) -> Iterator[str]:
    """The keys of parts that were added, removed or changed. Another usage type is another instance type or memory."""
    old, new = ({priced.item.part: priced.item for priced in items} for items in (before, after))
    for part in dict.fromkeys([*old, *new]):
        was, becomes = old.get(part), new.get(part)
        if was and becomes and was.usage != becomes.usage:
            yield becomes.type_key
        if was and becomes and was.scaled and becomes.scaled:
            yield from _limits(was.key, was.quantity, becomes.quantity)
        elif (was and was.quantity) != (becomes and becomes.quantity):
            item = becomes or was
            assert item is not None
            yield item.key


def _limits(key: str, was: Sizes, becomes: Sizes) -> Iterator[str]:
    """The ends of a scaling range that change; the fleet begins with another number if neither does."""
    ends = {"min": was.smallest != becomes.smallest, "max": was.largest != becomes.largest}
    changed = [f"{key}.{end}" for end, differs in ends.items() if differs]
    yield from changed or [key.replace("autoscaling", "initialInstanceCount")] * (was.initial != becomes.initial)
