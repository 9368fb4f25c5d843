"""What the fleet of a deployed endpoint is billed for, to compare with that of the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from infra.aws.errors import aws_calls
from infra.cost import usage
from infra.cost.estimate import NOTHING, Item, PricedItem, Sizes, fleet, provisioned
from infra.cost.price_list import NoPrice, PriceList
from infra.names import variant_key
from infra.release.autoscaling import registered_limits
from infra.release.live import EndpointReader, mode_of

if TYPE_CHECKING:
    from infra.settings.endpoint import EndpointSettings

REMOVED = "endpoints that the settings no longer have are not compared"


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

    @property
    def usd(self) -> Sizes:
        """The difference."""
        return self.after + self.before * Decimal(-1)


def deployed_items(sagemaker: Any, autoscaling: Any, name: str, settings: EndpointSettings) -> list[Item] | None:
    """The instances, volumes and provisioned concurrency of a deployed endpoint; None if it does not exist.

    Args:
        sagemaker, autoscaling: boto3's `sagemaker` and `application-autoscaling` clients.
        settings: those that the endpoint is compared with.

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
    purpose = usage.purpose(mode_of(config))
    return [
        item
        for variant in variants
        for item in _items(name, purpose, variant, limits.get(variant["VariantName"]), settings)
    ]


def _items(
    name: str,
    purpose: str,
    variant: Mapping[str, Any],
    limits: tuple[int, int] | None,
    settings: EndpointSettings,
) -> Iterator[Item]:
    name_of_variant = variant["VariantName"]
    if serverless := variant.get("ServerlessConfig"):
        initial = serverless.get("ProvisionedConcurrency", 0)
        least, most = limits or (initial, initial)
        counts = Sizes.of(least, initial, most)
        yield from provisioned(name, name_of_variant, serverless["MemorySizeInMB"], counts, bool(limits))
        return
    if not {"InstanceType", "InitialInstanceCount"} <= variant.keys():  # both are optional, with instance pools
        raise NoPrice(f"endpoint {name}: variant {name_of_variant} has several instance types (instance pools).")
    initial = variant["InitialInstanceCount"]
    least, most = limits or (initial, initial)
    serving = settings.instance_variants.get(name_of_variant)
    if limits and serving and serving.autoscaling:  # it changes the count, and a release keeps it
        initial = min(max(serving.instance_count, least), most)
    counts, volume_gb = Sizes.of(least, initial, most), variant.get("VolumeSizeInGB")
    yield from fleet(name, name_of_variant, purpose, variant["InstanceType"], counts, bool(limits), volume_gb)


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
    return Change(endpoint, _sum(old), _sum(new), tuple(dict.fromkeys(causes)))


def _sum(items: Iterable[PricedItem]) -> Sizes:
    return sum((item.usd for item in items), NOTHING)


def _causes(before: Iterable[PricedItem], after: Iterable[PricedItem]) -> Iterator[str]:
    """The keys of parts that were added, removed or changed. Another usage type is another mode, instance type or
    memory."""
    old, new = ({priced.item.part: priced.item for priced in items} for items in (before, after))
    for part in dict.fromkeys([*old, *new]):
        was, becomes = old.get(part), new.get(part)
        if was and becomes and was.usage != becomes.usage:
            (purpose, _, kind), (new_purpose, _, new_kind) = (item.usage.name.partition(":") for item in (was, becomes))
            yield from ["asynchronous"] * (purpose != new_purpose)
            yield from [becomes.type_key] * (kind != new_kind)
        if was and becomes and was.scaled and becomes.scaled:
            yield from _limits(was, becomes)
        elif (was and was.setting) != (becomes and becomes.setting):
            item = was if was and was.scaled else becomes or was
            assert item is not None
            yield item.key


def _limits(was: Item, becomes: Item) -> Iterator[str]:
    """The ends of a scaling range that change; a serverless variant may begin with another number."""
    old, new = was.quantity, becomes.quantity
    ends = {"min": old.smallest != new.smallest, "max": old.largest != new.largest}
    changed = [f"{becomes.key}.{end}" for end, differs in ends.items() if differs]
    initial_key = variant_key(becomes.variant, "serverless.provisionedConcurrency")
    yield from changed or [initial_key] * (old.initial != new.initial)
