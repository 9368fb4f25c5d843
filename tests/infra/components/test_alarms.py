"""Alarms as the engine is asked for them."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pytest

from infra.components.alarms import StopAlarmArgs, VariantAlarms, VariantAlarmsArgs, stop_alarm
from infra.settings.alarms import AlarmSettings
from tests.infra.mock_runtime import Registered, registered

SETTINGS = AlarmSettings.model_validate({"errorRatePercent": 5, "p99ModelLatencyMilliseconds": 500})
TAGS = {"CostEnv": "dev"}


def variant_alarms(variant: str, configuration: str | None = None, notify: Sequence[str] = ()) -> list[Registered]:
    args = VariantAlarmsArgs("iris", variant, configuration, SETTINGS, TAGS, notify=notify)
    alarms = registered(lambda: VariantAlarms("component", args)).all(":MetricAlarm")
    return sorted(alarms, key=lambda alarm: alarm.name)


def made() -> Registered:
    args = StopAlarmArgs("iris", pulumi.Output.from_input("iris-1a2b3c4"), TAGS)
    return registered(lambda: stop_alarm("iris", args, pulumi.ResourceOptions())).one(":MetricAlarm")


@pytest.mark.parametrize(
    ("variant", "configuration", "names"),
    [
        ("AllTraffic", None, ["iris-error-rate", "iris-p99-model-latency"]),
        ("AllTraffic", "iris-1a2b3c4", ["iris-1a2b3c4-error-rate", "iris-1a2b3c4-p99-model-latency"]),
        ("canary", None, ["iris-canary-error-rate", "iris-canary-p99-model-latency"]),
        ("canary", "iris-1a2b3c4", ["iris-1a2b3c4-canary-error-rate", "iris-1a2b3c4-canary-p99-model-latency"]),
    ],
)
def test_alarms_of_one_variant_among_several_are_named_after_it(
    variant: str, configuration: str | None, names: list[str]
) -> None:
    alarms = variant_alarms(variant, configuration)
    assert [alarm.inputs["name"] for alarm in alarms] == names
    assert [alarm.name for alarm in alarms] == ["component-error-rate", "component-p99-model-latency"]


def test_people_hear_of_an_alarm_and_of_its_end() -> None:
    topic = "arn:aws:sns:ap-northeast-1:123456789012:pager"
    for alarm in variant_alarms("AllTraffic", notify=[topic]):
        assert alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == [topic]
    for alarm in variant_alarms("AllTraffic", "iris-1a2b3c4"):
        assert "alarmActions" not in alarm.inputs and "okActions" not in alarm.inputs


def test_the_stop_alarm_keeps_the_state_that_a_person_gives_it() -> None:
    alarm = made()
    assert alarm.inputs["name"] == "iris-1a2b3c4-stop"
    assert alarm.inputs["treatMissingData"] == "ignore"
    assert alarm.inputs["dimensions"] == {"EndpointName": "iris", "EndpointConfigName": "iris-1a2b3c4"}
    assert alarm.inputs["namespace"] == "triton-sagemaker", "where nobody publishes anything"
    assert alarm.inputs["tags"] == TAGS
