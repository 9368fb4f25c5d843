"""The utilization of instances that CloudWatch has, and the metric math of graphs over it."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.conditions import Conditions
from sandbox.aws.endpoint import Endpoint
from sandbox.aws.fleet import Fleet, Place, Variant
from sandbox.aws.host_metrics import HostMeter
from sandbox.aws.metrics import MetricKey
from sandbox.aws.searches import in_full
from tests.sandbox.conftest import ACCOUNT, REGION, Host, eventually, unique
from tests.sandbox.test_deployment import config

MINUTE = timedelta(minutes=1)
HOST = {"CPUUtilization", "MemoryUtilization", "DiskUtilization"}
GPU = {"GPUUtilization", "GPUMemoryUtilization"}


@pytest.fixture
def host(scripted_host: Host) -> Host:
    return scripted_host


def named(host: Host, endpoint: str) -> set[str]:
    """The metrics of the endpoint's instances."""
    found = host.aws.client("cloudwatch").list_metrics(
        Namespace="/aws/sagemaker/Endpoints", Dimensions=[{"Name": "EndpointName", "Value": endpoint}]
    )["Metrics"]
    dimensions = [sorted(each["Name"] for each in metric["Dimensions"]) for metric in found]
    assert all(each == ["EndpointName", "VariantName"] for each in dimensions)
    return {metric["MetricName"] for metric in found}


def data(host: Host, *queries: dict[str, Any], minutes: int = 60) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    answer = host.aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=list(queries), StartTime=now - minutes * MINUTE, EndTime=now + minutes * MINUTE
    )
    results: list[dict[str, Any]] = answer["MetricDataResults"]
    return results


def query(
    metric: str, statistic: str, endpoint: str, variant: str = "AllTraffic", period: int = 3600
) -> dict[str, Any]:
    pairs = {"EndpointName": endpoint, "VariantName": variant}
    identity = {
        "Namespace": "/aws/sagemaker/Endpoints",
        "MetricName": metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in pairs.items()],
    }
    return {"Id": "m", "MetricStat": {"Metric": identity, "Period": period, "Stat": statistic}, "ReturnData": False}


def test_instances_publish_their_utilization_and_those_with_gpus_that_of_the_gpus(host: Host) -> None:
    model = host.model()
    plain, gpu = host.config({"ModelName": model}), host.config({"ModelName": model, "InstanceType": "ml.g5.xlarge"})
    endpoints = [host.endpoint(each) for each in (plain, gpu)]
    eventually(lambda: all(named(host, endpoint) >= HOST for endpoint in endpoints))
    assert [named(host, endpoint) for endpoint in endpoints] == [HOST, HOST | GPU]


class Seconds(Conditions):
    """AWS's time as a test sets it."""

    passed = 0.0

    def now(self) -> float:
        return self.passed


def test_the_sample_count_in_a_minute_is_the_number_of_instances(tmp_path: Path) -> None:
    variants = [
        Variant({"VariantName": name, "InstanceType": "ml.c5.xlarge"}, {}, count, 1.0, current_count=count)
        for name, count in (("A", 4), ("B", 1))
    ]
    endpoint = Endpoint(Place(ACCOUNT, REGION, unique("endpoint"), tmp_path), "arn", {})
    endpoint.fleet, conditions = Fleet(endpoint.place, "config", variants, None), Seconds()
    meter = HostMeter(endpoint, conditions)

    def samples(variant: str) -> int:
        dimensions = {"EndpointName": endpoint.name, "VariantName": variant}
        key = MetricKey.of("/aws/sagemaker/Endpoints", "CPUUtilization", dimensions)
        return len(backend_of(ACCOUNT, REGION).metrics.values(key, 0, math.inf))

    counts = []
    for conditions.passed in (0, 30, 59, 60, 119, 121, 600):
        meter.publish_if_due()
        counts.append((samples("A"), samples("B")))
    assert counts == [(4, 1), (4, 1), (4, 1), (8, 2), (8, 2), (12, 3), (16, 4)]


def test_instances_are_counted_rightly_once_time_passes_at_another_speed(unhurried_host: Host) -> None:
    host = unhurried_host
    endpoint = host.endpoint(config(host, "x", "A", instances=4))
    eventually(lambda: named(host, endpoint) >= HOST)
    host.aws.impose(timeFactor=120)
    time.sleep(3)
    host.aws.impose(timeFactor=1)
    metric = query("CPUUtilization", "SampleCount", endpoint, "A", 60)
    [result] = data(host, metric, {"Id": "e", "Expression": "60 * m / PERIOD(m)"}, minutes=2)
    assert 1.5 < max(result["Values"]) <= 4.5, "a slow machine misses a part of the minutes, and publishes none twice"


def test_a_search_finds_metrics_by_their_schema_and_terms(host: Host) -> None:
    cloudwatch, job = host.aws.client("cloudwatch"), unique("job")
    for name, value in ((f"{job}/i-1", 80.0), (f"{job}-2/i-2", 40.0), ("other/i-3", 20.0)):
        dimensions = [{"Name": "Host", "Value": name}]
        cloudwatch.put_metric_data(
            Namespace="/jobs", MetricData=[{"MetricName": "CPU", "Dimensions": dimensions, "Value": value}]
        )
    expression = f"SEARCH('{{/jobs,Host}} MetricName=\"CPU\" Host={job}', 'Average') / 4"
    results = data(host, {"Id": "e", "Expression": expression, "Label": "CPU", "Period": 3600})
    assert [(each["Id"], each["Label"], each["Values"]) for each in results] == [
        ("e", f"CPU {job}-2/i-2", [10.0]),
        ("e", f"CPU {job}/i-1", [20.0]),
    ]


def test_a_search_in_another_form_is_refused(host: Host) -> None:
    with pytest.raises(ClientError, match="not in the sandbox"):
        data(host, {"Id": "e", "Expression": "SEARCH('CPU OR Memory', 'Average')", "Period": 60})


KNOWN = [
    MetricKey.of("N", "CPU", {"Host": "iris-batch-1/i-0a"}),
    MetricKey.of("N", "CPU", {"Host": "ranking/i-0a"}),
    MetricKey.of("N", "CPU", {"Host": "iris-batch", "Zone": "a"}),
    MetricKey.of("N", "Memory", {"Host": "iris-batch-1/i-0a"}),
    MetricKey.of("M", "CPU", {"Host": "iris-batch-1/i-0a"}),
]


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        ('MetricName="CPU"', ["iris-batch-1/i-0a", "ranking/i-0a"]),
        ('MetricName="CPU" Host=iris-batch', ["iris-batch-1/i-0a"]),
        ('MetricName="CPU" Host="iris-batch"', []),
        ('MetricName="CPU" Host="ranking/i-0a"', ["ranking/i-0a"]),
        ('MetricName="CP"', []),
        ("", ["iris-batch-1/i-0a", "iris-batch-1/i-0a", "ranking/i-0a"]),
    ],
)
def test_terms_in_quotes_are_exact_and_others_match_tokens(terms: str, found: list[str]) -> None:
    search = {"Id": "e", "Expression": f"SEARCH('{{N,Host}} {terms}', 'Sum')"}
    assert [each["Found"] for each in in_full([search], 60, KNOWN) if "Found" in each] == found


def test_the_period_of_metric_math_is_in_the_seconds_of_aws() -> None:
    [shown] = in_full([{"Id": "e", "Expression": "60 * m / PERIOD(m)"}], 300, [])
    assert shown["Expression"] == "60 * m / PERIOD"


def test_the_seconds_of_aws_are_those_of_each_speed_that_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    conditions = Conditions()
    conditions.replace({"timeFactor": 60})
    now = 1_010.0
    conditions.replace({"throttle": {}})
    conditions.replace({"timeFactor": 1})
    assert conditions.aws_seconds(990, 1_000) == 10
    assert conditions.aws_seconds(990, 1_050) == 10 + 600 + 40
    assert conditions.aws_seconds(1_005, 1_006) == 60
