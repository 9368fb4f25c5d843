"""The log group of an endpoint gets its retention, whether SageMaker created it or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.aws.errors import AwsRequestRefused
from infra.aws.session import AwsSession
from infra.dynamic.log_group import LogGroupProvider

NAME = "/aws/sagemaker/Endpoints/iris"
PROPS = {"name": NAME, "retentionDays": 30, "accountId": "123456789012", "tags": {"CostEnv": "dev"}}


@pytest.fixture
def logs() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("logs", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_log_group(logGroupName=f"{NAME}-eu")
        yield client


@pytest.fixture
def provider(logs: Any) -> LogGroupProvider:
    provider = LogGroupProvider()
    provider.aws = AwsSession({"aws:region": "us-east-1", "aws:accessKey": "test", "aws:secretKey": "test"})
    return provider


def retention(logs: Any) -> dict[str, int | None]:
    return {group["logGroupName"]: group.get("retentionInDays") for group in logs.describe_log_groups()["logGroups"]}


@pytest.mark.parametrize("exists", [False, True])
def test_the_group_is_created_or_kept_and_gets_the_retention(
    logs: Any, provider: LogGroupProvider, exists: bool
) -> None:
    if exists:
        logs.create_log_group(logGroupName=NAME)
    assert provider.create(PROPS).id == NAME
    assert retention(logs) == {NAME: 30, f"{NAME}-eu": None}
    assert logs.list_tags_log_group(logGroupName=NAME)["tags"] == {"CostEnv": "dev"}


def test_a_change_sets_the_retention_and_the_tags(logs: Any, provider: LogGroupProvider) -> None:
    provider.create(PROPS)
    news = {**PROPS, "retentionDays": 90, "tags": {"Team": "ml"}}
    assert provider.diff(NAME, PROPS, news).changes
    provider.update(NAME, PROPS, news)
    assert retention(logs)[NAME] == 90
    assert logs.list_tags_log_group(logGroupName=NAME)["tags"] == {"Team": "ml"}


def test_a_refresh_finds_another_retention_and_a_missing_group(logs: Any, provider: LogGroupProvider) -> None:
    provider.create(PROPS)
    logs.delete_retention_policy(logGroupName=NAME)
    assert (provider.read(NAME, PROPS).outs or {})["retentionDays"] == 0
    logs.delete_log_group(logGroupName=NAME)
    assert provider.read(NAME, PROPS).id == ""


def test_a_refusal_names_the_log_group(logs: Any, provider: LogGroupProvider) -> None:
    with pytest.raises(AwsRequestRefused, match=f"log group {NAME}: PutRetentionPolicy"):
        provider.update(NAME, PROPS, PROPS)
