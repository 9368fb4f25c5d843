"""An endpoint is idle without requests, and oversized if its busiest hour leaves most of its instances unused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any

import pytest

from infra.cost.estimate import estimate
from infra.cost.line_items import Traffic
from infra.cost.load import Load, Utilization, advice, load, not_judged
from tests.infra.cost.test_estimate import PRICES, stack
from tests.infra.cost.test_live import FLEET, Aws
from tests.infra.settings.config import VALID, settings

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SERVERLESS = {"memoryMb": 4096, "maxConcurrency": 10}


STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {"Sum": sum, "Average": fmean, "Maximum": max}


class CloudWatch:
    """Metrics with the samples of each hour, most often one; of each variant if they differ."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def get_metric_statistics(self, MetricName: str, Statistics: list[str], **asked: Any) -> dict[str, Any]:
        assert (asked["EndTime"] - asked["StartTime"]).days == 14
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in asked["Dimensions"]}
        of_logs = MetricName == "IncomingBytes"
        assert {*dimensions} == ({"LogGroupName"} if of_logs else {"EndpointName", "VariantName"})
        (statistic,), values = Statistics, self.values.get(MetricName, [])
        hours = values[dimensions["VariantName"]] if isinstance(values, Mapping) else values
        samples = [[hour] if isinstance(hour, (int, float)) else hour for hour in hours]
        return {"Datapoints": [{statistic: STATISTICS[statistic](hour)} for hour in samples]}


def measured(cloudwatch: CloudWatch, **endpoint: Any) -> Load:
    return load(cloudwatch, "e", stack(**endpoint).endpoints["e"], NOW, 14)


@pytest.mark.parametrize(
    ("instance_type", "values", "expected"),
    [
        ("ml.c5.xlarge", {}, Utilization(None, None)),
        ("ml.c5.xlarge", {"CPUUtilization": [[40, 40], [120, 80]]}, Utilization(25, None)),
        ("ml.c5.xlarge", {"MemoryUtilization": [[40, 20], [70, 90]]}, Utilization(None, 90)),
        ("ml.g5.12xlarge", {"CPUUtilization": [48], "GPUUtilization": [200]}, Utilization(50, None)),
        ("ml.g5.12xlarge", {"CPUUtilization": [4800], "GPUUtilization": [200]}, Utilization(100, None)),
        ("ml.g5.12xlarge", {"MemoryUtilization": [10], "GPUMemoryUtilization": [[40, 360]]}, Utilization(None, 90)),
    ],
)
def test_the_metrics_of_instances_are_sums_over_their_devices(
    instance_type: str, values: dict[str, Any], expected: Utilization
) -> None:
    found = measured(CloudWatch(Invocations=[3, 4], **values), instanceType=instance_type)
    assert found == Load(7, 14, {"AllTraffic": expected})


@pytest.mark.parametrize("metric", ["InvocationsProcessed", "InvocationsProcesssed"])
def test_an_asynchronous_endpoint_is_counted_by_either_spelling(metric: str) -> None:
    assert measured(CloudWatch(**{metric: [5]}), instanceType="ml.c5.xlarge", asynchronous={}).requests == 5


def test_asynchronous_requests_that_all_fail_are_not_idle() -> None:
    """Whether a failed request counts as processed too is not documented, so the larger number counts."""
    found = measured(CloudWatch(InvocationFailures=[3, 4]), instanceType="ml.c5.xlarge", asynchronous={})
    both = CloudWatch(InvocationFailures=[3, 4], InvocationsProcessed=[7, 2])
    assert (found.is_idle, found.requests) == (False, 7)
    assert measured(both, instanceType="ml.c5.xlarge", asynchronous={}).requests == 9


def test_a_serverless_endpoint_has_no_instances_to_be_busy() -> None:
    found = measured(CloudWatch(Invocations=[1], CPUUtilization=[9]), serverless=SERVERLESS)
    assert found == Load(1, 14)


UNUSED = {"Invocations": [5], "CPUUtilization": [4], "MemoryUtilization": [20]}
IDLE = {"Invocations": [0]}
FULL = UNUSED | {"MemoryUtilization": [50]}
SMALLER = "use a smaller endpoints.e.instanceType"
FEWER = "lower endpoints.e.initialInstanceCount"


@pytest.mark.parametrize(
    ("values", "fleet", "production", "edits"),
    [
        (UNUSED, {}, False, [SMALLER]),
        (UNUSED, {"initialInstanceCount": 2}, False, [FEWER, SMALLER]),
        (UNUSED, {"initialInstanceCount": 2}, True, [SMALLER]),
        (UNUSED, {"initialInstanceCount": 2, "allowSingleInstance": True}, True, [FEWER, SMALLER]),
        (UNUSED, {"initialInstanceCount": 3}, True, [FEWER, SMALLER]),
        (UNUSED, {"autoscaling": {"min": 2, "max": 4}}, False, ["lower endpoints.e.autoscaling.min", SMALLER]),
        (FULL, {"initialInstanceCount": 2}, False, [FEWER]),
        (FULL, {}, False, []),
        ({"Invocations": [5], "CPUUtilization": [4]}, {}, False, []),
        (UNUSED | {"CPUUtilization": [4, 120]}, {"initialInstanceCount": 2}, False, []),
        (IDLE, {}, False, ["remove endpoints.e"]),
    ],
)
def test_the_advice_is_one_that_can_be_followed(
    values: dict[str, Any], fleet: dict[str, Any], production: bool, edits: list[str]
) -> None:
    """A smaller type has less memory, and a production endpoint two instances."""
    fleet = {"instanceType": "ml.c5.xlarge", **fleet}
    endpoint, found = stack(**fleet).endpoints["e"], measured(CloudWatch(**values), **fleet)
    lines = [*advice("e", endpoint, found, production, costs=True)]
    known = FEWER, "lower endpoints.e.autoscaling.min", SMALLER, "remove endpoints.e"
    assert [edit for edit in known if edit in "".join(lines)] == edits
    assert len(lines) == bool(edits)
    assert [*advice("e", endpoint, Load(0, 14), production, costs=False)] == []


def test_a_busy_variant_does_not_hide_another_one() -> None:
    variant = {"model": {"artifact": "artifacts/a.tar.gz"}, "instanceType": "ml.c5.xlarge"}
    variants = {
        "blue": {**variant, "initialVariantWeight": 1},
        "green": {**variant, "initialVariantWeight": 1, "initialInstanceCount": 10},
    }
    of = settings({**VALID, "triton-sagemaker:endpoints": {"e": {"variants": variants}}}).endpoints["e"]
    values = {"CPUUtilization": {"blue": [240], "green": [8]}, "MemoryUtilization": {"blue": [10], "green": [80]}}
    found = load(CloudWatch(Invocations=[5], **values), "e", of, NOW, 14)
    (line,) = advice("e", of, found, production=False, costs=True)
    assert "lower endpoints.e.variants.green.initialInstanceCount." in line
    assert "instanceType" not in line


@pytest.mark.parametrize(
    ("aws", "age_days", "reason"),
    [(Aws(), 0, "deployed"), (Aws(FLEET), 13, "14 days"), (Aws(FLEET), 15, None)],
)
def test_an_endpoint_that_did_not_run_all_days_is_not_judged(aws: Aws, age_days: int, reason: str | None) -> None:
    aws.created = NOW - timedelta(days=age_days)
    found = not_judged(aws, "e", NOW, 14)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


def test_the_traffic_of_a_month_has_the_rate_of_the_days() -> None:
    found = measured(CloudWatch(Invocations=[14 * 24], ModelLatency=[[2e6] * 14 * 24]), serverless=SERVERLESS)
    assert found.traffic(Decimal(1000), Decimal(10)) == Traffic(Decimal(730), Decimal(2), Decimal(1000), Decimal(10))


def test_requests_of_which_cloudwatch_has_no_data_are_listed() -> None:
    """Of an endpoint that is not deployed too."""
    for values, without in (
        ({}, {"data of requests and responses", "duration of requests"}),
        ({"Invocations": [0]}, set()),
        ({"Invocations": [5]}, {"duration of requests"}),
        ({"Invocations": [5], "ModelLatency": [9]}, set()),
    ):
        found = measured(CloudWatch(**values), serverless=SERVERLESS).traffic(Decimal(1000), Decimal(10))
        result = estimate(stack(serverless=SERVERLESS), PRICES, {"e": found}, [])
        assert {entry.what for entry in result.unpriced if entry.endpoint == "e"} == without
        assert all("CloudWatch has no" in entry.reason for entry in result.unpriced if entry.endpoint == "e")


def test_the_duration_of_a_month_is_that_of_all_requests() -> None:
    """Three requests of 0.2 s in one hour and one of 0.4 s in another take 1 s, not four times the mean of 0.3 s."""
    cloudwatch = CloudWatch(Invocations=[3, 1], ModelLatency=[[200_000] * 3, 400_000])
    traffic = measured(cloudwatch, serverless=SERVERLESS).traffic(Decimal(1000), Decimal(10))
    assert isinstance(traffic, Traffic)
    assert float(traffic.seconds) == pytest.approx(0.25)
