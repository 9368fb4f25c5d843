"""The load of endpoints: whether they have requests, how busy their instances are, and what that costs in a month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from infra.aws import metrics
from infra.aws.errors import aws_calls
from infra.cost.estimate import Traffic
from infra.cost.usage import HOURS_PER_MONTH
from infra.settings.endpoint import EndpointSettings

LOW_PERCENT = 30.0
"""A fleet whose busiest hour used less of its instances is larger than its load."""

MAX_DAYS = 60
"""CloudWatch keeps hourly data for 63 days at a resolution of 5 minutes or better (CloudWatch guide, Metrics
retention), and answers with at most 1,440 data points (API GetMetricStatistics)."""


@dataclass(frozen=True)
class Load:
    """The load of an endpoint in some days.

    Attributes:
        requests: None for a mode without a metric of requests.
        busiest_percent: of the busiest hour of any variant, the average utilization of all vCPUs or, if it is higher,
            of all GPUs of an instance; None without data.
        model_seconds: of a serverless endpoint, the average of ModelLatency over its requests; else 0.
    """

    requests: float | None
    busiest_percent: float | None
    days: int
    model_seconds: float = 0

    @property
    def is_idle(self) -> bool:
        """Whether no request arrived."""
        return self.requests == 0

    def traffic(self, bytes_in: Decimal, bytes_out: Decimal) -> Traffic | None:
        """The requests of a month at the rate of these days; None for a mode without a metric of requests."""
        if self.requests is None:
            return None
        requests = Decimal(self.requests) / self.days / 24 * HOURS_PER_MONTH
        return Traffic(requests, Decimal(self.model_seconds), bytes_in, bytes_out)

    @property
    def is_oversized(self) -> bool:
        """Whether fewer or smaller instances would do."""
        return self.busiest_percent is not None and self.busiest_percent < LOW_PERCENT


def load(cloudwatch: Any, name: str, endpoint: EndpointSettings, now: datetime, days: int) -> Load:
    """Read the load of an endpoint.

    Args:
        cloudwatch: boto3's `cloudwatch` client.
        days: 1 to `MAX_DAYS`.

    Raises:
        AwsRequestRefused: AWS refused a call.
    """

    def hourly(metric: metrics.Metric, statistic: str, variant: str) -> list[float]:
        answer = cloudwatch.get_metric_statistics(
            Namespace=metric.namespace,
            MetricName=metric.name,
            Dimensions=metrics.for_api(metrics.dimensions(name, variant)),
            StartTime=now - timedelta(days=days),
            EndTime=now,
            Period=3600,
            Statistics=[statistic],
        )
        return [point[statistic] for point in answer["Datapoints"]]

    with aws_calls(f"metrics of endpoint {name}"):
        counted = [
            sum(sum(hourly(metric, "Sum", variant)) for variant in endpoint.serving_variants)
            for metric in metrics.REQUESTS.get(endpoint.mode, ())
        ]
        used: list[float] = []
        for variant, settings in endpoint.instance_variants.items():
            for metric in (metrics.CPU_UTILIZATION, metrics.GPU_UTILIZATION):
                if divisor := metric.divisor(settings.instance_type):
                    used += [value / divisor for value in hourly(metric, "Average", variant)]
        microseconds = sum(
            sum(hourly(metrics.MODEL_LATENCY, "Sum", variant)) for variant in endpoint.serverless_variants
        )
    requests = max(counted, default=None)
    model_seconds = microseconds / 1e6 / requests if requests else 0
    return Load(requests, max(used, default=None), days, model_seconds)
