"""Where operators are notified: the SNS topic with its subscriptions, and its silence in freeze windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, sns

from infra import names
from infra.aws import mute_rules
from infra.components.context import StackContext
from infra.release.freeze import FreezeWindow
from infra.settings.notifications import SubscriptionSettings

_RECEIVED = {
    "alarms": ("MessageBody", {"AlarmName": [{"exists": True}]}),
    "releases": ("MessageAttributes", {"result": [{"exists": True}]}),
}
"""By what is received, the scope of the filter policy and the policy: CloudWatch's messages have no attributes."""


@dataclass(frozen=True)
class NotificationTopicArgs:
    context: StackContext
    subscriptions: Sequence[SubscriptionSettings]


class NotificationTopic(pulumi.ComponentResource):
    """The topic of a stack. It is not encrypted: CloudWatch cannot publish to a topic with the key of SNS (CloudWatch
    User Guide, Notifying users on alarm changes), and messages contain names and numbers only."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: NotificationTopicArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:NotificationTopic", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        topic = sns.Topic(names.notification_topic(args.context.stack), tags=args.context.tags, opts=child)
        for subscription in args.subscriptions:
            scope, policy = _RECEIVED[subscription.receives[0]] if len(subscription.receives) == 1 else (None, None)
            sns.TopicSubscription(
                names.subscription(subscription.protocol, subscription.endpoint),
                topic=topic.arn,
                protocol=subscription.protocol,
                endpoint=subscription.endpoint,
                filter_policy_scope=scope,
                filter_policy=policy and json.dumps(policy, separators=(",", ":")),
                opts=child,
            )
        self.arn = topic.arn
        self.register_outputs({"arn": self.arn})


@dataclass(frozen=True)
class MuteRulesArgs:
    """
    Attributes:
        alarms: the names of the alarms to silence.
    """

    context: StackContext
    windows: Sequence[FreezeWindow]
    alarms: Sequence[pulumi.Input[str]]


class MuteRules(pulumi.ComponentResource):
    """Silences alarms in each freeze window; they are evaluated all the same."""

    def __init__(self, name: str, args: MuteRulesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:MuteRules", name, None, opts)
        for index, window in enumerate(args.windows):
            rule = names.mute_rule(args.context.stack, index)
            cloudwatch.AlarmMuteRule(
                rule,
                name=rule,
                description=f"Freeze window: {window.reason}",
                rule={
                    "schedule": {
                        "expression": mute_rules.expression(window.schedule),
                        "duration": mute_rules.duration(window.duration),
                        "timezone": window.time_zone,
                    }
                },
                mute_targets={"alarm_names": [*args.alarms]},
                tags=args.context.tags,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
