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
from infra.release.readings import AlarmReading, names_of_configuration, readings

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
        self.alarms, self.values = {each["AlarmName"]: each for each in alarms}, values or {}
        self.asked: list[dict[str, Any]] = []

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        found = [self.alarms[name] for name in AlarmNames if name in self.alarms]
        return {
            "MetricAlarms": [each for each in found if "AlarmRule" not in each],
            "CompositeAlarms": [each for each in found if "AlarmRule" in each],
        }

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        returned = [each["Id"] for each in request["MetricDataQueries"] if each.get("ReturnData", True)]
        return {"MetricDataResults": [{"Id": each, "Values": self.values.get(each, [])} for each in returned]}


def read(*alarms: dict[str, Any], **values: list[float]) -> tuple[list[AlarmReading], CloudWatch]:
    cloudwatch = CloudWatch(*alarms, values=values)
    return readings(cloudwatch, [each["AlarmName"] for each in alarms], now=10_000.0), cloudwatch


def test_the_latest_value_is_shown_against_the_threshold() -> None:
    (latency, rate), cloudwatch = read(LATENCY, RATE, value=[412_000.0, 1.0], rate=[7.5, 0.0])
    assert (latency.metric, latency.value, latency.comparison, latency.threshold) == (
        "ModelLatency p99", 412_000.0, ">", 500_000.0
    )  # fmt: skip
    assert (rate.metric, rate.value, rate.comparison, rate.threshold) == ("errors in percent", 7.5, "≥", 5.0)
    assert (rate.alarm.state, rate.alarm.reason) == ("ALARM", "too many")
    assert all(each["ScanBy"] == "TimestampDescending" for each in cloudwatch.asked)


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
    assert (composite.alarm.state, composite.metric, composite.value) == ("OK", "", None)
    assert cloudwatch.asked == []


def test_an_alarm_that_does_not_exist_is_left_out() -> None:
    assert readings(CloudWatch(RATE), ["gone", "rate"], now=0.0)[0].alarm.name == "rate"


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
