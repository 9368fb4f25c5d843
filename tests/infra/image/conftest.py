"""An ECR with AWS's image account and the own one, and an image to copy."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.image import manifest
from infra.image.http import Http
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.retry import Retry
from tests.infra.image.blob_server import BlobServer, serve_blobs
from tests.infra.image.fake_ecr import MIB, FakeEcr, Repository

SOURCE = ImageReference.parse("941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3")
DESTINATION = ImageReference.parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/triton/prod:23.10-py3")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def blobs() -> Iterator[BlobServer]:
    with serve_blobs() as server:
        yield server


@pytest.fixture
def ecr(tmp_path: Path, blobs: BlobServer) -> FakeEcr:
    return FakeEcr(tmp_path, blobs)


@pytest.fixture
def pauses() -> list[float]:
    """The pauses between tries, in seconds; nobody waits for them."""
    return []


@pytest.fixture
def registries(ecr: FakeEcr, pauses: list[float]) -> Registries:
    return Registries(ecr.client, retry=Retry(tries=4, sleep=pauses.append), http=Http())


@pytest.fixture
def source(ecr: FakeEcr) -> Repository:
    """AWS's account, empty."""
    return ecr.repository("941853720454", "ap-northeast-1", "sagemaker-tritonserver")


@pytest.fixture
def destination(ecr: FakeEcr) -> Repository:
    """The own account, empty, in another region."""
    return ecr.repository("123456789012", "eu-west-1", "triton/prod")


def content(size: int, seed: str = "layer") -> bytes:
    return random.Random(seed).randbytes(size)


def config(os: str = "linux", architecture: str = "amd64") -> bytes:
    return json.dumps({"os": os, "architecture": architecture, "rootfs": {}}).encode()


def put_image(
    repository: Repository,
    tag: str | None = "23.10-py3",
    *,
    layers: tuple[bytes, ...] = (content(7 * MIB, "a"), content(3000, "b")),
    platform: tuple[str, str] = ("linux", "amd64"),
    media_type: str = manifest.DOCKER_MANIFEST,
    layer_type: str | None = None,
) -> str:
    """Put an image into a repository. Returns its digest."""
    oci = media_type == manifest.OCI_MANIFEST
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": manifest.OCI_CONFIG if oci else manifest.DOCKER_CONFIG,
            **repository.put_layer(config(*platform)),
        },
        "layers": [
            {
                "mediaType": layer_type or (manifest.OCI_LAYER if oci else manifest.DOCKER_LAYER),
                **repository.put_layer(layer),
            }
            for layer in layers
        ],
    }
    return repository.put_manifest(document, media_type, tag)
