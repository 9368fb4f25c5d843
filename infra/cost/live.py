"""What the fleet of a deployed endpoint is billed for, to compare with that of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.cost import usage
from infra.cost.estimate import PricedItem, priced
from infra.cost.line_items import NOTHING, Item, Sizes, fleet, fleet_items, provisioned
from infra.cost.price_list import NoPrice, PriceList
from infra.names import variant_key
from infra.release.autoscaling import registered_limits
from infra.release.live import EndpointReader, mode_of
from infra.release.request import OWNER_TAG

if TYPE_CHECKING:
    from infra.settings.endpoint import EndpointSettings
    from infra.settings.stack import Settings


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


def removed_endpoints(tagging: Any, owner: str, settings: Settings, report: Callable[[str], None]) -> Iterator[str]:
    """The stack's endpoints on AWS that the settings no longer serve; AWS may still list deleted ones.

    Args:
        tagging: boto3's `resourcegroupstaggingapi` client.
        owner: the value of the tag that names the stack.
        report: called with the reason if AWS does not list them.
    """
    names = {name.lower(): name for name in settings.endpoints}
    try:
        with aws_calls("removed endpoints are not shown"):
            pages = tagging.get_paginator("get_resources").paginate(
                ResourceTypeFilters=["sagemaker:endpoint"], TagFilters=[{"Key": OWNER_TAG, "Values": [owner]}]
            )
            arns = sorted(resource["ResourceARN"] for page in pages for resource in page["ResourceTagMappingList"])
    except AwsRequestRefused as error:
        report("\n".join(filter(None, (str(error), error.hint))))
        return
    listed = (arn.rpartition("/")[2] for arn in arns)  # in lower case, unlike the endpoint's own name
    yield from (name for name in (names.get(each, each) for each in listed) if name not in settings.served_endpoints)


Fleets = tuple[list[Item] | None, list[Item] | None]
"""What an endpoint is billed for: as deployed, None if it does not exist, and in the settings, None without them."""


def endpoints(
    tagging: Any, owner: str, settings: Settings, report: Callable[[str], None]
) -> Iterator[tuple[str, EndpointSettings | None]]:
    """The endpoints to compare: those of the settings, and then `removed_endpoints` with None."""
    yield from ((name, settings.endpoints[name]) for name in settings.served_endpoints)
    yield from ((name, None) for name in removed_endpoints(tagging, owner, settings, report))


def fleets(sagemaker: Any, autoscaling: Any, name: str, endpoint: EndpointSettings | None) -> Fleets:
    """Both fleets of one of the `endpoints`. For the arguments and errors see `deployed_items`."""
    return deployed_items(sagemaker, autoscaling, name, endpoint), [*fleet_items(name, endpoint)] if endpoint else None


def deployed_items(sagemaker: Any, autoscaling: Any, name: str, settings: EndpointSettings | None) -> list[Item] | None:
    """The instances, volumes and provisioned concurrency of a deployed endpoint; None if it does not exist.

    Args:
        sagemaker, autoscaling: boto3's `sagemaker` and `application-autoscaling` clients.
        settings: those that the endpoint is compared with; None if they do not have it.

    Raises:
        AwsRequestRefused: AWS refused a call about an endpoint in the settings.
        NoPrice: a variant of others has several instance types, the configuration was deleted, or AWS refused a call
            about an endpoint that the settings do not have.
    """
    reader, resource = EndpointReader(sagemaker), f"endpoint {name}"
    try:
        with aws_calls(resource, "" if settings else f"--also {name}"):
            if (endpoint := reader.endpoint(name)) is None:
                return None
            if (config := reader.configuration(endpoint.config_name)) is None:
                raise NoPrice(f"its configuration {endpoint.config_name} was deleted.")
            variants = config["ProductionVariants"]
            # of the endpoint's own name, because IDs of scalable targets are case-sensitive
            limits = registered_limits(autoscaling, endpoint.name, [variant["VariantName"] for variant in variants])
    except AwsRequestRefused as error:
        if settings:
            raise
        refusal = str(error).removeprefix(f"{resource}: ").rstrip(".")
        raise NoPrice(f"{refusal}. {error.hint}".rstrip()) from None
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
    settings: EndpointSettings | None,
) -> Iterator[Item]:
    name_of_variant = variant["VariantName"]
    if serverless := variant.get("ServerlessConfig"):
        initial = serverless.get("ProvisionedConcurrency", 0)
        least, most = limits or (initial, initial)
        counts = Sizes.of(least, initial, most)
        yield from provisioned(name, name_of_variant, serverless["MemorySizeInMB"], counts, bool(limits))
        return
    if not {"InstanceType", "InitialInstanceCount"} <= variant.keys():  # both are optional, with instance pools
        raise NoPrice(f"variant {name_of_variant} has several instance types (instance pools).")
    initial = variant["InitialInstanceCount"]
    least, most = limits or (initial, initial)
    serving = settings.instance_variants.get(name_of_variant) if settings else None
    if limits and serving and serving.autoscaling:  # it changes the count, and a release keeps it
        initial = min(max(serving.instance_count, least), most)
    counts, volume_gb = Sizes.of(least, initial, most), variant.get("VolumeSizeInGB")
    yield from fleet(name, name_of_variant, purpose, variant["InstanceType"], counts, bool(limits), volume_gb)


def change(
    endpoint: str,
    before: Iterable[Item] | None,
    after: Iterable[Item] | None,
    prices: PriceList,
    settings: Settings,
) -> Change:
    """How the price of an endpoint's fleet changes.

    Args:
        before, after: its `Fleets`.

    Raises:
        NoPrice: a part of one of the fleets has no price.
    """
    old, new = (priced(items or (), prices, settings.region) for items in (before, after))
    causes: Iterable[str]
    if before is None:
        causes = ["new endpoint"] if new else []
    elif after is None:
        causes = ["batch" if endpoint in settings.batch else f"endpoints.{endpoint} (removed)"]
    else:
        causes = _causes(old, new)
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
