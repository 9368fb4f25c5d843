"""Alarms as the program registers them."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from infra.aws.mode import Mode
from infra.components.alarms import VariantAlarms, VariantAlarmsArgs, stop_alarm
from infra.settings.alarms import AlarmSettings
from tests.infra.mock_runtime import Registered, registered

SETTINGS = AlarmSettings.model_validate(
    {"errorRatePercent": 5, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 500, "evaluationMinutes": 2}
)
TAGS = {"CostEnv": "dev"}
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:pager"


def alarms(variant: str, configuration: str | None = None) -> dict[str, Registered]:
    """By the end of their names."""
    notify = [] if configuration else [TOPIC]
    args = VariantAlarmsArgs("iris", variant, configuration, SETTINGS, Mode.REAL_TIME, TAGS, notify)
    resources = registered(lambda: VariantAlarms("component", args)).all(":MetricAlarm")
    return {resource.name.removeprefix("component-"): resource for resource in resources}


def watched(alarm: dict[str, Any]) -> list[dict[str, str]]:
    """The dimensions of every metric of an alarm."""
    if "metricQueries" in alarm:
        return [query["metric"]["dimensions"] for query in alarm["metricQueries"] if "metric" in query]
    return [alarm["dimensions"]]


@pytest.mark.parametrize(
    ("variant", "configuration", "watches"),
    [
        ("AllTraffic", None, "iris"),
        ("AllTraffic", "iris-1a2b3c4", "iris-1a2b3c4"),
        ("canary", None, "iris-canary"),
        ("canary", "iris-1a2b3c4", "iris-1a2b3c4-canary"),
    ],
)
def test_alarms_are_named_after_the_fleet_that_they_watch(
    variant: str, configuration: str | None, watches: str
) -> None:
    created = alarms(variant, configuration)
    assert {*created} == {"error-rate", "server-error-rate", "p99-model-latency"}
    dimensions = {"EndpointName": "iris", "VariantName": variant}
    dimensions |= {"EndpointConfigName": configuration} if configuration else {}
    for purpose, alarm in created.items():
        assert alarm.inputs["name"] == f"{watches}-{purpose}"
        assert alarm.inputs["treatMissingData"] == "notBreaching"
        assert all(each == dimensions for each in watched(alarm.inputs))
        topics = [] if configuration else [TOPIC]
        assert alarm.inputs.get("alarmActions", []) == alarm.inputs.get("okActions", []) == topics


def test_the_thresholds_are_in_the_units_of_cloudwatch() -> None:
    created = {purpose: alarm.inputs for purpose, alarm in alarms("AllTraffic").items()}
    rate = created["error-rate"]
    assert (rate["threshold"], rate["comparisonOperator"], rate["evaluationPeriods"]) == (5, "GreaterThanThreshold", 2)
    result, *counts = rate["metricQueries"]
    assert (result["expression"], result["returnData"]) == ("100 * errors / invocations", True)
    assert [(count["id"], count["metric"]["metricName"], count["metric"]["stat"]) for count in counts] == [
        ("errors", "InvocationModelErrors", "Sum"),
        ("invocations", "Invocations", "Sum"),
    ]
    server = created["server-error-rate"]
    assert (server["threshold"], server["metricQueries"][1]["metric"]["metricName"]) == (1, "Invocation5XXErrors")
    latency = created["p99-model-latency"]
    assert (latency["metricName"], latency["extendedStatistic"]) == ("ModelLatency", "p99")
    assert latency["threshold"] == 500_000, "microseconds"


OF_MODE: dict[Mode, dict[str, Any]] = {
    Mode.ASYNCHRONOUS: {"errorRatePercent": 5, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 500}
    | {"ageOfOldestRequestSeconds": 600, "backlogSize": 1000},
    Mode.SERVERLESS: {"errorRatePercent": 5, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 500}
    | {"concurrencyUtilizationPercent": 90, "p99ModelSetupTimeMilliseconds": 30_000},
}


def of_mode(mode: Mode, configuration: str | None = None) -> dict[str, dict[str, Any]]:
    """The inputs of the alarms in a mode, by the end of their names."""
    settings = AlarmSettings.model_validate(OF_MODE[mode])
    args = VariantAlarmsArgs("iris", "AllTraffic", configuration, settings, mode, TAGS)
    created = registered(lambda: VariantAlarms("component", args)).all(":MetricAlarm")
    return {resource.name.removeprefix("component-"): resource.inputs for resource in created}


def test_an_asynchronous_endpoint_is_watched_by_the_metrics_of_its_queue() -> None:
    created = of_mode(Mode.ASYNCHRONOUS)
    rate, *counts = created["error-rate"]["metricQueries"]
    assert rate["expression"] == "100 * errors / MAX([errors, invocations, invocations2])"
    names = [count["metric"]["metricName"] for count in counts]
    assert names == ["InvocationFailures", "InvocationsProcessed", "InvocationsProcesssed"]
    queue = {end: created[end] for end in ("age-of-oldest-request", "backlog")}
    assert {end: (alarm["metricName"], alarm["statistic"], alarm["threshold"]) for end, alarm in queue.items()} == {
        "age-of-oldest-request": ("ApproximateAgeOfOldestRequest", "Maximum", 600),
        "backlog": ("ApproximateBacklogSize", "Maximum", 1000),
    }
    assert [alarm["dimensions"] for alarm in queue.values()] == [{"EndpointName": "iris"}] * 2


def test_the_queue_rolls_no_release_back_and_its_rates_watch_both_fleets() -> None:
    created = of_mode(Mode.ASYNCHRONOUS, "iris-1a2b3c4")
    assert {*created} == {"error-rate", "server-error-rate", "p99-model-latency"}
    both = {"EndpointName": "iris", "VariantName": "AllTraffic"}
    for end in ("error-rate", "server-error-rate"):
        assert all(dimensions == both for dimensions in watched(created[end])), "published without EndpointConfigName"
    assert watched(created["p99-model-latency"]) == [both | {"EndpointConfigName": "iris-1a2b3c4"}]


def test_a_serverless_endpoint_is_watched_by_what_it_publishes() -> None:
    created = of_mode(Mode.SERVERLESS)
    rate, *counts = created["error-rate"]["metricQueries"]
    assert rate["expression"] == "100 * SUM([errors, errors2]) / invocations"
    names = [count["metric"]["metricName"] for count in counts]
    assert names == ["Invocation4XXErrors", "Invocation5XXErrors", "Invocations"]
    throttles, setup = created["concurrency-utilization"], created["p99-model-setup-time"]
    assert throttles["metricName"] == "ServerlessConcurrentExecutionsUtilization"
    assert throttles["threshold"] == pytest.approx(0.9), "a fraction"
    assert (setup["metricName"], setup["extendedStatistic"], setup["threshold"]) == ("ModelSetupTime", "p99", 30e6)
    assert of_mode(Mode.SERVERLESS, "iris-1a2b3c4") == {}, "no alarm rolls it back"


def test_the_stop_alarm_keeps_a_forced_state() -> None:
    configuration, opts = pulumi.Output.from_input("iris-1a2b3c4"), pulumi.ResourceOptions()
    alarm = registered(lambda: stop_alarm("iris", configuration, TAGS, opts)).one(":MetricAlarm").inputs
    assert (alarm["name"], alarm["treatMissingData"], alarm["tags"]) == ("iris-1a2b3c4-stop", "ignore", TAGS)
    assert alarm["dimensions"] == {"EndpointName": "iris", "EndpointConfigName": "iris-1a2b3c4"}
    assert alarm["namespace"] == "triton-sagemaker", "where nothing publishes"
