"""The state of a CloudWatch metric alarm, from its datapoints (CloudWatch User Guide, "Alarm evaluation"), and what its
history tells of a change."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

_COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}

#: The alarms with a static threshold; the others watch a band of anomaly detection.
COMPARISON_OPERATORS = frozenset(_COMPARISONS)

#: Periods that CloudWatch looks at beyond EvaluationPeriods, so that some may be missing: the guide's examples have 2.
FURTHER_PERIODS = 2


@dataclass(frozen=True)
class Datapoint:
    """The value of one period, by the time that it begins."""

    time: datetime
    value: float

    def __str__(self) -> str:
        return f"{self.value} ({self.time.astimezone(UTC):%d/%m/%y %H:%M:%S})"


@dataclass(frozen=True)
class Breach:
    """What an alarm in ALARM saw last, and what it compares that with."""

    value: float
    threshold: float


@dataclass(frozen=True)
class State:
    value: str
    reason: str
    reason_data: str = "{}"

    def in_history(self) -> dict[str, Any]:
        """A state that was set by hand has no data of a reason."""
        data = json.loads(self.reason_data)
        return {"stateValue": self.value, "stateReason": self.reason, **({"stateReasonData": data} if data else {})}


@dataclass(frozen=True)
class StateUpdate:
    """A change of an alarm's state."""

    alarm: str
    time: datetime
    old: State
    new: State
    kind: str = "MetricAlarm"

    def item(self) -> dict[str, Any]:
        """As API `AlarmHistoryItem`; its HistoryData is as in the AWS CLI's example of describe-alarm-history."""
        data = {"version": "1.0", "oldState": self.old.in_history(), "newState": self.new.in_history()}
        return {
            "AlarmName": self.alarm,
            "AlarmType": self.kind,
            "Timestamp": self.time,
            "HistoryItemType": "StateUpdate",
            "HistorySummary": f"Alarm updated from {self.old.value} to {self.new.value}",
            "HistoryData": json.dumps(data, separators=(",", ":")),
        }


@dataclass(frozen=True)
class Threshold:
    """What an alarm compares with, and how many datapoints decide."""

    comparison: str
    threshold: float
    evaluation_periods: int
    datapoints_to_alarm: int | None = None
    treat_missing_data: str = "missing"

    def state(self, datapoints: Sequence[Datapoint | None]) -> State | None:
        """The state after `evaluation_periods + FURTHER_PERIODS` periods, the oldest first; None to stay as it is.

        With enough datapoints among them the newest decide, however old. Only with too few are the missing ones filled
        in, as TreatMissingData says (User Guide, alarms-and-missing-data).
        """
        periods, needed = self.evaluation_periods, self.datapoints_to_alarm or self.evaluation_periods
        found = [point for point in datapoints if point is not None][-periods:]
        missing = periods - len(found)
        breaching = sum(map(self._breaches, found))
        if missing == 0:
            return self._state(breaching >= needed, found, 0)
        match self.treat_missing_data:
            case "breaching":
                return self._state(breaching + missing >= needed, found, missing)
            case "notBreaching":
                return self._state(breaching >= needed, found, missing)
            case "ignore" if not found or 0 < breaching < needed:
                return None
            case _ if not found:
                unknown = "1 datapoint was" if periods == 1 else f"{periods} datapoints were"
                return State(INSUFFICIENT_DATA, f"Insufficient Data: {unknown} unknown.", self._data(found))
        # "when the oldest available breaching datapoint during the Evaluation Periods number of data points is at least
        # as old as the value of Datapoints to Alarm, and all other more recent data points are breaching or missing".
        age = len(datapoints) - next(place for place, point in enumerate(datapoints) if point is not None)
        return self._state(breaching >= needed or (breaching == len(found) and age >= needed), found, 0)

    def _breaches(self, point: Datapoint) -> bool:
        return _COMPARISONS[self.comparison][0](point.value, self.threshold)

    def _state(self, is_alarm: bool, found: Sequence[Datapoint], missing: int) -> State:
        """The reason is worded as in the guide's sample events (cloudwatch-and-eventbridge); without DatapointsToAlarm
        as in older ones.
        """
        told = [point for point in found if self._breaches(point)] if is_alarm else list(found)
        words = _COMPARISONS[self.comparison][1] if is_alarm else f"not {_COMPARISONS[self.comparison][1]}"
        parts = []
        if told:
            counted = _counted(len(told), "datapoint")
            if self.datapoints_to_alarm is not None:
                counted = f"{len(told)} out of the last {self.evaluation_periods} datapoints"
            listed = ", ".join(str(point) for point in reversed(told))
            parts.append(f"{counted} [{listed}] {_were(len(told))} {words} the threshold ({float(self.threshold)})")
        if missing:
            if not told:
                parts.append(f"no datapoints were received for {_counted(missing, 'period')}")
            treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}[self.treat_missing_data]
            parts.append(f"{_counted(missing, 'missing datapoint')} {_were(missing)} treated as [{treated}]")
        reason = f"Threshold Crossed: {' and '.join(parts)}"
        if self.datapoints_to_alarm is not None and told:
            to_ok = self.evaluation_periods - self.datapoints_to_alarm + 1
            minimum, way = (self.datapoints_to_alarm, "OK -> ALARM") if is_alarm else (to_ok, "ALARM -> OK")
            reason += f" (minimum {_counted(minimum, 'datapoint')} for {way} transition)"
        return State(ALARM if is_alarm else OK, f"{reason}.", self._data(found))

    def _data(self, found: Sequence[Datapoint]) -> str:
        recent = [point.value for point in found]
        return json.dumps({"version": "1.0", "recentDatapoints": recent, "threshold": self.threshold})


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
