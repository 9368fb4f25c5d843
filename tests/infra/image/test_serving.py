"""Whether an image serves Triton on SageMaker."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from infra.image.errors import UnsupportedImage
from infra.image.manifest import DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST
from infra.image.registry import Registries
from infra.image.serving import LABELS, check_serving
from infra.image.source import find_image
from tests.infra.image.blob_server import BlobServer
from tests.infra.image.conftest import SOURCE
from tests.infra.image.fake_ecr import Repository

SETTINGS: dict[str, Any] = {"Labels": LABELS, "Env": ["PATH=/opt/tritonserver/bin:/usr/bin"]}


def layer(*paths: str, fill: int = 0) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in paths:
            member = tarfile.TarInfo(path)
            member.size = fill
            tar.addfile(member, io.BytesIO(bytes(fill)))
    return gzip.compress(archive.getvalue(), compresslevel=0)


def put(source: Repository, settings: Any, *layers: bytes) -> None:
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": settings}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": DOCKER_CONFIG, **source.put_layer(config)},
        "layers": [{"mediaType": DOCKER_LAYER, **source.put_layer(each)} for each in layers],
    }
    source.put_manifest(document, DOCKER_MANIFEST, SOURCE.tag)


def check(registries: Registries) -> None:
    check_serving(find_image([SOURCE], registries), registries.retry)


@pytest.mark.parametrize("path", ["usr/bin/serve", "./opt/tritonserver/bin/serve"])
def test_an_image_with_serve_and_labels_serves(
    registries: Registries, source: Repository, blobs: BlobServer, path: str
) -> None:
    put(source, SETTINGS, layer("big", fill=2_000_000), layer(path))
    check(registries)
    assert len(blobs.requests) == 2, "the configuration and the small layer"


@pytest.mark.parametrize(
    ("settings", "paths", "missing"),
    [
        (SETTINGS, ["usr/bin/serve.py", "usr/lib/serve"], "a program `serve` in its PATH"),
        ({**SETTINGS, "Labels": None}, ["usr/bin/serve"], "accept-bind-to-port=true"),
        ({}, [], "accept-bind-to-port=true and a program `serve`"),
        (None, [], "accept-bind-to-port=true and a program `serve`"),
    ],
)
def test_what_an_image_lacks_is_named(
    registries: Registries, source: Repository, settings: Any, paths: list[str], missing: str
) -> None:
    put(source, settings, layer("etc/os-release"), layer(*paths))
    with pytest.raises(UnsupportedImage) as refused:
        check(registries)
    assert missing in str(refused.value)


@pytest.mark.parametrize("settings", [5, [], {"Labels": 5}, {"Labels": [5]}, {"Env": 5}, {"Env": [5]}, "x"])
def test_a_configuration_of_another_kind_is_unsupported(
    registries: Registries, source: Repository, settings: Any
) -> None:
    put(source, settings, layer("usr/bin/serve"))
    with pytest.raises(UnsupportedImage):
        check(registries)


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"no tar"), layer("usr/lib/x")[:-20]], ids=["plain", "no tar", "cut"]
)
def test_a_layer_that_is_not_a_gzip_tar_is_unsupported(
    registries: Registries, source: Repository, content: bytes
) -> None:
    put(source, SETTINGS, content)
    with pytest.raises(UnsupportedImage):
        check(registries)
