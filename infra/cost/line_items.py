"""What the endpoints of a stack are billed for in a month, without prices, at each end of their scaling range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from infra.aws import instance_types
from infra.aws.mode import Mode
from infra.cost import usage
from infra.cost.price_list import UsageType
from infra.cost.usage import HOURS_PER_MONTH
from infra.monitoring import alarms
from infra.monitoring.dashboard import dashboard_body, metric_count
from infra.names import ONLY_VARIANT, variant_key
from infra.release.estimate import rollout

if TYPE_CHECKING:
    from infra.settings.endpoint import EndpointSettings
    from infra.settings.serverless import ServerlessVariant
    from infra.settings.stack import Settings
    from infra.settings.variant import InstanceVariant

SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600
BYTES_PER_GB = Decimal(2**30)
"""AWS bills gigabytes of 1,024 megabytes (AWS Pricing Calculator)."""

STACK = ""
"""In place of an endpoint: what the endpoints of a stack share."""

BUCKET, IMAGES, LOGS = "objects in the bucket", "images in the ECR repository", "logs"
METRIC_STREAM = "metric stream"

UNKNOWN_TRAFFIC = "the number of requests is not known. Use --requests-per-second or --from-metrics."
_UNMEASURED = "the account has their size. Use --from-metrics."


@dataclass(frozen=True)
class Sizes:
    """A number at the smallest, the initial and the largest fleet of the scaling range."""

    smallest: Decimal
    initial: Decimal
    largest: Decimal

    @classmethod
    def of(cls, smallest: Any, initial: Any, largest: Any) -> Sizes:
        return cls(Decimal(smallest), Decimal(initial), Decimal(largest))

    @classmethod
    def same(cls, number: Any) -> Sizes:
        """One that does not depend on the fleet."""
        return cls.of(number, number, number)

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(self.smallest + other.smallest, self.initial + other.initial, self.largest + other.largest)

    def __mul__(self, factor: Decimal) -> Sizes:
        return Sizes(self.smallest * factor, self.initial * factor, self.largest * factor)

    @property
    def per_hour(self) -> Sizes:
        """Of a number a month, how many that is an hour."""
        return Sizes(*(each / HOURS_PER_MONTH for each in (self.smallest, self.initial, self.largest)))

    def __bool__(self) -> bool:
        return bool(self.smallest or self.initial or self.largest)

    @property
    def facts(self) -> dict[str, float]:
        """The numbers for JSON."""
        return {"smallest": float(self.smallest), "initial": float(self.initial), "largest": float(self.largest)}


NOTHING = Sizes.same(0)


@dataclass(frozen=True)
class Item:
    """What one endpoint or the stack is billed for.

    Attributes:
        endpoint: its name, or `STACK`.
        what: in words, such as `instances ml.c5.xlarge`.
        quantity: in a month, in the unit of the usage type.
        key: the setting below the endpoint, or of the stack, that determines the quantity.
        type_key: the setting that determines the usage type.
        volume_gb: the size of each volume, which `key` determines then; the fleet determines their number.
    """

    endpoint: str
    what: str
    usage: UsageType
    quantity: Sizes
    key: str
    type_key: str = ""
    variant: str = ""
    volume_gb: int | None = None

    @property
    def largest_key(self) -> str:
        """The setting that determines the largest quantity."""
        return f"{self.key}.max" if self.scaled else self.key

    @property
    def scaled(self) -> bool:
        """Whether the quantity is that of a scaling range."""
        return self.key.endswith("autoscaling")

    @property
    def part(self) -> tuple[str, str]:
        """Identifies the item among those of the endpoint, whatever its instance type."""
        return self.variant, self.what.partition(" ml.")[0]

    @property
    def setting(self) -> Sizes | int:
        """What `key` determines."""
        return self.volume_gb or self.quantity


@dataclass(frozen=True)
class Unpriced:
    """What an endpoint or the stack is billed for, and why it is not part of the estimate.

    Attributes:
        endpoint: its name, or `STACK`.
        reason: a sentence.
        no_price: whether its quantity is known and its price is missing.
    """

    endpoint: str
    what: str
    reason: str
    no_price: bool = False


@dataclass(frozen=True)
class Traffic:
    """The requests to an endpoint in a month, assumed or measured.

    Attributes:
        seconds: the duration of a request, for serverless endpoints; or why it is not known.
        bytes_in, bytes_out: the sizes of a request and of its answer.
    """

    requests: Decimal
    seconds: Decimal | str
    bytes_in: Decimal
    bytes_out: Decimal


def items(settings: Settings, traffic: Mapping[str, Traffic | str]) -> Iterator[Item | Unpriced]:
    """What the endpoints of a stack are billed for, and what they share, as far as the settings determine it."""
    for name in settings.endpoints:
        yield from _endpoint_items(settings, name, traffic.get(name, UNKNOWN_TRAFFIC))
    yield from _dashboard(settings)
    if settings.metric_stream:
        yield Unpriced(STACK, "Firehose", "it rounds each record up to 5 KB, and publishes no metric of that.")
        yield Unpriced(STACK, "Datadog", "it is not billed by AWS.")
    yield Unpriced(STACK, "metrics of releases", "CloudWatch bills them for the hours of releases alone.")
    yield Unpriced(STACK, "stored logs", "CloudWatch bills compressed bytes, which it does not report.")


def unmeasured(settings: Settings) -> Iterator[Unpriced]:
    """What only the account knows."""
    yield Unpriced(STACK, BUCKET, _UNMEASURED)
    if settings.image.mirror:
        yield Unpriced(STACK, IMAGES, _UNMEASURED)
    if settings.metric_stream:
        yield Unpriced(STACK, METRIC_STREAM, "the account has its number of updates. Use --from-metrics.")
    yield from (Unpriced(name, LOGS, _UNMEASURED) for name in settings.served_endpoints)


def _endpoint_items(settings: Settings, name: str, traffic: Traffic | str) -> Iterator[Item | Unpriced]:
    endpoint = settings.endpoints[name]
    yield from fleet_items(name, endpoint)
    yield from _unknown_volumes(name, endpoint)
    for serverless in endpoint.serverless_variants.values():
        yield from _requests(name, serverless, traffic)
        if serverless.provisioned_concurrency:
            what = "a release: provisioned concurrency of both configurations"
            yield Unpriced(name, what, "AWS does not document whether it bills both.")
    for variant, batch in endpoint.batch_variants.items():
        what = _of_variant(f"jobs on {batch.batch.instance_type}", variant)
        yield Unpriced(name, what, "AWS bills instances only while a job runs.")
    yield from _alarms(settings, name)
    if endpoint.mode is not Mode.BATCH:
        yield from _data(name, traffic)
    if locations := _other_locations(endpoint):
        yield Unpriced(name, "results in S3", f"their size in {', '.join(locations)} is not known.")


def release_items(name: str, endpoint: EndpointSettings) -> Iterator[Item]:
    """What one release adds: instances, with their volumes, that run besides the fleet for as long as the release may
    take.

    A rolling update adds one batch at a time; the other strategies add a second fleet (SageMaker guide, Deployment
    guardrails). The quantity is that of one release.
    """
    purpose = usage.purpose(endpoint.mode)
    policy = endpoint.release.policy
    for variant in endpoint.instance_variants.values():
        hours = []
        counts = _counts(variant)
        for size in map(int, (counts.smallest, counts.initial, counts.largest)):
            added = policy.batch.of(size) if policy.batch and policy.strategy == "rolling" else size
            seconds = rollout(policy, size, endpoint.provisioning).maximum if size else 0
            hours.append(Decimal(added * seconds) / 3600)
        added_hours, instances = Sizes(*hours), usage.instances(purpose, variant.instance_type)
        yield Item(name, f"a release: instances {variant.instance_type}", instances, added_hours, "release")
        if variant.volume_size_gb:
            gb_months = added_hours.per_hour * Decimal(variant.volume_size_gb)
            yield Item(name, "a release: volumes", usage.volume(purpose), gb_months, "release")


def fleet_items(name: str, endpoint: EndpointSettings) -> Iterator[Item]:
    """The instances, volumes and provisioned concurrency of an endpoint."""
    purpose = usage.purpose(endpoint.mode)
    for variant, serving in endpoint.instance_variants.items():
        counts, scaled = _counts(serving), serving.autoscaling is not None
        yield from fleet(name, variant, purpose, serving.instance_type, counts, scaled, serving.volume_size_gb)
    for variant, serverless in endpoint.serverless_variants.items():
        scaling, initial = serverless.serverless.autoscaling, serverless.provisioned_concurrency or 0
        least, most = (scaling.min, scaling.max) if scaling else (initial, initial)
        counts = Sizes.of(least, initial, most)
        yield from provisioned(name, variant, serverless.serverless.memory_mb, counts, scaling is not None)


def _counts(variant: InstanceVariant) -> Sizes:
    """The numbers of instances; an asynchronous fleet may be empty."""
    scaling, initial = variant.autoscaling, variant.instance_count
    return Sizes.of(scaling.min, initial, scaling.max) if scaling else Sizes.same(initial)


def fleet(
    name: str, variant: str, purpose: str, instance_type: str, counts: Sizes, scaled: bool, volume_gb: int | None
) -> Iterator[Item]:
    """The instances of a variant, and their volumes if the size is given."""
    key = partial(variant_key, variant)
    count_key = key("autoscaling" if scaled else "initialInstanceCount")
    hours, instances = counts * HOURS_PER_MONTH, usage.instances(purpose, instance_type)
    what = _of_variant(f"instances {instance_type}", variant)
    yield Item(name, what, instances, hours, count_key, key("instanceType"), variant)
    if volume_gb:
        stored, volumes = counts * Decimal(volume_gb), usage.volume(purpose)
        what = _of_variant("volumes", variant)
        yield Item(name, what, volumes, stored, key("volumeSizeGb"), "", variant, volume_gb)


def provisioned(name: str, variant: str, memory_mb: int, counts: Sizes, scaled: bool) -> Iterator[Item]:
    """The provisioned concurrency of a serverless variant, if it has any."""
    if counts:
        key = partial(variant_key, variant)
        count_key = key("serverless.autoscaling" if scaled else "serverless.provisionedConcurrency")
        seconds, billed = counts * SECONDS_PER_MONTH, usage.provisioned(memory_mb)
        yield Item(name, "provisioned concurrency", billed, seconds, count_key, key("serverless.memoryMb"), variant)


def _unknown_volumes(name: str, endpoint: EndpointSettings) -> Iterator[Unpriced]:
    for variant, serving in endpoint.instance_variants.items():
        if not serving.volume_size_gb and not instance_types.has_local_disks(serving.instance_type):
            what = _of_variant("volumes", variant)
            yield Unpriced(name, what, "SageMaker chooses their size. Set volumeSizeGb.")


def _of_variant(what: str, variant: str) -> str:
    """The variant's name, unless the endpoint has only one without a name."""
    return what if variant == ONLY_VARIANT else f"{what} ({variant})"


def _requests(name: str, variant: ServerlessVariant, traffic: Traffic | str) -> Iterator[Item | Unpriced]:
    if isinstance(traffic, str) or isinstance(traffic.seconds, str):
        yield Unpriced(name, "duration of requests", traffic if isinstance(traffic, str) else str(traffic.seconds))
        return
    memory_mb, warm = variant.serverless.memory_mb, bool(variant.provisioned_concurrency)
    billed = usage.on_provisioned(memory_mb) if warm else usage.serverless(memory_mb)
    seconds = Sizes.same(traffic.requests * traffic.seconds)
    yield Item(name, "duration of requests", billed, seconds, "serverless.memoryMb")
    if warm:
        yield Unpriced(name, "requests beyond the provisioned concurrency", "AWS bills them on demand.")


def _other_locations(endpoint: EndpointSettings) -> list[str]:
    """Where answers are written that the settings place."""
    queue = endpoint.asynchronous
    given = [queue.output_location, queue.failure_location] if queue else []
    jobs = [location for variant in endpoint.batch_variants.values() for location in variant.batch.output_locations]
    return sorted({location for location in (*given, *jobs) if location})


def _alarms(settings: Settings, name: str) -> Iterator[Item]:
    """Those on the fleet of the last release remain until the next one."""
    count = alarms.count(settings, name)
    if count.metrics:
        yield Item(name, "alarms", usage.ALARM, Sizes.same(count.metrics), "alarms")
    if count.composite:
        yield Item(name, "composite alarm", usage.COMPOSITE_ALARM, Sizes.same(count.composite), "alarms")


def _dashboard(settings: Settings) -> Iterator[Item]:
    """Its price depends on the number of its metrics."""
    if settings.dashboards:
        shown = metric_count(dashboard_body("", settings, [], {}))
        billed = usage.BASIC_DASHBOARD if shown <= usage.BASIC_DASHBOARD_METRICS else usage.DASHBOARD
        what = f"dashboard of {shown} metrics"
        yield Item(STACK, what, billed, Sizes.same(settings.dashboards), "monitoring.dashboard")


def _data(name: str, traffic: Traffic | str) -> Iterator[Item | Unpriced]:
    if isinstance(traffic, str):
        yield Unpriced(name, "data of requests and responses", traffic)
        return
    for what, billed, size in (("in", usage.DATA_IN, traffic.bytes_in), ("out", usage.DATA_OUT, traffic.bytes_out)):
        gigabytes = Sizes.same(traffic.requests * size / BYTES_PER_GB)
        yield Item(name, f"data {what}", billed, gigabytes, "model")
