"""The metric stream to Datadog as the program registers it."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.aws.datadog import Site
from infra.aws.metrics import NAMESPACES, PERCENTILES
from infra.components.metric_stream import missing
from tests.infra.mock_runtime import ACCOUNT, Deployment, changed, run

SECRET = f"arn:aws:secretsmanager:ap-northeast-1:{ACCOUNT}:secret:datadog-api-key-a1b2c3"
STACKS = ["dev", "prod", "modes"]
TYPES = {"DatadogMetricStream", "MetricStream", "FirehoseDeliveryStream"}


def streamed(stack: str = "dev", **sections: Any) -> Deployment:
    return changed(stack, datadog={"site": "ap1.datadoghq.com", "apiKeySecretArn": SECRET}, **sections)


def created(deployment: Deployment, stack: str) -> set[tuple[str, str]]:
    """Types and names of what this deployment has and that of the stack file has not."""
    before, after = ({(r.type.split(":")[-1], r.name) for r in each.resources} for each in (run(stack), deployment))
    assert before <= after
    return after - before


@pytest.mark.parametrize("stack", STACKS)
def test_a_metric_stream_and_its_delivery_are_created_with_a_role_each(stack: str) -> None:
    deployment = streamed(stack)
    name, roles = f"datadog-{stack}", (f"firehose-{stack}", f"metric-stream-{stack}")
    assert created(deployment, stack) == {
        *(("DatadogMetricStream", "datadog"), ("FirehoseDeliveryStream", name), ("MetricStream", name)),
        *((type_, role) for type_ in ("Role", "RolePolicy") for role in roles),
    }
    tags = deployment.one(":Bucket").inputs["tags"]
    for type_, resource in created(deployment, stack) - {("DatadogMetricStream", "datadog")}:
        registered = deployment.one(f":{type_}", resource)
        assert registered.parent_type == "triton-sagemaker:infra:DatadogMetricStream"
        assert type_ == "RolePolicy" or registered.inputs["tags"] == tags
    assert deployment.outputs["datadog"].keys() == {"metricStream", "deliveryStream"}
    assert deployment.one(":StackGuard", "last").depends_on >= {name, *roles}


def test_the_stream_has_the_metrics_of_endpoints_with_percentiles_of_the_latencies() -> None:
    inputs = streamed().one(":MetricStream").inputs
    assert inputs["outputFormat"] == "opentelemetry1.0"
    assert [each["namespace"] for each in inputs["includeFilters"]] == ["AWS/SageMaker", "/aws/sagemaker/Endpoints"]
    (statistics,) = inputs["statisticsConfigurations"]
    named = {(each["namespace"], each["metricName"]) for each in statistics["includeMetrics"]}
    assert named == {("AWS/SageMaker", name) for name in ("ModelLatency", "OverheadLatency", "ModelSetupTime")}
    assert set(statistics["additionalStatistics"]) == {"p50", "p90", "p95", "p99", "p99.9"}


def test_the_metrics_are_delivered_to_the_site_with_the_key_of_the_secret() -> None:
    deployment = streamed("prod")
    endpoint = deployment.one(":FirehoseDeliveryStream").inputs["httpEndpointConfiguration"]
    assert endpoint["url"].startswith("https://awsmetrics-intake.ap1.datadoghq.com/")
    assert endpoint["secretsManagerConfiguration"] == {"enabled": True, "secretArn": SECRET}
    assert "accessKey" not in endpoint
    assert endpoint["requestConfiguration"] == {"contentEncoding": "GZIP"}
    assert endpoint["s3BackupMode"] == "FailedDataOnly"
    failed = endpoint["s3Configuration"]
    assert (failed["bucketArn"], failed["errorOutputPrefix"]) == ("arn:aws:s3:::sagemaker-models", "datadog/")
    expiring = [
        rule["filter"]["prefix"]
        for rule in deployment.one(":BucketLifecycleConfiguration").inputs["rules"]
        if "expiration" in rule
    ]
    assert failed["errorOutputPrefix"] in expiring


@pytest.mark.parametrize("site", Site)
def test_every_site_has_an_intake_of_its_own(site: Site) -> None:
    assert f".{site}/" in site.intake_url
    assert len({each.intake_url for each in Site}) == len(Site) == 9


def test_what_a_role_allows_exists_before_what_needs_it() -> None:
    deployment = streamed()
    assert "firehose-dev" in deployment.one(":FirehoseDeliveryStream").depends_on
    assert "metric-stream-dev" in deployment.one(":MetricStream").depends_on
    assert "datadog-dev" in deployment.one(":MetricStream").depends_on


def test_the_boundary_of_the_stack_bounds_both_roles() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    roles = streamed(role={"permissionsBoundary": boundary}).all(":Role")
    assert [role.inputs["permissionsBoundary"] for role in roles] == [boundary] * 3


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("former", [{}, {"site": "datadoghq.com", "apiKeySecretArn": SECRET}])
def test_an_existing_integration_creates_nothing_and_names_what_must_exist(stack: str, former: dict[str, str]) -> None:
    deployment = changed(stack, datadog=former | {"integration": "existing"})
    assert created(deployment, stack) == set()
    assert "datadog" not in deployment.outputs
    (line,) = [line for line in deployment.log if line.startswith("datadog: ")]
    assert all(part in line for part in (*NAMESPACES, *PERCENTILES, "AWS integration", "OpenTelemetry 1.0"))
    assert former.get("site", "the site") in line
    assert "creates nothing" in line


def test_the_preview_names_the_site_and_the_region() -> None:
    (line,) = [line for line in streamed().log if line.startswith("datadog: ")]
    assert "ap1.datadoghq.com" in line
    assert "all endpoints of the account in ap-northeast-1" in line


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"ARN": SECRET}, False),
        ({"ARN": SECRET, "DeletedDate": "2026-11-28T00:00:00Z"}, True),
        ("ResourceNotFoundException", True),
        ("AccessDeniedException", False),
    ],
)
def test_a_secret_that_does_not_exist_is_named_before_the_stream_is_created(answer: Any, named: bool) -> None:
    client = boto3.client("secretsmanager", "ap-northeast-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        if isinstance(answer, str):
            stub.add_client_error("describe_secret", answer)
        else:
            stub.add_response("describe_secret", answer, {"SecretId": SECRET})
        problem = missing(SECRET, client)
    assert (problem is not None) == named
    if problem:
        assert SECRET in problem
        assert "--name datadog-api-key " in problem


def test_the_check_of_the_secret_is_a_hook_of_the_delivery_stream() -> None:
    request = streamed().one(":FirehoseDeliveryStream").request
    assert (len(request.hooks.before_create), len(request.hooks.before_update)) == (1, 1)


def test_the_policies_are_documents_of_the_bucket_and_the_secret() -> None:
    deployment = streamed("prod")
    document = json.loads(deployment.one(":RolePolicy", "firehose-prod").inputs["policy"])
    by_sid = {statement["Sid"]: statement for statement in document["Statement"]}
    assert by_sid["ReadApiKey"]["Resource"] == SECRET
    assert by_sid["KeepFailedMetrics"]["Resource"] == "arn:aws:s3:::sagemaker-models/datadog/*"
