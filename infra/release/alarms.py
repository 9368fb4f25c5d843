"""The CloudWatch alarms that may roll a release back, and the requests that a fleet received."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from infra.aws.errors import aws_calls
from infra.aws.metrics import PERIOD_SECONDS, REQUESTS, STOP_RELEASE, Metric, dimensions
from infra.aws.mode import Mode

METRIC_LAG_SECONDS = 60
"""How long CloudWatch may take to show a request."""

_NAMES_OF_A_CALL = 50
"""Half of what DescribeAlarms accepts, because an answer without MaxRecords may have that many alarms only."""

_DATAPOINT_PERIODS = 10
"""Periods that are searched for an alarm's latest datapoint."""

_COMPARISONS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": "≥",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "≤",
}


@dataclass(frozen=True)
class AlarmState:
    """An alarm as DescribeAlarms shows it."""

    name: str
    state: str
    """OK, ALARM or INSUFFICIENT_DATA."""
    reason: str

    @property
    def firing(self) -> bool:
        return self.state == "ALARM"


@dataclass(frozen=True)
class AlarmReading(AlarmState):
    """An alarm with the value and threshold that it compares, in the metric's own unit."""

    metric: str | None = None
    """The metric's name, or the label of an expression; None for a composite alarm."""
    comparison: str | None = None
    threshold: float | None = None
    """None for a composite alarm, and for a band of anomaly detection."""
    value: float | None = None
    """The latest datapoint; None if the last ten periods have none."""

    @property
    def fires_by_hand_only(self) -> bool:
        """Whether it is the alarm of `release stop`, which compares nothing."""
        return self.metric is not None and self.metric.startswith(STOP_RELEASE.name)


def states(cloudwatch: Any, names: Sequence[str]) -> list[AlarmState]:
    """The alarms that exist, in the order of `names`."""
    return [_state(alarm) for alarm in _describe(cloudwatch, names)]


def readings(cloudwatch: Any, names: Sequence[str], now: float) -> list[AlarmReading]:
    """The alarms that exist with their latest datapoints, in the order of `names` (at most 10)."""
    return [_reading(cloudwatch, alarm, now) for alarm in _describe(cloudwatch, names)]


def names_of_configuration(cloudwatch: Any, config_name: str) -> list[str]:
    """The alarms of an endpoint configuration, sorted: their names begin with its own."""
    with aws_calls(f"alarms {config_name}-*"):
        pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{config_name}-")
        return sorted(alarm["AlarmName"] for page in pages for alarm in page.get("MetricAlarms", []))


def fired_since(cloudwatch: Any, names: Sequence[str], since: float) -> Iterator[AlarmState]:
    """Those of the alarms (at most 10) that went into ALARM after `since` (seconds since 1970), as they were then: they
    may be OK again. Of more than 100 changes the last ones count.

    Raises:
        AwsRequestRefused: naming the alarm.
    """
    for name in names:
        with aws_calls(f"alarm {name}"):
            answer = cloudwatch.describe_alarm_history(
                AlarmName=name,
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                HistoryItemType="StateUpdate",
                StartDate=datetime.fromtimestamp(since, UTC),
                ScanBy="TimestampDescending",
                MaxRecords=100,
            )
        if fired := last_fired(answer["AlarmHistoryItems"]):
            yield fired


def last_fired(history: Sequence[Mapping[str, Any]]) -> AlarmState | None:
    """The alarm as it was when it last went into ALARM; None if it did not.

    Args:
        history: its StateUpdate items, the newest first. HistoryData is JSON whose form only examples document (AWS
            CLI, describe-alarm-history).
    """
    for item in history:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # an item of another form
            new = json.loads(item["HistoryData"])["newState"]
            state = AlarmState(item["AlarmName"], new["stateValue"], new.get("stateReason", ""))
            if state.firing:
                return state
    return None


def tag(cloudwatch: Any, name: str, tags: Mapping[str, str], outdated: Sequence[str]) -> None:
    """Set tags of a metric alarm, and remove outdated ones. It need not exist."""
    for alarm in _metric_alarm(cloudwatch, name):
        wanted = [{"Key": key, "Value": value} for key, value in tags.items()]
        cloudwatch.tag_resource(ResourceARN=alarm["AlarmArn"], Tags=wanted)
        if outdated:
            cloudwatch.untag_resource(ResourceARN=alarm["AlarmArn"], TagKeys=[*outdated])


def replace_action(cloudwatch: Any, name: str, old: str, new: str) -> None:
    """Have a metric alarm call `new` in place of `old`; its state and the rest of it stay. It need not exist."""
    parameters = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    for alarm in _metric_alarm(cloudwatch, name):
        kept = {key: value for key, value in alarm.items() if key in parameters}
        actions = [new if action == old else action for action in alarm["AlarmActions"]]
        cloudwatch.put_metric_alarm(**{**kept, "AlarmActions": actions})


def _metric_alarm(cloudwatch: Any, name: str) -> list[Mapping[str, Any]]:
    """The metric alarm of this name, if it exists."""
    alarms: list[Mapping[str, Any]]
    alarms = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
    return alarms


def invocations(
    cloudwatch: Any, endpoint: str, variant: str, config_name: str, since: float, until: float, mode: Mode
) -> int:
    """The requests to the fleet of `config_name` between two times, in seconds since 1970; of an asynchronous endpoint
    those that the variant processed, on all of its fleets (see `Metric.scope`).

    Both are extended to full minutes.
    """
    read = partial(_sum, cloudwatch, endpoint, variant, config_name, since, until)
    return max(map(read, REQUESTS[mode]))


def _sum(
    cloudwatch: Any, endpoint: str, variant: str, config_name: str, since: float, until: float, metric: Metric
) -> int:
    of_fleet = dimensions(endpoint, variant, config_name, metric.scope)
    first, last = since - since % PERIOD_SECONDS, until - until % PERIOD_SECONDS
    points = _points(cloudwatch, metric, of_fleet, first, last + PERIOD_SECONDS)
    return sum(int(point[metric.statistic]) for point in points)


def latest(cloudwatch: Any, endpoint: str, metric: Metric, now: float) -> float | None:
    """The latest value of a metric of a whole endpoint; None if the last ten minutes have none."""
    since, until = now - _DATAPOINT_PERIODS * PERIOD_SECONDS, now + PERIOD_SECONDS
    points = _points(cloudwatch, metric, dimensions(endpoint), since, until)
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    return float(newest[metric.statistic]) if newest else None


def _points(
    cloudwatch: Any, metric: Metric, dimensions: Mapping[str, str], since: float, until: float
) -> list[dict[str, Any]]:
    """The datapoints of a metric between two times, in no order."""
    points: list[dict[str, Any]] = cloudwatch.get_metric_statistics(
        **metric.identity(dimensions),
        StartTime=datetime.fromtimestamp(since, UTC),
        EndTime=datetime.fromtimestamp(until, UTC),
        Period=PERIOD_SECONDS,
        Statistics=[metric.statistic],
    )["Datapoints"]
    return points


def _describe(cloudwatch: Any, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The alarms that exist as DescribeAlarms shows them, in the order of `names`."""
    by_name: dict[str, Mapping[str, Any]] = {}
    for first in range(0, len(names), _NAMES_OF_A_CALL):
        asked = list(names[first : first + _NAMES_OF_A_CALL])
        with aws_calls(f"alarms {', '.join(asked)}"):
            answer = cloudwatch.describe_alarms(AlarmNames=asked, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        alarms = (*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", []))
        by_name |= {alarm["AlarmName"]: alarm for alarm in alarms}
    return [by_name[name] for name in names if name in by_name]


def _state(alarm: Mapping[str, Any]) -> AlarmState:
    return AlarmState(alarm["AlarmName"], alarm["StateValue"], alarm.get("StateReason", ""))


def _reading(cloudwatch: Any, alarm: Mapping[str, Any], now: float) -> AlarmReading:
    queries = _queries(alarm)
    if not queries:
        return AlarmReading(**vars(_state(alarm)))
    (compared,) = [
        query for query in queries if query.get("ReturnData", True) and query["Id"] != alarm.get("ThresholdMetricId")
    ]
    period = max([query["MetricStat"]["Period"] for query in queries if "MetricStat" in query], default=PERIOD_SECONDS)
    with aws_calls(f"alarm {alarm['AlarmName']}"):
        results = cloudwatch.get_metric_data(
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(now - _DATAPOINT_PERIODS * period, UTC),
            EndTime=datetime.fromtimestamp(now + period, UTC),
            ScanBy="TimestampDescending",
        )["MetricDataResults"]
    values: list[float] = next((result["Values"] for result in results if result["Id"] == compared["Id"]), [])
    return AlarmReading(
        **vars(_state(alarm)),
        metric=_metric(compared),
        comparison=_COMPARISONS.get(alarm["ComparisonOperator"], "outside"),
        threshold=alarm.get("Threshold"),
        value=values[0] if values else None,
    )


def _queries(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metrics of an alarm in the form of GetMetricData; empty for a composite alarm."""
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
