"""The policies of those who read what a stack costs."""

from __future__ import annotations

from collections.abc import Iterator

from infra.policies.document import Policy, Statement, allow, managed_policies
from infra.policies.principals import find_endpoints, read_configurations
from infra.policies.stack_names import StackNames


def cost_viewer(stack: StackNames) -> list[Policy]:
    """For `python -m infra cost`: the price list, the deployed fleets, their metrics, and what the stack stores."""
    return managed_policies(_read(stack))


def _read(stack: StackNames) -> Iterator[Statement]:
    yield allow("Prices", "pricing", "GetProducts", "*")  # accepts no resource
    yield allow("Endpoints", "sagemaker", "DescribeEndpoint", stack.endpoint_arns)
    yield read_configurations(stack)
    yield find_endpoints()
    yield allow("Autoscaling", "application-autoscaling", "DescribeScalableTargets", "*")  # accepts no resource
    metrics = "GetMetricStatistics ListMetricStreams" if stack.settings.metric_stream else "GetMetricStatistics"
    yield allow("Metrics", "cloudwatch", metrics, "*")  # accept no resource
    yield allow("Versions", "s3", "ListBucketVersions", stack.bucket_arn)
    if stack.settings.bucket.name is None:
        yield allow("FindBucket", "s3", "ListAllMyBuckets", "*")  # accepts no resource
    if stack.settings.image.mirror:
        yield allow("Images", "ecr", "DescribeImages", stack.repository_arn)
