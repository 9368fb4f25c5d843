"""The settings of where operators are notified."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Tag, WithJsonSchema

from infra.settings.section import Section, rule, setting, unique, violation

TOPIC_ARN = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"


def _standard_topic_arn(arn: str) -> str:
    match = re.fullmatch(rf"{TOPIC_ARN}(\.fifo)?", arn)
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
    str, AfterValidator(_standard_topic_arn), WithJsonSchema({"type": "string", "pattern": f"^{TOPIC_ARN}$"})
]

EMAIL_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_ADDRESS = {"email": EMAIL_ADDRESS, "https": re.compile(r"https://[^\s/]+\S*")}


class SubscriptionSettings(Section):
    """One subscription to the created topic."""

    protocol: Literal["email", "https"] = setting(
        "How SNS delivers the messages. The recipient must confirm the subscription once.",
        example="email",
        source="SNS API SubscribeInput (Protocol); this project: for others, create a topic and set topicArn",
    )
    endpoint: str = setting(
        "The email address, or the https:// address. It is not encrypted in the state: for an address that contains a "
        "key, create a topic and set topicArn.",
        example="on-call@example.com",
        source="SNS API SubscribeInput (Endpoint)",
    )
    receives: Annotated[list[Literal["alarms", "releases"]], AfterValidator(unique)] = setting(
        "The messages to receive: alarms, the results of releases, or both. A release that fails sends one of each.",
        default=["alarms"],
        example=["alarms", "releases"],
        min_length=1,
        source="this project: a pager must not ring twice for one cause",
        schema={"uniqueItems": True},
    )

    @rule("endpoint")
    def endpoint_of_other_protocol(self) -> str | None:
        """SNS API SubscribeInput, Endpoint."""
        if _ADDRESS[self.protocol].fullmatch(self.endpoint):
            return None
        form = "an address such as on-call@example.com" if self.protocol == "email" else "an https:// address"
        return f"{self.endpoint!r} is not valid for the protocol {self.protocol}, which requires {form}."


class ExistingTopicSettings(Section):
    """A topic that exists notifies operators of alarms and of the result of each release."""

    topic_arn: StandardTopicArn = setting(
        "ARN of a standard SNS topic in the stack's region. All endpoints of the stack share it. Set either this or "
        "subscriptions.",
        example="arn:aws:sns:ap-northeast-1:123456789012:releases",
        source="SNS API CreateTopicInput (Name); this project: no FIFO topic, because email and chat cannot subscribe "
        "to one",
    )


class CreatedTopicSettings(Section):
    """A topic of the stack notifies operators."""

    subscriptions: list[SubscriptionSettings] = setting(
        "Creates a topic with these subscriptions. Set either this or topicArn.",
        min_length=1,
        source="this project: a topic without subscriptions notifies nobody",
    )

    @rule("subscriptions")
    def subscribed_twice(self) -> str | None:
        """SNS API Subscribe: a topic has one subscription of an endpoint, with one filter policy."""
        endpoints = [subscription.endpoint for subscription in self.subscriptions]
        if repeated := sorted({endpoint for endpoint in endpoints if endpoints.count(endpoint) > 1}):
            return f"{', '.join(repeated)}: listed more than once. Keep one, with everything that it receives."
        return None


def _kind(notifications: Any) -> str | None:
    if isinstance(notifications, dict):
        kinds = [key for key in ("topicArn", "subscriptions") if key in notifications]
        return kinds[0] if len(kinds) == 1 else None
    return "subscriptions" if isinstance(notifications, CreatedTopicSettings) else "topicArn"


NotificationSettings = Annotated[
    Annotated[ExistingTopicSettings, Tag("topicArn")] | Annotated[CreatedTopicSettings, Tag("subscriptions")],
    Discriminator(
        _kind,
        custom_error_type="topic-or-subscriptions",
        custom_error_message="requires exactly one of topicArn (a topic that exists) and subscriptions (to a topic "
        "that the stack creates).",
    ),
]
"""Where operators are notified."""
