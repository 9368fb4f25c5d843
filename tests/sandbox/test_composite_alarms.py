"""Composite alarms as clients see them: rules, states, notifications, and mute rules that withhold these."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.alarm_mute_rules import AlarmMuteRule
from sandbox.aws.composite_alarms import LARGEST_CHILDREN, Rule
from tests.sandbox.conftest import Host, eventually, unique
from tests.sandbox.test_cloudwatch import put_alarm

STATES = {"a": "ALARM", "o": "OK", "i": "INSUFFICIENT_DATA"}


@pytest.fixture
def host(scripted_host: Host) -> Host:
    return scripted_host


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("ALARM(a)", True),
        ('ALARM("o")', False),
        ("OK(o) AND INSUFFICIENT_DATA(i)", True),
        ("ALARM(o) OR NOT ALARM(i)", True),
        ("NOT (ALARM(a) OR ALARM(o))", False),
        ("ALARM(a) OR ALARM(o) AND FALSE", True),  # AND binds closer
        ("(ALARM(a) OR ALARM(o)) AND FALSE", False),
        ("TRUE", True),
        ("ALARM(arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:a)", True),
        ('ALARM("x/y z")', False),
    ],
)
def test_a_rule_is_true_by_the_states_of_alarms(rule: str, expected: bool) -> None:
    """CloudWatch API PutCompositeAlarm, AlarmRule."""
    assert Rule.parse(rule).is_true(STATES) is expected


MANY = " OR ".join(f"ALARM(a{n})" for n in range(LARGEST_CHILDREN + 1))


@pytest.mark.parametrize("rule", ["", "ALARM", "ALARM(a) ALARM(b)", "(ALARM(a)", "ALARM(a) XOR OK(b)", "NOT", MANY])
def test_what_is_not_a_rule_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="AlarmRule"):
        Rule.parse(rule)


def queue(host: Host) -> tuple[str, Callable[[], list[dict[str, Any]]]]:
    """A topic, and what its only subscriber has got so far."""
    sqs, sns = host.aws.client("sqs"), host.aws.client("sns")
    url = sqs.create_queue(QueueName=unique("pager"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = str(sns.create_topic(Name=unique("pager"))["TopicArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    got: list[dict[str, Any]] = []

    def received() -> list[dict[str, Any]]:
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                got.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return got

    return topic, received


def composite(host: Host, topic: str, *children: str) -> str:
    name = unique("health")
    rule = " OR ".join(f'ALARM("{child}")' for child in children)
    host.aws.client("cloudwatch").put_composite_alarm(
        AlarmName=name, AlarmRule=rule, AlarmActions=[topic], OKActions=[topic], AlarmDescription="unwell"
    )
    eventually(lambda: state_of(host, name) == "OK")
    return name


def state_of(host: Host, name: str) -> str:
    described = host.aws.client("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=["CompositeAlarm"])
    return str(described["CompositeAlarms"][0]["StateValue"])


def set_state(host: Host, name: str, value: str) -> None:
    host.aws.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=value, StateReason="forced")


def quiet(host: Host) -> str:
    """An alarm that keeps a state that is set."""
    return put_alarm(host, unique("Nothing"), TreatMissingData="ignore")


def test_a_composite_alarm_notifies_once_and_names_its_children(host: Host) -> None:
    topic, received = queue(host)
    first, second = quiet(host), quiet(host)
    name = composite(host, topic, first, second)
    eventually(lambda: len(received()) == 1)
    created = received()[0]
    assert (created["OldStateValue"], created["NewStateValue"]) == ("INSUFFICIENT_DATA", "OK")

    set_state(host, first, "ALARM")
    eventually(lambda: len(received()) == 2)
    page = received()[1]
    assert (page["AlarmName"], page["NewStateValue"], page["AlarmDescription"]) == (name, "ALARM", "unwell")
    assert [child["Arn"].rpartition(":")[2] for child in page["TriggeringChildren"]] == [first]
    assert f":alarm:{first} transitioned to ALARM" in page["NewStateReason"]

    set_state(host, second, "ALARM")
    set_state(host, first, "OK")
    time.sleep(0.6)  # some evaluations
    assert (state_of(host, name), len(received())) == ("ALARM", 2), "another cause does not notify again"
    set_state(host, second, "OK")
    eventually(lambda: len(received()) == 3)
    assert received()[2]["NewStateValue"] == "OK"
    history = host.aws.client("cloudwatch").describe_alarm_history(
        AlarmName=name, AlarmTypes=["CompositeAlarm"], HistoryItemType="StateUpdate"
    )["AlarmHistoryItems"]
    assert {item["AlarmType"] for item in history} == {"CompositeAlarm"}
    assert len(history) == 3


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["Error"]["Code"] in ("ValidationError", "ValidationException")
    return str(error.value)


def test_a_composite_alarm_needs_its_children_as_long_as_it_exists(host: Host) -> None:
    """https://github.com/awsdocs/aws-cloudformation-user-guide/issues/911, https://github.com/ekristen/aws-nuke/issues/462"""
    cloudwatch, child = host.aws.client("cloudwatch"), quiet(host)
    missing = refused(lambda: cloudwatch.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(never-made)"))
    assert "[never-made] in the alarm rule do not exist" in missing
    name = composite(host, queue(host)[0], child)
    used = refused(lambda: cloudwatch.delete_alarms(AlarmNames=[child]))
    assert f"Cannot delete {child} as there are composite alarm(s) depending on it." in used
    cloudwatch.delete_alarms(AlarmNames=[name, child])
    assert cloudwatch.describe_alarms(AlarmNames=[name, child])["MetricAlarms"] == []


def test_composite_alarms_are_shown_where_they_are_asked_for(host: Host) -> None:
    """API DescribeAlarms, AlarmTypes."""
    name = composite(host, queue(host)[0], quiet(host))
    described = host.aws.client("cloudwatch").describe_alarms(AlarmNames=[name])
    assert (described["MetricAlarms"], described.get("CompositeAlarms", [])) == ([], [])


def test_a_rule_that_is_too_long_is_refused(host: Host) -> None:
    rule = " OR ".join(["FALSE"] * 2000)
    refused(lambda: host.aws.client("cloudwatch").put_composite_alarm(AlarmName="c", AlarmRule=rule))


def test_a_muted_alarm_changes_its_state_and_notifies_once_it_is_unmuted(host: Host) -> None:
    """User Guide, alarm-mute-rules-behaviour; API DeleteAlarmMuteRule."""
    cloudwatch = host.aws.client("cloudwatch")
    topic, received = queue(host)
    child = quiet(host)
    name, rule = composite(host, topic, child), unique("silence")
    eventually(lambda: len(received()) == 1)
    now = datetime.now(UTC)
    cloudwatch.put_alarm_mute_rule(
        Name=rule,
        Rule={"Schedule": {"Expression": f"at({now:%Y-%m-%dT%H:%M})", "Duration": "PT1H"}},
        MuteTargets={"AlarmNames": [name]},
    )
    shown = cloudwatch.get_alarm_mute_rule(AlarmMuteRuleName=rule)
    assert (shown["Status"], shown["MuteType"]) == ("ACTIVE", "ONE_TIME")
    set_state(host, child, "ALARM")
    eventually(lambda: state_of(host, name) == "ALARM")
    time.sleep(0.6)  # some evaluations
    assert len(received()) == 1, "muted"
    set_state(host, child, "OK")
    eventually(lambda: state_of(host, name) == "OK")
    set_state(host, child, "ALARM")
    eventually(lambda: state_of(host, name) == "ALARM")
    summaries = cloudwatch.list_alarm_mute_rules(AlarmName=name)["AlarmMuteRuleSummaries"]
    assert [summary["Status"] for summary in summaries] == ["ACTIVE"]
    cloudwatch.delete_alarm_mute_rule(AlarmMuteRuleName=rule)
    eventually(lambda: [message["NewStateValue"] for message in received()] == ["OK", "ALARM"])
    cloudwatch.delete_alarm_mute_rule(AlarmMuteRuleName=rule)  # once more: "This operation is idempotent"
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        cloudwatch.get_alarm_mute_rule(AlarmMuteRuleName=rule)


def mute_rule(expression: str, duration: str, zone: str = "UTC", **params: Any) -> AlarmMuteRule:
    schedule = {"Expression": expression, "Duration": duration, "Timezone": zone}
    return AlarmMuteRule("arn", {"Name": "r", "Rule": {"Schedule": schedule}, **params})


FRIDAY = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "at", "active"),
    [
        (mute_rule("cron(0 18 * * FRI)", "P2DT14H"), FRIDAY, True),
        (mute_rule("cron(0 18 * * FRI)", "P2DT14H"), FRIDAY + timedelta(hours=61, minutes=59), True),
        (mute_rule("cron(0 18 * * FRI)", "P2DT14H"), FRIDAY + timedelta(hours=62), False),
        (mute_rule("cron(0 18 * * FRI)", "PT1H", "Asia/Tokyo"), FRIDAY - timedelta(hours=9), True),
        (mute_rule("cron(0 18 * * FRI)", "PT1H", "Asia/Tokyo"), FRIDAY, False),
        (mute_rule("at(2026-11-27T18:00)", "PT1M"), FRIDAY, True),
        (mute_rule("at(2026-11-27T18:00)", "PT1M"), FRIDAY + timedelta(minutes=1), False),
        (mute_rule("cron(0 18 * * *)", "PT1H", ExpireDate=FRIDAY), FRIDAY, False),
        (mute_rule("cron(0 18 * * *)", "PT1H", StartDate=FRIDAY + timedelta(minutes=1)), FRIDAY, False),
    ],
)
def test_a_rule_mutes_for_its_duration_from_each_start(rule: AlarmMuteRule, at: datetime, active: bool) -> None:
    assert rule.is_active(at) is active


@pytest.mark.parametrize(
    ("expression", "duration", "more"),
    [
        ("cron(0 18 * * FRI#2)", "PT1H", {}),
        ("cron(*/5 18 * * *)", "PT1H", {}),
        ("cron(0 18 * *)", "PT1H", {}),
        ("rate(1 day)", "PT1H", {}),
        ("cron(0 18 * * *)", "P16D", {}),
        ("cron(0 18 * * *)", "PT30S", {}),
        ("cron(0 18 * * *)", "P", {}),
        ("at(2026-11-27T18:00)", "PT1H", {"ExpireDate": FRIDAY}),
    ],
)
def test_schedules_that_the_api_does_not_document_are_refused(
    expression: str, duration: str, more: dict[str, Any]
) -> None:
    """API Schedule (Expression, Duration): *, - and , only; PT1M to P15D."""
    with pytest.raises(ValueError):
        mute_rule(expression, duration, **more)


def test_a_mute_rule_is_for_alarms_that_exist(host: Host) -> None:
    schedule = {"Expression": "cron(0 18 * * FRI)", "Duration": "PT1H"}
    missing = refused(
        lambda: host.aws.client("cloudwatch").put_alarm_mute_rule(
            Name="r", Rule={"Schedule": schedule}, MuteTargets={"AlarmNames": ["never-made"]}
        )
    )
    assert "never-made" in missing


def test_an_alarm_that_warms_up_waits_for_data_that_would_be_breaching(host: Host) -> None:
    """User Guide, alarm-warm-up."""
    host.aws.impose(timeFactor=60)  # the fixture of each test sets it back
    cold = {"TreatMissingData": "breaching", "ComparisonOperator": "LessThanThreshold", "Threshold": 1}
    at_once = put_alarm(host, unique("Nothing"), **cold)
    warm = put_alarm(host, unique("Nothing"), **cold, WarmUpConfiguration={"WarmUpPeriodDurationInMinutes": 30})

    def state(name: str) -> str:
        alarms = host.aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(alarms[0]["StateValue"])

    eventually(lambda: state(at_once) == "ALARM")
    assert state(warm) == "INSUFFICIENT_DATA"
    host.aws.impose(timeFactor=6000)
    eventually(lambda: state(warm) == "ALARM")
