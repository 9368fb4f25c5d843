"""Alarms as the program registers them."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from infra.aws.metrics import WATCHED
from infra.aws.mode import Mode
from infra.components.alarms import VariantAlarms, VariantAlarmsArgs, stop_alarm
from infra.monitoring.alarms import composite_description, rollback_alarms
from infra.settings.alarms import AlarmSettings
from tests.infra.mock_runtime import Deployment, Registered, changed, changed_endpoint, registered, run

SETTINGS = AlarmSettings.model_validate(
    {"errorRatePercent": 5, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 500, "evaluationMinutes": 2}
)
TAGS = {"CostEnv": "dev"}
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:pager"


def alarms(variant: str, configuration: str | None = None) -> dict[str, Registered]:
    """By the end of their names."""
    args = VariantAlarmsArgs("iris", variant, configuration, rollback_alarms(SETTINGS, Mode.REAL_TIME), TAGS)
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
        ("AllTraffic", None, "iris/"),
        ("AllTraffic", "iris-1a2b3c4", "iris-1a2b3c4-"),
        ("canary", None, "iris-canary/"),
        ("canary", "iris-1a2b3c4", "iris-1a2b3c4-canary-"),
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
        assert alarm.inputs["name"] == f"{watches}{purpose}"
        assert alarm.inputs["treatMissingData"] == "notBreaching"
        assert all(each == dimensions for each in watched(alarm.inputs))
        assert not alarm.inputs.keys() & {"alarmActions", "okActions"}, "the composite alarm notifies"


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


ENDPOINTS = {Mode.ASYNCHRONOUS: "iris-asynchronous", Mode.SERVERLESS: "iris-serverless"}


def of_endpoint(deployment: Deployment, endpoint: str) -> dict[str, dict[str, Any]]:
    """The inputs of the alarms for operators, by the end of their names."""
    created = deployment.all(":MetricAlarm")
    starts = (f"{endpoint}-rollback-", f"{endpoint}-stop", f"{endpoint}-backlog-without")
    return {
        alarm.name.removeprefix(f"{endpoint}-"): alarm.inputs
        for alarm in created
        if alarm.name.startswith(f"{endpoint}-") and not alarm.name.startswith(starts)
    }


def of_mode(mode: Mode, **alarms: Any) -> dict[str, dict[str, Any]]:
    """The same in a mode."""
    endpoint = ENDPOINTS[mode]
    return of_endpoint(changed_endpoint("modes", endpoint, alarms=OF_MODE[mode] | alarms), endpoint)


def on_fleet(mode: Mode) -> dict[str, dict[str, Any]]:
    """The inputs of the alarms that roll a release back."""
    settings = AlarmSettings.model_validate(OF_MODE[mode])
    args = VariantAlarmsArgs("iris", "AllTraffic", "iris-1a2b3c4", rollback_alarms(settings, mode), TAGS)
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
    assert [alarm["dimensions"] for alarm in queue.values()] == [{"EndpointName": "iris-asynchronous"}] * 2


def test_the_queue_rolls_no_release_back_and_its_rates_watch_both_fleets() -> None:
    created = on_fleet(Mode.ASYNCHRONOUS)
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
    assert on_fleet(Mode.SERVERLESS) == {}, "no alarm rolls it back"


def test_the_stop_alarm_keeps_a_forced_state() -> None:
    configuration, opts = pulumi.Output.from_input("iris-1a2b3c4"), pulumi.ResourceOptions()
    alarm = registered(lambda: stop_alarm("iris", configuration, TAGS, opts)).one(":MetricAlarm").inputs
    assert (alarm["name"], alarm["treatMissingData"], alarm["tags"]) == ("iris-1a2b3c4-stop", "ignore", TAGS)
    assert alarm["dimensions"] == {"EndpointName": "iris", "EndpointConfigName": "iris-1a2b3c4"}
    assert alarm["namespace"] == "triton-sagemaker", "where nothing publishes"


def expression(alarm: dict[str, Any]) -> str:
    return str(alarm["metricQueries"][0]["expression"])


PRODUCTION = {"cpu-utilization", "memory-utilization", "disk-utilization", "scaling-limit"}
PRODUCTION |= {"release-failed", "release-stuck"}
"""What an autoscaled real-time endpoint on CPUs has in production where nobody set a threshold."""


def test_production_has_alarms_where_no_threshold_is_set() -> None:
    existing = {"error-rate", "server-error-rate", "p99-model-latency"}
    assert {*of_endpoint(run("prod"), "sagemaker-endpoint")} == existing | PRODUCTION
    assert of_endpoint(run("dev"), "iris-dev") == {}


def test_a_default_can_be_turned_off_and_replaced() -> None:
    alarms = {
        "errorRatePercent": 5,
        "cpuUtilizationPercent": None,
        "diskUtilizationPercent": 60,
        "failedRelease": False,
    }
    created = of_endpoint(changed("prod", endpoint={"alarms": alarms}), "sagemaker-endpoint")
    assert {*created} == {"error-rate", "memory-utilization", "disk-utilization", "scaling-limit"}
    assert created["disk-utilization"]["threshold"] == 60


def test_utilization_is_of_all_cores_and_gpus() -> None:
    created = of_endpoint(changed("prod", endpoint={"instanceType": "ml.g5.12xlarge"}), "sagemaker-endpoint")
    of = {"cpu-utilization": "sum / 48", "gpu-utilization": "sum / 4", "gpumemory-utilization": "sum / 4"}
    assert {purpose: expression(created[purpose]) for purpose in of} == of
    assert created["memory-utilization"]["namespace"] == "/aws/sagemaker/Endpoints"
    assert all(created[purpose]["evaluationPeriods"] == 10 for purpose in of), "saturationMinutes"
    dimensions = {"EndpointName": "sagemaker-endpoint", "VariantName": "AllTraffic"}
    assert all(watched(created[purpose]) == [dimensions] for purpose in of)


def test_the_scaling_limit_is_reached_with_more_load_than_the_target() -> None:
    limit = of_endpoint(run("prod"), "sagemaker-endpoint")["scaling-limit"]
    assert (expression(limit), limit["threshold"], limit["evaluationPeriods"]) == (
        "IF(instances >= 10, load, 0)",
        70,
        30,
    )
    load, instances = (query["metric"] for query in limit["metricQueries"][1:])
    assert (load["metricName"], instances["metricName"], instances["stat"]) == (
        "InvocationsPerInstance",
        "CPUUtilization",
        "SampleCount",
    )
    queue = of_mode(Mode.ASYNCHRONOUS, scalingLimitMinutes=5)["scaling-limit"]
    assert (queue["metricQueries"][1]["metric"]["metricName"], queue["threshold"]) == (
        "ApproximateBacklogSizePerInstance",
        5,
    )
    assert [dimensions.keys() for dimensions in watched(queue)] == [{"EndpointName"}, {"EndpointName", "VariantName"}]


def test_an_endpoint_without_instances_does_not_count_as_one_without_traffic() -> None:
    queue = of_mode(Mode.ASYNCHRONOUS, noTrafficMinutes=60)["no-traffic"]
    assert expression(queue) == "SUM([invocations, invocations2, invocations3, 0 * instances])"
    assert (queue["comparisonOperator"], queue["threshold"], queue["treatMissingData"]) == (
        "LessThanThreshold",
        1,
        "notBreaching",
    )
    serverless = of_mode(Mode.SERVERLESS, noTrafficMinutes=60)["no-traffic"]
    assert (serverless["metricName"], serverless["treatMissingData"]) == ("Invocations", "breaching")
    assert serverless["warmUpConfiguration"] == {"warmUpPeriodDurationInMinutes": 60}, "a new one has no data yet"


def test_a_release_whose_deployment_was_killed_is_seen() -> None:
    created = of_endpoint(run("prod"), "sagemaker-endpoint")
    stuck = created["release-stuck"]
    assert expression(stuck) == "FILL(progress, REPEAT) - FILL(progress, 0)"
    assert (stuck["datapointsToAlarm"], stuck["evaluationPeriods"]) == (15, 20)
    of_releases = [watched(created[end]) for end in ("release-failed", "release-stuck")]
    assert of_releases == [[{"EndpointName": "sagemaker-endpoint"}]] * 2
    assert run("prod").one("dynamic/infra:Endpoint").inputs["publishMetrics"]
    assert not run("dev").one("dynamic/infra:Endpoint").inputs["publishMetrics"]


NOTIFIED: dict[str, Any] = {
    "notifications": {"topicArn": TOPIC},
    "monitoring": {"runbookUrl": "https://wiki.example.com/triton"},
}


def test_only_the_composite_alarm_notifies() -> None:
    deployment = changed("prod", None, None, **NOTIFIED)
    assert not any(alarm.inputs.keys() & {"alarmActions", "okActions"} for alarm in deployment.all(":MetricAlarm"))
    composite = deployment.one(":CompositeAlarm").inputs
    assert (composite["alarmName"], composite["tags"]) == (
        "sagemaker-endpoint/health",
        run("prod").one(":Role").inputs["tags"],
    )
    assert (composite["alarmActions"], composite["okActions"]) == ([TOPIC], [TOPIC])
    children = {f'ALARM("sagemaker-endpoint/{end}")' for end in of_endpoint(deployment, "sagemaker-endpoint")}
    assert {*composite["alarmRule"].split(" OR ")} == children
    assert run("prod").all(":CompositeAlarm") == [], "nobody to notify"


def test_descriptions_have_the_next_command_and_the_runbook() -> None:
    deployment = changed("prod", None, None, **NOTIFIED)
    created = of_endpoint(deployment, "sagemaker-endpoint")
    for purpose, command in {
        "error-rate": "python -m infra logs -s prod sagemaker-endpoint",
        "cpu-utilization": "python -m infra status -s prod sagemaker-endpoint",
        "release-failed": "python -m infra release status -s prod sagemaker-endpoint",
    }.items():
        assert created[purpose]["alarmDescription"].endswith(
            f"Next: {command} Runbook: https://wiki.example.com/triton#{purpose}"
        )
    described = deployment.one(":CompositeAlarm").inputs["alarmDescription"]
    for command in ("logs", "release status", "status"):
        assert f"python -m infra {command} -s prod sagemaker-endpoint" in described
    assert "error-rate, server-error-rate: python -m infra logs" in described
    assert "https://wiki.example.com/triton" in described


def test_the_longest_description_fits() -> None:
    described = composite_description(
        [*WATCHED, "release-failed", "release-stuck"], "s" * 100, "e" * 55, "https://" + "x" * 242
    )
    assert len(described) <= 1024


def test_subscriptions_create_the_topic() -> None:
    pager = {"protocol": "https", "endpoint": "https://pager.example.com/x"}
    team = {"protocol": "email", "endpoint": "team@example.com", "receives": ["alarms", "releases"]}
    deployment = changed("prod", notifications={"subscriptions": [pager, team]})
    topic = deployment.one(":Topic")
    arn = f"arn:aws:mock:ap-northeast-1:123456789012:{topic.name}"
    assert topic.name == "notifications-prod"
    assert deployment.one(":CompositeAlarm").inputs["alarmActions"] == [arn]
    assert deployment.one("dynamic/infra:Endpoint").inputs["notificationTopicArn"] == arn
    subscribed = {one.inputs["protocol"]: one.inputs for one in deployment.all(":TopicSubscription")}
    assert {one["topic"] for one in subscribed.values()} == {arn}
    https = subscribed["https"]
    assert (https["filterPolicyScope"], https["filterPolicy"]) == ("MessageBody", '{"AlarmName":[{"exists":true}]}')
    assert "filterPolicy" not in subscribed["email"]
    printed = [one.urn for one in deployment.all(":TopicSubscription")]
    assert [urn for urn in printed if "example.com" in urn] == [], "the engine prints it in every log"


def test_freeze_windows_silence_the_composite_alarms_if_wanted() -> None:
    window = {"schedule": "0 18 * * 5", "durationMinutes": 3750, "timeZone": "Asia/Tokyo", "reason": "weekend"}
    silent = {"muteInFreezeWindows": True}
    deployment = changed("prod", freezeWindows=[window], notifications={"topicArn": TOPIC}, monitoring=silent)
    rule = deployment.one(":AlarmMuteRule")
    assert rule.name == "freeze-windows-prod-0"
    assert rule.inputs["rule"]["schedule"] == {
        "expression": "cron(0 18 * * FRI)",
        "duration": "P2DT14H30M",
        "timezone": "Asia/Tokyo",
    }
    assert rule.inputs["muteTargets"] == {"alarmNames": ["sagemaker-endpoint/health"]}
    loud = changed("prod", freezeWindows=[window], notifications={"topicArn": TOPIC})
    assert loud.all(":AlarmMuteRule") == []
