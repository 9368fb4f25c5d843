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

from infra.image.ecr import EcrRepository
from infra.image.errors import RESUME, ImageTagConflict, InvalidImageReference
from infra.image.layer import LayerCopy, Protocol
from infra.image.manifest import AMD64, Descriptor, ImageManifest, Platform, parse_manifest
from infra.image.parallel import Lanes, run_all
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.image.source import SourceImage, digest_of_copy, find_image
from infra.image.upload import LayerUploads

REPLACED = "replaced-"
"""Prefix of the tag of an image whose own tag moved to another one."""


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
class CopyPlan:
    """A copy that nothing refuses.

    Attributes:
        tagged: the digest that the destination's tag names now, if any.
        missing: the layers that the destination does not have.
    """

    image: SourceImage
    destination: ImageReference
    tagged: str | None
    missing: tuple[Descriptor, ...]

    @property
    def is_done(self) -> bool:
        """Whether the destination's tag names the image already."""
        return self.tagged == self.image.manifest.digest

    @property
    def uri(self) -> str:
        """The copy by its digest."""
        return str(self.destination.at(self.image.manifest.digest))


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


def plan_copy(
    sources: Sequence[ImageReference],
    destination: ImageReference,
    registries: Registries,
    platform: Platform = AMD64,
) -> CopyPlan:
    """How the image of the first source that has it gets to `destination`, a tag in ECR, as Docker schema 2.

    Raises:
        ImageCopyError: SageMaker cannot run the image, or the tag is immutable and names another image.
    """
    repository = registries.ecr(destination)
    if destination.tag is None or destination.digest is not None:
        raise InvalidImageReference(f"{destination} is not a valid destination: use REGISTRY/REPOSITORY:TAG.")
    image = find_image(sources, registries, platform)
    tagged = repository.tagged_digest(destination.tag)
    if tagged == image.manifest.digest:
        return CopyPlan(image, destination, tagged, ())
    image.config(registries.retry)
    if tagged is not None and repository.is_immutable(destination.tag):
        raise ImageTagConflict(
            f"{repository}: tag {destination.tag} is immutable and names {tagged}, but the image of {image.reference} "
            f"is {image.manifest.digest}. The tag is unchanged. Choose another version or tag; or, if nothing runs the "
            "tagged image any more, delete it (`aws ecr batch-delete-image`) and run the command again."
        )
    missing = repository.missing_layers([blob.digest for blob in image.manifest.blobs])
    return CopyPlan(image, destination, tagged, tuple(blob for blob in image.manifest.blobs if blob.digest in missing))


def copy_image(
    sources: Sequence[ImageReference],
    destination: ImageReference,
    registries: Registries,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> CopiedImage:
    """Plan the copy of an image for linux/amd64, and carry it out.

    Raises:
        ImageCopyError: `plan_copy` refuses it, before a byte is copied, or the copy fails.
    """
    return carry_out(plan_copy(sources, destination, registries), registries, progress)


def carry_out(
    plan: CopyPlan, registries: Registries, progress: Callable[[Progress], None] = lambda progress: None
) -> CopiedImage:
    """Copy an image. A tag that already names it is left unchanged.

    Raises:
        ImageCopyError: the copy fails, or a tag moved during the copy. The destination's tag is unchanged then.
    """
    image, copied = plan.image, dict[Descriptor, Protocol]()
    if not plan.is_done:
        repository = registries.ecr(plan.destination)
        copied = _copy_layers(plan, repository, registries, progress)
        _put_image(plan, repository, registries)
    return CopiedImage(
        digest=image.manifest.digest,
        uri=plan.uri,
        source=str(image.reference),
        bytes_total=size(image.manifest.blobs),
        bytes_copied=size(copied),
        protocols=Counter(copied.values()),
    )


def size(blobs: Iterable[Descriptor]) -> int:
    """Bytes of all the blobs."""
    return sum(blob.size for blob in blobs)


def _copy_layers(
    plan: CopyPlan, repository: EcrRepository, registries: Registries, progress: Callable[[Progress], None]
) -> dict[Descriptor, Protocol]:
    """Copy the missing layers, the largest ones first. Returns how each was uploaded."""
    blobs = plan.image.manifest.blobs
    sent = dict.fromkeys(plan.missing, 0)
    total = size(blobs)
    bytes_done = total - size(plan.missing)
    copied: dict[Descriptor, Protocol] = {}
    lanes, lock, stop = Lanes(), threading.Lock(), threading.Event()
    uploads = LayerUploads(repository, registries.http)
    retry = replace(registries.retry, on_busy=lanes.halve)

    def report(blob: Descriptor, bytes_sent: int) -> None:
        nonlocal bytes_done
        with lock:
            bytes_done += bytes_sent - sent[blob]
            sent[blob] = bytes_sent
            layers_done = len(blobs) - len(plan.missing) + len(copied)
            progress(Progress(blob, bytes_sent, bytes_done, total, layers_done, len(blobs)))

    def copy(blob: Descriptor) -> None:
        on_bytes = partial(report, blob)
        copied[blob] = LayerCopy(plan.image.source, repository, uploads, blob, retry, on_bytes, stop).run()
        report(blob, blob.size)

    largest_first = sorted(plan.missing, key=lambda blob: blob.size, reverse=True)
    run_all([partial(copy, blob) for blob in largest_first], lanes, stop)
    return copied


def _put_image(plan: CopyPlan, repository: EcrRepository, registries: Registries) -> None:
    """Make the image visible under its tag, unless a tag has moved since the plan."""
    image, tag = plan.image, plan.destination.tag or ""
    if image.reference.digest is None:
        now = digest_of_copy(image.reference, registries, image.platform)
        if now != image.manifest.digest:
            raise ImageTagConflict(
                f"{image.reference} moved from {image.manifest.digest} to {now} during the copy. {RESUME}"
            )
    if (tagged := repository.tagged_digest(tag)) not in (plan.tagged, image.manifest.digest):
        raise ImageTagConflict(
            f"{repository}: another process moved tag {tag} from {plan.tagged or 'no image'} to {tagged} during the "
            f"copy. {RESUME}"
        )
    if plan.tagged is not None:
        _keep_replaced(repository, plan.tagged)
    repository.put_image(image.manifest, tag)
    if (tagged := repository.tagged_digest(tag)) != image.manifest.digest:
        raise ImageTagConflict(
            f"{repository}: tag {tag} names {tagged or 'no image'} after {image.manifest.digest} was put under it. "
            f"{RESUME}"
        )


def _keep_replaced(repository: EcrRepository, digest: str) -> None:
    """Tag an image whose tag moves: a live Model may name it, and untagged images expire."""
    manifest = parse_manifest(*repository.manifest(digest), f"{repository}: {digest}")
    if isinstance(manifest, ImageManifest):
        repository.put_image(manifest, f"{REPLACED}{digest.removeprefix('sha256:')[:12]}")
