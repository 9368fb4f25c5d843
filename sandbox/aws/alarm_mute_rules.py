"""CloudWatch's alarm mute rules, which moto lacks (CloudWatch API PutAlarmMuteRule, Schedule): they withhold the
actions of alarms for some time, while the alarms are still evaluated."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from moto.cloudwatch.exceptions import ValidationError
from moto.core.responses import ActionResult

from sandbox.aws.cloudwatch_params import ResourceNotFound, params_of
from sandbox.aws.protocol import partition

LONGEST: Final = timedelta(days=15)

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d)\)")
_CRON = re.compile(r"cron\(([A-Z0-9*,-]+( [A-Z0-9*,-]+){4})\)")
_DURATION = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?)?")


@dataclass(frozen=True)
class AlarmMuteRule:
    """A rule with the parameters of its last PutAlarmMuteRule.

    Raises `ValueError` for a schedule that the API does not accept.
    """

    arn: str
    params: Mapping[str, Any]
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        schedule = self._schedule
        if not (match := _DURATION.fullmatch(schedule["Duration"])):
            raise ValueError(f"{schedule['Duration']} is not a duration in ISO 8601")
        if not timedelta(minutes=1) <= _length(match) <= LONGEST:
            raise ValueError(f"Duration must be between PT1M and P{LONGEST.days}D")
        try:
            ZoneInfo(schedule.get("Timezone", "UTC"))
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{schedule['Timezone']} is not a time zone") from None
        if _AT.fullmatch(schedule["Expression"]):
            if self.params.keys() & {"StartDate", "ExpireDate"}:
                raise ValueError("Can not set start or expire dates for At expressions")
        elif not (match := _CRON.fullmatch(schedule["Expression"])):
            raise ValueError(f"{schedule['Expression']} is not a valid cron or at expression")
        else:
            try:
                CronSim(match[1], datetime.now(UTC))
            except CronSimError as error:
                raise ValueError(f"{schedule['Expression']}: {error}") from None

    @property
    def name(self) -> str:
        return str(self.params["Name"])

    @property
    def _schedule(self) -> Mapping[str, Any]:
        schedule: Mapping[str, Any] = self.params["Rule"]["Schedule"]
        return schedule

    @property
    def alarms(self) -> frozenset[str]:
        return frozenset(self.params.get("MuteTargets", {}).get("AlarmNames", ()))

    @property
    def is_one_time(self) -> bool:
        return str(self._schedule["Expression"]).startswith("at(")

    def is_active(self, at: datetime) -> bool:
        """Whether the rule mutes its alarms at a time."""
        start, expire = self.params.get("StartDate"), self.params.get("ExpireDate")
        if (start and at < _aware(start)) or (expire and at >= _aware(expire)):
            return False
        match = _DURATION.fullmatch(self._schedule["Duration"])
        assert match
        zone, expression = ZoneInfo(self._schedule.get("Timezone", "UTC")), self._schedule["Expression"]
        if self.is_one_time:
            opened = datetime.fromisoformat(expression[3:-1]).replace(tzinfo=zone)
        else:
            opened = next(CronSim(expression[5:-1], (at - _length(match)).astimezone(zone)))
        return opened <= at < opened + _length(match)

    def status(self, at: datetime) -> str:
        if self.is_active(at):
            return "ACTIVE"
        expire = self.params.get("ExpireDate")
        return "EXPIRED" if expire and at >= _aware(expire) else "SCHEDULED"

    def describe(self) -> dict[str, Any]:
        """GetAlarmMuteRule's answer."""
        return {
            **{name: value for name, value in self.params.items() if name != "Tags"},
            "AlarmMuteRuleArn": self.arn,
            "Status": self.status(datetime.now(UTC)),
            "LastUpdatedTimestamp": self.updated,
            "MuteType": "ONE_TIME" if self.is_one_time else "RECURRING",
        }


MUTE_RULES: Final[Mapping[tuple[str, str], dict[str, AlarmMuteRule]]] = defaultdict(dict)
"""By account and region, and by their names."""

_LOCK = threading.Lock()


def is_muted(account: str, region: str, alarm: str) -> bool:
    """Whether a rule withholds the actions of an alarm now."""
    with _LOCK:
        rules = [rule for rule in MUTE_RULES[account, region].values() if alarm in rule.alarms]
    return any(rule.is_active(datetime.now(UTC)) for rule in rules)


class AlarmMuteRuleOperations:
    """The operations, for moto's responses."""

    current_account: str
    region: str
    cloudwatch_backend: Any

    def put_alarm_mute_rule(self) -> ActionResult:
        params = params_of(self, "PutAlarmMuteRule")
        names = params.get("MuteTargets", {}).get("AlarmNames", ())
        if unknown := [name for name in names if name not in self.cloudwatch_backend.alarms]:
            raise ValidationError(f"The alarms {', '.join(unknown)} do not exist.")
        place = f"{partition(self.region)}:cloudwatch:{self.region}:{self.current_account}"
        arn = f"arn:{place}:alarm-mute-rule:{params['Name']}"
        try:
            rule = AlarmMuteRule(arn, params)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        with _LOCK:
            new = rule.name not in self._rules
            self._rules[rule.name] = rule
        if new:
            self.cloudwatch_backend.tagger.tag_resource(arn, params.get("Tags") or [])
        return ActionResult({})

    def get_alarm_mute_rule(self) -> ActionResult:
        name = params_of(self, "GetAlarmMuteRule")["AlarmMuteRuleName"]
        with _LOCK:
            if name not in self._rules:
                raise ResourceNotFound(f"Alarm mute rule {name} does not exist.")
            return ActionResult(self._rules[name].describe())

    def list_alarm_mute_rules(self) -> ActionResult:
        params, summary = params_of(self, "ListAlarmMuteRules"), ("Rule", "MuteTargets", "Name", "Description")
        with _LOCK:
            rules = [*self._rules.values()]
        found = [
            {name: value for name, value in rule.describe().items() if name not in summary}
            for rule in rules
            if params.get("AlarmName") in (None, *rule.alarms)
            if rule.status(datetime.now(UTC)) in params.get("Statuses", ["SCHEDULED", "ACTIVE", "EXPIRED"])
        ]
        return ActionResult({"AlarmMuteRuleSummaries": found})

    def delete_alarm_mute_rule(self) -> ActionResult:
        """ "This operation is idempotent"."""
        with _LOCK:
            self._rules.pop(params_of(self, "DeleteAlarmMuteRule")["AlarmMuteRuleName"], None)
        return ActionResult({})

    @property
    def _rules(self) -> dict[str, AlarmMuteRule]:
        return MUTE_RULES[self.current_account, self.region]


def _length(match: re.Match[str]) -> timedelta:
    days, hours, minutes = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
