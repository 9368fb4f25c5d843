"""Copy an image to a repository in ECR, without docker.

Everything that can refuse the copy is checked first: the source's manifest and configuration, then the destination's
tag. The missing layers follow in parallel, and the manifest last: until then the image is invisible.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from infra.image.download import BlobReader
from infra.image.ecr import EcrRepository
from infra.image.errors import (
    EcrRefused,
    ImageCopyError,
    ImageNotFound,
    ImageTagConflict,
    InvalidImageReference,
    UnsupportedImage,
)
from infra.image.layer import LayerCopy, Protocol
from infra.image.manifest import (
    Descriptor,
    ImageIndex,
    ImageManifest,
    as_docker_schema2,
    check_config,
    choose_platform,
    parse_manifest,
    verify_digest,
)
from infra.image.parallel import Lanes, run_all
from infra.image.reference import ImageReference
from infra.image.registry import ImageSource, Registries
from infra.image.retry import Retry
from infra.image.upload import LayerUploads

MAX_CONFIG_BYTES = 8 * 1024 * 1024
"""Largest accepted configuration; common ones have some kilobytes."""

REPLACED = "replaced-"
"""Prefix of the tag of an image whose own tag moved to another one."""

_TRY_THE_NEXT = frozenset({"RepositoryNotFoundException", "AccessDeniedException"})
"""Errors of a source without the image; another one may have it."""


@dataclass(frozen=True)
class Progress:
    """The progress of a copy. The configuration counts as a layer, as in ECR.

    Attributes:
        layer: the one that progresses.
        layer_bytes: bytes of it that are sent; fewer again when its upload restarts.
        bytes_done: bytes that the destination has of the whole image.
        layers_done: layers that the destination has.
    """

    layer: Descriptor
    layer_bytes: int
    bytes_done: int
    bytes_total: int
    layers_done: int
    layers: int


@dataclass(frozen=True)
class SourceImage:
    """An image that can be copied, and the manifest of the copy."""

    reference: ImageReference
    source: ImageSource
    manifest: ImageManifest


@dataclass(frozen=True)
class CopiedImage:
    """The image in the destination.

    Attributes:
        uri: the image by digest.
        bytes_copied: 0 if the destination already had all layers.
        protocols: how many layers were uploaded by which protocol.
    """

    digest: str
    uri: str
    source: str
    bytes_total: int
    bytes_copied: int
    protocols: Counter[Protocol]


def copy_image(
    sources: Sequence[ImageReference],
    destination: ImageReference,
    registries: Registries,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> CopiedImage:
    """Copy the linux/amd64 image of the first source that has it to `destination`, a tag in ECR, as Docker schema 2.

    A tag that already names the image is left unchanged.

    Raises:
        ImageCopyError: SageMaker cannot run the image, or the tag is immutable and names another image; both before a
            byte is copied. Or the copy fails.
    """
    repository = registries.ecr(destination)
    if destination.tag is None or destination.digest is not None:
        raise InvalidImageReference(f"{destination} is not a valid destination: use REGISTRY/REPOSITORY:TAG.")
    image = read_image(sources, registries)
    blobs = image.manifest.blobs
    copied: dict[Descriptor, Protocol] = {}
    tagged = _tagged(repository, destination.tag, image)
    if tagged != image.manifest.digest:
        copied = _copy_layers(image, repository, registries, progress)
        if tagged is not None:
            _keep_replaced(repository, tagged)
        repository.put_image(image.manifest, destination.tag)
    return CopiedImage(
        digest=image.manifest.digest,
        uri=str(destination.at(image.manifest.digest)),
        source=str(image.reference),
        bytes_total=_size(blobs),
        bytes_copied=_size(copied),
        protocols=Counter(copied.values()),
    )


def read_image(sources: Sequence[ImageReference], registries: Registries) -> SourceImage:
    """The image of the first source that has it, for linux/amd64 and with a manifest that SageMaker accepts."""
    failures: list[tuple[ImageReference, ImageCopyError]] = []
    for reference in sources:
        try:
            image = _described(reference, registries)
            check_config(_config(image, registries.retry), str(reference))
            return image
        except ImageNotFound as error:
            failures.append((reference, error))
        except EcrRefused as error:
            if error.code not in _TRY_THE_NEXT:
                raise
            failures.append((reference, error))
    raise _found_nowhere(failures)


def digest_of_copy(reference: ImageReference, registries: Registries) -> str:
    """The digest that a copy of the image would have now. It only reads manifests."""
    return _described(reference, registries).manifest.digest


def _described(reference: ImageReference, registries: Registries) -> SourceImage:
    """The image by its manifests alone: its own, or the one of an index."""
    name, source = str(reference), registries.source(reference)
    manifest = parse_manifest(*source.manifest(reference.digest or reference.tag or ""), name)
    if isinstance(manifest, ImageIndex):
        manifest = parse_manifest(*source.manifest(choose_platform(manifest, name).digest), name)
    if isinstance(manifest, ImageIndex):
        raise UnsupportedImage(f"{name} is an index within an index. Choose one of its images by digest.")
    return SourceImage(reference, source, as_docker_schema2(manifest, name))


def _config(image: SourceImage, retry: Retry) -> bytes:
    config = image.manifest.config
    if config.size > MAX_CONFIG_BYTES:
        raise UnsupportedImage(f"{image.reference}: its configuration has {config.size} bytes. Choose another image.")
    name = f"{image.reference}: configuration {config.digest}"
    reader = BlobReader(partial(image.source.open_blob, config.digest), config.size, name, retry)
    try:
        content = b"".join(reader.blocks(0, config.size))
    finally:
        reader.close()
    verify_digest(content, config.digest, name)
    return content


def _tagged(repository: EcrRepository, tag: str, image: SourceImage) -> str | None:
    """The digest that the tag names; another image's only if the tag is mutable."""
    digest = repository.tagged_digest(tag)
    if digest is not None and digest != image.manifest.digest and repository.is_immutable(tag):
        raise ImageTagConflict(
            f"{repository}: tag {tag} is immutable and names {digest}, but the image of {image.reference} is "
            f"{image.manifest.digest}. The tag is unchanged. Choose another version or tag; or, if nothing runs the "
            "tagged image any more, delete it (`aws ecr batch-delete-image`) and run the command again."
        )
    return digest


def _keep_replaced(repository: EcrRepository, digest: str) -> None:
    """Tag an image whose tag moves: a live Model may name it, and untagged images expire."""
    manifest = parse_manifest(*repository.manifest(digest), f"{repository}: {digest}")
    if isinstance(manifest, ImageManifest):
        repository.put_image(manifest, f"{REPLACED}{digest.removeprefix('sha256:')[:12]}")


def _copy_layers(
    image: SourceImage, repository: EcrRepository, registries: Registries, progress: Callable[[Progress], None]
) -> dict[Descriptor, Protocol]:
    """Copy the missing layers, the largest ones first. Returns how each was uploaded."""
    blobs = image.manifest.blobs
    missing = repository.missing_layers([blob.digest for blob in blobs])
    to_copy = sorted((blob for blob in blobs if blob.digest in missing), key=lambda blob: blob.size, reverse=True)
    total = _size(blobs)
    sent = {blob.digest: 0 if blob.digest in missing else blob.size for blob in blobs}
    copied: dict[Descriptor, Protocol] = {}
    lanes, lock, stopped = Lanes(), threading.Lock(), threading.Event()
    uploads = LayerUploads(repository, registries.http)
    retry = replace(registries.retry, on_busy=lanes.halve)

    def report(blob: Descriptor, bytes_sent: int) -> None:
        if stopped.is_set():
            raise _Stopped
        with lock:
            sent[blob.digest] = bytes_sent
            done = len(blobs) - len(to_copy) + len(copied)
            progress(Progress(blob, bytes_sent, sum(sent.values()), total, done, len(blobs)))

    def copy(blob: Descriptor) -> None:
        copied[blob] = LayerCopy(image.source, repository, uploads, blob, retry, partial(report, blob)).run()
        report(blob, blob.size)

    try:
        run_all([partial(copy, blob) for blob in to_copy], lanes)
    finally:
        stopped.set()
    return copied


class _Stopped(Exception):
    """Another layer's copy failed."""


def _found_nowhere(failures: Sequence[tuple[ImageReference, ImageCopyError]]) -> ImageCopyError:
    """The error of the only source, or one that lists every source with its error."""
    if len(failures) == 1:
        return failures[0][1]
    lines = "".join(f"\n  {reference}: {error}" for reference, error in failures)
    way_out = "Choose a version that AWS publishes in the region, or another image."
    return ImageNotFound(f"no source has the image:{lines}\n{way_out}")


def _size(blobs: Iterable[Descriptor]) -> int:
    """Bytes of all the blobs."""
    return sum(blob.size for blob in blobs)
