"""Every alarm for operators, as the program registers it, goes to ALARM and back on the sandbox's CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from infra.aws.metrics import WATCHED
from tests.infra.mock_runtime import Deployment, changed, changed_endpoint
from tests.sandbox.conftest import Host, RunningAws
from tests.sandbox.test_provider import ALARM, Engine

SPEED = 400
"""A minute passes in 0.15 s."""

Values = Mapping[str, list[float]]
"""By metric, what is published at once."""

SHORT = {"saturationMinutes": 3, "noTrafficMinutes": 3, "failedRelease": True}
RATES = {"errorRatePercent": 5, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 500}
UTILIZATION = {
    f"{what}UtilizationPercent": 90.0 for what in ("cpu", "gpu", "gpuMemory", "memory", "disk")
}  # of 4 GPUs and 48 vCPUs


@cache
def registered(endpoint: str) -> Deployment:
    """The program's resources with all alarms on an endpoint."""
    match endpoint:
        case "iris-asynchronous":
            queue = {"ageOfOldestRequestSeconds": 600, "backlogSize": 100, "scalingLimitMinutes": 3}
            return changed_endpoint("modes", endpoint, alarms=SHORT | RATES | queue)
        case "iris-serverless":
            limits = {"concurrencyUtilizationPercent": 90, "p99ModelSetupTimeMilliseconds": 30_000}
            return changed_endpoint("modes", endpoint, alarms=SHORT | RATES | limits | {"memoryUtilizationPercent": 90})
        case _:
            alarms = SHORT | RATES | UTILIZATION | {"scalingLimitMinutes": 3}
            return changed("prod", {"instanceType": "ml.g5.12xlarge", "alarms": alarms})


REAL_TIME, QUEUE, SERVERLESS = "sagemaker-endpoint", "iris-asynchronous", "iris-serverless"

CASES: list[tuple[str, str, Values, Values]] = [
    (REAL_TIME, "error-rate", {"InvocationModelErrors": [1], "Invocations": [10]}, {"Invocations": [10]}),
    (REAL_TIME, "server-error-rate", {"Invocation5XXErrors": [1], "Invocations": [10]}, {"Invocations": [10]}),
    (REAL_TIME, "p99-model-latency", {"ModelLatency": [600_000]}, {"ModelLatency": [400_000]}),
    (REAL_TIME, "cpu-utilization", {"CPUUtilization": [4700]}, {"CPUUtilization": [400]}),
    (REAL_TIME, "gpu-utilization", {"GPUUtilization": [380]}, {"GPUUtilization": [95]}),
    (REAL_TIME, "gpumemory-utilization", {"GPUMemoryUtilization": [380]}, {"GPUMemoryUtilization": [95]}),
    (REAL_TIME, "memory-utilization", {"MemoryUtilization": [10, 95]}, {"MemoryUtilization": [10]}),
    (REAL_TIME, "disk-utilization", {"DiskUtilization": [95]}, {"DiskUtilization": [50]}),
    (REAL_TIME, "no-traffic", {"CPUUtilization": [1]}, {"CPUUtilization": [1], "Invocations": [1]}),
    (
        REAL_TIME,
        "scaling-limit",
        {"CPUUtilization": [1] * 10, "InvocationsPerInstance": [80]},
        {"CPUUtilization": [1] * 9, "InvocationsPerInstance": [80]},
    ),
    (REAL_TIME, "release-failed", {"ReleaseFailed": [1]}, {"ReleaseFailed": [0]}),
    (QUEUE, "error-rate", {"InvocationFailures": [1], "InvocationsProcessed": [10]}, {"InvocationsProcessed": [10]}),
    (QUEUE, "age-of-oldest-request", {"ApproximateAgeOfOldestRequest": [700]}, {"ApproximateAgeOfOldestRequest": [7]}),
    (QUEUE, "backlog", {"ApproximateBacklogSize": [101]}, {"ApproximateBacklogSize": [100]}),
    (QUEUE, "no-traffic", {"CPUUtilization": [1]}, {}),  # at zero instances
    (QUEUE, "no-traffic", {"CPUUtilization": [1]}, {"CPUUtilization": [1], "InvocationFailures": [1]}),
    (
        QUEUE,
        "scaling-limit",
        {"CPUUtilization": [1] * 5, "ApproximateBacklogSizePerInstance": [6]},
        {"CPUUtilization": [1] * 5, "ApproximateBacklogSizePerInstance": [4]},
    ),
    (SERVERLESS, "error-rate", {"Invocation4XXErrors": [1], "Invocations": [10]}, {"Invocations": [10]}),
    (SERVERLESS, "memory-utilization", {"MemoryUtilization": [95]}, {"MemoryUtilization": [50]}),
    (SERVERLESS, "no-traffic", {}, {"Invocations": [1]}),
    (
        SERVERLESS,
        "concurrency-utilization",
        {"ServerlessConcurrentExecutionsUtilization": [0.95]},
        {"ServerlessConcurrentExecutionsUtilization": [0.5]},
    ),
    (SERVERLESS, "p99-model-setup-time", {"ModelSetupTime": [40e6]}, {"ModelSetupTime": [1e6]}),
]


def test_every_purpose_is_among_the_cases() -> None:
    assert {purpose for _, purpose, _, _ in CASES} | {"release-stuck"} == {*WATCHED, "release-failed", "release-stuck"}


@pytest.fixture(scope="module")
def engine(scripted_aws: RunningAws) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", scripted_aws.url)
        patch.setenv("AWS_ACCESS_KEY_ID", scripted_aws.access_key.id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", scripted_aws.access_key.secret)
        patch.delenv("AWS_PROFILE", raising=False)
        yield Engine()


@pytest.fixture
def fast(scripted_host: Host) -> Host:
    scripted_host.aws.impose(timeFactor=SPEED)
    return scripted_host


def put(engine: Engine, endpoint: str, purpose: str) -> dict[str, Any]:
    """The inputs of the alarm of a purpose, which now exists."""
    inputs = registered(endpoint).one(":MetricAlarm", f"{endpoint}-{purpose}").inputs
    engine.create(ALARM, inputs)
    return inputs


def state(host: Host, name: str) -> str:
    return str(host.aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])


def publishing(host: Host, inputs: Mapping[str, Any], values: Values) -> Callable[[], None]:
    """Publishes values of the metrics that an alarm watches, with the dimensions that it watches them with."""
    queries = [query["metric"] for query in inputs.get("metricQueries", ()) if "metric" in query] or [inputs]
    cloudwatch = host.aws.client("cloudwatch")
    data = [
        (
            metric["namespace"],
            {
                "MetricName": metric["metricName"],
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric["dimensions"].items()],
                "Values": values[metric["metricName"]],
            },
        )
        for metric in queries
        if metric["metricName"] in values
    ]

    def publish() -> None:
        for namespace, datum in data:
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])

    return publish


def becomes(host: Host, name: str, wanted: str, publish: Callable[[], None]) -> None:
    end = time.monotonic() + 60
    while state(host, name) != wanted:
        assert time.monotonic() < end, (name, wanted, state(host, name))
        publish()
        time.sleep(0.03)


@pytest.mark.parametrize(("endpoint", "purpose", "bad", "good"), CASES)
def test_an_alarm_fires_and_recovers(
    engine: Engine, fast: Host, endpoint: str, purpose: str, bad: Values, good: Values
) -> None:
    inputs = put(engine, endpoint, purpose)
    becomes(fast, inputs["name"], "ALARM", publishing(fast, inputs, bad))
    becomes(fast, inputs["name"], "OK", publishing(fast, inputs, good))


def test_a_release_without_a_sign_of_life_is_stuck_until_it_ends(engine: Engine, fast: Host) -> None:
    inputs = put(engine, REAL_TIME, "release-stuck")
    name = inputs["name"]
    alive = publishing(fast, inputs, {"ReleaseInProgress": [1]})
    end = time.monotonic() + 25 * 60 / SPEED
    while time.monotonic() < end:
        alive()
        time.sleep(0.1)
        assert state(fast, name) != "ALARM", "the release is alive"
    becomes(fast, name, "ALARM", lambda: None)
    becomes(fast, name, "OK", publishing(fast, inputs, {"ReleaseInProgress": [0]}))


def test_a_release_that_ended_is_not_stuck(engine: Engine, fast: Host) -> None:
    inputs = put(engine, QUEUE, "release-stuck")
    publishing(fast, inputs, {"ReleaseInProgress": [1]})()
    publishing(fast, inputs, {"ReleaseInProgress": [0]})()
    end = time.monotonic() + 25 * 60 / SPEED
    while time.monotonic() < end:
        assert state(fast, inputs["name"]) != "ALARM"
        time.sleep(0.1)


def test_a_failed_release_fires_once_although_its_values_have_a_gap(engine: Engine, scripted_host: Host) -> None:
    scripted_host.aws.impose(timeFactor=30)
    name = (inputs := put(engine, REAL_TIME, "release-failed"))["name"]
    becomes(scripted_host, name, "ALARM", publishing(scripted_host, inputs, {"ReleaseFailed": [1]}))
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert state(scripted_host, name) == "ALARM", "four minutes of AWS's time are a gap"
        time.sleep(0.1)
