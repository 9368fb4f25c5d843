"""What those who read a stack's cost may do: every call of `python -m infra cost`, and nothing that changes."""

from __future__ import annotations

import pytest

from infra.policies import viewers
from tests.infra.mock_runtime import ROOT
from tests.infra.policies.iam_requests import arn
from tests.infra.policies.stack_settings import names
from tests.infra.policies.test_principals import actions, calls_in, may
from tests.messages.settings import SECRET

STACK = names()
VIEWER = viewers.cost_viewer(STACK)
STREAM = {"site": "datadoghq.com", "integration": "metricStream", "apiKeySecretArn": SECRET}
NOT_NAMED_ALIKE = {"s3:ListObjectVersions": "s3:ListBucketVersions", "s3:ListBuckets": "s3:ListAllMyBuckets"}
"""Calls that IAM knows by other names (Service Authorization Reference, S3)."""


def test_the_viewer_may_make_every_call_of_the_command() -> None:
    made = calls_in((ROOT / "infra" / "cost").glob("*.py"))
    assert {"cloudwatch:GetMetricStatistics", "s3:ListObjectVersions", "s3:ListBuckets"} <= made
    unnamed = viewers.cost_viewer(names("dev", datadog=STREAM))
    assert {NOT_NAMED_ALIKE.get(call, call) for call in made} - actions(unnamed) == set()


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("pricing:GetProducts", "*", True),
        ("sagemaker:DescribeEndpoint", arn("sagemaker", "endpoint/sagemaker-endpoint"), True),
        ("sagemaker:DescribeEndpoint", arn("sagemaker", "endpoint/other"), False),
        ("sagemaker:DescribeEndpointConfig", arn("sagemaker", "endpoint-config/made-by-hand"), True),
        ("application-autoscaling:DescribeScalableTargets", "*", True),
        ("tag:GetResources", "*", True),
        ("cloudwatch:GetMetricStatistics", "*", True),
        ("cloudwatch:ListMetricStreams", "*", False),
        ("s3:ListBucketVersions", "arn:aws:s3:::sagemaker-models", True),
        ("s3:ListBucketVersions", "arn:aws:s3:::other", False),
        ("s3:ListAllMyBuckets", "*", False),
        ("s3:GetObject", "arn:aws:s3:::sagemaker-models/models/x", False),
        ("ecr:DescribeImages", arn("ecr", "repository/sagemaker-tritonserver"), True),
        ("ecr:BatchGetImage", arn("ecr", "repository/sagemaker-tritonserver"), False),
        ("sagemaker:DescribeModel", arn("sagemaker", "model/sagemaker-endpoint-1a2b3c4"), False),
        ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/sagemaker-endpoint"), False),
    ],
)
def test_the_viewer_reads_the_stack_and_no_more(action: str, resource: str, allowed: bool) -> None:
    assert may(VIEWER, action, resource) is allowed
