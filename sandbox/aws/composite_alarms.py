"""CloudWatch's composite alarms, which moto lacks: their rules and PutCompositeAlarm (CloudWatch API PutCompositeAlarm;
User Guide, Create_Composite_Alarm)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import Alarm
from moto.core.responses import ActionResult

from sandbox.aws.alarms import ALARM, INSUFFICIENT_DATA, OK, State
from sandbox.aws.protocol import AwsError, check, not_in_sandbox, service_model

#: "The AlarmRule can specify as many as 100 "children" alarms … as many as 500 elements. Elements are child alarms,
#: TRUE or FALSE statements, and parentheses."
LARGEST_CHILDREN: Final = 100
LARGEST_ELEMENTS: Final = 500

_TOKEN = re.compile(
    r'\s*(?:(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]+)"|([^\s()"]+))\s*\)|(AND|OR|NOT|TRUE|FALSE|[()]))'
)

Truth = Callable[[Mapping[str, str]], bool]
"""Whether a rule is true, by the states of the alarms."""


@dataclass(frozen=True)
class Rule:
    """A rule expression. NOT binds closest, then AND, then OR.

    Raises `ValueError` for what is not a rule.
    """

    text: str
    children: tuple[str, ...]
    is_true: Truth

    @classmethod
    @cache
    def parse(cls, text: str) -> Rule:
        parser = _Parser(text)
        is_true = parser.any_of()
        if parser.tokens:
            raise ValueError(f"AlarmRule must not have {parser.tokens[0]!r} there")
        children = tuple(dict.fromkeys(parser.children))
        if len(children) > LARGEST_CHILDREN:
            raise ValueError(f"AlarmRule has {len(children)} children; at most {LARGEST_CHILDREN} are allowed")
        if parser.elements > LARGEST_ELEMENTS:
            raise ValueError(f"AlarmRule has {parser.elements} elements; at most {LARGEST_ELEMENTS} are allowed")
        return cls(text, children, is_true)


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[str | tuple[str, str]] = []
        self.children: list[str] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            if (match := _TOKEN.match(text, place)) is None:
                raise ValueError(f"AlarmRule is invalid at character {place}: {text[place : place + 20]!r}")
            state, quoted, bare, word = match.groups()
            self.tokens.append(word or (state, _name(quoted or bare)))
            place = match.end()
        self.elements = sum(token not in ("AND", "OR", "NOT") for token in self.tokens)

    def any_of(self) -> Truth:
        return self._joined("OR", self._all_of, any)

    def _all_of(self) -> Truth:
        return self._joined("AND", self._not, all)

    def _joined(self, word: str, part: Callable[[], Truth], join: Callable[[list[bool]], bool]) -> Truth:
        parts = [part()]
        while self.tokens[:1] == [word]:
            self.tokens.pop(0)
            parts.append(part())
        return parts[0] if len(parts) == 1 else lambda states: join([each(states) for each in parts])

    def _not(self) -> Truth:
        match self.tokens.pop(0) if self.tokens else None:
            case "NOT":
                inner = self._not()
                return lambda states: not inner(states)
            case "(":
                inner = self.any_of()
                if not self.tokens or self.tokens.pop(0) != ")":
                    raise ValueError("AlarmRule has a parenthesis that is not closed")
                return inner
            case "TRUE" | "FALSE" as word:
                return lambda states: word == "TRUE"
            case (str(state), str(name)):
                self.children.append(name)
                return lambda states: states.get(name) == state
            case other:
                raise ValueError(f"AlarmRule must not have {other!r} there")


def _name(alarm: str) -> str:
    """The name of an alarm that is given by name or ARN."""
    return alarm.split(":", 6)[6] if alarm.startswith("arn:") else alarm


def evaluated(alarm: Alarm, alarms: Mapping[str, Alarm]) -> State | None:
    """The state of a composite alarm by those of its children; None where it has it already.

    The reason names the child that changed last, and the data of the reason those in ALARM, as in the guide's sample
    events.
    """
    rule = Rule.parse(alarm.rule or "FALSE")
    states = {name: child.state_value for name, child in alarms.items()}
    value = ALARM if rule.is_true(states) else OK
    if value == alarm.state_value:
        return None
    children = [alarms[name] for name in rule.children if name in alarms]
    last = max(children, key=lambda child: child.state_updated_timestamp, default=None)
    reason = f"{alarm.alarm_arn} was created and its alarm rule evaluates to {value}"
    if last is not None and alarm.state_value != INSUFFICIENT_DATA:
        when = f"{last.state_updated_timestamp:%A %d %B, %Y %H:%M:%S} UTC"
        reason = f"{last.alarm_arn} transitioned to {last.state_value} at {when}"
    return State(value, reason, json.dumps({"triggeringAlarms": triggering(alarm, alarms)}))


def triggering(alarm: Alarm, alarms: Mapping[str, Alarm]) -> list[dict[str, Any]]:
    """The children of a composite alarm that are in ALARM."""
    children = (alarms[name] for name in Rule.parse(alarm.rule or "FALSE").children if name in alarms)
    return [
        {
            "arn": child.alarm_arn,
            "state": {"value": child.state_value, "timestamp": timestamp(child.state_updated_timestamp)},
        }
        for child in children
        if child.state_value == ALARM
    ]


def timestamp(time: datetime) -> str:
    """As CloudWatch writes it in events and notifications."""
    return f"{time.astimezone(UTC) if time.tzinfo else time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}+0000"


class CompositeAlarmOperations:
    """PutCompositeAlarm, for moto's responses; moto shows and deletes composite alarms itself."""

    current_account: str
    region: str
    cloudwatch_backend: Any

    def put_composite_alarm(self) -> ActionResult:
        model = service_model("cloudwatch").operation_model("PutCompositeAlarm")
        given = {name: self._get_param(name) for name in model.input_shape.members}  # type: ignore[attr-defined]
        params = {name: value for name, value in given.items() if value is not None}
        try:
            check(model, params)
            rule = Rule.parse(params["AlarmRule"])
        except (AwsError, ValueError) as error:
            raise ValidationError(str(getattr(error, "message", error))) from None
        if unsupported := sorted(params.keys() & {"ActionsSuppressor", "ActionConfiguration"}):
            raise ValidationError(str(not_in_sandbox(f"PutCompositeAlarm with {', '.join(unsupported)}")))
        self.cloudwatch_backend.put_composite_alarm(rule, params)
        return ActionResult({})
