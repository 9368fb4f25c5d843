"""The CloudWatch alarms that may roll a release back, and the requests that were seen meanwhile."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from infra.aws.errors import aws_calls
from infra.aws.metrics import INVOCATIONS, PERIOD_SECONDS, dimensions
from infra.names import stop_alarm
from infra.release.gate import ReleaseRefused

METRIC_LAG_SECONDS = 60
"""How long CloudWatch may take to show what has been counted."""


class AlarmNotReady(ReleaseRefused):
    """A release cannot begin with its alarms as they are: SageMaker would refuse it or roll it back at once."""


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


def require_ready(
    endpoint: str, config_name: str, names: Sequence[str], found: Sequence[AlarmState], where: str
) -> None:
    """See that every alarm exists and none fires, before the endpoint is updated to `config_name`.

    Args:
        where: the region, and the account, that were looked in.

    Raises:
        AlarmNotReady: with every alarm that is missing or fires.
    """
    there = {each.name for each in found}
    problems = [
        f"alarm {name} does not exist in {where}; SageMaker finds rollback alarms in the endpoint's own region and "
        "account only. Make it there, or take it off alarms.existing."
        for name in names
        if name not in there
    ]
    problems += [
        f"alarm {each.name} is in ALARM already ({each.reason or 'no reason given'}), so the release would be rolled "
        f"back at once. {_way_out(each.name, config_name)}"
        for each in found
        if each.firing
    ]
    if problems:
        raise AlarmNotReady(endpoint, problems)


def _way_out(alarm: str, config_name: str) -> str:
    if alarm == stop_alarm(config_name):
        return (
            "It is there for `python -m infra release stop`, which sets it to OK when it ends, unless it is killed. Do "
            f"so by hand: aws cloudwatch set-alarm-state --alarm-name {shlex.quote(alarm)} --state-value OK "
            "--state-reason 'the release may begin'"
        )
    if alarm.startswith(f"{config_name}-"):
        return (
            "It fired when this very configuration was released before. Change the model or its settings, which brings "
            "new alarms; or wait until it is OK, a few minutes after that fleet's last request, and run `pulumi up` "
            "again."
        )
    return (
        "Mend the cause and run `pulumi up` again; or, if it watches the old fleet that this release is to mend, take "
        "it off alarms.existing."
    )


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
