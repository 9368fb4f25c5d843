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


def test_the_stop_alarm_keeps_a_forced_state() -> None:
    configuration, opts = pulumi.Output.from_input("iris-1a2b3c4"), pulumi.ResourceOptions()
    alarm = registered(lambda: stop_alarm("iris", configuration, TAGS, opts)).one(":MetricAlarm").inputs
    assert (alarm["name"], alarm["treatMissingData"], alarm["tags"]) == ("iris-1a2b3c4-stop", "ignore", TAGS)
    assert alarm["dimensions"] == {"EndpointName": "iris", "EndpointConfigName": "iris-1a2b3c4"}
    assert alarm["namespace"] == "triton-sagemaker", "where nothing publishes"
