"""The metrics and the modes that publish them."""

from __future__ import annotations

from itertools import chain

import pytest

from infra.aws.metrics import (
    CPU_UTILIZATION,
    DISK_UTILIZATION,
    GPU_MEMORY_UTILIZATION,
    GPU_UTILIZATION,
    HOST,
    MEMORY_UTILIZATION,
    PROCESSED,
    REQUESTS,
    WATCHED,
    Metric,
    Rate,
    dimensions,
    rolls_back,
)
from infra.aws.mode import Mode


@pytest.mark.parametrize("purpose", WATCHED)
def test_an_alarm_watches_only_metrics_that_its_mode_publishes(purpose: str) -> None:
    for mode, watched in WATCHED[purpose].items():
        assert all(mode in metric.modes for metric in watched.metrics)


def test_each_mode_with_an_endpoint_counts_its_requests() -> None:
    assert {*REQUESTS} == {*Mode} - {Mode.BATCH}
    assert all(mode in metric.modes for mode, metrics in REQUESTS.items() for metric in metrics)


def test_rates_have_the_dimensions_that_all_of_their_metrics_have() -> None:
    rates = chain.from_iterable(watched.items() for watched in WATCHED.values())
    scopes = {mode: rate.scope for mode, rate in rates if isinstance(rate, Rate)}
    assert scopes == {Mode.REAL_TIME: "fleet", Mode.ASYNCHRONOUS: "variant", Mode.SERVERLESS: "fleet"}


def test_dimensions_are_those_that_a_scope_is_published_with() -> None:
    given = ("e", "v", "c")
    assert dimensions(*given) == {"EndpointName": "e", "VariantName": "v", "EndpointConfigName": "c"}
    assert dimensions(*given, scope=PROCESSED.scope) == {"EndpointName": "e", "VariantName": "v"}
    assert dimensions(*given, scope="endpoint") == {"EndpointName": "e"}


def test_only_fleets_of_instances_are_rolled_back() -> None:
    assert {mode for purpose in WATCHED for mode in Mode if rolls_back(purpose, mode)} == {
        Mode.REAL_TIME,
        Mode.ASYNCHRONOUS,
    }


@pytest.mark.parametrize(
    ("metric", "instance_type", "divisor"),
    [
        (CPU_UTILIZATION, "ml.g5.12xlarge", 48),
        (GPU_UTILIZATION, "ml.g5.12xlarge", 4),
        (GPU_MEMORY_UTILIZATION, "ml.g5.xlarge", 1),
        (GPU_UTILIZATION, "ml.c5.xlarge", 0),
        (MEMORY_UTILIZATION, "ml.g5.12xlarge", 1),
        (DISK_UTILIZATION, "ml.c5.xlarge", 1),
    ],
)
def test_utilization_of_cores_and_gpus_is_a_sum_over_them(metric: Metric, instance_type: str, divisor: int) -> None:
    assert metric.divisor(instance_type) == divisor


def test_only_the_memory_of_serverless_containers_is_published() -> None:
    assert [metric.name for metric in HOST if Mode.SERVERLESS in metric.modes] == ["MemoryUtilization"]
