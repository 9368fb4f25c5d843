"""An endpoint is idle without requests, and oversized if its busiest hour leaves most of its instances unused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from statistics import fmean
from typing import Any

import pytest

from infra.cost.estimate import Traffic
from infra.cost.load import Load, load
from tests.infra.cost.test_estimate import stack

NOW = datetime(2026, 11, 28, tzinfo=UTC)


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {"Sum": sum, "Average": fmean, "Maximum": max}


class CloudWatch:
    """Metrics with the samples of each hour, most often one."""

    def __init__(self, **values: Sequence[float | Sequence[float]]) -> None:
        self.values = values

    def get_metric_statistics(self, MetricName: str, Statistics: list[str], **asked: Any) -> dict[str, Any]:
        assert (asked["EndTime"] - asked["StartTime"]).days == 14
        names = {dimension["Name"] for dimension in asked["Dimensions"]}
        assert names == ({"LogGroupName"} if MetricName == "IncomingBytes" else {"EndpointName", "VariantName"})
        (statistic,) = Statistics
        hours = [[hour] if isinstance(hour, (int, float)) else hour for hour in self.values.get(MetricName, [])]
        return {"Datapoints": [{statistic: STATISTICS[statistic](hour)} for hour in hours]}


@pytest.mark.parametrize(
    ("values", "expected", "idle", "oversized"),
    [
        ({}, Load(0, None, 14), True, False),
        ({"Invocations": [3, 4], "CPUUtilization": [40, 100]}, Load(7, 25, 14), False, True),
        ({"Invocations": [3], "CPUUtilization": [40, 280]}, Load(3, 70, 14), False, False),
    ],
)
def test_the_metrics_of_instances_are_sums_over_their_vcpus(
    values: dict[str, Sequence[float]], expected: Load, idle: bool, oversized: bool
) -> None:
    endpoint = stack(instanceType="ml.c5.xlarge").endpoints["e"]
    found = load(CloudWatch(**values), "e", endpoint, NOW, 14)
    assert (found, found.is_idle, found.is_oversized) == (expected, idle, oversized)


def test_gpus_count_if_they_are_busier() -> None:
    endpoint = stack(instanceType="ml.g5.12xlarge").endpoints["e"]
    cloudwatch = CloudWatch(Invocations=[1], CPUUtilization=[48], GPUUtilization=[200])
    assert load(cloudwatch, "e", endpoint, NOW, 14).busiest_percent == 50


@pytest.mark.parametrize("metric", ["InvocationsProcessed", "InvocationsProcesssed"])
def test_an_asynchronous_endpoint_is_counted_by_either_spelling(metric: str) -> None:
    endpoint = stack(instanceType="ml.c5.xlarge", asynchronous={}).endpoints["e"]
    assert load(CloudWatch(**{metric: [5]}), "e", endpoint, NOW, 14) == Load(5, None, 14)


def test_a_serverless_endpoint_has_no_instances_to_be_busy() -> None:
    endpoint = stack(serverless={"memoryMb": 4096, "maxConcurrency": 10}).endpoints["e"]
    assert load(CloudWatch(Invocations=[1], CPUUtilization=[9]), "e", endpoint, NOW, 14) == Load(1, None, 14)


def test_the_traffic_of_a_month_has_the_rate_of_the_days() -> None:
    endpoint = stack(instanceType="ml.c5.xlarge").endpoints["e"]
    measured = load(CloudWatch(Invocations=[14 * 24], ModelLatency=[200_000]), "e", endpoint, NOW, 14)
    assert measured.traffic(Decimal(1000), Decimal(10)) == Traffic(Decimal(730), Decimal(0), Decimal(1000), Decimal(10))


def test_the_duration_of_a_month_is_that_of_all_requests() -> None:
    """Three requests of 0.2 s in one hour and one of 0.4 s in another take 1 s, not four times the mean of 0.3 s."""
    endpoint = stack(serverless={"memoryMb": 4096, "maxConcurrency": 10}).endpoints["e"]
    cloudwatch = CloudWatch(Invocations=[3, 1], ModelLatency=[[200_000] * 3, 400_000])
    traffic = load(cloudwatch, "e", endpoint, NOW, 14).traffic(Decimal(1000), Decimal(10))
    assert traffic is not None
    assert float(traffic.seconds) == pytest.approx(0.25)
