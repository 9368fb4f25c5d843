"""Which resources the program imports."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.mock_runtime import Deployment, changed

BUCKET = {"Bucket": "sagemaker-models", "BucketServerSideEncryptionConfiguration": "sagemaker-models"}
DETAILS = {"BucketPolicy": "sagemaker-models", "BucketLifecycleConfiguration": "sagemaker-models"}
REPOSITORY, ROLE = {"Repository": "sagemaker-tritonserver"}, {"Role": "execution-role"}
TARGET = {"Target": "sagemaker/endpoint/sagemaker-endpoint/variant/AllTraffic/sagemaker:variant:DesiredInstanceCount"}
ENDPOINT = {"endpoints": ["sagemaker-endpoint"]}
EVERYTHING = dict.fromkeys(("bucket", "bucketPolicy", "bucketLifecycle", "repository", "role"), True)


def adopting(adopt: dict[str, Any]) -> Deployment:
    scaling = {"min": 2, "max": 10, "policyName": "invocations"}
    return changed("prod", endpoint={"autoscaling": scaling}, role={"name": "execution-role"}, adopt=adopt)


@pytest.mark.parametrize(
    ("adopt", "imported"),
    [
        ({}, {}),
        ({"bucket": True}, BUCKET),
        ({"repository": True}, REPOSITORY),
        ({"role": True}, ROLE),
        (ENDPOINT, {}),
        (ENDPOINT | {"autoscaling": True}, TARGET),
        (EVERYTHING, BUCKET | DETAILS | REPOSITORY | ROLE),
    ],
)
def test_adopted_resources_are_imported_by_their_names(adopt: dict[str, Any], imported: dict[str, str]) -> None:
    requests = {each.type.rpartition(":")[2]: each.request.importId for each in adopting(adopt).resources}
    assert {kind: name for kind, name in requests.items() if name} == imported


def test_imported_resources_keep_their_other_options() -> None:
    deployment = adopting(EVERYTHING)
    for type_ in (":Bucket", ":BucketPolicy", ":BucketLifecycleConfiguration"):
        request = deployment.one(type_).request
        assert (request.protect, request.retainOnDelete) == (type_ == ":Bucket", True)
    assert deployment.one(":Repository").request.protect is True
    assert "models-public-access-block" in deployment.one(":BucketPolicy").depends_on


def test_an_endpoint_is_adopted_by_its_own_resource() -> None:
    assert adopting({}).one("dynamic/infra:Endpoint").inputs["adopt"] is False
    deployment = adopting(ENDPOINT)
    assert deployment.one("dynamic/infra:Endpoint").inputs["adopt"] is True
    assert deployment.one("policy:Policy").inputs["name"] == "invocations"
