"""Manifests: which image of an index, which images are refused, and what an OCI image becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.image import manifest
from infra.image.errors import DigestMismatch, UnsupportedImage
from infra.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    ImageIndex,
    ImageManifest,
    as_docker_schema2,
    check_config,
    choose_platform,
    parse_manifest,
    verify_digest,
)

IMAGE = "nvcr.io/nvidia/tritonserver:23.10-py3"


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def image(
    media_type: str = DOCKER_MANIFEST, config: str = DOCKER_CONFIG, layers: tuple[str, ...] = (DOCKER_LAYER,)
) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": config, "digest": digest("c"), "size": 100},
        "layers": [{"mediaType": each, "digest": digest(str(n)), "size": n} for n, each in enumerate(layers, start=1)],
    }


def entry(letter: str, os: str, architecture: str, variant: str | None = None, media_type: str = OCI_MANIFEST) -> Any:
    platform = {"os": os, "architecture": architecture} | ({"variant": variant} if variant else {})
    return {"mediaType": media_type, "digest": digest(letter), "size": 500, "platform": platform}


def parsed(document: Any, media_type: str | None = None) -> ImageManifest:
    result = parse_manifest(json.dumps(document).encode(), media_type, IMAGE)
    assert isinstance(result, ImageManifest)
    return result


def index(*entries: Any, media_type: str = OCI_INDEX) -> ImageIndex:
    result = parse_manifest(json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), media_type, IMAGE)
    assert isinstance(result, ImageIndex)
    return result


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_MANIFEST_LIST])
def test_linux_amd64_is_chosen_among_other_platforms_and_attestations(media_type: str) -> None:
    result = index(
        entry("a", "linux", "arm64", "v8"),
        entry("b", "windows", "amd64"),
        entry("d", "unknown", "unknown"),
        entry("e", "linux", "amd64"),
        media_type=media_type,
    )
    assert choose_platform(result, IMAGE).digest == digest("e")


def test_the_variant_that_runs_everywhere_is_chosen() -> None:
    result = index(entry("a", "linux", "amd64", "v3"), entry("b", "linux", "amd64"))
    assert choose_platform(result, IMAGE).digest == digest("b")


@pytest.mark.parametrize("others", [[], [entry("f", "unknown", "unknown")]])
def test_the_only_image_of_an_index_may_leave_its_platform_to_the_configuration(others: list[Any]) -> None:
    """containerd and docker do the same, for instance with what `buildah manifest` and `crane index` write."""
    nameless = {"mediaType": OCI_MANIFEST, "digest": digest("a"), "size": 500}
    assert choose_platform(index(nameless, *others), IMAGE).digest == digest("a")
    with pytest.raises(UnsupportedImage, match="an unknown platform"):
        choose_platform(index(nameless, nameless | {"digest": digest("b")}), IMAGE)


def test_an_index_for_arm_alone_is_refused_with_what_it_has() -> None:
    result = index(
        entry("a", "linux", "arm64", "v8"), entry("b", "linux", "arm", "v7"), entry("d", "unknown", "unknown")
    )
    with pytest.raises(
        UnsupportedImage, match=rf"{IMAGE} is for linux/arm/v7, linux/arm64/v8, .*--platform linux/amd64"
    ):
        choose_platform(result, IMAGE)


def test_an_image_that_is_configured_for_arm_is_refused() -> None:
    config = json.dumps({"os": "linux", "architecture": "arm64", "variant": "v8"}).encode()
    with pytest.raises(UnsupportedImage, match=rf"{IMAGE} is for linux/arm64/v8, "):
        check_config(config, IMAGE)
    check_config(json.dumps({"os": "linux", "architecture": "amd64"}).encode(), IMAGE)


@pytest.mark.parametrize("config", [b"{}", b"[]", b"not JSON", b'{"os": "linux"}'])
def test_a_configuration_without_platform_is_refused(config: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="its configuration has no platform"):
        check_config(config, IMAGE)


def test_a_docker_image_keeps_its_bytes() -> None:
    result = parsed(image())
    assert as_docker_schema2(result, IMAGE) is result
    assert result.digest == manifest.digest_of(json.dumps(image()).encode())


def test_an_oci_image_is_rewritten_with_the_same_blobs() -> None:
    result = parsed(image(OCI_MANIFEST, OCI_CONFIG, (OCI_LAYER, OCI_LAYER)))
    copy = as_docker_schema2(result, IMAGE)
    assert json.loads(copy.body) == image(layers=(DOCKER_LAYER, DOCKER_LAYER))
    assert copy == parse_manifest(copy.body, DOCKER_MANIFEST, IMAGE)
    assert [blob.digest for blob in copy.blobs] == [blob.digest for blob in result.blobs]


def test_what_an_oci_image_becomes_never_changes() -> None:
    # In a repository with immutable tags another digest for the same image would be a conflict at the next deployment.
    copy = as_docker_schema2(parsed(image(OCI_MANIFEST, OCI_CONFIG, (OCI_LAYER,))), IMAGE)
    assert copy.digest == "sha256:cde666365b16c16832403498377e60906bfc885dba071ad17515d3727723b633"


def test_annotations_and_subject_of_an_oci_image_are_left_out() -> None:
    document = image(OCI_MANIFEST, OCI_CONFIG, (OCI_LAYER,))
    document |= {"annotations": {"a": "b"}, "subject": document["config"]}
    assert json.loads(as_docker_schema2(parsed(document), IMAGE).body) == image()


def test_a_docker_image_with_oci_layers_is_rewritten() -> None:
    copy = as_docker_schema2(parsed(image(layers=(DOCKER_LAYER, OCI_LAYER))), IMAGE)
    assert json.loads(copy.body) == image(layers=(DOCKER_LAYER, DOCKER_LAYER))


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.in-toto+json",
    ],
)
def test_a_layer_that_is_not_gzip_is_refused_by_name(media_type: str) -> None:
    result = parsed(image(OCI_MANIFEST, OCI_CONFIG, (OCI_LAYER, media_type, OCI_LAYER)))
    with pytest.raises(UnsupportedImage) as refused:
        as_docker_schema2(result, IMAGE)
    assert str(refused.value).startswith(f"{IMAGE}: layer 2 of 3 ({digest('2')}) is {media_type}, ")
    assert "compression=gzip" in str(refused.value)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ],
)
def test_a_foreign_layer_is_refused_by_name(media_type: str) -> None:
    with pytest.raises(UnsupportedImage, match=rf"layer 1 of 1 \({digest('1')}\) is not stored in the registry"):
        as_docker_schema2(parsed(image(layers=(media_type,))), IMAGE)


def test_other_artifacts_than_container_images_are_refused() -> None:
    chart = parsed(image(OCI_MANIFEST, "application/vnd.cncf.helm.config.v1+json", (OCI_LAYER,)))
    with pytest.raises(
        UnsupportedImage, match=r"not a container image: its configuration is application/vnd\.cncf\.helm"
    ):
        as_docker_schema2(chart, IMAGE)


def test_docker_schema_1_is_refused() -> None:
    body = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
    with pytest.raises(UnsupportedImage, match=r"is Docker schema 1; only Docker schema 2 and OCI images"):
        parse_manifest(body, "application/vnd.docker.distribution.manifest.v1+prettyjws", IMAGE)


@pytest.mark.parametrize("media_type", [None, "application/json", "text/plain"])
def test_a_manifest_that_the_registry_does_not_name_is_known_by_its_content(media_type: str | None) -> None:
    document = image(OCI_MANIFEST, OCI_CONFIG, (OCI_LAYER,))
    del document["mediaType"]
    assert parsed(document, media_type).media_type == OCI_MANIFEST
    assert parsed(image(), media_type).media_type == DOCKER_MANIFEST
    assert isinstance(parse_manifest(b'{"schemaVersion": 2, "manifests": []}', media_type, IMAGE), ImageIndex)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"schemaVersion": 2, "layers": []}',
        json.dumps(image() | {"config": {"mediaType": DOCKER_CONFIG, "digest": "sha512:00", "size": 1}}).encode(),
        json.dumps(image() | {"config": {"mediaType": DOCKER_CONFIG, "digest": digest("c"), "size": "1"}}).encode(),
        json.dumps(image() | {"config": {"mediaType": DOCKER_CONFIG, "digest": digest("c"), "size": 0}}).encode(),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(
        UnsupportedImage, match=rf"{IMAGE}: its manifest cannot be read as {DOCKER_MANIFEST}".replace("+", r"\+")
    ):
        parse_manifest(body, DOCKER_MANIFEST, IMAGE)


def test_a_blob_that_occurs_twice_is_one_blob() -> None:
    document = image(layers=(DOCKER_LAYER, DOCKER_LAYER))
    document["layers"][1] = document["layers"][0]
    assert [blob.digest for blob in parsed(document).blobs] == [digest("1"), digest("c")]


def test_other_bytes_than_the_digest_names_are_refused() -> None:
    verify_digest(b"abc", manifest.digest_of(b"abc"), IMAGE)
    with pytest.raises(DigestMismatch, match=rf"{IMAGE}: the received bytes have digest sha256:\w+, not {digest('0')}"):
        verify_digest(b"abc", digest("0"), IMAGE)
