"""The metrics of an endpoint's releases, which operators' alarms watch.

AWS publishes nothing of the kind. EventBridge has an event for each change of an endpoint's status, of which AWS
documents IN_SERVICE and UPDATING only (SageMaker guide, Events that Amazon SageMaker AI sends to Amazon EventBridge),
and none for a release that does not end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.aws import metrics
from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.aws.metrics import Metric
from infra.release.live import EndpointDescription
from infra.release.records import ReleaseRecord

_FAILED = ("rolledBack", "failed", "timedOut")


class ReleaseMetrics:
    """Publishes that a release is in progress, whether it fails, from the beginning of its rollback on, and its end.

    So the alarm on failed releases fires together with the one that rolled back, and operators are notified once.

    Args:
        cloudwatch: boto3's `cloudwatch` client.
        warn: called once if CloudWatch refuses the metrics, which does not fail the release.
    """

    def __init__(self, cloudwatch: Any, endpoint: str, warn: Callable[[str], None]) -> None:
        self._cloudwatch, self._endpoint, self._warn = cloudwatch, endpoint, warn
        self._warned = False

    def observe(self, endpoint: EndpointDescription) -> None:
        """Publish the state of a release in progress."""
        values = {metrics.RELEASE_IN_PROGRESS: 1.0}
        if endpoint.status == "RollingBack":
            values[metrics.RELEASE_FAILED] = 1.0
        self._progress(values)

    @contextlib.contextmanager
    def until_ended(self) -> Iterator[None]:
        """Publish that no release is in progress after the block, unless the process is killed. The block need not
        have seen one: SageMaker may have finished that of a process that was killed."""
        try:
            yield
        finally:
            self._progress({metrics.RELEASE_IN_PROGRESS: 0.0})

    def add(self, record: ReleaseRecord) -> None:
        """Publish whether a release failed. One that was refused has not begun, and its caller knows."""
        if record.result in (*_FAILED, "succeeded"):
            self._put({metrics.RELEASE_FAILED: float(record.result in _FAILED)})

    def _progress(self, values: Mapping[Metric, float]) -> None:
        try:
            self._put(values)
        except AwsRequestRefused as refusal:
            if not self._warned:
                self._warn(f"{self._endpoint}: the alarms on its releases may miss this one: {refusal}")
            self._warned = True

    def _put(self, values: Mapping[Metric, float]) -> None:
        dimensions = metrics.for_api(metrics.dimensions(self._endpoint, scope="endpoint"))
        with aws_calls(f"metrics of endpoint {self._endpoint}"):
            self._cloudwatch.put_metric_data(
                Namespace=metrics.NAMESPACE,
                MetricData=[
                    {"MetricName": metric.name, "Dimensions": dimensions, "Value": value}
                    for metric, value in values.items()
                ],
            )
