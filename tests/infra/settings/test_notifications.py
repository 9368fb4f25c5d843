"""Every rule of the notifications: what is refused, under which key, and with which way out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.test_settings import VALID, problems, settings

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:releases"


def with_topic(arn: str) -> dict[str, Any]:
    return {**VALID, "triton-sagemaker:notifications": {"topicArn": arn}}


def test_a_topic_of_the_region_is_taken_in_any_account() -> None:
    found = settings(with_topic(TOPIC.replace("123456789012", "210987654321"))).notifications
    assert found is not None
    assert found.topic_arn == "arn:aws:sns:ap-northeast-1:210987654321:releases"
    assert settings(VALID).notifications is None


@pytest.mark.parametrize(
    ("arn", "key", "words"),
    [
        ("releases", "notifications.topicArn", "'releases' is no ARN of an SNS topic, such as arn:aws:sns:"),
        (f"{TOPIC}:0e6c-subscription", "notifications.topicArn", "is no ARN of an SNS topic"),
        (f"{TOPIC}.fifo", "notifications.topicArn", "is a FIFO topic"),
        (
            TOPIC.replace("ap-northeast-1", "us-east-1"),
            "notifications.topicArn",
            "is in us-east-1, the stack in ap-northeast-1",
        ),
    ],
)
def test_a_wrong_topic_is_refused_with_the_rule(arn: str, key: str, words: str) -> None:
    ((found, message),) = problems(with_topic(arn)).items()
    assert found == f"triton-sagemaker:{key}"
    assert words in message
