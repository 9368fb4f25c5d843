"""ECR's registry HTTP API, for what the copy of a layer does not show."""

from __future__ import annotations

from io import BytesIO

import pytest
import urllib3

from infra.image.ecr import Authorization, UploadLost
from infra.image.errors import RegistryRefused
from infra.image.http import Http
from infra.image.registry import Registries
from infra.image.upload import LayerUploads
from tests.infra.image.conftest import DESTINATION

REGISTRY = "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"
UPLOADS = f"{REGISTRY}/v2/triton/prod/blobs/uploads/"


@pytest.fixture
def uploads(registries: Registries, monkeypatch: pytest.MonkeyPatch) -> LayerUploads:
    repository = registries.ecr(DESTINATION)
    monkeypatch.setattr(type(repository), "authorization", lambda _: Authorization(REGISTRY, "Basic secret"))
    return LayerUploads(repository, Http())


def answer(monkeypatch: pytest.MonkeyPatch, status: int, body: str = "", **headers: str) -> None:
    """Have every request answered so."""
    response = urllib3.HTTPResponse(BytesIO(body.encode()), headers, status, preload_content=False)
    monkeypatch.setattr(Http, "send", lambda *_: response)


@pytest.mark.parametrize("location", [f"{UPLOADS}1", "/v2/triton/prod/blobs/uploads/1?state=x", "1"])
def test_an_upload_is_a_url_of_the_repository(
    uploads: LayerUploads, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    answer(monkeypatch, 202, Location=location)
    assert uploads.start().startswith(f"{UPLOADS}1")


def test_an_invalid_url_is_not_an_upload(uploads: LayerUploads) -> None:
    assert not uploads.is_upload("https://[")


def test_the_port_of_https_may_be_in_the_url(uploads: LayerUploads) -> None:
    assert uploads.is_upload(UPLOADS.replace("amazonaws.com", "amazonaws.com:443") + "1")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "https://registry.test/v2/triton/prod/blobs/uploads/1",
        "http://123456789012.dkr.ecr.eu-west-1.amazonaws.com/v2/triton/prod/blobs/uploads/1",
        "/v2/other/blobs/uploads/1",
        "//registry.test/v2/triton/prod/blobs/uploads/1",
        f"{REGISTRY}:99999/v2/triton/prod/blobs/uploads/1",
    ],
)
def test_another_url_does_not_get_the_authorization(
    uploads: LayerUploads, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    answer(monkeypatch, 202, Location=location)
    with pytest.raises(RegistryRefused) as refused:
        uploads.start()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, ""),
        (404, '{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}'),
        (416, '{"errors": [{"code": "BLOB_UPLOAD_INVALID", "message": "no number"}]}'),
        (416, "[" * 100_000),
    ],
    ids=["accepted", "unknown", "no number", "no JSON"],
)
def test_an_upload_that_does_not_report_its_bytes_is_lost(
    uploads: LayerUploads, monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    answer(monkeypatch, status, body)
    with pytest.raises(UploadLost):
        uploads.received(f"{UPLOADS}1")


def test_ecr_reports_its_bytes_when_it_refuses_one(uploads: LayerUploads, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "First byte of the layer part is 0 instead of 11304960"
    answer(monkeypatch, 416, f'{{"errors": [{{"code": "BLOB_UPLOAD_INVALID", "message": "{message}"}}]}}')
    assert uploads.received(f"{UPLOADS}1") == 11304960


def test_the_authorization_is_not_shown(uploads: LayerUploads) -> None:
    assert "secret" not in repr(Authorization(REGISTRY, "Basic secret"))
