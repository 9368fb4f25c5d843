"""Releases that SageMaker rolls back, or that are refused before they begin: what a person sees, what is live, and
how it goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import pytest

from sandbox.asking import ask
from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    FAILING,
    Account,
    Asking,
    consistent,
    development,
    eventually,
    nothing_to_do,
    sleeping,
    state,
    write_model,
)

CANARY = {"strategy": "canary", "instances": 1, "bakeSeconds": 1800, "timeoutSeconds": 28800}
ERROR_RATE = {"errorRatePercent": 5}
WATCHED = {"failedRelease": True}
ALARMS_ONLY = {"AlarmName": [{"exists": True}]}


class BadRelease(NamedTuple):
    """How a model that fails its requests is released, and the alarm that sees it."""

    release: dict[str, Any]
    alarms: dict[str, Any]
    execute: str
    fired: str


BAD_CANARY = BadRelease(CANARY, ERROR_RATE, FAILING, "error-rate")
BAD_RELEASES = [
    BadRelease(
        {"strategy": "allAtOnce", "bakeSeconds": 1800, "timeoutSeconds": 28800}, ERROR_RATE, FAILING, "error-rate"
    ),
    BAD_CANARY,
    BadRelease(
        {"strategy": "linear", "instances": 1, "intervalSeconds": 1800, "timeoutSeconds": 28800},
        {"p99ModelLatencyMilliseconds": 200},
        sleeping(0.4),
        "p99-model-latency",
    ),
    BadRelease(
        {"strategy": "rolling", "instances": 1, "intervalSeconds": 1800, "timeoutSeconds": 28800},
        {"serverErrorRatePercent": 5},
        FAILING,
        "server-error-rate",
    ),
]


def in_half_a_year() -> dict[str, Any]:
    """A freeze window that is not open now."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return {"schedule": f"0 0 2 {month} *", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "stocktaking"}


def fails(stack: Stack) -> str:
    """What a person sees of the `up` that fails."""
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert "Traceback" not in failed.value.output
    assert "infra." not in failed.value.output, "an error has no path of a module"
    shown = [text for text in failed.value.errors if "Next: " in text or "did not start" in text]
    assert len(shown) == 1, failed.value.errors
    return shown[0]


class Pager:
    """What a pager gets from a topic: CloudWatch's messages, and none of releases."""

    def __init__(self, account: Account, name: str) -> None:
        self._sqs, sns = account.client("sqs"), account.client("sns")
        self._url = self._sqs.create_queue(QueueName=f"pager-{name}")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        self.topic = str(sns.create_topic(Name=f"pager-{name}")["TopicArn"])
        filtered = {"FilterPolicy": json.dumps(ALARMS_ONLY), "FilterPolicyScope": "MessageBody"}
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=attributes["QueueArn"], Attributes=filtered)
        self._received: list[dict[str, Any]] = []

    def received(self, state: str) -> list[dict[str, Any]]:
        """The messages about a new state so far."""
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self._received.append(json.loads(json.loads(message["Body"])["Message"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [message for message in self._received if message["NewStateValue"] == state]

    def is_well(self, times: int) -> bool:
        """Whether the topic received OK this many times."""
        return len(self.received("OK")) == times


@pytest.mark.parametrize(
    "bad_releases",
    [[BAD_CANARY], pytest.param(BAD_RELEASES, marks=pytest.mark.soak)],
    ids=["canary", "each strategy in turn"],
)
def test_a_model_that_fails_its_requests_is_rolled_back_by_its_alarm(
    account: Account, bad_releases: list[BadRelease]
) -> None:
    name, model = account.name(), account.model(1)
    pager = Pager(account, name)
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 2, "alarms": ERROR_RATE | WATCHED}
    notified = {"notifications": {"topicArn": pager.topic}}
    stack = account.stack(development({name: endpoint}, **notified))
    stack.up()
    live = account.endpoint(name)["EndpointConfigName"]
    eventually(partial(pager.is_well, 1), "the new composite alarm is OK")
    for answer, bad in enumerate(bad_releases, 2):
        # an alarm of one minute must outlast the time between two looks at the endpoint, which take as long as on AWS
        account.impose(timeFactor=20, rollbackSeconds=8)
        alarms = bad.alarms | WATCHED
        stack.config = development({name: {**endpoint, "release": bad.release, "alarms": alarms}}, **notified)
        write_model(model, answer, execute=bad.execute)
        with Asking(account, name) as asking:
            error = fails(stack)

        alarm = f"{state(stack, 'EndpointConfiguration')[0]['id']}-{bad.fired}"
        assert f"SageMaker says: One or more configured alarms went into ALARM state: [{alarm}]." in error
        assert f"Alarm {alarm} fired: Threshold Crossed: " in error
        assert f"{live} is live and answers as before" in error
        assert "Next: fix the model or its settings and run `pulumi up` again." in error
        assert account.endpoint(name)["EndpointConfigName"] == live
        assert asking.failures or answer in asking.answers, "the new fleet had requests"
        assert account.ask(name) == 1
        consistent(account, stack)

        account.impose(timeFactor=60, rollbackSeconds=0)
        eventually(partial(pager.is_well, answer), "everything is OK again")
        assert len(pager.received("ALARM")) == answer - 1, "one page for one cause"
        page = pager.received("ALARM")[-1]
        assert page["AlarmName"] == f"{name}/health"
        causes = {child["Arn"].rpartition("/")[2] for child in page["TriggeringChildren"]}
        assert causes, "it names the cause"
        assert causes <= {"error-rate", "release-failed"}
        assert f"python -m infra release status -s {stack.name} {name}" in page["AlarmDescription"]

    stack.refresh()
    assert state(stack, "infra:Endpoint")[0]["outputs"]["endpointConfigName"] == live
    consistent(account, stack)

    account.impose(timeFactor=600)
    write_model(model, answer=1)
    with Asking(account, name) as asking:
        stack.up()
    assert asking.answers == {1}
    assert asking.failures == [], "the model of before is what gets out of it"
    consistent(account, stack)
    nothing_to_do(stack)

    stack.config = development(
        {name: endpoint | {"alarms": ERROR_RATE | {"noTrafficMinutes": 60}}},
        notifications={"subscriptions": [{"protocol": "https", "endpoint": "https://pager.example.com/x"}]},
        monitoring={"muteInFreezeWindows": True, "runbookUrl": "https://wiki.example.com/triton"},
        freezeWindows=[in_half_a_year()],
    )
    stack.up()
    cloudwatch = account.client("cloudwatch")
    (health,) = cloudwatch.describe_alarms(AlarmNames=[f"{name}/health"], AlarmTypes=["CompositeAlarm"])[
        "CompositeAlarms"
    ]
    topic = state(stack, "sns/topic:Topic")[0]["id"]
    assert (health["AlarmActions"], health["OKActions"]) == ([topic], [topic])
    assert health["AlarmRule"] == f'ALARM("{name}/error-rate") OR ALARM("{name}/no-traffic")'
    assert health["AlarmDescription"].endswith(" Runbook: https://wiki.example.com/triton")
    (muted,) = cloudwatch.list_alarm_mute_rules(AlarmName=f"{name}/health")["AlarmMuteRuleSummaries"]
    assert muted["Status"] == "SCHEDULED"
    nothing_to_do(stack)

    stack.config = development({name: endpoint | {"alarms": ERROR_RATE}})
    stack.up()
    gone = cloudwatch.describe_alarms(AlarmNamePrefix=f"{name}/", AlarmTypes=["CompositeAlarm", "MetricAlarm"])
    assert [alarm["AlarmName"] for alarm in gone["MetricAlarms"]] == [f"{name}/error-rate"]
    assert gone.get("CompositeAlarms", []) == []
    assert state(stack, "sns/topic:Topic") == []
    nothing_to_do(stack)


@pytest.mark.soak
def test_a_canary_that_does_not_start_is_rolled_back_with_its_reason(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 2, "release": CANARY}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    live = account.endpoint(name)["EndpointConfigName"]

    account.impose(insufficientCapacity=["ml.p3.16xlarge"])
    stack.config = development({name: {**endpoint, "instanceType": "ml.p3.16xlarge"}})
    error = fails(stack)
    assert "SageMaker says: Unable to provision requested ML compute capacity due to InsufficientInstanceCap" in error
    assert f"{live} is live and answers as before" in error
    consistent(account, stack)

    account.impose(healthCheckSeconds=1, timeFactor=600)
    stack.config = development({name: endpoint})
    write_model(model, answer=2, initialize=sleeping(60))
    error = fails(stack)
    assert "SageMaker says: The primary container for production variant AllTraffic did not pass the ping" in error
    assert "did not answer /ping within startupHealthCheckSeconds (60 s)" in error
    assert "CUDA" not in error
    assert f"{live} is live and answers as before" in error
    assert account.ask(name) == 1
    consistent(account, stack)

    account.impose(healthCheckSeconds=None)
    write_model(model, answer=1)
    stack.up()
    assert account.ask(name) == 1
    consistent(account, stack)


def test_a_release_is_not_begun_while_a_rollback_alarm_is_missing_or_fires(account: Account) -> None:
    name, alarm, model = account.name(), f"queue-{account.name()}", account.model(1)
    alarms = {"existing": [alarm]}
    stack = account.stack(development({name: {"model": {"path": str(model)}, "alarms": alarms}}))
    stack.up()
    cloudwatch = account.client("cloudwatch")
    before = account.now()

    write_model(model, answer=2)
    error = fails(stack)
    assert f"endpoint {name}: the release did not start; the live endpoint is unchanged." in error
    assert f"alarm {alarm} does not exist in ap-northeast-1, account 123456789012" in error
    consistent(account, stack)

    cloudwatch.put_metric_alarm(
        AlarmName=alarm, Namespace="test", MetricName="queue", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="the queue is long")
    error = fails(stack)
    assert f"alarm {alarm} is in ALARM already (the queue is long)" in error
    consistent(account, stack)
    assert [call for call in account.calls(before) if call["operation"] == "UpdateEndpoint"] == []
    assert account.ask(name) == 1

    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="the queue is short")
    stack.up()
    assert account.ask(name) == 2
    consistent(account, stack)
    nothing_to_do(stack)


def test_a_live_model_that_fails_does_not_roll_its_repair_back(account: Account) -> None:
    name, model = account.name(), account.model(1, execute=FAILING)
    short = {**CANARY, "bakeSeconds": 300}
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 2, "release": short, "alarms": ERROR_RATE}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    asked = ask(account.sandbox, account.endpoint(name)["EndpointArn"])
    assert asked.problem == "did not answer: RuntimeError: this model fails at every request (model.py:10)"
    account.impose(timeFactor=60)
    with Asking(account, name) as asking:
        account.wait_for_alarm(f"{name}/error-rate")
        write_model(model, answer=2)
        stack.up()
    assert asking.answers == {2}
    assert asking.failures
    assert account.ask(name) == 2
    consistent(account, stack)
