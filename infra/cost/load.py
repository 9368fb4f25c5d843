"""The load of endpoints: whether they have requests, how busy their instances are, and the edits that end a cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from infra import names
from infra.aws import metrics
from infra.aws.errors import aws_calls
from infra.aws.mode import Mode
from infra.cost.line_items import Traffic
from infra.cost.usage import HOURS_PER_MONTH
from infra.release.live import EndpointReader
from infra.settings.endpoint import EndpointSettings

LOW_PERCENT = 30.0
"""A fleet whose busiest hour used less of its vCPUs and GPUs is larger than its load."""

LOW_MEMORY_PERCENT = 50.0
"""The next smaller type has half the memory."""

MAX_DAYS = 60
"""CloudWatch keeps hourly data for 63 days at a resolution of 5 minutes or better (CloudWatch guide, Metrics
retention), and answers with at most 1,440 data points (API GetMetricStatistics)."""


@dataclass(frozen=True)
class Utilization:
    """How much of its instances a variant used in its busiest hour, in percent; None without data.

    Attributes:
        compute: of all vCPUs or, if it is more, of all GPUs of an instance, on average.
        memory: of the memory of an instance or, if it is more, of its GPUs, at most.
    """

    compute: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Load:
    """The load of an endpoint in some days.

    Attributes:
        requests: of an asynchronous endpoint also those that failed.
        variants: the variants on instances.
        model_seconds: of a serverless endpoint, the average of ModelLatency over its requests; 0 without data.
        is_measured: whether CloudWatch has data of the requests, which may be zero.
    """

    requests: float
    days: int
    variants: Mapping[str, Utilization] = field(default_factory=dict)
    model_seconds: float = 0
    is_measured: bool = True

    @property
    def is_idle(self) -> bool:
        """Whether no request arrived."""
        return self.requests == 0

    def traffic(self, bytes_in: Decimal, bytes_out: Decimal) -> Traffic | str:
        """The requests of a month at the rate of these days, or why they are not known."""
        if not self.is_measured:
            return no_data("requests", self.days)
        requests = Decimal(self.requests) / self.days / 24 * HOURS_PER_MONTH
        known = self.model_seconds or self.is_idle
        seconds = Decimal(self.model_seconds) if known else no_data(metrics.MODEL_LATENCY.name, self.days)
        return Traffic(requests, seconds, bytes_in, bytes_out)


def not_judged(sagemaker: Any, name: str, now: datetime, days: int) -> str | None:
    """Why the load of an endpoint says nothing about its size.

    Args:
        sagemaker: boto3's `sagemaker` client.

    Raises:
        AwsRequestRefused: AWS refused a call.
    """
    with aws_calls(f"endpoint {name}"):
        endpoint = EndpointReader(sagemaker).endpoint(name)
    if endpoint is None:
        return "is not deployed"
    if (endpoint.created or 0) > (now - timedelta(days=days)).timestamp():
        return f"was created in {last_days(days)}"
    return None


def advice(name: str, endpoint: EndpointSettings, load: Load, production: bool, costs: bool) -> Iterator[str]:
    """The edits that end a cost.

    Args:
        costs: whether the smallest fleet costs anything.
    """
    if load.is_idle:
        if costs:
            yield f"no request in {last_days(load.days)}. To end its cost, remove endpoints.{name}."
        return
    for variant, used in load.variants.items():
        edits = [*_edits(name, endpoint, variant, used, production)]
        if used.compute is not None and used.compute < LOW_PERCENT and edits:
            of = "its" if variant == names.ONLY_VARIANT else f"{variant}'s"
            yield (
                f"{of} busiest hour used less than {LOW_PERCENT:.0f} % of its vCPUs and GPUs. "
                f"To pay less, {' or '.join(edits)}."
            )


def _edits(name: str, endpoint: EndpointSettings, variant: str, used: Utilization, production: bool) -> Iterator[str]:
    """Those that the settings accept, and after which the model still fits."""
    settings = endpoint.instance_variants[variant]
    count, key = min(settings.limits.items())
    alone = not production or settings.allow_single_instance or endpoint.mode is Mode.ASYNCHRONOUS
    if count > (1 if alone else 2):
        yield f"lower endpoints.{name}.{names.variant_key(variant, key)}"
    if used.memory is not None and used.memory < LOW_MEMORY_PERCENT:
        instance_type = names.variant_key(variant, "instanceType")
        yield f"use a smaller endpoints.{name}.{instance_type} (python -m infra cost compare)"


def load(cloudwatch: Any, name: str, endpoint: EndpointSettings, now: datetime, days: int) -> Load:
    """Read the load of an endpoint that is not for transform jobs alone.

    Args:
        cloudwatch: boto3's `cloudwatch` client.
        days: 1 to `MAX_DAYS`.

    Raises:
        AwsRequestRefused: AWS refused a call.
    """

    def hourly(metric: metrics.Metric, statistic: str, variant: str) -> list[float]:
        answer = cloudwatch.get_metric_statistics(
            **metric.identity(metrics.dimensions(name, variant)),
            StartTime=now - timedelta(days=days),
            EndTime=now,
            Period=3600,
            Statistics=[statistic],
        )
        return [point[statistic] for point in answer["Datapoints"]]

    def most(variant: str, *read: metrics.Metric) -> float | None:
        instance_type = endpoint.instance_variants[variant].instance_type
        used = [
            value / divisor
            for metric in read
            if (divisor := metric.divisor(instance_type))
            for value in hourly(metric, metric.statistic, variant)
        ]
        return max(used, default=None)

    with aws_calls(f"metrics of endpoint {name}"):
        counts = [
            [count for variant in endpoint.serving_variants for count in hourly(metric, "Sum", variant)]
            for metric in metrics.ERROR_RATES[endpoint.mode].counted
        ]
        requests = max(map(sum, counts))
        variants = {
            variant: Utilization(
                most(variant, metrics.CPU_UTILIZATION, metrics.GPU_UTILIZATION),
                most(variant, metrics.MEMORY_UTILIZATION, metrics.GPU_MEMORY_UTILIZATION),
            )
            for variant in endpoint.instance_variants
        }
        microseconds = sum(
            sum(hourly(metrics.MODEL_LATENCY, "Sum", variant)) for variant in endpoint.serverless_variants
        )
    model_seconds = microseconds / 1e6 / requests if requests else 0
    return Load(requests, days, variants, model_seconds, any(counts))


def no_data(metric: str, days: int) -> str:
    """Why what CloudWatch should know has no price."""
    return f"CloudWatch has no {metric} of {last_days(days)}."


def last_days(days: int) -> str:
    """The period that metrics are read of."""
    return "the last day" if days == 1 else f"the last {days} days"
