"""The settings of whom releases are told to."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from infra.settings.section import Section, violation
from infra.settings.source import according_to

_TOPIC = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"
_TOPIC_ARN = re.compile(rf"{_TOPIC}(\.fifo)?")


def _standard_topic_arn(arn: str) -> str:
    if not (found := _TOPIC_ARN.fullmatch(arn)):
        raise violation(
            "topic-arn", f"{arn!r} is no ARN of an SNS topic, such as arn:aws:sns:ap-northeast-1:123456789012:releases."
        )
    if found[1]:
        raise violation(
            "fifo-topic",
            f"{arn} is a FIFO topic, which reaches neither mail nor chat nor Lambda (SNS guide, FIFO topics). Give a "
            "standard topic.",
        )
    return arn


class NotificationSettings(Section):
    """Where the end of each release is published."""

    topic_arn: Annotated[
        str, AfterValidator(_standard_topic_arn), WithJsonSchema({"type": "string", "pattern": f"^{_TOPIC}$"})
    ] = Field(
        description="ARN of a standard SNS topic in the stack's region, one for all endpoints.",
        examples=["arn:aws:sns:ap-northeast-1:123456789012:releases"],
        json_schema_extra=according_to(
            "SNS API CreateTopicInput (Name); this project: no FIFO topic, for mail and chat cannot subscribe to one"
        ),
    )

    @property
    def region(self) -> str:
        """The topic's region."""
        return self.topic_arn.split(":")[3]
