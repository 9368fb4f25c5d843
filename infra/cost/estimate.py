"""What the endpoints of a stack are billed for in a month, at each end of their scaling range."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from infra.aws import instance_types, metrics
from infra.aws.mode import Mode
from infra.cost import usage
from infra.cost.price_list import NoPrice, Price, PriceList, UsageType
from infra.cost.usage import HOURS_PER_MONTH
from infra.release.estimate import rollout

if TYPE_CHECKING:
    from infra.settings.endpoint import EndpointSettings
    from infra.settings.serverless import ServerlessVariant
    from infra.settings.stack import Settings
    from infra.settings.variant import InstanceVariant

SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
BYTES_PER_GB = Decimal(10**9)

UNKNOWN_TRAFFIC = "the number of requests is not known."


@dataclass(frozen=True)
class Sizes:
    """A number at the smallest, the initial and the largest fleet of the scaling range."""

    smallest: Decimal
    initial: Decimal
    largest: Decimal

    @classmethod
    def of(cls, smallest: Any, initial: Any, largest: Any) -> Sizes:
        return cls(Decimal(smallest), Decimal(initial), Decimal(largest))

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(self.smallest + other.smallest, self.initial + other.initial, self.largest + other.largest)

    def __mul__(self, factor: Decimal) -> Sizes:
        return Sizes(self.smallest * factor, self.initial * factor, self.largest * factor)

    def __bool__(self) -> bool:
        return bool(self.smallest or self.initial or self.largest)

    @property
    def facts(self) -> dict[str, float]:
        """The numbers for JSON."""
        return {"smallest": float(self.smallest), "initial": float(self.initial), "largest": float(self.largest)}


NOTHING = Sizes(Decimal(0), Decimal(0), Decimal(0))


@dataclass(frozen=True)
class Item:
    """What one endpoint is billed for.

    Attributes:
        what: in words, such as `instances ml.c5.xlarge`.
        quantity: in a month, in the unit of the usage type.
        key: the setting below the endpoint that determines it.
    """

    endpoint: str
    what: str
    usage: UsageType
    quantity: Sizes
    key: str


@dataclass(frozen=True)
class Unpriced:
    """What an endpoint is billed for, and why it is not part of the estimate.

    Attributes:
        reason: a sentence.
        by_fleet: whether it depends on the sizes of the fleets, and so has a price that is missing.
    """

    endpoint: str
    what: str
    reason: str
    by_fleet: bool = False


@dataclass(frozen=True)
class PricedItem:
    item: Item
    price: Price

    @property
    def usd(self) -> Sizes:
        """In a month."""
        quantity = self.item.quantity
        return Sizes(*(self.price.usd(size) for size in (quantity.smallest, quantity.initial, quantity.largest)))


@dataclass(frozen=True)
class Estimate:
    """
    Attributes:
        releases: what one release of each variant adds.
        published: the publication date of the oldest price; None without prices.
    """

    items: tuple[PricedItem, ...]
    releases: tuple[PricedItem, ...]
    unpriced: tuple[Unpriced, ...]
    published: str | None

    def of(self, endpoint: str) -> Sizes:
        """The price of an endpoint in USD a month."""
        return sum((item.usd for item in self.items if item.item.endpoint == endpoint), NOTHING)

    def of_release(self, endpoint: str) -> Sizes:
        """What one release of an endpoint adds at most, in USD."""
        return sum((item.usd for item in self.releases if item.item.endpoint == endpoint), NOTHING)

    @property
    def without_price(self) -> list[Unpriced]:
        """What depends on the sizes of the fleets and has no price."""
        return [entry for entry in self.unpriced if entry.by_fleet]

    @property
    def total(self) -> Sizes:
        """The price of all endpoints in USD a month."""
        return sum((item.usd for item in self.items), NOTHING)


@dataclass(frozen=True)
class Traffic:
    """The requests to an endpoint in a month, assumed or measured.

    Attributes:
        seconds: the duration of a request, for serverless endpoints.
        bytes_in, bytes_out: the sizes of a request and of its answer.
    """

    requests: Decimal
    seconds: Decimal
    bytes_in: Decimal
    bytes_out: Decimal


def estimate(settings: Settings, prices: PriceList, traffic: Mapping[str, Traffic]) -> Estimate:
    """The prices of a stack's endpoints.

    Args:
        traffic: by endpoint; the requests of another endpoint are not priced.
    """
    priced, unpriced, releases = list[PricedItem](), list[Unpriced](), list[PricedItem]()
    for name, endpoint in settings.endpoints.items():
        for entry in items(name, endpoint, traffic.get(name)):
            if isinstance(entry, Unpriced):
                unpriced.append(entry)
                continue
            try:
                priced.append(PricedItem(entry, prices.price(entry.usage, settings.region)))
            except NoPrice as error:
                unpriced.append(Unpriced(name, entry.what, str(error), by_fleet=True))
        for added in release_items(name, endpoint):
            with contextlib.suppress(NoPrice):  # that of its fleet is reported
                releases.append(PricedItem(added, prices.price(added.usage, settings.region)))
    return Estimate(tuple(priced), tuple(releases), tuple(unpriced), prices.published)


def items(name: str, endpoint: EndpointSettings, traffic: Traffic | None = None) -> Iterator[Item | Unpriced]:
    """What an endpoint is billed for."""
    purpose = usage.ASYNCHRONOUS if endpoint.mode is Mode.ASYNCHRONOUS else usage.HOSTING
    for fleet in endpoint.instance_variants.values():
        yield from _instances(name, fleet, purpose)
    for serverless in endpoint.serverless_variants.values():
        yield from _serverless(name, serverless, traffic)
    for batch in endpoint.batch_variants.values():
        yield Unpriced(name, f"jobs on {batch.batch.instance_type}", "AWS bills instances only while a job runs.")
    if endpoint.mode is not Mode.BATCH:
        yield from _alarms(name, endpoint)
        yield from _data(name, traffic)
    if endpoint.asynchronous or endpoint.batch_variants:
        yield Unpriced(name, "results in S3", "their size is not known.")


def release_items(name: str, endpoint: EndpointSettings) -> Iterator[Item]:
    """What one release adds: instances that run besides the fleet for as long as the release may take.

    A rolling update adds one batch at a time; the other strategies add a second fleet (SageMaker guide, Deployment
    guardrails). The quantity is that of one release.
    """
    purpose = usage.ASYNCHRONOUS if endpoint.mode is Mode.ASYNCHRONOUS else usage.HOSTING
    policy = endpoint.release.policy
    for variant in endpoint.instance_variants.values():
        hours = []
        for fleet in (min(variant.limits), variant.instance_count, max(variant.limits)):
            added = policy.batch.of(fleet) if policy.batch and policy.strategy == "rolling" else fleet
            seconds = rollout(policy, fleet, endpoint.provisioning).maximum if fleet else 0
            hours.append(Decimal(added * seconds) / 3600)
        instances = usage.instances(purpose, variant.instance_type)
        yield Item(name, f"a release: instances {variant.instance_type}", instances, Sizes(*hours), "release")


def _instances(name: str, variant: InstanceVariant, purpose: str) -> Iterator[Item | Unpriced]:
    counts = Sizes.of(min(variant.limits), variant.instance_count, max(variant.limits))
    key = "autoscaling" if variant.autoscaling else "initialInstanceCount"
    instances = usage.instances(purpose, variant.instance_type)
    yield Item(name, f"instances {variant.instance_type}", instances, counts * HOURS_PER_MONTH, key)
    if variant.volume_size_gb:
        yield Item(name, "volumes", usage.volume(purpose), counts * Decimal(variant.volume_size_gb), "volumeSizeGb")
    elif not instance_types.has_local_disks(variant.instance_type):
        yield Unpriced(name, "volumes", "SageMaker chooses their size. Set volumeSizeGb.")


def _serverless(name: str, variant: ServerlessVariant, traffic: Traffic | None) -> Iterator[Item | Unpriced]:
    settings, scaling = variant.serverless, variant.serverless.autoscaling
    initial = variant.provisioned_concurrency or 0
    limits = (scaling.min, scaling.max) if scaling else (initial, initial)
    if initial:
        warm = Sizes.of(limits[0], initial, limits[1]) * SECONDS_PER_MONTH
        key = "serverless.autoscaling" if scaling else "serverless.provisionedConcurrency"
        yield Item(name, "provisioned concurrency", usage.provisioned(settings.memory_mb), warm, key)
    if traffic is None:
        yield Unpriced(name, "duration of requests", UNKNOWN_TRAFFIC)
        return
    billed = usage.provisioned_use(settings.memory_mb) if initial else usage.serverless(settings.memory_mb)
    seconds = traffic.requests * traffic.seconds
    yield Item(name, "duration of requests", billed, Sizes(seconds, seconds, seconds), "serverless.memoryMb")


def _alarms(name: str, endpoint: EndpointSettings) -> Iterator[Item]:
    """Each alarm is billed by the metrics that it reads; those on the fleet of the last release remain."""
    count = 0
    for purpose in endpoint.alarms.purposes:
        watched = metrics.WATCHED[purpose][endpoint.mode]
        read = len(watched.errors) + len(watched.requests) if isinstance(watched, metrics.Rate) else 1
        count += read * len(endpoint.variants) * (2 if metrics.rolls_back(purpose, endpoint.mode) else 1)
    count += endpoint.can_be_stopped
    if count:
        yield Item(name, "alarms", usage.ALARM, Sizes.of(count, count, count), "alarms")


def _data(name: str, traffic: Traffic | None) -> Iterator[Item | Unpriced]:
    if traffic is None:
        yield Unpriced(name, "data of requests and answers", UNKNOWN_TRAFFIC)
        return
    for what, billed, size in (("in", usage.DATA_IN, traffic.bytes_in), ("out", usage.DATA_OUT, traffic.bytes_out)):
        gigabytes = traffic.requests * size / BYTES_PER_GB
        yield Item(name, f"data {what}", billed, Sizes(gigabytes, gigabytes, gigabytes), "model")
