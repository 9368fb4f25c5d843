from __future__ import annotations

from typing import Any

import pytest

from infra.settings.notifications import ExistingTopicSettings
from tests.infra.settings.config import VALID, broken, settings, warnings

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:releases"


def with_topic(arn: str) -> dict[str, Any]:
    return {**VALID, "triton-sagemaker:notifications": {"topicArn": arn}}


def test_a_topic_may_belong_to_any_account() -> None:
    notifications = settings(with_topic(TOPIC.replace("123456789012", "210987654321"))).notifications
    assert isinstance(notifications, ExistingTopicSettings)
    assert notifications.topic_arn == "arn:aws:sns:ap-northeast-1:210987654321:releases"
    assert settings(VALID).notifications is None


@pytest.mark.parametrize(
    ("arn", "rule"),
    [
        ("releases", "topic-arn"),
        (f"{TOPIC}:0e6c-subscription", "topic-arn"),
        (f"{TOPIC}.fifo", "fifo-topic"),
        (TOPIC.replace("ap-northeast-1", "us-east-1"), "topic-region"),
    ],
)
def test_a_wrong_topic_is_refused(arn: str, rule: str) -> None:
    assert broken(with_topic(arn)) == [("notifications.topicArn", rule)]


PAGER = {"protocol": "https", "endpoint": "https://pager.example.com/x"}


@pytest.mark.parametrize(
    ("notifications", "at", "rule"),
    [
        ({"topicArn": TOPIC, "subscriptions": [PAGER]}, "notifications", "topic-or-subscriptions"),
        ({}, "notifications", "topic-or-subscriptions"),
        ({"subscriptions": []}, "notifications.subscriptions", "out-of-range"),
        ({"subscriptions": [PAGER | {"receives": []}]}, "notifications.subscriptions[0].receives", "out-of-range"),
        ({"subscriptions": [PAGER | {"protocol": "email"}]}, "notifications.subscriptions[0].endpoint",
         "endpoint-of-other-protocol"),
        ({"subscriptions": [{"protocol": "https", "endpoint": "http://pager.example.com"}]},
         "notifications.subscriptions[0].endpoint", "endpoint-of-other-protocol"),
        ({"subscriptions": [PAGER, PAGER | {"receives": ["releases"]}]}, "notifications.subscriptions",
         "subscribed-twice"),
    ],
)  # fmt: skip
def test_a_topic_exists_or_is_created_with_valid_subscriptions(notifications: Any, at: str, rule: str) -> None:
    assert broken({**VALID, "triton-sagemaker:notifications": notifications}) == [(at, rule)]


RANKING = VALID["triton-sagemaker:endpoints"]["ranking"]
ALARMED = RANKING | {"alarms": {"errorRatePercent": 5}}
TRANSFORMS = {"model": RANKING["model"], "batch": {}}
BOTH = PAGER | {"receives": ["alarms", "releases"]}
RELEASES = {"protocol": "email", "endpoint": "a@example.com", "receives": ["releases"]}


@pytest.mark.parametrize(
    ("environment", "notifications", "endpoint", "monitoring", "warned"),
    [
        ("production", {"topicArn": TOPIC}, ALARMED, {}, True),
        ("production", {"subscriptions": [RELEASES, BOTH]}, ALARMED, {}, True),
        ("production", {"topicArn": TOPIC}, ALARMED, {"runbookUrl": "https://wiki.example.com/triton"}, False),
        ("production", {"subscriptions": [RELEASES]}, ALARMED, {}, False),
        ("production", {"topicArn": TOPIC}, TRANSFORMS, {}, False),
        ("staging", {"topicArn": TOPIC}, ALARMED, {}, False),
    ],
)
def test_operators_of_production_need_a_runbook(
    environment: str, notifications: Any, endpoint: Any, monitoring: Any, warned: bool
) -> None:
    config = VALID | {
        "triton-sagemaker:environment": environment,
        "triton-sagemaker:notifications": notifications,
        "triton-sagemaker:monitoring": monitoring,
        "triton-sagemaker:endpoints": {"ranking": endpoint},
    }
    assert ("notifications-without-runbook" in {warning.rule for warning in warnings(config)}) == warned
