"""The image, and which instances it can use."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from botocore.loaders import Loader

from infra.image.aws_images import NEWER
from infra.image.reference import EcrRegistry
from infra.settings.image import MAX_REPOSITORY
from tests.infra.settings.config import (
    MODEL,
    PROJECT,
    VALID,
    assert_broken,
    broken,
    changed,
    problems,
    settings,
    warnings,
)

SHAPES = Loader().load_service_model("sagemaker", "service-2")["shapes"]
AMI = "al2-ami-sagemaker-inference-gpu-3-1"


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("aws:region", "mars-north-1", "image-not-in-region"),
        ("image.version", "23.13-py3", "wrong-form"),
        ("image.source", "nonsense", "image-reference"),
        ("image.repository", "a..b", "wrong-form"),
        ("image.repository", "a___b", "wrong-form"),
        (
            "image.repository",
            "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/x",
            "registry-in-repository",
        ),
    ],
)
def test_a_wrong_image_is_refused(path: str, value: Any, rule: str) -> None:
    assert_broken(path, value, rule)


def test_a_source_excludes_a_version() -> None:
    image = {"version": "23.10-py3", "source": "nvcr.io/nvidia/tritonserver:23.10-py3"}
    assert_broken("image", image, "source-with-version", "image.source")


@pytest.mark.parametrize("name", ["a__b", "a--b/c.d", "2048", "team_a/triton-x86"])
def test_a_repository_has_the_names_that_ecr_accepts(name: str) -> None:
    assert settings(changed("image.repository", name)).image.repository == name


def test_the_address_of_the_longest_repository_fits_sagemaker() -> None:
    repository = settings(changed("image.repository", "a" * MAX_REPOSITORY)).image.repository
    registry = max((EcrRegistry("1" * 12, region).host for region in NEWER.by_region), key=len)
    assert len(f"{registry}/{repository}@sha256:{'0' * 64}") <= SHAPES["ContainerImage"]["max"]


def with_image(image: str, **keys: Any) -> dict[str, Any]:
    """VALID with one endpoint and an image: a version, or a source if it has a slash."""
    config = changed("endpoints", {"ranking": {"model": MODEL, **keys}})
    return config | {f"{PROJECT}:image": {"source" if "/" in image else "version": image}}


@pytest.mark.parametrize(
    ("image", "keys", "at", "rule"),
    [
        ("24.05-py3-cpu", {"instanceType": "ml.g5.xlarge"}, "instanceType", "cpu-image-on-gpus"),
        *(
            (image, {"instanceType": type_}, "instanceType", "triton-does-not-support-gpu")
            for image, type_ in (
                ("23.10-py3", "ml.p2.xlarge"),
                ("23.10-py3", "ml.p6-b200.48xlarge"),
                ("25.01-py3", "ml.p3.2xlarge"),
                ("nvcr.io/nvidia/tritonserver:25.08-py3", "ml.p3.2xlarge"),
                ("24.12-py3", "ml.g7.2xlarge"),
                ("24.03-py3", "ml.g7e.2xlarge"),
            )
        ),
        (
            "25.08-py3",
            {"instanceType": "ml.p6-b200.48xlarge", "inferenceAmiVersion": AMI},
            "inferenceAmiVersion",
            "driver-too-old",
        ),
    ],
)
def test_image_instance_and_driver_must_support_each_other(image: str, keys: Any, at: str, rule: str) -> None:
    assert broken(with_image(image, **keys)) == [(f"endpoints.ranking.{at}", rule)]


@pytest.mark.parametrize(
    ("image", "type_"),
    [("24.05-py3-cpu", "ml.c5.xlarge"), ("24.10-py3", "ml.p3.2xlarge"), ("25.01-py3", "ml.g7.2xlarge")],
)
def test_an_image_that_supports_the_instance_is_accepted(image: str, type_: str) -> None:
    settings(with_image(image, instanceType=type_))


@pytest.mark.parametrize(
    ("image", "keys", "at"),
    [
        ("24.05-py3", {"instanceType": "ml.g5.xlarge"}, "instanceType"),
        ("25.08-py3", {"instanceType": "ml.g5.xlarge", "inferenceAmiVersion": AMI}, "inferenceAmiVersion"),
        ("24.05-py3", {"instanceType": "ml.g5.xlarge", "inferenceAmiVersion": AMI}, None),
        ("23.03-py3", {"instanceType": "ml.g5.xlarge"}, "instanceType"),
        ("22.12-py3", {"instanceType": "ml.g5.xlarge"}, None),
        ("25.08-py3", {"instanceType": "ml.c5.xlarge"}, None),
    ],
)
def test_a_driver_that_is_older_than_cuda_is_a_warning(image: str, keys: dict[str, Any], at: str | None) -> None:
    shown = [(warning.path, warning.rule) for warning in warnings(with_image(image, **keys))]
    assert shown == ([((f"{PROJECT}:endpoints", "ranking", at), "old-gpu-driver")] if at else [])


@pytest.mark.parametrize(("image", "warned"), [({"version": "23.10-py3"}, True), ({"source": "nvcr.io/n/t:1"}, False)])
def test_accelerators_without_their_runtime_are_a_warning(image: dict[str, str], warned: bool) -> None:
    config = changed("ranking.instanceType", "ml.inf2.xlarge") | {f"{PROJECT}:image": image}
    rules = [warning.rule for warning in warnings(config) if warning.path[-1] == "instanceType"]
    assert rules == ["neuron-runtime-missing"] * warned


@pytest.mark.parametrize(
    ("region", "image", "warned"),
    [
        ("eu-central-2", {}, True),
        ("us-east-1", {"version": "23.11-py3"}, True),
        ("us-east-1", {"version": "21.01-py3-cpu"}, True),
        ("us-east-1", {"version": "99.01-py3"}, True),
        ("us-east-1", {"version": "22.07-py3"}, False),
        ("eu-central-2", {"version": "26.05-py3"}, False),
        ("eu-central-2", {"source": "nvcr.io/nvidia/tritonserver:23.11-py3"}, False),
    ],
)
def test_a_version_that_aws_is_not_known_to_publish_is_a_warning(region: str, image: Any, warned: bool) -> None:
    shown = warnings(VALID | {"aws:region": region, f"{PROJECT}:image": image})
    expected = [((f"{PROJECT}:image", "version"), "unpublished-version")] * warned
    assert [(warning.path, warning.rule) for warning in shown] == expected


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("instanceType", "ml.c9i.xlarge", "unknown-instance-type"),
        ("inferenceAmiVersion", "al2023-ami-sagemaker-inference-gpu-9-1", "unknown-ami"),
    ],
)
def test_a_value_that_the_provider_does_not_know_is_refused_with_its_version(key: str, value: str, rule: str) -> None:
    config = changed("ranking.instanceType", "ml.g5.xlarge")
    config[f"{PROJECT}:endpoints"]["ranking"][key] = value
    (problem,) = problems(config)
    assert (problem.path[1:], problem.rule) == (("ranking", key), rule)
    assert f"boto3 {version('boto3')} and pulumi-aws {version('pulumi-aws')}" in problem.message
