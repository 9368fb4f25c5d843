"""A repository in ECR: what its calls ask and what its refusals say."""

from __future__ import annotations

import re

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from infra.image.ecr import EcrRepository, tag_is_immutable
from infra.image.errors import DigestMismatch, EcrRefused, ImageNotFound, InvalidImageReference, TransferFailed
from infra.image.manifest import DOCKER_MANIFEST
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from tests.infra.image.conftest import DESTINATION, SOURCE, put_image
from tests.infra.image.fake_ecr import FakeEcr, Parameters, Repository, refusal


@pytest.fixture
def repository(registries: Registries, destination: Repository) -> EcrRepository:
    return registries.ecr(DESTINATION)


@pytest.mark.parametrize(
    ("mutability", "filters", "tag", "immutable"),
    [
        ("MUTABLE", [], "23.10-py3", False),
        ("IMMUTABLE", [], "23.10-py3", True),
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*"], "23.10-py3", True),
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*", "*-py3"], "23.10-py3", False),
        ("MUTABLE_WITH_EXCLUSION", ["23.*"], "23.10-py3", True),
        ("MUTABLE_WITH_EXCLUSION", ["23.*"], "24.05-py3", False),
        ("MUTABLE", ["*"], "23.10-py3", False),
    ],
)
def test_a_tag_is_immutable_by_the_repositorys_setting_and_its_filters(
    mutability: str, filters: list[str], tag: str, immutable: bool
) -> None:
    assert tag_is_immutable(tag, mutability, filters) is immutable


def test_layers_are_checked_a_hundred_at_a_time(
    ecr: FakeEcr, repository: EcrRepository, destination: Repository
) -> None:
    held = [destination.put_layer(bytes([n]))["digest"] for n in range(130)]
    missing = [f"sha256:{n:064x}" for n in range(120)]
    assert repository.missing_layers(held + missing) == set(missing)
    asked = [parameters["layerDigests"] for operation, parameters in ecr.calls]
    assert [len(digests) for digests in asked] == [100, 100, 50]


def test_a_free_tag_names_no_image_and_a_taken_one_its_digest(
    repository: EcrRepository, destination: Repository
) -> None:
    assert repository.tagged_digest("23.10-py3") is None
    digest = put_image(destination, layers=(b"layer",))
    assert repository.tagged_digest("23.10-py3") == digest
    assert repository.manifest(digest) == repository.manifest("23.10-py3")


def test_a_manifest_of_other_bytes_than_its_digest_is_refused(
    repository: EcrRepository, destination: Repository
) -> None:
    digest = put_image(destination, layers=(b"layer",))
    body, media_type = destination.manifests[digest]
    destination.manifests[digest] = (f"{body} ", media_type)
    for asked in (digest, "23.10-py3"):
        with pytest.raises(DigestMismatch, match=f"manifest of {re.escape(asked)}: .*not {digest}"):
            repository.manifest(asked)


def test_another_image_than_the_one_asked_for_is_refused(destination: Repository, ecr: FakeEcr) -> None:
    other = put_image(destination, layers=(b"other",))

    class Mistaken:
        def batch_get_image(self, **asked: object) -> Parameters:
            return ecr.client("ecr", "eu-west-1").batch_get_image(**{**asked, "imageIds": [{"imageDigest": other}]})

    repository = Registries(lambda service, region: Mistaken()).ecr(DESTINATION)
    wanted = f"sha256:{'0' * 64}"
    with pytest.raises(DigestMismatch, match=f"have digest {other}, not {wanted}"):
        repository.manifest(wanted)


def test_a_missing_image_is_named_with_account_and_region(repository: EcrRepository) -> None:
    says = "ECR repository triton/prod of account 123456789012 in eu-west-1 does not have the image 1.0."
    with pytest.raises(ImageNotFound, match=re.escape(says)):
        repository.manifest("1.0")


def test_an_archived_image_cannot_be_read_and_can_be_put_again(
    repository: EcrRepository, destination: Repository
) -> None:
    destination.archived.add(put_image(destination, layers=(b"layer",)))
    with pytest.raises(ImageNotFound, match=r"does not have the image 23\.10-py3 \(it is archived\)"):
        repository.manifest("23.10-py3")
    assert repository.tagged_digest("23.10-py3") is None


def test_a_missing_repository_is_named_with_the_way_out(registries: Registries) -> None:
    with pytest.raises(EcrRefused) as refused:
        registries.ecr(SOURCE).manifest("23.10-py3")
    assert str(refused.value) == (
        "ECR repository sagemaker-tritonserver of account 941853720454 in ap-northeast-1: BatchGetImage was refused: "
        "RepositoryNotFoundException: The repository with name 'sagemaker-tritonserver' does not exist. "
        "Check account, region and name. A destination repository must exist before the copy."
    )


def test_denied_access_says_what_must_be_allowed_and_where(repository: EcrRepository, destination: Repository) -> None:
    destination.pullable = False
    with pytest.raises(EcrRefused) as refused:
        repository.initiate_layer_upload()
    assert refused.value.code == "AccessDeniedException"
    assert "triton/prod of account 123456789012 in eu-west-1: InitiateLayerUpload was refused" in str(refused.value)
    assert "allow the caller ecr:InitiateLayerUpload" in str(refused.value)


def test_missing_and_expired_credentials_differ_from_a_broken_network(ecr: FakeEcr, repository: EcrRepository) -> None:
    def raising(error: Exception) -> None:
        def raise_it(parameters: Parameters) -> None:
            raise error

        ecr.before["InitiateLayerUpload"] = raise_it

    for error in (NoCredentialsError(), refusal("InitiateLayerUpload", "ExpiredTokenException", "expired")):
        raising(error)
        with pytest.raises(EcrRefused, match="Renew the AWS credentials"):
            repository.initiate_layer_upload()
    raising(EndpointConnectionError(endpoint_url="https://api.ecr.eu-west-1.amazonaws.com/"))
    with pytest.raises(TransferFailed, match="InitiateLayerUpload failed: Could not connect to the endpoint URL"):
        repository.initiate_layer_upload()


def test_another_registry_is_not_taken_for_ecr(registries: Registries) -> None:
    with pytest.raises(InvalidImageReference, match=r"nvcr\.io/nvidia/tritonserver:1 is not in Amazon ECR"):
        registries.ecr(ImageReference.parse("nvcr.io/nvidia/tritonserver:1"))


def test_images_of_every_readable_kind_are_asked_for(
    ecr: FakeEcr, repository: EcrRepository, destination: Repository
) -> None:
    put_image(destination, layers=(b"layer",))
    assert repository.manifest("23.10-py3")[1] == DOCKER_MANIFEST
    (_, parameters) = ecr.calls[0]
    assert parameters["registryId"] == "123456789012"
    assert len(parameters["acceptedMediaTypes"]) == 4
