"""Alarms' values, asked of CloudWatch by what the alarms themselves watch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from infra.aws.errors import AwsRequestRefused
from infra.names import stop_alarm
from infra.release.alarms import AlarmReading, AlarmState, last_fired, names_of_configuration, readings, states
from infra.release.failure import ReleaseRefused
from infra.release.gates import require_ready
from tests.infra.release.fake_aws import state_update

DIMENSIONS = [{"Name": "EndpointName", "Value": "e"}]
LATENCY = {
    "AlarmName": "latency",
    "StateValue": "OK",
    "Namespace": "AWS/SageMaker",
    "MetricName": "ModelLatency",
    "Dimensions": DIMENSIONS,
    "ExtendedStatistic": "p99",
    "Period": 60,
    "Threshold": 500_000.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
COUNT = {"Metric": {"Namespace": "AWS/SageMaker", "MetricName": "Invocations"}, "Period": 60, "Stat": "Sum"}
RATE = {
    "AlarmName": "rate",
    "StateValue": "ALARM",
    "StateReason": "too many",
    "Metrics": [
        {"Id": "rate", "Expression": "100 * errors / all", "Label": "errors in percent", "ReturnData": True},
        {"Id": "all", "MetricStat": COUNT, "ReturnData": False},
    ],
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
}
BAND = {
    "AlarmName": "band",
    "StateValue": "OK",
    "Metrics": [
        {"Id": "m", "MetricStat": COUNT, "ReturnData": True},
        {"Id": "ad", "Expression": "ANOMALY_DETECTION_BAND(m)", "ReturnData": True},
    ],
    "ThresholdMetricId": "ad",
    "ComparisonOperator": "GreaterThanUpperThreshold",
}
COMPOSITE = {"AlarmName": "composite", "StateValue": "OK", "AlarmRule": "ALARM(rate)"}


class CloudWatch:
    def __init__(self, *alarms: dict[str, Any], values: dict[str, list[float]] | None = None) -> None:
        self.alarms, self.values = {alarm["AlarmName"]: alarm for alarm in alarms}, values or {}
        self.asked: list[dict[str, Any]] = []

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        described = [self.alarms[name] for name in AlarmNames if name in self.alarms][:50]  # without MaxRecords
        return {
            "MetricAlarms": [alarm for alarm in described if "AlarmRule" not in alarm],
            "CompositeAlarms": [alarm for alarm in described if "AlarmRule" in alarm],
        }

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        returned = [query["Id"] for query in request["MetricDataQueries"] if query.get("ReturnData", True)]
        return {"MetricDataResults": [{"Id": id_, "Values": self.values.get(id_, [])} for id_ in returned]}


def read(*alarms: dict[str, Any], **values: list[float]) -> tuple[list[AlarmReading], CloudWatch]:
    cloudwatch = CloudWatch(*alarms, values=values)
    return readings(cloudwatch, [alarm["AlarmName"] for alarm in alarms], now=10_000.0), cloudwatch


def test_more_alarms_than_an_answer_has_are_read() -> None:
    many = [{"AlarmName": str(number), "StateValue": "OK"} for number in range(120)]
    assert [state.name for state in states(CloudWatch(*many), [str(number) for number in range(120)])] == [
        str(number) for number in range(120)
    ]


def test_the_latest_value_is_shown_against_the_threshold() -> None:
    (latency, rate), cloudwatch = read(LATENCY, RATE, value=[412_000.0, 1.0], rate=[7.5, 0.0])
    assert (latency.metric, latency.value, latency.comparison, latency.threshold) == (
        "ModelLatency p99", 412_000.0, ">", 500_000.0
    )  # fmt: skip
    assert (rate.metric, rate.value, rate.comparison, rate.threshold) == ("errors in percent", 7.5, "≥", 5.0)
    assert (rate.state, rate.reason) == ("ALARM", "too many")
    assert all(request["ScanBy"] == "TimestampDescending" for request in cloudwatch.asked)


def test_what_is_asked_is_of_cloudwatchs_shape() -> None:
    _, cloudwatch = read(LATENCY, RATE, BAND)
    shape = ServiceModel(Loader().load_service_model("cloudwatch", "service-2")).shape_for("GetMetricDataInput")
    for request in cloudwatch.asked:
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()


def test_an_alarm_without_a_datapoint_has_no_value() -> None:
    ((latency,), _) = read(LATENCY)
    assert (latency.value, latency.threshold) == (None, 500_000.0)


def test_a_band_has_a_value_and_no_threshold() -> None:
    ((band,), _) = read(BAND, m=[3.0], ad=[9.0])
    assert (band.value, band.threshold, band.comparison) == (3.0, None, "outside")


def test_a_composite_alarm_has_a_state_only() -> None:
    ((composite,), cloudwatch) = read(COMPOSITE)
    assert (composite.state, composite.metric, composite.value) == ("OK", None, None)
    assert cloudwatch.asked == []


def test_an_alarm_that_does_not_exist_is_left_out() -> None:
    assert readings(CloudWatch(RATE), ["gone", "rate"], now=0.0)[0].name == "rate"


def test_a_refused_read_names_the_alarm() -> None:
    class Refusing(CloudWatch):
        def get_metric_data(self, **request: Any) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")

    with pytest.raises(AwsRequestRefused, match="alarm rate: GetMetricData was refused: AccessDenied"):
        readings(Refusing(RATE), ["rate"], now=0.0)


def test_the_alarms_of_a_configuration_are_found_by_their_name() -> None:
    asked = []

    class Pages:
        def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
            asked.append(request)
            yield {"MetricAlarms": [{"AlarmName": "new-stop"}]}
            yield {"MetricAlarms": [{"AlarmName": "new-rate"}]}

    class Paginating:
        def get_paginator(self, _operation: str) -> Pages:
            return Pages()

    assert names_of_configuration(Paginating(), "new") == ["new-rate", "new-stop"]
    assert asked == [{"AlarmNamePrefix": "new-"}], "not new2's"


def test_a_stop_alarm_that_a_killed_stop_left_firing_says_how_to_set_it_to_ok() -> None:
    alarm = stop_alarm("new")
    with pytest.raises(ReleaseRefused) as refused:
        require_ready("e", "new", [alarm], [AlarmState(alarm, "ALARM", "arn:me stopped the release of new")], "here")
    assert "alarm new-stop is in ALARM already (arn:me stopped the release of new)" in str(refused.value)
    assert "aws cloudwatch set-alarm-state --alarm-name new-stop --state-value OK" in str(refused.value)


# The example of `aws cloudwatch describe-alarm-history` in the AWS CLI's own documentation.
EXAMPLE: list[dict[str, Any]] = [
    {
        "Timestamp": "2014-04-09T18:59:06.442Z",
        "HistoryItemType": "StateUpdate",
        "AlarmName": "myalarm",
        "HistoryData": '{"version":"1.0","oldState":{"stateValue":"ALARM","stateReason":"testing purposes"},'
        '"newState":{"stateValue":"OK","stateReason":"Threshold Crossed: 2 datapoints were not greater than the '
        'threshold (70.0). The most recent datapoints: [38.958, 40.292].","stateReasonData":{"version":"1.0",'
        '"queryDate":"2014-04-09T18:59:06.419+0000","startDate":"2014-04-09T18:44:00.000+0000","statistic":"Average",'
        '"period":300,"recentDatapoints":[38.958,40.292],"threshold":70.0}}}',
        "HistorySummary": "Alarm updated from ALARM to OK",
    },
    {
        "Timestamp": "2014-04-09T18:59:05.805Z",
        "HistoryItemType": "StateUpdate",
        "AlarmName": "myalarm",
        "HistoryData": '{"version":"1.0","oldState":{"stateValue":"OK","stateReason":"Threshold Crossed: 2 datapoints '
        'were not greater than the threshold (70.0)."},"newState":{"stateValue":"ALARM","stateReason":"testing '
        'purposes"}}',
        "HistorySummary": "Alarm updated from OK to ALARM",
    },
]


def test_the_history_of_an_alarm_tells_that_it_fired_and_why() -> None:
    assert last_fired(EXAMPLE) == AlarmState("myalarm", "ALARM", "testing purposes")
    assert last_fired(EXAMPLE[:1]) is None


def test_of_several_firings_the_last_one_counts() -> None:
    history = [state_update("a", "OK", ""), state_update("a", "ALARM", "second"), state_update("a", "ALARM", "first")]
    assert last_fired(history) == AlarmState("a", "ALARM", "second")


@pytest.mark.parametrize("data", ['{"version":"1.0","oldSt', "{}", "[]", None])
def test_an_item_of_another_form_is_passed_over(data: str | None) -> None:
    other = {"AlarmName": "a", "HistoryItemType": "StateUpdate"} | ({"HistoryData": data} if data else {})
    assert last_fired([other, state_update("a", "ALARM", "they fail")]) == AlarmState("a", "ALARM", "they fail")
