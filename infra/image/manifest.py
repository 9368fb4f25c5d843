"""Image manifests: reading them, choosing linux/amd64, and the one form that SageMaker runs.

SageMaker accepts a single Docker schema 2 manifest and rejects OCI media types (CreateModel: "Unsupported manifest
media type"). An OCI manifest whose layers are gzip is rewritten; configuration and layers remain the same bytes.
Formats: OCI image-spec, `manifest.md` and `image-index.md`; distribution, "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from infra.diagnostics.printable import printable
from infra.image.errors import RUN_AGAIN, DigestMismatch, UnsupportedImage
from infra.image.reference import DIGEST

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

READABLE_MEDIA_TYPES = (DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST, OCI_INDEX)
"""The accepted manifests; any other one is an UnsupportedImage."""

MAX_MANIFEST_BYTES = 4_194_304
"""Largest manifest that ECR accepts (shape `ImageManifest`)."""

_ATTESTATION = "unknown/unknown"
"""The platform of a manifest that describes how an image was built (Docker docs, Image attestation storage)."""

MAX_BLOB_BYTES = 2**40
"""Of a layer. ECR's quotas end at 4,200 parts of 10 MiB (Amazon ECR User Guide, "Service quotas")."""

MAX_NAME = 255
"""Characters of a media type (RFC 6838, section 4.2) and of the parts of a platform."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a malformed document raises: invalid JSON, other types, a thousand levels."""

_WAY_OUT = (
    "Build it with `docker buildx build --platform linux/amd64 --provenance=false --output "
    "type=image,push=true,oci-mediatypes=false,compression=gzip,force-compression=true`, or choose another image."
)


@dataclass(frozen=True)
class Platform:
    """Operating system and processor, `linux/amd64` or `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `linux/amd64` or `linux/arm64/v8`.

        Raises:
            UnsupportedImage: the text has another form.
        """
        if not re.fullmatch(r"[a-z0-9]+(/[a-z0-9_]+){1,2}", text):
            raise UnsupportedImage(f"{text!r} is not a valid platform: use OS/ARCHITECTURE, such as linux/amd64.")
        return cls(*text.split("/"))

    def runs(self, image: Platform) -> bool:
        """Whether machines of this platform run an image of the other one."""
        same = (image.os, image.architecture) == (self.os, self.architecture)
        return same and self.variant in ("", image.variant)


AMD64 = Platform("linux", "amd64")
"""The platform of SageMaker's instances, but for those with AWS Graviton."""


@dataclass(frozen=True)
class Descriptor:
    """A reference to a blob or to another manifest: media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None


@dataclass(frozen=True)
class ImageManifest:
    """One image for one platform.

    Attributes:
        body: the manifest's exact bytes, whose sha256 is the image's digest.
    """

    media_type: str
    body: bytes
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.body)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob without repetition: the layers in order, then the configuration."""
        return tuple({blob.digest: blob for blob in (*self.layers, self.config)}.values())


@dataclass(frozen=True)
class ImageIndex:
    """The images of one name for several platforms (OCI image index, Docker manifest list)."""

    manifests: tuple[Descriptor, ...]


def digest_of(body: bytes) -> str:
    """`sha256:…` of the bytes."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def verify_digest(body: bytes, digest: str, what: str) -> None:
    """
    Raises:
        DigestMismatch: the bytes have another digest.
    """
    received = digest_of(body)
    if received != digest:
        raise DigestMismatch(f"{what}: the received bytes have digest {received}, not {digest}. {RUN_AGAIN}")


def parse_manifest(body: bytes, media_type: str | None, image: str) -> ImageManifest | ImageIndex:
    """Read a manifest.

    Args:
        media_type: the one that the registry declares; it has precedence over the manifest's own.
        image: the name in errors.
    """
    try:
        document = json.loads(body)
        named = media_type if media_type in READABLE_MEDIA_TYPES else document.get("mediaType")
        declared = named or _media_type_by_content(document)
        if declared in (DOCKER_MANIFEST_LIST, OCI_INDEX):
            return ImageIndex(tuple(_descriptor(part) for part in document["manifests"]))
        if declared in (DOCKER_MANIFEST, OCI_MANIFEST):
            layers = tuple(_descriptor(part) for part in document["layers"])
            return ImageManifest(declared, body, _descriptor(document["config"]), layers)
    except UNREADABLE:
        kind = printable(media_type or "an image manifest")
        raise UnsupportedImage(f"{image}: its manifest cannot be read as {kind}. Push the image again.") from None
    kind = printable(str(declared))[:MAX_NAME]
    raise UnsupportedImage(f"{image} is {kind}; only Docker schema 2 and OCI images can be copied. {_WAY_OUT}")


def choose_platform(index: ImageIndex, image: str, wanted: Platform = AMD64) -> Descriptor:
    """The image of an index for a platform, or its only one if that has no platform."""
    images = [
        manifest
        for manifest in index.manifests
        if manifest.media_type in (DOCKER_MANIFEST, OCI_MANIFEST) and str(manifest.platform) != _ATTESTATION
    ]
    fitting = [(one.platform.variant, one) for one in images if one.platform and wanted.runs(one.platform)]
    if fitting:  # the one without a variant (x86-64-v3 …) runs on every instance type, and sorts first
        return min(fitting, key=lambda pair: pair[0])[1]
    only = images[0] if len(images) == 1 else None
    if only and only.platform is None:  # docker reads it from the configuration, which is checked later
        return only
    platforms = {str(manifest.platform) for manifest in images if manifest.platform}
    raise _wrong_platform(image, ", ".join(sorted(platforms)) or "an unknown platform", wanted)


def check_config(config: bytes, image: str, wanted: Platform = AMD64) -> None:
    """
    Raises:
        UnsupportedImage: the image's configuration is not one for the platform.
    """
    try:
        platform = _platform(json.loads(config))
    except UNREADABLE:
        raise UnsupportedImage(
            f"{image} is not a container image: its configuration has no platform. Choose another image."
        ) from None
    if not wanted.runs(platform):
        raise _wrong_platform(image, str(platform), wanted)


def as_docker_schema2(manifest: ImageManifest, image: str) -> ImageManifest:
    """The manifest in the form that SageMaker accepts: unchanged, or rewritten with another digest. Layers must be gzip
    tars in the registry."""
    if manifest.config.media_type not in (DOCKER_CONFIG, OCI_CONFIG):
        raise UnsupportedImage(
            f"{image} is not a container image: its configuration is {manifest.config.media_type}. Choose "
            "another image."
        )
    for position, layer in enumerate(manifest.layers, start=1):
        _check_layer(layer, f"{image}: layer {position} of {len(manifest.layers)} ({layer.digest})")
    config = replace(manifest.config, media_type=DOCKER_CONFIG)
    layers = tuple(replace(layer, media_type=DOCKER_LAYER) for layer in manifest.layers)
    if (manifest.media_type, manifest.config, manifest.layers) == (DOCKER_MANIFEST, config, layers):
        return manifest
    return ImageManifest(DOCKER_MANIFEST, _write(config, layers), config, layers)


def _write(config: Descriptor, layers: tuple[Descriptor, ...]) -> bytes:
    # the digest depends on these bytes: another order or spacing would make every rewritten image a new one
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": _written(config),
        "layers": [_written(layer) for layer in layers],
    }
    return json.dumps(document, indent=3).encode()


def _written(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "size": descriptor.size, "digest": descriptor.digest}


def _check_layer(layer: Descriptor, name: str) -> None:
    if "foreign" in layer.media_type or "nondistributable" in layer.media_type:
        raise UnsupportedImage(f"{name} is not stored in the registry ({layer.media_type}). Choose another image.")
    if layer.media_type not in (DOCKER_LAYER, OCI_LAYER):
        raise UnsupportedImage(
            f"{name} is {layer.media_type}, and Docker schema 2 accepts only gzip tar layers. {_WAY_OUT}"
        )


def _wrong_platform(image: str, platforms: str, wanted: Platform) -> UnsupportedImage:
    return UnsupportedImage(f"{image} is for {platforms}, but the endpoints' instances run {wanted}. {_WAY_OUT}")


def _media_type_by_content(document: dict[str, Any]) -> str:
    """The media type of a document without one, which OCI allows."""
    if document.get("schemaVersion") != 2:
        return "Docker schema 1"
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _descriptor(document: dict[str, Any]) -> Descriptor:
    digest, size = document["digest"], document["size"]
    if not re.fullmatch(DIGEST, digest) or type(size) is not int or not 1 <= size <= MAX_BLOB_BYTES:
        raise ValueError(digest)
    platform = document.get("platform")
    return Descriptor(_text(document["mediaType"]), digest, size, _platform(platform) if platform else None)


def _platform(document: dict[str, Any]) -> Platform:
    return Platform(*(_text(part) for part in (document["os"], document["architecture"], document.get("variant", ""))))


def _text(value: Any) -> str:
    """A name from a registry, safe to print."""
    if not re.fullmatch(rf"[!-~]{{0,{MAX_NAME}}}", value):
        raise ValueError("not a name")
    return str(value)
