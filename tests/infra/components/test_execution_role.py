"""The execution role as the program registers it, or uses it."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from infra.components.execution_role import require_account
from tests.infra.mock_runtime import Deployment, changed, run

KEY = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"


def statements(deployment: Deployment) -> list[dict[str, Any]]:
    policies = [json.loads(resource.inputs["policy"]) for resource in deployment.all("iam/rolePolicy:RolePolicy")]
    return [statement for policy in policies for statement in policy["Statement"]]


def sids(deployment: Deployment) -> set[str]:
    return {statement["Sid"] for statement in statements(deployment)}


def test_sagemaker_assumes_the_role_for_this_account_only() -> None:
    (statement,) = json.loads(run("dev").one("iam/role:Role").inputs["assumeRolePolicy"])["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:sagemaker:ap-northeast-1:123456789012:*"},
    }


def test_the_role_allows_what_a_serving_container_needs_and_no_more() -> None:
    allowed = {
        (action, resource)
        for statement in statements(run("dev"))
        for action in statement["Action"]
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    }
    bucket, repository = "arn:aws:s3:::models-dev-1a2b3c4", "arn:aws:mock:ap-northeast-1:123456789012:image"
    groups = "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/sagemaker"
    written = [f"{groups}/Endpoints/iris-dev:*", f"{groups}/TransformJobs:*"]
    write = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    assert allowed == {
        ("s3:GetObject", f"{bucket}/models/*"),
        ("s3:ListBucket", bucket),
        ("ecr:BatchCheckLayerAvailability", repository),
        ("ecr:BatchGetImage", repository),
        ("ecr:GetDownloadUrlForLayer", repository),
        ("ecr:GetAuthorizationToken", "*"),
        *((f"logs:{action}", group) for action in write for group in written),
        *((f"s3:{action}", f"{bucket}/batch/*") for action in ("GetObject", "PutObject", "AbortMultipartUpload")),
        ("cloudwatch:PutMetricData", "*"),
        ("cloudwatch:DescribeAlarms", "*"),
    }
    conditions = {each["Sid"]: each["Condition"] for each in statements(run("dev")) if "Condition" in each}
    namespaces = ["/aws/sagemaker/Endpoints", "/aws/sagemaker/TransformJobs", "AWS/SageMaker", "Triton"]
    assert conditions == {
        "ListReleasedArtifacts": {"StringLike": {"s3:prefix": "models/*"}},
        "WriteMetrics": {"StringEquals": {"cloudwatch:namespace": namespaces}},
    }


def test_a_role_that_exists_is_used_unchanged() -> None:
    arn = "arn:aws:iam::123456789012:role/platform/triton-serving"
    deployment = changed("dev", role={"arn": arn})
    assert not [resource for resource in deployment.resources if resource.type.startswith("aws:iam/")]
    assert deployment.one("sagemaker/model:Model").inputs["executionRoleArn"] == deployment.outputs["roleArn"] == arn


def test_a_role_of_another_account_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="123456789012"):
        require_account("arn:aws:iam::999999999999:role/triton-serving", "123456789012")


def test_boundary_and_additional_statements_are_the_roles() -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    statement = {"actions": ["secretsmanager:GetSecretValue"], "resources": ["arn:aws:secretsmanager:*:*:secret:a"]}
    deployment = changed("dev", role={"permissionsBoundary": boundary, "statements": [statement]})
    role = deployment.one("iam/role:Role")
    assert role.inputs["permissionsBoundary"] == boundary
    assert "permissionsBoundary" not in role.request.ignoreChanges
    added = {"Effect": "Allow", "Action": statement["actions"], "Resource": statement["resources"]}
    assert added in [{key: value for key, value in each.items() if key != "Sid"} for each in statements(deployment)]


def test_a_changed_permission_is_a_new_policy() -> None:
    policies = changed("prod", bucket={"name": "models", "kmsKeyArn": KEY}).all("iam/rolePolicy:RolePolicy")
    assert all("name" not in policy.inputs for policy in policies), "AWS would overwrite one of the same name"
    assert all([*policy.request.replaceOnChanges] == ["policy"] for policy in policies)


@pytest.mark.parametrize(("stack", "count"), [("dev", 4), ("prod", 4), ("modes", 5)])
def test_models_and_endpoints_depend_on_the_policies(stack: str, count: int) -> None:
    deployment = run(stack)
    policies = {resource.name for resource in deployment.all("iam/rolePolicy:RolePolicy")}
    assert len(policies) == count
    users = [*deployment.all("sagemaker/model:Model"), *deployment.all("dynamic/infra:Endpoint")]
    assert users and all(policies <= each.depends_on for each in users)


def test_vpc_and_volume_key_extend_the_role() -> None:
    assert "UseNetworkInterfaces" in sids(
        changed("dev", vpc={"subnetIds": ["subnet-0a"], "securityGroupIds": ["sg-0a"]})
    )
    assert {"GrantVolumeKeys", "DescribeVolumeKeys"} <= sids(changed("dev", endpoint={"volumeKmsKeyArn": KEY}))
