"""A release in a freeze window, with the real engine: refused, then gone through with a reason, and told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.release.freeze import OVERRIDE_VARIABLE
from infra.release.records import ReleaseHistory, ReleaseRecord
from sandbox.stacks import StackFailed
from tests.lifecycle.account import Account, changing, consistent, development, write_model


def open_since(minutes: int) -> dict[str, Any]:
    """A freeze window that was opened some minutes ago, for half a day."""
    opened = datetime.now(UTC) - timedelta(minutes=minutes)
    schedule = f"{opened.minute} {opened.hour} * * *"
    return {"schedule": schedule, "durationMinutes": 720, "timeZone": "UTC", "reason": "end of the quarter"}


def queue_of(account: Account, topic: str, endpoint: str) -> str:
    """A queue that gets what is published about the endpoint."""
    queue = str(account.client("sqs").create_queue(QueueName=f"releases-{endpoint}")["QueueUrl"])
    attributes = account.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    account.client("sns").subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=attributes["QueueArn"],
        Attributes={"FilterPolicy": json.dumps({"endpoint": [endpoint]})},
    )
    return queue


def received(account: Account, queue: str) -> list[tuple[str, ReleaseRecord]]:
    """Subjects and records of the messages in a queue, oldest first."""
    found = account.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    messages = [json.loads(each["Body"]) for each in found]
    told = [(each["Subject"], ReleaseRecord.parse(each["Message"])) for each in messages]
    return sorted(told, key=lambda each: each[1].began)


def test_a_release_in_a_freeze_window_needs_a_reason_which_is_kept_and_told(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, renamed, model = account.name(), account.name(), account.model(1)
    topic = account.client("sns").create_topic(Name=f"releases-{name}")["TopicArn"]
    queue = queue_of(account, topic, name)
    sections = {"freezeWindows": [open_since(60)], "notifications": {"topicArn": topic}}
    stack = account.stack(development({name: {"model": {"path": str(model)}}}, **sections))

    first = stack.up()
    assert "a freeze window is open until" in first.output, "but an endpoint that does not serve yet is created"

    write_model(model, answer=2)
    before = account.now()
    with pytest.raises(StackFailed) as failed:
        stack.up()
    (error,) = [text for text in failed.value.errors if "the release did not start" in text]
    assert "end of the quarter" in error
    assert f"{OVERRIDE_VARIABLE}=" in error
    assert [call for call in account.calls(before) if call["operation"] == "UpdateEndpoint"] == []
    assert account.ask(name) == 1
    consistent(account, stack)

    monkeypatch.setenv(OVERRIDE_VARIABLE, "INC-42: revert broken model")
    release = stack.up()
    assert account.ask(name) == 2
    assert "it is overridden: INC-42: revert broken model" in release.output
    consistent(account, stack)

    history = ReleaseHistory(account.client("s3"), stack.outputs()["bucket"]).latest(name, 10)
    assert [(each.result, each.override) for each in reversed(history)] == [
        ("succeeded", None),
        ("refused", None),
        ("succeeded", "INC-42: revert broken model"),
    ]
    assert history[0].to_config == account.endpoint(name)["EndpointConfigName"]
    (change,) = history[0].changes
    assert change.startswith("AllTraffic: model data s3://")
    assert history[0].who == account.client("sts").get_caller_identity()["Arn"]
    assert received(account, queue) == [
        (f"Release of {name} {how}", record)
        for how, record in zip(["succeeded", "was refused", "succeeded"], reversed(history), strict=True)
    ]

    # the same windows keep an endpoint that serves from being deleted, by whatever
    monkeypatch.delenv(OVERRIDE_VARIABLE)
    before = account.now()
    stack.config = development({renamed: {"model": {"path": str(model)}}}, **sections)
    for operation in (stack.preview, stack.up, stack.destroy):
        with pytest.raises(StackFailed) as failed:
            operation()
        (error,) = [text for text in failed.value.errors if f"endpoint {name}: it was not deleted" in text]
        assert "end of the quarter" in error
    assert changing(account.calls(before)) == [], "not even its alarms and its autoscaling"
    assert account.ask(name) == 2

    monkeypatch.setenv(OVERRIDE_VARIABLE, "INC-43: wrong name")
    stack.up()
    assert account.ask(renamed) == 2
    (record, *_) = ReleaseHistory(account.client("s3"), stack.outputs()["bucket"]).latest(name, 1)
    assert (record.result, record.override) == ("deleted", "INC-43: wrong name")
    assert received(account, queue)[-1] == (f"Endpoint {name} was deleted", record)
    consistent(account, stack)
