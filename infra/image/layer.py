"""Copying one layer (or the configuration, which is a layer in ECR) to a repository in ECR, in bounded memory."""

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
"""How often the upload of a layer is started before the copy fails."""


@dataclass(frozen=True)
class PartRange:
    """Bytes `first` to `last`, both inclusive, as in UploadLayerPart."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def next_part(position: int, size: int, part_bytes: int) -> PartRange:
    """The part to upload after the first `position` bytes of a layer of `size` bytes."""
    return PartRange(position, min(position + part_bytes, size) - 1)


def copy_layer(
    source: ImageSource,
    destination: EcrRepository,
    layer: Descriptor,
    retry: Retry,
    on_bytes: Callable[[int], None],
) -> None:
    """Copy one layer, with one part of it in memory.

    Args:
        on_bytes: called with the bytes that ECR has received.

    Raises:
        TransferFailed, DigestMismatch, EcrRefused: the destination then contains nothing of the layer.
    """
    name = f"{source}: layer {layer.digest}"
    for _ in range(MAX_UPLOADS):
        reader = BlobReader(partial(source.open_blob, layer.digest), layer.size, name, retry)
        try:
            return _upload(reader, destination, layer, name, on_bytes)
        except UploadLost as error:
            lost = error
            # if the response to CompleteLayerUpload was lost, ECR does not find the upload at the retry
            if not destination.missing_layers([layer.digest]):
                return None
        finally:
            reader.close()
    raise TransferFailed(f"{name}: ECR lost its upload {MAX_UPLOADS} times ({lost}). Run the command again.")


def _upload(
    reader: BlobReader, destination: EcrRepository, layer: Descriptor, name: str, on_bytes: Callable[[int], None]
) -> None:
    upload = destination.initiate_layer_upload()
    content = hashlib.sha256()
    position = 0

    def copy_part(part: PartRange) -> int:
        """The position after the bytes that ECR has received. On return the memory of the part is freed."""
        data = reader.read(part.first, part.length)
        last = destination.upload_layer_part(upload, part.first, data)
        if not part.first <= last <= part.last:
            raise UploadLost(f"ECR has the bytes up to {last} after bytes {part.first} to {part.last} were sent")
        content.update(memoryview(data)[: last + 1 - part.first])
        return last + 1

    while position < layer.size:
        position = copy_part(next_part(position, layer.size, upload.part_bytes))
        on_bytes(position)
    digest = f"sha256:{content.hexdigest()}"
    if digest != layer.digest:
        raise DigestMismatch(
            f"{name}: the received bytes have digest {digest} and were discarded. Run the command again."
        )
    destination.complete_layer_upload(upload, layer.digest)
