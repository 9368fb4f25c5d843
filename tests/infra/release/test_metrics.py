"""The metrics of releases, as CloudWatch receives them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from infra.release.live import EndpointDescription
from infra.release.metrics import ReleaseMetrics
from infra.release.records import ReleaseRecord, Result

RECORD = ReleaseRecord("iris", "succeeded", None, "iris-1", 0.0, 1.0, "arn", "canary")


def live(status: str) -> EndpointDescription:
    return cast(EndpointDescription, SimpleNamespace(status=status))


class CloudWatch:
    def __init__(self, *, refuses: bool = False) -> None:
        self.put: list[tuple[str, float]] = []
        self.asked = 0
        self._refuses = refuses

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        self.asked += 1
        if self._refuses:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutMetricData")
        assert Namespace == "triton-sagemaker"
        for datum in MetricData:
            assert datum["Dimensions"] == [{"Name": "EndpointName", "Value": "iris"}]
            self.put.append((datum["MetricName"], datum["Value"]))


def released(cloudwatch: CloudWatch, warnings: list[str], polls: int, error: type[BaseException] | None = None) -> None:
    metrics = ReleaseMetrics(cloudwatch, "iris", warnings.append)
    with metrics.until_ended():
        for _ in range(polls):
            metrics.observe(live("Updating"))
        if error:
            raise error


def test_a_release_is_in_progress_until_it_ends_however_it_does() -> None:
    for error in (None, RuntimeError):
        cloudwatch = CloudWatch()
        try:
            released(cloudwatch, [], 2, error)
        except RuntimeError:
            assert error
        assert cloudwatch.put == [("ReleaseInProgress", 1), ("ReleaseInProgress", 1), ("ReleaseInProgress", 0)]


def test_a_rollback_is_a_failure_as_soon_as_it_begins() -> None:
    cloudwatch = CloudWatch()
    ReleaseMetrics(cloudwatch, "iris", print).observe(live("RollingBack"))
    assert cloudwatch.put == [("ReleaseInProgress", 1), ("ReleaseFailed", 1)]


def test_what_needs_no_release_publishes_nothing() -> None:
    cloudwatch = CloudWatch()
    released(cloudwatch, [], 0)
    assert cloudwatch.put == []


@pytest.mark.parametrize(
    ("result", "published"),
    [
        ("succeeded", [0]),
        *((result, [1]) for result in ("rolledBack", "failed", "timedOut")),
        *((result, []) for result in ("refused", "deleted")),
    ],
)
def test_a_release_that_failed_is_one(result: Result, published: list[float]) -> None:
    cloudwatch = CloudWatch()
    ReleaseMetrics(cloudwatch, "iris", print).add(replace(RECORD, result=result))
    assert cloudwatch.put == [("ReleaseFailed", value) for value in published]


def test_refused_metrics_are_one_warning_and_fail_no_release() -> None:
    cloudwatch, warnings = CloudWatch(refuses=True), list[str]()
    released(cloudwatch, warnings, 3)
    assert (len(warnings), cloudwatch.asked) == (1, 1)
