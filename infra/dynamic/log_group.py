"""The log group of an endpoint's containers as a dynamic resource, which sets its retention.

SageMaker creates the group when a container first writes to it, so the group of an endpoint that already serves exists:
the `aws` provider's LogGroup would fail to create it. CloudWatch keeps log events forever by default (CloudWatch Logs
guide, "Change log data retention").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from botocore.exceptions import ClientError
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.aws.errors import aws_calls, code
from infra.dynamic.provider import AwsResourceProvider, difference


class LogGroupProvider(AwsResourceProvider):
    """Has no delete: the log remains after the endpoint, with its retention."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        return difference(olds, news, update=["retentionDays", "tags"], replace=["name", "accountId"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        logs, name = self.client("logs", props), props["name"]
        with aws_calls(f"log group {name}"):
            try:
                logs.create_log_group(logGroupName=name, tags=props["tags"])
            except ClientError as error:
                if code(error) != "ResourceAlreadyExistsException":
                    raise
        self._set(props, {})
        return CreateResult(name, props)

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        self._set(news, olds["tags"])
        return UpdateResult(news)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        group = self._describe(props)
        if group is None:
            return ReadResult("", {})
        return ReadResult(id_, {**props, "retentionDays": group.get("retentionInDays", 0)})

    def _set(self, props: dict[str, Any], previous_tags: Mapping[str, str]) -> None:
        logs, name = self.client("logs", props), props["name"]
        removed = sorted(previous_tags.keys() - props["tags"].keys())
        with aws_calls(f"log group {name}"):
            logs.put_retention_policy(logGroupName=name, retentionInDays=int(props["retentionDays"]))
        if group := self._describe(props):
            with aws_calls(f"log group {name}"):
                if removed:
                    logs.untag_resource(resourceArn=group["logGroupArn"], tagKeys=removed)
                if props["tags"]:
                    logs.tag_resource(resourceArn=group["logGroupArn"], tags=props["tags"])

    def _describe(self, props: dict[str, Any]) -> dict[str, Any] | None:
        name = props["name"]
        with aws_calls(f"log group {name}"):
            pages = self.client("logs", props).get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
            return next((group for page in pages for group in page["logGroups"] if group["logGroupName"] == name), None)


class LogGroup(Resource, module="infra", name="LogGroup"):
    """A log group with a retention. An existing group is kept and gets the retention.

    Args:
        log_group_name: its name (API `LogGroupName`).
        retention_days: how long CloudWatch keeps each event (API `Days`).
        account_id: the account of the stack's `aws` provider.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        log_group_name: pulumi.Input[str],
        retention_days: int,
        account_id: pulumi.Input[str],
        tags: dict[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"name": log_group_name, "retentionDays": retention_days, "accountId": account_id, "tags": tags}
        super().__init__(LogGroupProvider(), resource_name, props, opts)
