"""The settings of where the results of releases are published."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from infra.settings.section import Section, setting, violation

_TOPIC = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"


def _standard_topic_arn(arn: str) -> str:
    match = re.fullmatch(rf"{_TOPIC}(\.fifo)?", arn)
    if not match:
        raise violation(
            "topic-arn",
            f"{arn!r} is not a valid SNS topic ARN, such as arn:aws:sns:ap-northeast-1:123456789012:releases.",
        )
    if match[1]:
        raise violation(
            "fifo-topic",
            f"{arn} is a FIFO topic, which cannot deliver to email, chat or Lambda (SNS guide, FIFO topics). Use a "
            "standard topic.",
        )
    return arn


StandardTopicArn = Annotated[
    str, AfterValidator(_standard_topic_arn), WithJsonSchema({"type": "string", "pattern": f"^{_TOPIC}$"})
]


class NotificationSettings(Section):
    """Where the result of each release is published."""

    topic_arn: StandardTopicArn = setting(
        "ARN of a standard SNS topic in the stack's region. All endpoints of the stack share it.",
        example="arn:aws:sns:ap-northeast-1:123456789012:releases",
        source="SNS API CreateTopicInput (Name); this project: no FIFO topic, because email and chat cannot subscribe "
        "to one",
    )
