"""The CloudWatch dashboard of the stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra import names
from infra.aws.console import dashboard_url
from infra.components.context import StackContext
from infra.monitoring.dashboard import dashboard_body
from infra.settings.stack import Settings


@dataclass(frozen=True)
class StackDashboardArgs:
    """
    Attributes:
        alarm_arns: the alarms that notify operators.
        releases: the latest releases of each endpoint; None in a state without them.
    """

    context: StackContext
    settings: Settings
    alarm_arns: Sequence[pulumi.Input[str]]
    releases: Mapping[str, pulumi.Input[list[dict[str, Any]] | None]]


class StackDashboard(pulumi.ComponentResource):
    """A dashboard of every endpoint. AWS accepts tags of a dashboard, and pulumi-aws has no argument for them."""

    url: pulumi.Output[str]
    """The address in AWS's console."""

    def __init__(self, name: str, args: StackDashboardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:StackDashboard", name, None, opts)
        stack = args.context.stack
        body = pulumi.Output.all(list(args.alarm_arns), dict(args.releases)).apply(
            lambda shown: dashboard_body(
                stack, args.settings, shown[0], {endpoint: latest or [] for endpoint, latest in shown[1].items()}
            )
        )
        dashboard = cloudwatch.Dashboard(
            name,
            dashboard_name=names.dashboard(stack),
            dashboard_body=pulumi.Output.json_dumps(body),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.url = dashboard.dashboard_name.apply(partial(dashboard_url, args.context.region))
        self.register_outputs({"url": self.url})
