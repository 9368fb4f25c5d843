"""The ECR repository and its image as the program registers them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.components.image_mirror import MAX_REPLACED, lifecycle_policy
from tests.infra.mock_runtime import changed, run

ECR = "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com"


@pytest.mark.parametrize(
    ("stack", "name", "mutability", "force_delete"),
    [("dev", "sagemaker-tritonserver-dev", "MUTABLE", True), ("prod", "sagemaker-tritonserver", "IMMUTABLE", False)],
)
def test_the_repository_is_immutable_and_kept_in_production_only(
    stack: str, name: str, mutability: str, force_delete: bool
) -> None:
    repository = run(stack).one(":Repository")
    inputs = repository.inputs
    assert (inputs["name"], inputs["imageTagMutability"], inputs["forceDelete"]) == (name, mutability, force_delete)
    assert inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository.request.retainOnDelete is not force_delete


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_a_lifecycle_policy_is_deleted_only_with_its_repository(stack: str) -> None:
    assert run(stack).one(":LifecyclePolicy").request.retainOnDelete


def test_the_image_is_mirrored_from_the_accounts_of_aws_and_named_by_digest() -> None:
    image = run("prod").one("dynamic/infra:MirroredImage").inputs
    assert image["sources"][0] == "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"
    assert image["destination"] == f"{ECR}/sagemaker-tritonserver:23.10-py3"
    container = run("prod").one("sagemaker/model:Model").inputs["primaryContainer"]
    assert container["image"] == f"{ECR}/sagemaker-tritonserver@sha256:{'0' * 64}"


def test_a_source_by_digest_gets_a_tag_made_of_it() -> None:
    source = f"nvcr.io/nvidia/tritonserver@sha256:{'ab' * 32}"
    image = changed("dev", image={"source": source, "repository": "triton"}).one("dynamic/infra:MirroredImage").inputs
    assert (image["sources"], image["destination"]) == ([source], f"{ECR}/triton:sha256-abababababab")


def test_untagged_images_and_the_oldest_replaced_ones_expire() -> None:
    policy: Any = lifecycle_policy(14)
    untagged, replaced = (rule["selection"] for rule in policy["rules"])
    assert (untagged["tagStatus"], untagged["countType"], untagged["countNumber"]) == (
        "untagged",
        "sinceImagePushed",
        14,
    )
    assert (replaced["tagPrefixList"], replaced["countType"]) == (["replaced-"], "imageCountMoreThan")
    assert replaced["countNumber"] == MAX_REPLACED


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_an_image_in_place_is_named_by_digest_and_no_repository_is_created(stack: str) -> None:
    deployment = changed(stack, image={"version": "23.10-py3", "mirror": False})
    kinds = {resource.type.split(":")[-1] for resource in deployment.resources}
    assert {"PublishedImage", "ResolvedImage"} <= kinds
    assert not {"Repository", "LifecyclePolicy", "MirroredImage", "ImageMirror"} & kinds
    container = deployment.one("sagemaker/model:Model").inputs["primaryContainer"]
    publisher = "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver"
    assert container["image"] == f"{publisher}@sha256:{'0' * 64}"


def test_the_role_pulls_from_the_publisher_alone() -> None:
    deployment = changed("prod", image={"version": "23.10-py3", "mirror": False})
    document = json.loads(deployment.one(":RolePolicy", "execution-role-image").inputs["policy"])
    assert document["Statement"][0]["Resource"] == (
        "arn:aws:ecr:ap-northeast-1:941853720454:repository/sagemaker-tritonserver"
    )
