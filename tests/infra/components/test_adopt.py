"""What the program asks the engine to import, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.mock_runtime import Deployment, run, stack_file

EVERYTHING = dict.fromkeys(("bucket", "bucketPolicy", "bucketLifecycle", "repository", "role"), True)


def adopting(adopt: dict[str, Any]) -> Deployment:
    config = stack_file("prod")
    config["triton-sagemaker:role"] = {"name": "execution-role"}
    config["triton-sagemaker:endpoints"]["sagemaker-endpoint"]["autoscaling"]["policyName"] = "invocations"
    return run("prod", {**config, "triton-sagemaker:adopt": adopt})


def imports(deployment: Deployment) -> dict[str, str]:
    return {each.type.split(":")[-1]: each.request.importId for each in deployment.resources if each.request.importId}


@pytest.mark.parametrize(
    ("adopt", "imported"),
    [
        ({}, {}),
        (
            {"bucket": True},
            {"Bucket": "sagemaker-models", "BucketServerSideEncryptionConfiguration": "sagemaker-models"},
        ),
        ({"repository": True}, {"Repository": "sagemaker-tritonserver"}),
        ({"role": True}, {"Role": "execution-role"}),
        ({"endpoints": ["sagemaker-endpoint"]}, {}),
        (
            {"endpoints": ["sagemaker-endpoint"], "autoscaling": True},
            {
                "Target": "sagemaker/endpoint/sagemaker-endpoint/variant/AllTraffic/"
                "sagemaker:variant:DesiredInstanceCount"
            },
        ),
        (
            EVERYTHING,
            {
                "Bucket": "sagemaker-models",
                "BucketServerSideEncryptionConfiguration": "sagemaker-models",
                "BucketPolicy": "sagemaker-models",
                "BucketLifecycleConfiguration": "sagemaker-models",
                "Repository": "sagemaker-tritonserver",
                "Role": "execution-role",
            },
        ),
    ],
)
def test_what_is_adopted_is_imported_by_its_name(adopt: dict[str, Any], imported: dict[str, str]) -> None:
    assert imports(adopting(adopt)) == imported


def test_what_is_imported_keeps_its_other_options() -> None:
    deployment = adopting(EVERYTHING)
    for type_ in (":Bucket", ":BucketPolicy", ":BucketLifecycleConfiguration"):
        found = deployment.one(type_).request
        assert (found.protect, found.retainOnDelete) == (type_ == ":Bucket", True)
    assert deployment.one(":Repository").request.protect is True
    assert deployment.one(":BucketPolicy").depends_on >= {"models-public-access-block"}


def test_an_endpoint_is_adopted_by_its_own_resource() -> None:
    assert adopting({}).one("dynamic/infra:Endpoint").inputs["adopt"] is False
    deployment = adopting({"endpoints": ["sagemaker-endpoint"]})
    assert deployment.one("dynamic/infra:Endpoint").inputs["adopt"] is True
    assert deployment.one("policy:Policy").inputs["name"] == "invocations"


def test_another_scaling_policy_is_made_after_the_old_one_went() -> None:
    """AWS takes one target-tracking policy a metric."""
    assert adopting({}).one("policy:Policy").request.deleteBeforeReplace is True
