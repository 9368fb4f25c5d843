"""The CloudWatch alarms that may roll a release back, and the requests that were seen meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from infra.aws.errors import aws_calls
from infra.aws.metrics import INVOCATIONS, PERIOD_SECONDS, STOP_RELEASE, dimensions

METRIC_LAG_SECONDS = 60
"""How long CloudWatch may take to show what has been counted."""


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
class MinimumInvocations:
    """How many requests the new fleet must have answered during the bake."""

    count: int
    otherwise: Literal["warn", "fail"] = "warn"

    @classmethod
    def of(cls, setting: Mapping[str, Any] | None) -> MinimumInvocations | None:
        """From the setting `alarms.minimumInvocations`."""
        return cls(int(setting["count"]), setting["otherwise"]) if setting else None


def states(cloudwatch: Any, names: Sequence[str]) -> list[AlarmState]:
    """The alarms that exist, in the order of `names` (at most 10)."""
    return [state(each) for each in described(cloudwatch, names)]


def fired_since(cloudwatch: Any, names: Sequence[str], since: float) -> Iterator[AlarmState]:
    """Those of the alarms (at most 10) that went into ALARM after `since` (seconds since 1970), as they were then: they
    may be OK again. One call an alarm: of more than 100 changes the last ones count.

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
    """The alarm as it was when it last went into ALARM, given its StateUpdate items, the newest first; None if it did
    not. HistoryData is JSON of a form that only examples tell (AWS CLI, describe-alarm-history)."""
    states = (_new_state(each) for each in history)
    return next((each for each in states if each and each.firing), None)


def _new_state(item: Mapping[str, Any]) -> AlarmState | None:
    """None for an item of another form."""
    try:
        new = json.loads(item["HistoryData"])["newState"]
        return AlarmState(item["AlarmName"], new["stateValue"], new.get("stateReason", ""))
    except (KeyError, TypeError, ValueError):
        return None


def invocations(cloudwatch: Any, endpoint: str, variant: str, config_name: str, since: float, until: float) -> int:
    """The requests that the fleet of `config_name` got between two times (seconds since 1970; whole minutes)."""
    return sum(invocations_by_minute(cloudwatch, endpoint, variant, config_name, since, until).values())


def invocations_by_minute(
    cloudwatch: Any, endpoint: str, variant: str, config_name: str, since: float, until: float
) -> dict[float, int]:
    """The same for each minute that has any, by its beginning."""
    answer = cloudwatch.get_metric_statistics(
        Namespace=INVOCATIONS.namespace,
        MetricName=INVOCATIONS.name,
        Dimensions=[
            {"Name": name, "Value": value} for name, value in dimensions(endpoint, variant, config_name).items()
        ],
        StartTime=datetime.fromtimestamp(since - since % PERIOD_SECONDS, UTC),
        EndTime=datetime.fromtimestamp(until - until % PERIOD_SECONDS + PERIOD_SECONDS, UTC),
        Period=PERIOD_SECONDS,
        Statistics=[INVOCATIONS.statistic],
    )
    return {point["Timestamp"].timestamp(): int(point[INVOCATIONS.statistic]) for point in answer["Datapoints"]}


def described(cloudwatch: Any, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The alarms that exist as DescribeAlarms shows them, in the order of `names`."""
    if not names:
        return []
    with aws_calls(f"alarms {', '.join(names)}"):
        answer = cloudwatch.describe_alarms(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    found = {each["AlarmName"]: each for each in (*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", []))}
    return [found[name] for name in names if name in found]


def state(alarm: Mapping[str, Any]) -> AlarmState:
    """What DescribeAlarms says of an alarm's state."""
    return AlarmState(alarm["AlarmName"], alarm["StateValue"], alarm.get("StateReason", ""))


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
