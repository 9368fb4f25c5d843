from __future__ import annotations

from typing import Any

import pytest

from tests.infra.settings.config import VALID, broken, settings

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:releases"


def with_topic(arn: str) -> dict[str, Any]:
    return {**VALID, "triton-sagemaker:notifications": {"topicArn": arn}}


def test_a_topic_may_belong_to_any_account() -> None:
    notifications = settings(with_topic(TOPIC.replace("123456789012", "210987654321"))).notifications
    assert notifications is not None
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
