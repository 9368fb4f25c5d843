"""Copying one layer: in one request, and continued wherever it breaks, in bounded memory."""

from __future__ import annotations

import random
import threading
import tracemalloc
from itertools import pairwise

import pytest

from infra import cache
from infra.image import layer as layer_module
from infra.image.errors import DigestMismatch, EcrRefused, TransferFailed
from infra.image.layer import LayerCopy, Protocol
from infra.image.manifest import DOCKER_LAYER, Descriptor, digest_of
from infra.image.registry import Registries
from infra.image.upload import LayerUploads
from tests.infra.image.blob_server import BlobServer
from tests.infra.image.conftest import DESTINATION, SOURCE, content
from tests.infra.image.fake_ecr import MIB, FakeEcr, Parameters, Repository, refusal

LAYER = content(24 * MIB)
DIGEST = digest_of(LAYER)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def layer(source: Repository, monkeypatch: pytest.MonkeyPatch) -> Descriptor:
    """A layer of 24 MiB in AWS's account, which is large."""
    monkeypatch.setattr(layer_module, "LAYER_API_BYTES", 20 * MIB)
    return Descriptor(DOCKER_LAYER, **source.put_layer(LAYER))


def copy(
    registries: Registries, layer: Descriptor, killed_at: int | None = None, *, sent_again: bool = False
) -> tuple[Protocol, list[int]]:
    """Copy it as a new process does. Returns the protocol, and the progress that was reported.

    Args:
        sent_again: kill the process only after the layer was begun again.
    """
    reported: list[int] = []

    def report(sent: int) -> None:
        reported.append(sent)
        began_again = any(later < earlier for earlier, later in pairwise(reported))
        if killed_at is not None and sent >= killed_at and (began_again or not sent_again):
            raise Killed

    destination = registries.ecr(DESTINATION)
    uploads = LayerUploads(destination, registries.http)
    process = LayerCopy(
        registries.source(SOURCE), destination, uploads, layer, registries.retry, report, threading.Event()
    )
    return process.run(), reported


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


def test_a_layer_is_streamed_in_one_request(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    protocol, reported = copy(registries, layer)
    assert protocol is Protocol.HTTP
    assert reported == sorted(reported) and (reported[0], reported[-1]) == (0, 24 * MIB)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert len(blobs.requests) == 1
    assert ecr.operations() == {
        "GetAuthorizationToken": 1,
        "InitiateLayerUpload": 1,
        "UploadLayerPart": 3,
        "CompleteLayerUpload": 1,
        "GetDownloadUrlForLayer": 1,
    }


def test_a_broken_download_resumes_in_the_middle_of_the_upload(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    blobs.cut_after = [7 * MIB, 1 * MIB, None]
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert [extent for _, extent in blobs.requests] == [None, f"bytes={7 * MIB}-", f"bytes={8 * MIB}-"]
    assert ecr.operations()["InitiateLayerUpload"] == 1


def test_an_expired_url_is_replaced(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    blobs.statuses = [403]
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["GetDownloadUrlForLayer"] == 2


def test_a_download_that_is_refused_again_and_again_reports_what_a_vpc_endpoint_must_allow(
    registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer
) -> None:
    blobs.statuses = [403] * 10
    with pytest.raises(TransferFailed) as failed:
        copy(registries, layer)
    assert f"layer {DIGEST}: 127.0.0.1 answered HTTP 403." in str(failed.value)
    assert "s3:GetObject on ECR's layers (arn:aws:s3:::prod-ap-northeast-1-starport-layer-bucket/*)" in str(
        failed.value
    )
    assert "Signature" not in str(failed.value)


@pytest.mark.parametrize("cut", [10 * MIB, 16 * MIB + 1, 20 * MIB])
def test_a_broken_upload_continues_after_the_last_byte_that_ecr_has(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer, cut: int
) -> None:
    ecr.cut_uploads = [cut]
    assert copy(registries, layer)[0] is Protocol.HTTP
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 1
    assert [extent for _, extent in blobs.requests] == [None, f"bytes={cut}-"]


@pytest.mark.parametrize(("large", "protocol"), [(20 * MIB, Protocol.LAYER_API), (24 * MIB, Protocol.HTTP)])
def test_an_upload_that_ecr_cannot_continue_begins_again(
    ecr: FakeEcr,
    registries: Registries,
    destination: Repository,
    layer: Descriptor,
    monkeypatch: pytest.MonkeyPatch,
    large: int,
    protocol: Protocol,
) -> None:
    monkeypatch.setattr(layer_module, "LAYER_API_BYTES", large)
    ecr.cut_uploads = [12 * MIB, 12 * MIB]
    assert copy(registries, layer)[0] is protocol
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 3


def test_an_upload_that_ecr_cannot_continue_once_begins_again_as_it_was(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [12 * MIB]
    assert copy(registries, layer)[0] is Protocol.HTTP
    assert destination.layers[DIGEST].read_bytes() == LAYER


@pytest.mark.parametrize("killed_at", [16 * MIB, 20 * MIB, 24 * MIB])
def test_another_process_continues_the_upload(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, killed_at: int
) -> None:
    with pytest.raises(Killed):
        copy(registries, layer, killed_at)
    ecr.wait()
    _, reported = copy(registries, layer)
    assert killed_at == 24 * MIB or reported[0] == killed_at
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 1


def test_another_process_knows_that_a_layer_is_sent_again(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [12 * MIB]
    with pytest.raises(Killed):
        copy(registries, layer, 22 * MIB, sent_again=True)
    ecr.wait()
    assert copy(registries, layer)[0] is Protocol.LAYER_API
    assert destination.layers[DIGEST].read_bytes() == LAYER


def test_another_process_continues_through_the_ecr_api(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [1 * MIB, 1 * MIB]
    with pytest.raises(Killed):
        copy(registries, layer, 20 * MIB)
    protocol, reported = copy(registries, layer)
    assert (protocol, reported) == (Protocol.LAYER_API, [24 * MIB])
    assert destination.layers[DIGEST].read_bytes() == LAYER


def test_the_parts_of_the_ecr_api_are_as_small_as_ecr_allows(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [1 * MIB, 1 * MIB]
    copy(registries, layer)
    first = [asked["partFirstByte"] for operation, asked in ecr.calls if operation == "UploadLayerPart"]
    assert first[-5:] == [0, 5 * MIB, 10 * MIB, 15 * MIB, 20 * MIB]


@pytest.mark.parametrize(("mebibytes", "part"), [(10, 5), (21_000, 5), (21_001, 10), (42_000, 10)])
def test_a_layer_has_at_most_4200_parts(mebibytes: int, part: int) -> None:
    assert layer_module.part_bytes(mebibytes * MIB) == part * MIB
    assert mebibytes / part <= 4200


def test_the_ecr_api_has_the_last_word_on_where_to_continue(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [1 * MIB, 1 * MIB]
    with pytest.raises(Killed):
        copy(registries, layer, 20 * MIB)
    key = f"{registries.ecr(DESTINATION)}: {DIGEST}"
    _, _, upload = cache.recall("layer-uploads", key).split()
    cache.remember("layer-uploads", key, f"LAYER_API {7 * MIB} {upload}")
    assert copy(registries, layer)[1] == [20 * MIB, 24 * MIB]
    assert destination.layers[DIGEST].read_bytes() == LAYER


def test_an_upload_of_the_ecr_api_that_has_nothing_begins_again(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    upload = registries.ecr(DESTINATION).initiate_layer_upload()
    key = f"{registries.ecr(DESTINATION)}: {DIGEST}"
    cache.remember("layer-uploads", key, f"LAYER_API {10 * MIB} {upload}")
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER


@pytest.mark.parametrize(
    "remembered",
    [
        "HTTP 0 {url}/v2/triton/prod/blobs/uploads/00000000-0000-0000-0000-000000000000",
        "HTTP 99999999999 {url}/v2/triton/prod/blobs/uploads/1",
        "HTTP 0 https://registry.test/v2/triton/prod/blobs/uploads/1",
        "HTTP 0 {url}/v2/other/blobs/uploads/1",
        "LAYER_API 10485760 00000000-0000-0000-0000-000000000000",
        "nonsense",
    ],
)
def test_what_is_remembered_may_be_wrong(
    registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer, remembered: str
) -> None:
    key = f"{registries.ecr(DESTINATION)}: {DIGEST}"
    cache.remember("layer-uploads", key, remembered.format(url=blobs.url))
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert cache.recall("layer-uploads", key) == ""


def test_an_upload_of_other_bytes_is_not_completed(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    with pytest.raises(Killed):
        copy(registries, layer, 20 * MIB)
    ecr.wait()
    (upload,) = destination.uploads.values()
    upload.content.update(b"x")
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER


@pytest.mark.parametrize("seed", range(6))
def test_whatever_breaks_where_the_layer_arrives(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, blobs: BlobServer, seed: int
) -> None:
    random_ = random.Random(seed)
    ecr.cut_uploads = [random_.randrange(24 * MIB) for _ in range(2)]
    blobs.cut_after = [random_.randrange(24 * MIB) for _ in range(2)]
    with pytest.raises(Killed):
        copy(registries, layer, random_.randrange(24 * MIB))
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER


def test_an_upload_that_is_always_lost_fails(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    lose_uploads(ecr, destination, "CompleteLayerUpload", *range(9))
    with pytest.raises(TransferFailed, match=rf"layer {DIGEST}: .*BLOB_UPLOAD_UNKNOWN.* Tried 4 times"):
        copy(registries, layer)
    assert ecr.operations()["InitiateLayerUpload"] == 4
    assert not destination.layers


@pytest.mark.parametrize("by_the_api", [False, True])
def test_a_completed_upload_whose_answer_was_lost_is_complete(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor, by_the_api: bool
) -> None:
    ecr.answers_lost["CompleteLayerUpload"] = 1
    ecr.cut_uploads = [1 * MIB, 1 * MIB] if by_the_api else []
    copy(registries, layer)
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert ecr.operations()["InitiateLayerUpload"] == 1 + 2 * by_the_api


def test_a_part_whose_answer_was_lost_is_not_uploaded_twice(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [1 * MIB, 1 * MIB]
    ecr.answers_lost["UploadLayerPart"] = 2
    assert copy(registries, layer)[0] is Protocol.LAYER_API
    assert destination.layers[DIGEST].read_bytes() == LAYER


@pytest.mark.parametrize("operation", ["InitiateLayerUpload", "CompleteLayerUpload"])
@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_busy_or_failing_registry_is_asked_again(
    ecr: FakeEcr,
    registries: Registries,
    destination: Repository,
    layer: Descriptor,
    pauses: list[float],
    operation: str,
    status: int,
) -> None:
    ecr.statuses[operation] = [status]
    assert copy(registries, layer)[0] is Protocol.HTTP
    assert destination.layers[DIGEST].read_bytes() == LAYER
    assert pauses
    assert ecr.operations()["GetAuthorizationToken"] == 1 + (status == 401)


def test_a_layer_may_be_completed_by_another_upload(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.cut_uploads = [1 * MIB, 1 * MIB]
    ecr.before["CompleteLayerUpload"] = lambda parameters: destination.layers.update({DIGEST: destination.directory})
    copy(registries, layer)


@pytest.mark.parametrize("by_the_api", [False, True])
def test_other_bytes_than_the_digest_names_are_not_completed(
    ecr: FakeEcr,
    registries: Registries,
    source: Repository,
    destination: Repository,
    layer: Descriptor,
    by_the_api: bool,
) -> None:
    source.layers[DIGEST].write_bytes(LAYER[:-1] + b"?")
    ecr.cut_uploads = [1 * MIB, 1 * MIB] if by_the_api else []
    with pytest.raises(DigestMismatch, match=rf"layer {DIGEST}: the received bytes have digest sha256:"):
        copy(registries, layer)
    assert not destination.layers


def test_bytes_that_change_on_their_way_to_ecr_are_sent_again(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.damage = lambda part: bytes(len(part))
    assert copy(registries, layer)[0] is Protocol.LAYER_API
    assert destination.layers[DIGEST].read_bytes() == LAYER


def test_bytes_that_always_change_on_their_way_fail(
    ecr: FakeEcr, registries: Registries, destination: Repository, layer: Descriptor
) -> None:
    ecr.before["UploadLayerPart"] = lambda parameters: parameters.update(
        layerPartBlob=bytes(len(parameters["layerPartBlob"]))
    )
    with pytest.raises(TransferFailed, match=r"InvalidLayerException.* Tried 3 times"):
        copy(registries, layer)
    assert not destination.layers


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        ("InitiateLayerUpload", "RepositoryNotFoundException", "InitiateLayerUpload was refused: NAME_UNKNOWN"),
        ("CompleteLayerUpload", "KmsException", "KmsException: refused by the test"),
        ("InitiateLayerUpload", "AccessDeniedException", "allow the caller ecr:InitiateLayerUpload"),
        ("UploadLayerPart", "AccessDeniedException", "DENIED: refused by the test"),
    ],
)
def test_a_refusal_ends_the_copy(
    ecr: FakeEcr,
    registries: Registries,
    destination: Repository,
    layer: Descriptor,
    operation: str,
    code: str,
    says: str,
) -> None:
    refuse(ecr, operation, code)
    with pytest.raises(EcrRefused) as refused:
        copy(registries, layer)
    assert says in str(refused.value)


def test_a_large_layer_needs_the_memory_of_a_block(
    registries: Registries, source: Repository, destination: Repository
) -> None:
    zeros = source.directory / "zeros"
    with zeros.open("wb") as file:
        file.truncate(60 * MIB)
    digest = digest_of(bytes(60 * MIB))
    source.layers[digest] = zeros
    tracemalloc.start()
    copy(registries, Descriptor(DOCKER_LAYER, digest, 60 * MIB))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 26 * MIB  # of which the stand-in for ECR has a part, twice
    assert destination.layers[digest].stat().st_size == 60 * MIB
