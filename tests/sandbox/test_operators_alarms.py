"""Every alarm for operators, as the program registers it, goes to ALARM and back on the sandbox's CloudWatch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache

import pytest

from infra.aws.metrics import WATCHED
from sandbox.aws.cloudwatch import backend_of
from tests.infra.mock_runtime import Deployment, changed, changed_endpoint
from tests.sandbox.conftest import ACCOUNT, REGION, Host, RunningAws
from tests.sandbox.test_provider import ALARM, Engine

MINUTE = 60
HOUR = 60 * MINUTE

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


class Watched:
    """An alarm, and minutes that pass one after the other, each as soon as a test wants it to."""

    _now = time.time()
    """The tests have hours of their own, in which no other test has published anything."""

    def __init__(self, engine: Engine, host: Host, endpoint: str, purpose: str) -> None:
        self._cloudwatch = host.aws.client("cloudwatch")
        self._inputs = registered(endpoint).one(":MetricAlarm", f"{endpoint}-{purpose}").inputs
        engine.create(ALARM, self._inputs)
        Watched._now += HOUR

    def publish(self, values: Values) -> None:
        """Publish values of the metrics that the alarm watches, with the dimensions that it watches them with."""
        queries = self._inputs.get("metricQueries", ())
        for metric in [query["metric"] for query in queries if "metric" in query] or [self._inputs]:
            if (name := metric["metricName"]) in values:
                dimensions = [{"Name": key, "Value": value} for key, value in metric["dimensions"].items()]
                datum = {"MetricName": name, "Dimensions": dimensions, "Values": values[name]}
                timed = datum | {"Timestamp": datetime.fromtimestamp(Watched._now, UTC)}
                self._cloudwatch.put_metric_data(Namespace=metric["namespace"], MetricData=[timed])

    def after_a_minute(self, values: Values) -> str:
        """Its state after a minute in which values are published."""
        self.publish(values)
        Watched._now += MINUTE
        backend, name = backend_of(ACCOUNT, REGION), self._inputs["name"]
        backend.evaluate(backend.alarms[name], Watched._now, 1)
        return str(self._cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    def becomes(self, state: str, values: Values) -> bool:
        """Whether it gets into a state within an hour in which values are published each minute."""
        return any(self.after_a_minute(values) == state for _ in range(60))


@pytest.mark.parametrize(("endpoint", "purpose", "bad", "good"), CASES)
def test_an_alarm_fires_and_recovers(
    engine: Engine, scripted_host: Host, endpoint: str, purpose: str, bad: Values, good: Values
) -> None:
    alarm = Watched(engine, scripted_host, endpoint, purpose)
    assert alarm.becomes("ALARM", bad)
    assert alarm.becomes("OK", good)


def test_a_release_without_a_sign_of_life_is_stuck_until_it_ends(engine: Engine, scripted_host: Host) -> None:
    alarm = Watched(engine, scripted_host, REAL_TIME, "release-stuck")
    alive = {alarm.after_a_minute({"ReleaseInProgress": [1]}) for _ in range(25)}
    assert "ALARM" not in alive
    assert alarm.becomes("ALARM", {})
    assert alarm.becomes("OK", {"ReleaseInProgress": [0]})


@pytest.mark.parametrize("minutes", [0, 1])
def test_a_release_that_ended_is_not_stuck(engine: Engine, scripted_host: Host, minutes: int) -> None:
    alarm = Watched(engine, scripted_host, QUEUE, "release-stuck")
    alarm.publish({"ReleaseInProgress": [1]})
    for _ in range(minutes):
        alarm.after_a_minute({})
    alarm.publish({"ReleaseInProgress": [0]})
    assert not alarm.becomes("ALARM", {})


def test_a_failed_release_fires_once_although_its_values_have_a_gap(engine: Engine, scripted_host: Host) -> None:
    alarm = Watched(engine, scripted_host, REAL_TIME, "release-failed")
    assert alarm.becomes("ALARM", {"ReleaseFailed": [1]})
    assert [alarm.after_a_minute({}) for _ in range(4)] == ["ALARM"] * 4
    assert alarm.becomes("OK", {})
