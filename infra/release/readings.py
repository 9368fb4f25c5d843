"""Rollback alarms with what they compare: the latest value against the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.aws.errors import aws_calls
from infra.aws.metrics import STOP_RELEASE
from infra.release.alarms import AlarmState, described, state

_DATAPOINT_PERIODS = 10
"""Periods that are searched for an alarm's latest datapoint."""

_COMPARISONS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": "≥",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "≤",
}


@dataclass(frozen=True)
class AlarmReading:
    """An alarm with what it compares, in the metric's own unit."""

    alarm: AlarmState
    metric: str = ""
    """The metric's name, or the label of an expression; empty for a composite alarm."""
    comparison: str = ""
    threshold: float | None = None
    """None for a composite alarm, and for a band of anomaly detection."""
    value: float | None = None
    """The latest datapoint; None if there is none in the last ten periods."""

    @property
    def fires_by_hand_only(self) -> bool:
        """Whether it is there for `release stop` and compares nothing."""
        return self.metric.startswith(STOP_RELEASE.name)


def readings(cloudwatch: Any, names: Sequence[str], now: float) -> list[AlarmReading]:
    """The alarms that exist with their latest datapoints, in the order of `names` (at most 10)."""
    return [_reading(cloudwatch, each, now) for each in described(cloudwatch, names)]


def names_of_configuration(cloudwatch: Any, config_name: str) -> list[str]:
    """The alarms that were made for an endpoint configuration, sorted: their names begin with its own."""
    with aws_calls(f"alarms {config_name}-*"):
        pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{config_name}-")
        return sorted(each["AlarmName"] for page in pages for each in page.get("MetricAlarms", []))


def _reading(cloudwatch: Any, alarm: Mapping[str, Any], now: float) -> AlarmReading:
    queries = _queries(alarm)
    if not queries:
        return AlarmReading(state(alarm))
    (compared,) = [
        each for each in queries if each.get("ReturnData", True) and each["Id"] != alarm.get("ThresholdMetricId")
    ]
    period = max([each["MetricStat"]["Period"] for each in queries if "MetricStat" in each], default=60)
    with aws_calls(f"alarm {alarm['AlarmName']}"):
        results = cloudwatch.get_metric_data(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(now - _DATAPOINT_PERIODS * period, UTC),
            EndTime=datetime.fromtimestamp(now + period, UTC),
            ScanBy="TimestampDescending",
        )["MetricDataResults"]
    values: list[float] = next((each["Values"] for each in results if each["Id"] == compared["Id"]), [])
    return AlarmReading(
        alarm=state(alarm),
        metric=_metric(compared),
        comparison=_COMPARISONS.get(alarm["ComparisonOperator"], "outside"),
        threshold=alarm.get("Threshold"),
        value=values[0] if values else None,
    )


def _queries(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a metric alarm watches as GetMetricData takes it; nothing for a composite alarm."""
    if alarm.get("Metrics") or "MetricName" not in alarm:
        return list(alarm.get("Metrics", []))
    metric = {key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions") if key in alarm}
    unit = {"Unit": alarm["Unit"]} if alarm.get("Unit") else {}
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    return [{"Id": "value", "MetricStat": {"Metric": metric, "Period": alarm["Period"], "Stat": statistic, **unit}}]


def _metric(query: Mapping[str, Any]) -> str:
    if "MetricStat" not in query:
        return str(query.get("Label") or query["Expression"])
    stat = query["MetricStat"]
    return str(query.get("Label") or f"{stat['Metric']['MetricName']} {stat['Stat']}")
