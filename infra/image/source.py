"""Find an image at its sources: one image for one platform, in the form that SageMaker accepts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from infra.image.download import BlobReader
from infra.image.errors import EcrRefused, ImageCopyError, ImageNotFound, UnsupportedImage
from infra.image.manifest import (
    AMD64,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    as_docker_schema2,
    check_config,
    choose_platform,
    parse_manifest,
    verify_digest,
)
from infra.image.reference import ImageReference
from infra.image.registry import ImageSource, Registries
from infra.image.retry import Retry

MAX_CONFIG_BYTES = 8 * 1024 * 1024
"""Largest accepted configuration; common ones have some kilobytes."""

_TRY_THE_NEXT = frozenset({"RepositoryNotFoundException", "AccessDeniedException"})
"""Errors of a source without the image; another one may have it."""


@dataclass(frozen=True)
class SourceImage:
    """An image that can be copied, and the manifest of the copy."""

    reference: ImageReference
    source: ImageSource
    platform: Platform
    original: ImageManifest
    manifest: ImageManifest

    def reader(self, blob: Descriptor, retry: Retry) -> BlobReader:
        """Reads a layer or the configuration."""
        name = f"{self.reference}: blob {blob.digest}"
        return BlobReader(partial(self.source.open_blob, blob.digest), blob.size, name, retry)

    def config(self, retry: Retry) -> bytes:
        """The image's configuration.

        Raises:
            UnsupportedImage: the image is for another platform.
        """
        config = self.manifest.config
        if config.size > MAX_CONFIG_BYTES:
            raise UnsupportedImage(
                f"{self.reference}: its configuration has {config.size:,} bytes; at most {MAX_CONFIG_BYTES:,}. "
                "Choose another image."
            )
        with closing(self.reader(config, retry)) as reader:
            content = b"".join(reader.blocks(0, config.size))
        verify_digest(content, config.digest, f"{self.reference}: configuration {config.digest}")
        check_config(content, str(self.reference), self.platform)
        return content


def find_image(sources: Sequence[ImageReference], registries: Registries, platform: Platform = AMD64) -> SourceImage:
    """The image of the first source that has it, by its manifests alone."""
    failures: list[tuple[ImageReference, ImageCopyError]] = []
    for reference in sources:
        try:
            return _described(reference, registries, platform)
        except ImageNotFound as error:
            failures.append((reference, error))
        except EcrRefused as error:
            if error.code not in _TRY_THE_NEXT:
                raise
            failures.append((reference, error))
    raise _found_nowhere(failures)


def digest_of_copy(reference: ImageReference, registries: Registries, platform: Platform = AMD64) -> str:
    """The digest that a copy of the image would have now. It only reads manifests."""
    return _described(reference, registries, platform).manifest.digest


def _described(reference: ImageReference, registries: Registries, platform: Platform) -> SourceImage:
    """The image by its own manifest, or by one of its index."""
    name, source = str(reference), registries.source(reference)
    manifest = parse_manifest(*source.manifest(reference.digest or reference.tag or ""), name)
    if isinstance(manifest, ImageIndex):
        manifest = parse_manifest(*source.manifest(choose_platform(manifest, name, platform).digest), name)
    if isinstance(manifest, ImageIndex):
        raise UnsupportedImage(f"{name} is an index within an index. Choose one of its images by digest.")
    return SourceImage(reference, source, platform, manifest, as_docker_schema2(manifest, name))


def _found_nowhere(failures: Sequence[tuple[ImageReference, ImageCopyError]]) -> ImageCopyError:
    """The error of the only source, or one that lists every source with its error."""
    if len(failures) == 1:
        return failures[0][1]
    lines = "".join(f"\n  {reference}: {error}" for reference, error in failures)
    way_out = "Choose a version that AWS publishes in the region, or another image."
    return ImageNotFound(f"no source has the image:{lines}\n{way_out}")
