"""Copying one layer (or the configuration, which is a layer in ECR) to a repository in ECR, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from infra.image.ecr import EcrRepository, UploadLost
from infra.image.errors import RUN_AGAIN, DigestMismatch, TransferFailed
from infra.image.http import BlobReader, Retry
from infra.image.manifest import Descriptor
from infra.image.registry import ImageSource

MAX_UPLOADS = 3
"""How often the upload of a layer is started before the copy fails."""


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
    raise TransferFailed(f"{name}: ECR lost its upload {MAX_UPLOADS} times ({lost}). {RUN_AGAIN}")


def _upload(
    reader: BlobReader, destination: EcrRepository, layer: Descriptor, name: str, on_bytes: Callable[[int], None]
) -> None:
    upload = destination.initiate_layer_upload()
    content = hashlib.sha256()
    position = 0
    while position < layer.size:
        data = reader.read(position, min(upload.part_bytes, layer.size - position))
        after = destination.upload_layer_part(upload, position, data) + 1
        if not position < after <= position + len(data):
            raise UploadLost(f"ECR has {after} bytes after bytes {position} to {position + len(data) - 1} were sent")
        content.update(memoryview(data)[: after - position])
        del data  # before the next part is read
        position = after
        on_bytes(position)
    digest = f"sha256:{content.hexdigest()}"
    if digest != layer.digest:
        raise DigestMismatch(f"{name}: the received bytes have digest {digest} and were discarded. {RUN_AGAIN}")
    destination.complete_layer_upload(upload, layer.digest)
