"""SNS's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls

_TOPIC_ATTRIBUTES = (
    "contentBasedDeduplication deliveryPolicy displayName fifoThroughputScope kmsMasterKeyId policy signatureVersion "
    "tracingConfig"
)
_OF_CONFIRMATION = "confirmationTimeoutInMinutes endpointAutoConfirms"
_SUBSCRIPTION_ATTRIBUTES = (
    "deliveryPolicy filterPolicy filterPolicyScope rawMessageDelivery redrivePolicy subscriptionRoleArn"
)


def _set_attributes(operation: str, attributes: str) -> Step:
    """SNS sets one attribute a call, and takes an empty text for "none"."""

    def set_attributes(work: Work) -> None:
        for name in sorted(work.changed & set(attributes.split())):
            value = work.given.get(name, "")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            work.call(operation, AttributeName=name[0].upper() + name[1:], AttributeValue=text)

    return Step(operation, run=set_attributes, on=attributes)


def _create_topic(work: Work) -> dict[str, Any]:
    """SNS accepts `true` for these attributes or none: terraform-provider-aws leaves its default `false` out."""
    work.given = {name: value for name, value in work.given.items() if value is not False}
    return work.send("CreateTopic")


def _typed(attributes: Mapping[str, str]) -> dict[str, Any]:
    """SNS answers in texts; properties are booleans and numbers too."""
    values: dict[str, Any] = {key[0].lower() + key[1:]: value for key, value in attributes.items()}
    values |= {name: value == "true" for name, value in values.items() if value in ("true", "false")}
    return values | {name: int(values[name]) for name in ("signatureVersion",) if values.get(name)}


def _complete_topic(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    values = _typed(found["attributes"])
    arn = values["topicArn"]
    return {"fifoTopic": False, "contentBasedDeduplication": False, **values, "arn": arn, "name": arn.split(":")[-1]}


def _complete_subscription(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    values = _typed(found["attributes"])
    return {**values, "arn": values["subscriptionArn"], "topic": values["topicArn"], "ownerId": values["owner"]}


def _subscribe(work: Work) -> dict[str, Any]:
    """Without the arguments that tell the provider alone how to wait for the confirmation."""
    carried = [name for name in work.type.input_names if name not in _OF_CONFIRMATION.split()]
    return work.call("Subscribe", **work.parameters("Subscribe", carried), ReturnSubscriptionArn=True)


def _unsubscribe(work: Work) -> None:
    if work.state.get("arn", "").startswith(
        "arn:"
    ):  # one that waits for its confirmation has no ARN, and ends by itself
        work.call("Unsubscribe")


TYPES = (
    ResourceType(
        token="aws:sns/topic:Topic",
        service="sns",
        inputs=f"name fifoTopic {_TOPIC_ATTRIBUTES}",
        outputs="arn owner",
        identity="arn",
        id="{arn}",
        autoname=AutoName(longest=80, suffix_if=("fifoTopic", ".fifo")),
        names={"arn": "TopicArn", "tagsAll": "Tags"},
        within="Attributes",
        create=Step("CreateTopic", run=_create_topic),
        reads=(Read("GetTopicAttributes"),),
        complete=_complete_topic,
        updates=(_set_attributes("SetTopicAttributes", _TOPIC_ATTRIBUTES),),
        delete="DeleteTopic",
        replaces="name fifoTopic",
        defaults={"fifoTopic": False, "contentBasedDeduplication": False},
        documents="policy deliveryPolicy",
        computed="policy signatureVersion fifoThroughputScope tracingConfig",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource"),
    ),
    ResourceType(
        token="aws:sns/topicSubscription:TopicSubscription",
        service="sns",
        inputs=f"topic protocol endpoint {_OF_CONFIRMATION} {_SUBSCRIPTION_ATTRIBUTES}",
        outputs="arn confirmationWasAuthenticated ownerId pendingConfirmation",
        identity="arn",
        id="{arn}",
        names={"topic": "TopicArn", "arn": "SubscriptionArn"},
        within="Attributes",
        create=Step("Subscribe", run=_subscribe),
        reads=(Read("GetSubscriptionAttributes"),),
        complete=_complete_subscription,
        updates=(_set_attributes("SetSubscriptionAttributes", _SUBSCRIPTION_ATTRIBUTES),),
        delete=Step("Unsubscribe", run=_unsubscribe),
        replaces="topic protocol endpoint",
        defaults={"confirmationTimeoutInMinutes": 1, "endpointAutoConfirms": False, "rawMessageDelivery": False},
        write_only=_OF_CONFIRMATION,
        documents="deliveryPolicy filterPolicy redrivePolicy",
        computed="filterPolicyScope",
    ),
)
