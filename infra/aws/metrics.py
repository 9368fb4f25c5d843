"""The CloudWatch metrics that alarms, releases and `release status` read.

Source: SageMaker guide, "Amazon SageMaker AI metrics in Amazon CloudWatch". Real-time endpoints publish all of them.
For asynchronous ones the guide lists `InvocationsProcesssed` and `InvocationFailures` instead of `INVOCATIONS` and
`MODEL_ERRORS`: alarms on the latter would be silent there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")

PERIOD_SECONDS = 60
"""SageMaker publishes the metrics of an endpoint once a minute."""


@dataclass(frozen=True)
class Metric:
    """A metric with the statistic that describes it.

    Attributes:
        statistic: as CloudWatch's `Statistic` or `ExtendedStatistic`.
    """

    name: str
    statistic: str
    unit: Literal["Count", "Microseconds"]
    namespace: str = "AWS/SageMaker"


INVOCATIONS = Metric("Invocations", "Sum", "Count")
"""Requests to a variant."""

MODEL_ERRORS = Metric("InvocationModelErrors", "Sum", "Count")
"""Requests that the container did not answer with 2xx."""

SERVER_ERRORS = Metric("Invocation5XXErrors", "Sum", "Count")
"""Requests that were answered with 5xx."""

MODEL_LATENCY = Metric("ModelLatency", "p99", "Microseconds")
"""The time until the container answers."""

OVERHEAD_LATENCY = Metric("OverheadLatency", "p99", "Microseconds")
"""What SageMaker adds to it."""

IN_MICROSECONDS = tuple(
    metric.name
    for metric in (INVOCATIONS, MODEL_ERRORS, SERVER_ERRORS, MODEL_LATENCY, OVERHEAD_LATENCY)
    if metric.unit == "Microseconds"
)
"""Names of the metrics that people read in milliseconds."""

STOP_RELEASE = Metric("StopRelease", "Maximum", "Count", namespace="triton-sagemaker")
"""The metric of the alarm that stops a release. Nothing publishes it."""


def dimensions(endpoint: T, variant: T | None = None, configuration: T | None = None) -> dict[str, T]:
    """The dimensions of a variant, and of one fleet of it if the endpoint configuration is given."""
    given = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": configuration}
    return {name: value for name, value in given.items() if value is not None}
