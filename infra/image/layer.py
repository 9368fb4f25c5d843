"""Copying one layer (or the configuration, a layer too to ECR) into a repository in ECR, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from infra.image.ecr import EcrRepository, UploadLost
from infra.image.errors import DigestMismatch, TransferFailed
from infra.image.http import BlobReader, Retry
from infra.image.manifest import Descriptor
from infra.image.registry import ImageSource

MAX_UPLOADS = 3
"""How often the upload of a layer is begun before the copy is given up."""


@dataclass(frozen=True)
class PartRange:
    """Bytes ``first`` to ``last``, both included, as UploadLayerPart counts them."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def next_part(position: int, size: int, part_bytes: int) -> PartRange:
    """The part to upload when everything before ``position`` of a layer of ``size`` bytes is there."""
    return PartRange(position, min(position + part_bytes, size) - 1)


def copy_layer(
    source: ImageSource,
    destination: EcrRepository,
    layer: Descriptor,
    retry: Retry,
    on_bytes: Callable[[int], None],
) -> None:
    """Copy one layer, holding one part of it in memory. ``on_bytes`` hears how many bytes of it ECR holds.

    Raises TransferFailed, DigestMismatch, EcrRefused; then nothing of the layer is in the destination.
    """
    name = f"{source}: layer {layer.digest}"
    for _ in range(MAX_UPLOADS):
        reader = BlobReader(partial(source.open_blob, layer.digest), layer.size, name, retry)
        try:
            return _upload(reader, destination, layer, name, on_bytes)
        except UploadLost as error:
            lost = error
            # The answer to CompleteLayerUpload may have been lost; asked again, ECR knows the upload no more.
            if not destination.missing_layers([layer.digest]):
                return None
        finally:
            reader.close()
    raise TransferFailed(f"{name}: its upload was lost {MAX_UPLOADS} times ({lost}). Run it again.")


def _upload(
    reader: BlobReader, destination: EcrRepository, layer: Descriptor, name: str, on_bytes: Callable[[int], None]
) -> None:
    upload = destination.initiate_layer_upload()
    content = hashlib.sha256()
    position = 0

    def copy_part(part: PartRange) -> int:
        """Position after what ECR holds now. On return the part's memory is given back, before the next is read."""
        data = reader.read(part.first, part.length)
        last = destination.upload_layer_part(upload, part.first, data)
        if not part.first <= last <= part.last:
            raise UploadLost(f"ECR holds the bytes up to {last}, after bytes {part.first} to {part.last} were sent")
        content.update(memoryview(data)[: last + 1 - part.first])
        return last + 1

    while position < layer.size:
        position = copy_part(next_part(position, layer.size, upload.part_bytes))
        on_bytes(position)
    digest = f"sha256:{content.hexdigest()}"
    if digest != layer.digest:
        raise DigestMismatch(f"{name}: the bytes that arrived have digest {digest}. They were not kept; run it again.")
    destination.complete_layer_upload(upload, layer.digest)
