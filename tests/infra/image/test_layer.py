"""Copying one layer: parts in order, whatever breaks in between, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest

from infra.image.errors import DigestMismatch, EcrRefused, TransferFailed
from infra.image.layer import MAX_UPLOADS, copy_layer
from infra.image.manifest import DOCKER_LAYER, Descriptor, digest_of
from infra.image.registry import Registries
from tests.infra.image.blob_server import BlobServer
from tests.infra.image.conftest import DESTINATION, SOURCE, content
from tests.infra.image.fake_ecr import MIB, FakeEcr, Parameters, Repository, refusal

LAYER = content(12 * MIB)
DIGEST = digest_of(LAYER)


@pytest.fixture
def layer(ecr: FakeEcr, source: Repository, destination: Repository) -> Descriptor:
    """A layer of 12 MiB in AWS's account, copied in parts of 5 MiB: 5, 5 and 2."""
    ecr.part_size = 5 * MIB
    return Descriptor(DOCKER_LAYER, **source.put_layer(LAYER))


def copy(registries: Registries, layer: Descriptor) -> list[int]:
    """Copy it. Returns what progress was heard of."""
    heard: list[int] = []
    copy_layer(registries.source(SOURCE), registries.ecr(DESTINATION), layer, registries.retry, heard.append)
    return heard


def refuse(ecr: FakeEcr, operation: str, code: str, *numbers: int) -> None:
    """Have ECR refuse the calls of an operation with these numbers, counted from 1; without numbers, all."""

    def before(parameters: Parameters) -> None:
        if not numbers or ecr.operations()[operation] in numbers:
            raise refusal(operation, code, "refused by the test")

    ecr.before[operation] = before


def lose_uploads(ecr: FakeEcr, destination: Repository, operation: str, *numbers: int) -> None:
    """Have ECR forget every upload just before the calls of an operation with these numbers, counted from 1."""

    def before(parameters: Parameters) -> None:
        if ecr.operations()[operation] in numbers:
            destination.uploads.clear()

    ecr.before[operation] = before


def test_a_layer_is_copied_in_parts(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    assert copy(registries, layer) == [5 * MIB, 10 * MIB, 12 * MIB]
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert len(blobs.requests) == 1
    parts = [parameters for operation, parameters in ecr.calls if operation == "UploadLayerPart"]
    assert [(part["partFirstByte"], part["partLastByte"]) for part in parts] == [
        (0, 5 * MIB - 1),
        (5 * MIB, 10 * MIB - 1),
        (10 * MIB, 12 * MIB - 1),
    ]


def test_a_broken_download_resumes_in_the_middle_of_a_part(
    registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer, pauses: list[float]
) -> None:
    blobs.cut_after = [7 * MIB, 1 * MIB, None]
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert [wanted for _, wanted in blobs.requests] == [None, f"bytes={7 * MIB}-", f"bytes={8 * MIB}-"]
    assert len(pauses) == 2


def test_an_expired_url_is_replaced(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    blobs.statuses = [403]
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["GetDownloadUrlForLayer"] == 2


def test_a_download_that_is_refused_again_and_again_says_what_a_vpc_endpoint_must_allow(
    registries: Registries, layer: Descriptor, blobs: BlobServer
) -> None:
    blobs.statuses = [403] * 10
    with pytest.raises(TransferFailed) as failed:
        copy(registries, layer)
    assert f"layer {DIGEST}: 127.0.0.1 answered HTTP 403." in str(failed.value)
    assert "s3:GetObject on ECR's layers (arn:aws:s3:::prod-ap-northeast-1-starport-layer-bucket/*)" in str(
        failed.value
    )
    assert "Signature" not in str(failed.value)


def test_a_part_whose_answer_was_lost_is_not_uploaded_twice(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.answers_lost["UploadLayerPart"] = 2
    assert copy(registries, layer) == [5 * MIB, 10 * MIB, 12 * MIB]
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 1


def test_the_copy_goes_on_where_ecr_says_that_it_ends(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    def keep_less(parameters: Parameters) -> None:
        if ecr.operations()["UploadLayerPart"] == 1:
            upload = destination.uploads[parameters["uploadId"]]
            kept = bytes(parameters["layerPartBlob"][: 5 * MIB])
            upload.path.write_bytes(kept)
            upload.content.update(kept)
            upload.parts.append(len(kept))

    ecr.part_size, ecr.before["UploadLayerPart"] = 8 * MIB, keep_less
    assert copy(registries, layer) == [5 * MIB, 12 * MIB]
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert [wanted for _, wanted in blobs.requests] == [None, f"bytes={5 * MIB}-"]


@pytest.mark.parametrize("held", [5 * MIB - 1, 12 * MIB])
def test_a_part_of_which_ecr_has_fewer_or_more_bytes_than_sent_fails(
    ecr: FakeEcr, registries: Registries, layer: Descriptor, held: int
) -> None:
    def claim(parameters: Parameters) -> None:
        if parameters["partFirstByte"] > 0:
            received = {"lastValidByteReceived": held}
            raise refusal("UploadLayerPart", "InvalidLayerPartException", "refused by the test", **received)

    ecr.before["UploadLayerPart"] = claim
    says = rf"3 times \(ECR has {held + 1} bytes after bytes 5242880 to 10485759 were sent\)"
    with pytest.raises(TransferFailed, match=says):
        copy(registries, layer)
    assert ecr.operations()["UploadLayerPart"] == 2 * MAX_UPLOADS


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_upload_that_is_lost_begins_again(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, number: int
) -> None:
    lose_uploads(ecr, destination, "UploadLayerPart", number)
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 2


def test_an_upload_that_is_always_lost_fails(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    lose_uploads(ecr, destination, "CompleteLayerUpload", 1, 2, 3, 4)
    with pytest.raises(TransferFailed, match=rf"layer {DIGEST}: ECR lost its upload 3 times .*UploadNotFoundException"):
        copy(registries, layer)
    assert ecr.operations()["InitiateLayerUpload"] == MAX_UPLOADS
    assert not destination.layers


def test_a_completed_upload_whose_answer_was_lost_is_complete(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.answers_lost["CompleteLayerUpload"] = 1
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 1


def test_a_layer_may_be_completed_by_another_upload(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.before["CompleteLayerUpload"] = lambda parameters: destination.layers.update({DIGEST: destination.directory})
    copy(registries, layer)


def test_other_bytes_than_the_digest_names_are_not_completed(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository, layer: Descriptor
) -> None:
    source.layers[DIGEST].write_bytes(LAYER[:-1] + b"?")
    with pytest.raises(DigestMismatch, match=rf"layer {DIGEST}: the received bytes have digest sha256:"):
        copy(registries, layer)
    assert ecr.operations()["CompleteLayerUpload"] == 0
    assert not destination.layers


def test_bytes_that_change_on_their_way_to_ecr_are_noticed(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    def damage(parameters: Parameters) -> None:
        parameters["layerPartBlob"] = bytes(len(parameters["layerPartBlob"]))

    ecr.before["UploadLayerPart"] = damage
    with pytest.raises(EcrRefused, match=r"InvalidLayerException.*changed in transit"):
        copy(registries, layer)


def test_any_other_refusal_ends_the_copy(ecr: FakeEcr, registries: Registries, layer: Descriptor) -> None:
    refuse(ecr, "UploadLayerPart", "KmsException", 2)
    with pytest.raises(EcrRefused, match=r"UploadLayerPart was refused: KmsException: .*KMS key"):
        copy(registries, layer)


def test_a_large_layer_needs_the_memory_of_one_part(
    ecr: FakeEcr, registries: Registries, source: Repository, destination: Repository
) -> None:
    ecr.part_size = 10 * MIB
    zeros = source.directory / "zeros"
    with zeros.open("wb") as file:
        file.truncate(60 * MIB)
    digest = digest_of(bytes(60 * MIB))
    source.layers[digest] = zeros
    tracemalloc.start()
    copy(registries, Descriptor(DOCKER_LAYER, digest, 60 * MIB))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB
    assert destination.layers[digest].stat().st_size == 60 * MIB
