"""What alarms do when their state changes: they notify SNS topics (CloudWatch User Guide, Notify_Users_Alarm_Changes).

"Except for Auto Scaling actions, the actions happen only on state transitions"; those are in `evaluation.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.cloudwatch.models import Alarm
from moto.core.exceptions import ServiceException
from moto.sns.models import sns_backends

from sandbox.aws.alarms import ALARM, OK, StateUpdate
from sandbox.aws.composite_alarms import timestamp, triggering


def actions_of(alarm: Alarm) -> list[str]:
    """The actions of the state that an alarm is in."""
    of_state = {ALARM: alarm.alarm_actions, OK: alarm.ok_actions}
    return list(of_state.get(alarm.state_value, alarm.insufficient_data_actions) or ())


def notify(alarm: Alarm, update: StateUpdate, alarms: Mapping[str, Alarm], account: str) -> None:
    """Publishes the change to the topics of the new state, as far as they exist."""
    for topic in actions_of(alarm):
        if not topic.startswith("arn:") or topic.split(":")[2] != "sns":
            continue
        region, owner = topic.split(":")[3:5]
        subject = f'{update.new.value}: "{alarm.name}" in {region}'
        try:
            sns_backends[owner][region].publish(
                json.dumps(message(alarm, update, alarms, account)), topic, subject=subject
            )
        except ServiceException:
            continue


def message(alarm: Alarm, update: StateUpdate, alarms: Mapping[str, Alarm], account: str) -> dict[str, Any]:
    """The JSON that subscribers get; of a composite alarm with its children in ALARM."""
    common = {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description,
        "AWSAccountId": account,
        "NewStateValue": update.new.value,
        "NewStateReason": update.new.reason,
        "StateChangeTime": timestamp(update.time),
        "Region": alarm.region_name,
        "AlarmArn": alarm.alarm_arn,
        "OldStateValue": update.old.value,
        "OKActions": alarm.ok_actions,
        "AlarmActions": alarm.alarm_actions,
        "InsufficientDataActions": alarm.insufficient_data_actions,
    }
    if alarm.rule is None:
        return common
    children = [
        {"Arn": child["arn"], "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]}}
        for child in triggering(alarm, alarms)
    ]
    return {**common, "AlarmRule": alarm.rule, "TriggeringChildren": children}
