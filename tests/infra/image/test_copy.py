"""Copying an image: every decision before the first byte, then the layers, then the manifest."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from dataclasses import replace

import pytest

from infra.image.aws_images import aws_triton_images
from infra.image.copy import CopiedImage, Progress, copy_image
from infra.image.errors import (
    DigestMismatch,
    EcrRefused,
    ImageNotFound,
    ImageTagConflict,
    InvalidImageReference,
    UnsupportedImage,
)
from infra.image.layer import Protocol
from infra.image.manifest import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.source import digest_of_copy, find_image
from tests.infra.image.blob_server import BlobServer
from tests.infra.image.conftest import DESTINATION, SOURCE, config, content, put_image
from tests.infra.image.fake_ecr import MIB, FakeEcr, Parameters, Repository, refusal

_CHANGES = {"InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"}


def put_index(repository: Repository, *images: tuple[str, str, str], media_type: str = OCI_INDEX) -> str:
    """Put an index of (digest, os, architecture) under the tag."""
    entries = [
        {
            "mediaType": repository.manifests[digest][1],
            "digest": digest,
            "size": len(repository.manifests[digest][0]),
            "platform": {"os": os, "architecture": architecture},
        }
        for digest, os, architecture in images
    ]
    return repository.put_manifest({"schemaVersion": 2, "manifests": entries}, media_type, "23.10-py3")


def nothing_changed(ecr: FakeEcr) -> bool:
    return not _CHANGES & ecr.operations().keys()


def test_an_image_is_copied_to_another_account_and_region_as_it_is(
    registries: Registries, source: Repository, destination: Repository
) -> None:
    digest = put_image(source)
    copied = copy_image([SOURCE], DESTINATION, registries)
    total = 7 * MIB + 3000 + len(config())
    assert copied == CopiedImage(
        digest=digest,
        uri=f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/triton/prod@{digest}",
        source=str(SOURCE),
        bytes_total=total,
        bytes_copied=total,
        protocols=Counter({Protocol.HTTP: 3}),
    )
    assert destination.tags == {"23.10-py3": digest}
    assert destination.manifests[digest] == source.manifests[digest]
    assert {each: path.read_bytes() for each, path in destination.layers.items()} == {
        each: path.read_bytes() for each, path in source.layers.items()
    }


def test_an_image_is_copied_within_one_registry(registries: Registries, source: Repository, ecr: FakeEcr) -> None:
    digest = put_image(source, layers=(b"layer",))
    own = ecr.repository("941853720454", "ap-northeast-1", "copy")
    destination = replace(SOURCE, repository="copy")
    assert copy_image([SOURCE], destination, registries).digest == digest
    assert own.tags == {"23.10-py3": digest}


def test_another_tag_in_the_same_repository_moves_no_layer(
    registries: Registries, source: Repository, ecr: FakeEcr
) -> None:
    digest = put_image(source, layers=(b"layer",))
    assert copy_image([SOURCE], replace(SOURCE, tag="stable"), registries).bytes_copied == 0
    assert source.tags == {"23.10-py3": digest, "stable": digest}
    assert ecr.operations()["InitiateLayerUpload"] == 0


def test_an_image_is_copied_by_digest(registries: Registries, source: Repository, destination: Repository) -> None:
    digest = put_image(source, tag=None, layers=(b"layer",))
    assert copy_image([SOURCE.at(digest)], DESTINATION, registries).digest == digest
    assert destination.tags == {"23.10-py3": digest}


def test_the_digest_of_a_source_decides_where_there_is_a_tag_too(
    registries: Registries, source: Repository, destination: Repository
) -> None:
    older = put_image(source, layers=(b"older",))
    put_image(source, layers=(b"newer",))
    assert copy_image([replace(SOURCE, digest=older)], DESTINATION, registries).digest == older


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
def test_a_tag_that_already_names_the_image_is_unchanged(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository, mutability: str
) -> None:
    destination.mutability = mutability
    put_image(source)
    first = copy_image([SOURCE], DESTINATION, registries)
    ecr.calls.clear()
    assert copy_image([SOURCE], DESTINATION, registries) == replace(first, bytes_copied=0, protocols=Counter())
    assert nothing_changed(ecr)


def test_another_image_under_an_immutable_tag_is_a_conflict_before_a_byte_moves(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    wanted = put_image(source)
    held = put_image(destination, layers=(b"other",))
    destination.mutability = "IMMUTABLE"
    with pytest.raises(ImageTagConflict) as conflict:
        copy_image([SOURCE], DESTINATION, registries)
    assert str(conflict.value).startswith(
        "ECR repository triton/prod of account 123456789012 in eu-west-1: tag 23.10-py3 is immutable "
        f"and names {held}, but the image of {SOURCE} is {wanted}."
    )
    assert "Choose another version or tag" in str(conflict.value)
    assert nothing_changed(ecr)
    assert destination.tags == {"23.10-py3": held}


@pytest.mark.parametrize(("mutability", "filters"), [("MUTABLE", []), ("IMMUTABLE_WITH_EXCLUSION", ["23.*"])])
def test_another_image_under_a_mutable_tag_is_replaced(
    registries: Registries, source: Repository, destination: Repository, mutability: str, filters: list[str]
) -> None:
    wanted = put_image(source, layers=(b"layer",))
    held = put_image(destination, layers=(b"other",))
    destination.mutability, destination.filters = mutability, filters
    copy_image([SOURCE], DESTINATION, registries)
    kept = f"replaced-{held.removeprefix('sha256:')[:12]}"
    assert destination.tags == {"23.10-py3": wanted, kept: held}, "a live Model may name the other one"
    copy_image([SOURCE], DESTINATION, registries)
    assert destination.tags == {"23.10-py3": wanted, kept: held}


@pytest.mark.usefixtures("destination")
@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_an_index_of_one_image_may_leave_its_platform_to_the_configuration(
    registries: Registries, source: Repository, ecr: FakeEcr, architecture: str
) -> None:
    image = put_image(source, None, layers=(b"layer",), platform=("linux", architecture))
    body, media_type = source.manifests[image]
    only = {"mediaType": media_type, "digest": image, "size": len(body)}
    source.put_manifest({"schemaVersion": 2, "manifests": [only]}, OCI_INDEX, "23.10-py3")
    if architecture == "amd64":
        assert copy_image([SOURCE], DESTINATION, registries).digest == image
        return
    with pytest.raises(UnsupportedImage, match="is for linux/arm64"):
        copy_image([SOURCE], DESTINATION, registries)
    assert nothing_changed(ecr)


@pytest.mark.usefixtures("destination")
@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, OCI_MANIFEST])
def test_the_digest_that_a_copy_would_have_is_known_from_the_manifest_alone(
    registries: Registries, source: Repository, ecr: FakeEcr, media_type: str
) -> None:
    put_image(source, layers=(b"layer",), media_type=media_type)
    assert digest_of_copy(SOURCE, registries) == copy_image([SOURCE], DESTINATION, registries).digest
    put_image(source, layers=(b"pushed again",), media_type=media_type)
    before = len(ecr.calls)
    assert digest_of_copy(SOURCE, registries) != registries.ecr(DESTINATION).tagged_digest("23.10-py3")
    assert [operation for operation, _ in ecr.calls[before:]] == ["BatchGetImage", "BatchGetImage"]


def test_a_tag_that_is_taken_while_the_layers_are_copied_stays(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    put_image(source, layers=(b"layer",))
    destination.mutability = "IMMUTABLE"

    def take(parameters: Parameters) -> None:
        put_image(destination, layers=(b"other",))

    ecr.before["PutImage"] = take
    with pytest.raises(EcrRefused, match="ImageTagAlreadyExistsException"):
        copy_image([SOURCE], DESTINATION, registries)


def test_the_same_image_may_get_the_tag_during_the_copy(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    wanted = put_image(source, layers=(b"layer",))
    destination.mutability = "IMMUTABLE"

    def put_it(parameters: Parameters) -> None:
        destination.manifests[wanted] = source.manifests[wanted]
        destination.tags["23.10-py3"] = wanted

    ecr.before["PutImage"] = put_it
    assert copy_image([SOURCE], DESTINATION, registries).digest == wanted


@pytest.mark.parametrize("moves", ["source", "destination"])
def test_a_tag_that_moves_during_the_copy_is_left_as_it_is(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository, moves: str
) -> None:
    put_image(source, layers=(b"layer",))

    def move(parameters: Parameters) -> None:
        put_image(source if moves == "source" else destination, layers=(b"other",))

    ecr.before["CompleteLayerUpload"] = move
    with pytest.raises(ImageTagConflict, match="during the copy"):
        copy_image([SOURCE], DESTINATION, registries)
    assert ecr.operations()["PutImage"] == 0


def test_an_image_that_is_not_under_its_tag_after_the_push_is_an_error(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    put_image(source, layers=(b"layer",))
    looked = []

    def move(parameters: Parameters) -> None:
        if destination.tags:
            looked.append(put_image(destination, layers=(b"other",)))

    ecr.before["BatchGetImage"] = move
    with pytest.raises(ImageTagConflict, match="was put under it"):
        copy_image([SOURCE], DESTINATION, registries)
    assert len(looked) == 1


def test_an_image_that_is_there_costs_one_request_a_side(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository, blobs: BlobServer
) -> None:
    put_image(source, layers=(b"layer",))
    copy_image([SOURCE], DESTINATION, registries)
    ecr.calls.clear()
    blobs.requests.clear()
    assert copy_image([SOURCE], DESTINATION, registries).bytes_copied == 0
    assert ecr.operations() == {"BatchGetImage": 2}
    assert not blobs.requests


def test_only_missing_layers_are_copied(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository, blobs: BlobServer
) -> None:
    put_image(source)
    destination.put_layer(content(7 * MIB, "a"))
    copied = copy_image([SOURCE], DESTINATION, registries)
    assert copied.bytes_copied == copied.bytes_total - 7 * MIB
    assert ecr.operations()["InitiateLayerUpload"] == 2


def test_a_layer_that_occurs_twice_is_copied_once(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    put_image(source, layers=(b"same", b"same", b"same"))
    copy_image([SOURCE], DESTINATION, registries)
    assert ecr.operations()["InitiateLayerUpload"] == 2


def test_the_linux_amd64_image_of_an_index_is_copied_alone(
    registries: Registries, source: Repository, destination: Repository
) -> None:
    amd64 = put_image(source, None, layers=(b"amd64",))
    arm64 = put_image(source, None, layers=(b"arm64",), platform=("linux", "arm64"))
    put_index(source, (arm64, "linux", "arm64"), (amd64, "linux", "amd64"), media_type=DOCKER_MANIFEST_LIST)
    assert copy_image([SOURCE], DESTINATION, registries).digest == amd64
    assert destination.manifests == {amd64: source.manifests[amd64]}


def test_an_oci_image_arrives_as_docker_schema_2_and_is_known_again(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    oci = put_image(source, None, layers=(b"layer",), media_type=OCI_MANIFEST)
    put_index(source, (oci, "linux", "amd64"))
    copied = copy_image([SOURCE], DESTINATION, registries)
    body, media_type = destination.manifests[copied.digest]
    assert copied.digest != oci
    assert media_type == json.loads(body)["mediaType"] == DOCKER_MANIFEST
    assert destination.layers.keys() == source.layers.keys()
    ecr.calls.clear()
    assert copy_image([SOURCE], DESTINATION, registries).bytes_copied == 0
    assert nothing_changed(ecr)


@pytest.mark.parametrize("indexed", [True, False])
def test_an_image_for_arm_is_refused_before_a_byte_moves(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository, indexed: bool
) -> None:
    digest = put_image(source, layers=(b"layer",), platform=("linux", "arm64"))
    if indexed:
        put_index(source, (digest, "linux", "arm64"))
    with pytest.raises(UnsupportedImage, match=r"is for linux/arm64, .* linux/amd64"):
        copy_image([SOURCE], DESTINATION, registries)
    assert nothing_changed(ecr)


def test_a_layer_that_sagemaker_cannot_run_is_refused_before_a_byte_moves(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    put_image(source, media_type=OCI_MANIFEST, layer_type=OCI_LAYER.replace("gzip", "zstd"))
    with pytest.raises(UnsupportedImage, match=r"23\.10-py3: layer 1 of 2 \(sha256:\w+\) is .*tar\+zstd"):
        copy_image([SOURCE], DESTINATION, registries)
    assert nothing_changed(ecr)


def test_a_configuration_of_other_bytes_is_refused_before_a_byte_moves(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    digest = put_image(source, layers=(b"layer",))
    described = json.loads(source.manifests[digest][0])["config"]
    source.layers[described["digest"]].write_bytes(b"x" * described["size"])
    with pytest.raises(DigestMismatch, match=f"configuration {described['digest']}"):
        copy_image([SOURCE], DESTINATION, registries)
    assert nothing_changed(ecr)


def test_a_failed_copy_is_resumed(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    digest = put_image(source)
    refused = ecr.repository("123456789012", "eu-west-1", "refused")

    completions = itertools.count(1)

    def fail_the_last(parameters: Parameters) -> None:
        if next(completions) < 3:
            return
        deadline = time.monotonic() + 60
        while len(destination.layers) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        raise refusal("CompleteLayerUpload", "AccessDeniedException", "not any more")

    ecr.before["CompleteLayerUpload"] = fail_the_last
    with pytest.raises(EcrRefused, match="CompleteLayerUpload was refused: DENIED"):
        copy_image([SOURCE], DESTINATION, registries)
    assert not destination.tags and not refused.layers
    del ecr.before["CompleteLayerUpload"]
    again = copy_image([SOURCE], DESTINATION, registries)
    assert again.protocols == {Protocol.HTTP: 1}
    assert destination.tags == {"23.10-py3": digest}


def test_progress_grows_to_the_whole_image(registries: Registries, source: Repository, destination: Repository) -> None:
    put_image(source, layers=(b"there", content(7 * MIB, "a")))
    destination.put_layer(b"there")
    heard: list[Progress] = []
    copied = copy_image([SOURCE], DESTINATION, registries, heard.append)
    done = [progress.bytes_done for progress in heard]
    assert done == sorted(done) and done[0] == 5 and done[-1] == copied.bytes_total
    assert {(progress.layers, progress.bytes_total) for progress in heard} == {(3, copied.bytes_total)}
    assert {progress.layer.size for progress in heard} == {7 * MIB, len(config())}
    assert heard[-1].layers_done == 3


@pytest.mark.parametrize("missing", ["tag", "repository", "permission"])
def test_the_next_source_is_tried_where_one_does_not_have_the_image(
    ecr: FakeEcr, registries: Registries, missing: str, destination: Repository
) -> None:
    older, newer = aws_triton_images("ap-northeast-1", "23.10-py3")
    digest = put_image(ecr.repository("763104351884", "ap-northeast-1", "sagemaker-tritonserver"), layers=(b"layer",))
    if missing != "repository":
        first = ecr.repository("941853720454", "ap-northeast-1", "sagemaker-tritonserver")
        first.pullable = missing == "tag"
    copied = copy_image([older, newer], DESTINATION, registries)
    assert (copied.digest, copied.source) == (digest, str(newer))


def test_an_image_that_no_source_has_names_every_source(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    with pytest.raises(ImageNotFound) as not_found:
        find_image(aws_triton_images("ap-northeast-1", "23.09-py3"), registries)
    _, older, newer, _ = str(not_found.value).splitlines()
    assert older.startswith(
        "  941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.09-py3: ECR repository"
    )
    assert "763104351884" in newer
    assert "RepositoryNotFoundException" in newer


def test_the_error_of_the_only_source_is_raised(registries: Registries, ecr: FakeEcr, destination: Repository) -> None:
    ecr.repository("210987654321", "us-east-1", "mine").pullable = False
    with pytest.raises(EcrRefused, match=r"^ECR repository mine of account 210987654321 in us-east-1: BatchGetImage"):
        copy_image([ImageReference.in_ecr("210987654321", "us-east-1", "mine", tag="1")], DESTINATION, registries)


def test_old_credentials_end_the_search_at_once(ecr: FakeEcr, registries: Registries, source: Repository) -> None:
    def expire(parameters: Parameters) -> None:
        raise refusal("BatchGetImage", "ExpiredTokenException", "expired")

    ecr.before["BatchGetImage"] = expire
    with pytest.raises(EcrRefused, match="Renew the AWS credentials"):
        find_image(aws_triton_images("ap-northeast-1", "23.10-py3"), registries)
    assert len(ecr.calls) == 1


def test_a_missing_destination_is_reported_before_a_byte_moves(registries: Registries, source: Repository) -> None:
    put_image(source, layers=(b"layer",))
    with pytest.raises(EcrRefused, match=r"RepositoryNotFoundException.*A destination repository must exist"):
        copy_image([SOURCE], DESTINATION, registries)


@pytest.mark.parametrize("text", ["nvcr.io/a/b:1", f"{DESTINATION.at('sha256:' + 'ab' * 32)}"])
def test_a_destination_is_a_tag_in_ecr(registries: Registries, text: str) -> None:
    with pytest.raises(InvalidImageReference):
        copy_image([SOURCE], ImageReference.parse(text), registries)
