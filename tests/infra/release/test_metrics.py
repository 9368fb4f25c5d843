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
    """Refuses the first calls, as many as it is given."""

    def __init__(self, refuses: int = 0) -> None:
        self.put: list[tuple[str, float]] = []
        self.refuses = refuses

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        if self.refuses:
            self.refuses -= 1
            raise ClientError({"Error": {"Code": "InternalServiceFault", "Message": "no"}}, "PutMetricData")
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


def test_the_end_of_a_release_whose_process_was_killed_is_published_although_it_is_not_observed() -> None:
    """Else `release-stuck` fires 15 minutes after the value that the process published last."""
    cloudwatch = CloudWatch()
    released(cloudwatch, [], 0)
    assert cloudwatch.put == [("ReleaseInProgress", 0)]


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


def test_refused_metrics_are_one_warning_and_later_ones_are_published() -> None:
    cloudwatch, warnings = CloudWatch(refuses=2), list[str]()
    released(cloudwatch, warnings, 3)
    assert len(warnings) == 1
    assert cloudwatch.put == [("ReleaseInProgress", 1), ("ReleaseInProgress", 0)]
