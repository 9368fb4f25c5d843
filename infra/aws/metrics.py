"""The CloudWatch metrics that alarms, autoscaling, releases and `release status` read, and which modes publish them.

Sources: SageMaker guide, "Amazon SageMaker AI metrics in Amazon CloudWatch" (real time), "Monitor an asynchronous
endpoint" and "Alarms and logs for tracking metrics from serverless endpoints"; the last two lists are exhaustive: "any
metric not listed below is not published". So asynchronous endpoints publish neither `Invocations` nor
`InvocationModelErrors`, and serverless ones publish no `InvocationModelErrors`. The list of asynchronous endpoints is
that of the namespace AWS/SageMaker; their instances have metrics too ("Troubleshooting" of asynchronous inference).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from infra import names
from infra.aws import hardware
from infra.aws.mode import Mode

T = TypeVar("T")

PERIOD_SECONDS = 60
"""SageMaker publishes the metrics of an endpoint once a minute."""

Unit = Literal["Count", "Microseconds", "Seconds", "Fraction", "Percent"]

Scope = Literal["endpoint", "variant", "fleet"]
"""The dimensions that a metric is published with: `EndpointName`; `VariantName` too; or, of the fleet of a release,
`EndpointConfigName` too (SageMaker guide, Auto-Rollback Configuration and Monitoring)."""

_SCOPES: tuple[Scope, ...] = ("endpoint", "variant", "fleet")


def dimensions(
    endpoint: T, variant: T | None = None, configuration: T | None = None, scope: Scope = "fleet"
) -> dict[str, T]:
    """The dimensions of a variant, and of one fleet of it if the endpoint configuration is given, as far as metrics of
    a scope have them."""
    given = {"EndpointName": endpoint, "VariantName": variant, "EndpointConfigName": configuration}
    published = [*given][: _SCOPES.index(scope) + 1]
    return {name: value for name in published if (value := given[name]) is not None}


def for_api(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    """Dimensions as CloudWatch's API accepts them."""
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


@dataclass(frozen=True)
class Metric:
    """A metric with the statistic that describes it.

    Attributes:
        statistic: as CloudWatch's `Statistic` or `ExtendedStatistic`.
        modes: the modes that publish it.
        sum_over: the devices of an instance whose percentages are added: on 4 vCPUs the maximum is 400.
    """

    name: str
    statistic: str
    unit: Unit
    modes: frozenset[Mode]
    scope: Scope = "fleet"
    namespace: str = "AWS/SageMaker"
    sum_over: Literal["vCPU", "GPU"] | None = None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (self,)

    def identity(self, dimensions: Mapping[str, str]) -> dict[str, Any]:
        """The metric with these dimensions as CloudWatch's API identifies it."""
        return {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": for_api(dimensions)}

    def divisor(self, instance_type: str) -> int:
        """What the value is divided by for a percentage of the whole instance; 0 if the type has no such device.
        `CPUUtilizationNormalized` and its like are published only for inference components (SageMaker guide, metrics of
        endpoints)."""
        if self.sum_over is None:
            return 1
        return hardware.gpus(instance_type) if self.sum_over == "GPU" else hardware.vcpus(instance_type)


@dataclass(frozen=True)
class Rate:
    """Errors in percent of the requests.

    Attributes:
        requests: metrics that count the requests; the largest of them and of the errors is taken.
    """

    errors: tuple[Metric, ...]
    requests: tuple[Metric, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*self.errors, *self.requests)

    @property
    def scope(self) -> Scope:
        """The dimensions that all of the metrics have."""
        return min((metric.scope for metric in self.metrics), key=_SCOPES.index)

    @property
    def counted(self) -> tuple[Metric, ...]:
        """The metrics of which the largest is the number of requests."""
        return self.requests if len(self.requests) == 1 else (*self.requests, *self.errors)

    @property
    def label(self) -> str:
        """The rate in words."""
        return f"{' + '.join(metric.name for metric in self.errors)} in percent of {self.requests[0].name}"


@dataclass(frozen=True)
class NoTraffic:
    """No requests.

    Attributes:
        requests: metrics that count them; all are 0, or without data, only if none arrived.
        instances: their number, if the mode has any: without instances there is no traffic to expect.
    """

    requests: tuple[Metric, ...]
    instances: Metric | None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (*self.requests, *filter(None, [self.instances]))


@dataclass(frozen=True)
class ScalingLimit:
    """The load of each instance while the fleet has its maximum size."""

    load: Metric
    instances: Metric

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.load, self.instances


Watched = Metric | Rate | NoTraffic | ScalingLimit


_INSTANCES = frozenset({Mode.REAL_TIME, Mode.ASYNCHRONOUS})
_SYNCHRONOUS = frozenset({Mode.REAL_TIME, Mode.SERVERLESS})
_ENDPOINTS = _INSTANCES | _SYNCHRONOUS
_ASYNCHRONOUS, _SERVERLESS = frozenset({Mode.ASYNCHRONOUS}), frozenset({Mode.SERVERLESS})

INVOCATIONS = Metric("Invocations", "Sum", "Count", _SYNCHRONOUS)
"""Requests to a variant."""

INVOCATIONS_PER_INSTANCE = Metric("InvocationsPerInstance", "Sum", "Count", frozenset({Mode.REAL_TIME}))
"""The same divided by the number of instances."""

MODEL_ERRORS = Metric("InvocationModelErrors", "Sum", "Count", frozenset({Mode.REAL_TIME}))
"""Requests that the container did not answer with 2xx."""

CLIENT_ERRORS = Metric("Invocation4XXErrors", "Sum", "Count", _ENDPOINTS)
"""Requests that were answered with 4xx."""

SERVER_ERRORS = Metric("Invocation5XXErrors", "Sum", "Count", _ENDPOINTS)
"""Requests that were answered with 5xx."""

MODEL_LATENCY = Metric("ModelLatency", "p99", "Microseconds", _ENDPOINTS)
"""The time until the container answers."""

OVERHEAD_LATENCY = Metric("OverheadLatency", "p99", "Microseconds", _SYNCHRONOUS)
"""What SageMaker adds to it; of a serverless endpoint with the cold start."""

PROCESSED = Metric("InvocationsProcessed", "Sum", "Count", _ASYNCHRONOUS, "variant")
"""Requests that an asynchronous variant has processed, as CloudWatch names the metric (recorded against AWS in
https://github.com/cloud-custodian/cloud-custodian/pull/11078)."""

PROCESSED_IN_GUIDE = Metric("InvocationsProcesssed", "Sum", "Count", _ASYNCHRONOUS, "variant")
"""The same as the SageMaker guide spells it; only one of the two has data."""

INVOCATION_FAILURES = Metric("InvocationFailures", "Sum", "Count", _ASYNCHRONOUS, "variant")
"""Asynchronous requests that failed for any reason: the container, the download of the input or the upload of the
answer."""

BACKLOG = Metric("ApproximateBacklogSize", "Maximum", "Count", _ASYNCHRONOUS, "endpoint")
"""Requests that wait or are being processed."""

BACKLOG_PER_INSTANCE = Metric("ApproximateBacklogSizePerInstance", "Average", "Count", _ASYNCHRONOUS, "endpoint")
"""The same divided by the number of instances."""

AGE_OF_OLDEST_REQUEST = Metric("ApproximateAgeOfOldestRequest", "Maximum", "Seconds", _ASYNCHRONOUS, "endpoint")
"""How long the oldest request has waited."""

BACKLOG_WITHOUT_CAPACITY = Metric("HasBacklogWithoutCapacity", "Average", "Count", _ASYNCHRONOUS, "endpoint")
"""1 while requests wait and the endpoint has no instance, else 0."""

CONCURRENCY_UTILIZATION = Metric("ServerlessConcurrentExecutionsUtilization", "Maximum", "Fraction", _SERVERLESS)
"""Concurrent requests divided by the maximum concurrency. At 1, further requests are throttled (429); SageMaker
publishes no count of them."""

PROVISIONED_CONCURRENCY_UTILIZATION = Metric(
    "ServerlessProvisionedConcurrencyUtilization", "Maximum", "Fraction", _SERVERLESS
)
"""Concurrent requests divided by the provisioned concurrency; published only if the variant has some."""

MODEL_SETUP_TIME = Metric("ModelSetupTime", "p99", "Microseconds", _SERVERLESS)
"""The time of a cold start: until new compute resources of a serverless endpoint are launched."""

CPU_UTILIZATION = Metric("CPUUtilization", "Average", "Percent", _INSTANCES, "variant", names.LOG_GROUPS, "vCPU")
"""How busy the vCPUs of an instance are, as the sum of their percentages."""

GPU_UTILIZATION = Metric("GPUUtilization", "Average", "Percent", _INSTANCES, "variant", names.LOG_GROUPS, "GPU")
"""How busy the GPUs of an instance are, as the sum of their percentages."""

GPU_MEMORY_UTILIZATION = Metric(
    "GPUMemoryUtilization", "Maximum", "Percent", _INSTANCES, "variant", names.LOG_GROUPS, "GPU"
)
"""How full the memory of the GPUs of an instance is, as the sum of their percentages."""

MEMORY_UTILIZATION = Metric("MemoryUtilization", "Maximum", "Percent", _ENDPOINTS, "variant", names.LOG_GROUPS)
"""How full the memory of an instance, or of a serverless container, is."""

DISK_UTILIZATION = Metric("DiskUtilization", "Maximum", "Percent", _INSTANCES, "variant", names.LOG_GROUPS)
"""How full the disk of an instance is. SageMaker stops data capture when it is nearly full."""

INSTANCES = Metric("CPUUtilization", "SampleCount", "Count", _INSTANCES, "variant", names.LOG_GROUPS)
"""The number of instances: each publishes CPUUtilization once a minute ("The count should be equal to the number of
active instances", SageMaker guide, "Troubleshooting" of asynchronous inference)."""

HOST = (CPU_UTILIZATION, GPU_UTILIZATION, GPU_MEMORY_UTILIZATION, MEMORY_UTILIZATION, DISK_UTILIZATION)
"""The utilization of instances and containers. Only `EndpointName` and `VariantName` are documented as dimensions."""

LATENCIES = (MODEL_LATENCY, OVERHEAD_LATENCY, MODEL_SETUP_TIME)
"""The metrics whose percentiles people look at."""

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")
"""Those that a metric stream sends of the latencies: up to five are billed as one more update of the metric (CloudWatch
User Guide, Statistics that can be streamed)."""

NAMESPACES = (INVOCATIONS.namespace, names.LOG_GROUPS)
"""The namespaces of endpoints: that of their requests, and that of their instances."""

IN_MICROSECONDS = tuple(metric.name for metric in LATENCIES)
"""Names of the metrics that people read in milliseconds."""

NAMESPACE = "triton-sagemaker"
"""The namespace of what this project itself publishes."""

STOP_RELEASE = Metric("StopRelease", "Maximum", "Count", frozenset(), namespace=NAMESPACE)
"""The metric of the alarm that stops a release. Nothing publishes it."""

RELEASE_FAILED = Metric("ReleaseFailed", "Maximum", "Count", _ENDPOINTS, "endpoint", NAMESPACE)
"""1 for a release that failed, 0 for one that succeeded."""

RELEASE_IN_PROGRESS = Metric("ReleaseInProgress", "Minimum", "Count", _ENDPOINTS, "endpoint", NAMESPACE)
"""1 while a release is in progress, 0 at its end, which only a `pulumi up` that was killed leaves out."""

REQUESTS: Mapping[Mode, tuple[Metric, ...]] = {
    Mode.REAL_TIME: (INVOCATIONS,),
    Mode.ASYNCHRONOUS: (PROCESSED, PROCESSED_IN_GUIDE),
    Mode.SERVERLESS: (INVOCATIONS,),
}
"""The metrics that count the requests to a variant; at most one of them has data."""

ERROR_RATES: Mapping[Mode, Rate] = {
    Mode.REAL_TIME: Rate((MODEL_ERRORS,), REQUESTS[Mode.REAL_TIME]),
    Mode.ASYNCHRONOUS: Rate((INVOCATION_FAILURES,), REQUESTS[Mode.ASYNCHRONOUS]),
    Mode.SERVERLESS: Rate((CLIENT_ERRORS, SERVER_ERRORS), REQUESTS[Mode.SERVERLESS]),
}

WATCHED: Mapping[str, Mapping[Mode, Watched]] = {
    names.ERROR_RATE: ERROR_RATES,
    names.SERVER_ERROR_RATE: {mode: Rate((SERVER_ERRORS,), requests) for mode, requests in REQUESTS.items()},
    names.P99_MODEL_LATENCY: dict.fromkeys(MODEL_LATENCY.modes, MODEL_LATENCY),
    names.AGE_OF_OLDEST_REQUEST: dict.fromkeys(AGE_OF_OLDEST_REQUEST.modes, AGE_OF_OLDEST_REQUEST),
    names.BACKLOG: dict.fromkeys(BACKLOG.modes, BACKLOG),
    names.CONCURRENCY_UTILIZATION: dict.fromkeys(CONCURRENCY_UTILIZATION.modes, CONCURRENCY_UTILIZATION),
    names.P99_MODEL_SETUP_TIME: dict.fromkeys(MODEL_SETUP_TIME.modes, MODEL_SETUP_TIME),
    names.CPU_UTILIZATION: dict.fromkeys(CPU_UTILIZATION.modes, CPU_UTILIZATION),
    names.GPU_UTILIZATION: dict.fromkeys(GPU_UTILIZATION.modes, GPU_UTILIZATION),
    names.GPU_MEMORY_UTILIZATION: dict.fromkeys(GPU_MEMORY_UTILIZATION.modes, GPU_MEMORY_UTILIZATION),
    names.MEMORY_UTILIZATION: dict.fromkeys(MEMORY_UTILIZATION.modes, MEMORY_UTILIZATION),
    names.DISK_UTILIZATION: dict.fromkeys(DISK_UTILIZATION.modes, DISK_UTILIZATION),
    names.NO_TRAFFIC: {
        mode: NoTraffic(rate.counted, INSTANCES if mode in INSTANCES.modes else None)
        for mode, rate in ERROR_RATES.items()
    },
    names.SCALING_LIMIT: {
        Mode.REAL_TIME: ScalingLimit(INVOCATIONS_PER_INSTANCE, INSTANCES),
        Mode.ASYNCHRONOUS: ScalingLimit(BACKLOG_PER_INSTANCE, INSTANCES),
    },
}
"""What the alarm of a purpose on a variant watches in each mode that publishes it; in any other mode it could never
fire."""

_ON_FLEETS = (names.ERROR_RATE, names.SERVER_ERROR_RATE, names.P99_MODEL_LATENCY)
"""The purposes of alarms that judge the model of a release; a queue or a busy host belongs to both fleets."""


def rolls_back(purpose: str, mode: Mode) -> bool:
    """Whether the alarm of a purpose can roll a release back: deployment guardrails apply to real-time and asynchronous
    endpoints only (SageMaker guide, Deployment guardrails)."""
    return mode in _INSTANCES and purpose in _ON_FLEETS
