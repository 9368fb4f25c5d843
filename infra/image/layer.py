"""Copying one layer (or the configuration, which is a layer in ECR) to a repository in ECR, in bounded memory.

A layer is streamed in one request. If that breaks, ECR keeps what has arrived: the copy continues there, also in
another process. Only if ECR's last part is too small to continue is the layer sent again; a large one, if that happens
twice, through the ECR API, whose parts arrive as a whole or not at all. ECR verifies the digest of the layer in either
case, so what is remembered of an upload can cost time, but never makes a wrong image.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from infra import cache
from infra.image.download import BlobReader
from infra.image.ecr import EcrRepository, UploadLost, UploadRefused
from infra.image.errors import RUN_AGAIN, DigestMismatch
from infra.image.manifest import Descriptor
from infra.image.registry import ImageSource
from infra.image.retry import Retry
from infra.image.upload import LayerUploads

PART_BYTES = 10 * 1024 * 1024
"""Of the parts that ECR cuts a layer into (`partSize` of InitiateLayerUpload)."""

MIN_PART_BYTES = 5 * 1024 * 1024
"""Of each part but the last one (LayerPartTooSmallException)."""

MAX_PARTS = 4200
"""Of a layer (Amazon ECR User Guide, "Service quotas")."""

LAYER_API_BYTES = 100 * 1024 * 1024
"""Larger layers are sent through the ECR API after the second interruption that ECR cannot continue."""

_CACHE = "layer-uploads"
_one_part_in_memory = threading.Lock()


class Protocol(StrEnum):
    """How a layer was uploaded."""

    HTTP = "HTTP"
    """The registry's HTTP API: the bytes as they are."""

    LAYER_API = "ECR API"
    """UploadLayerPart: base64 in JSON, a third more bytes."""


FIRST_PROTOCOL = Protocol.HTTP
"""Of a layer without an interrupted upload. The benchmark measures the other one too."""


@dataclass(frozen=True)
class _Upload:
    """An upload in progress.

    Attributes:
        id: the URL of an upload over HTTP, the `uploadId` of one through the ECR API.
        first: the first byte of the last request over HTTP, or of the next one through the ECR API.
        again: whether ECR could not continue an earlier upload of the layer.
    """

    protocol: Protocol
    id: str
    first: int = 0
    again: bool = False


class Stopped(Exception):
    """The layer is no longer needed."""


class _PartTooSmall(UploadLost):
    """An upload broke so early in a part that ECR will not complete it."""


class LayerCopy:
    """The copy of one layer.

    Args:
        on_bytes: called with the bytes of the layer that are sent; fewer again when an upload restarts.
        stop: when set, the copy ends with `Stopped` where ECR can continue it.
    """

    def __init__(
        self,
        source: ImageSource,
        destination: EcrRepository,
        uploads: LayerUploads,
        layer: Descriptor,
        retry: Retry,
        on_bytes: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._destination = destination
        self._uploads = uploads
        self._layer = layer
        self._retry = retry
        self._on_bytes = on_bytes
        self._stop = stop
        self._name = f"{source}: layer {layer.digest}"
        self._upload = self._remembered()
        self._protocol = self._upload.protocol if self._upload else FIRST_PROTOCOL
        self._again = self._upload.again if self._upload else False

    def run(self) -> Protocol:
        """Copy the layer.

        Raises:
            TransferFailed, DigestMismatch, EcrRefused: the destination then does not have the layer.
        """
        self._retry.call(self._attempt, self._name)
        self._forget()
        return self._protocol

    def _attempt(self) -> None:
        try:
            if self._protocol is Protocol.HTTP:
                self._stream()
            else:
                self._send_parts()
        except UploadLost as lost:
            # if the response to the last request was lost, ECR does not find the upload at the retry
            if self._destination.missing_layers([self._layer.digest]):
                self._forget()
                if isinstance(lost, (UploadRefused, _PartTooSmall)):
                    if self._again and self._layer.size > LAYER_API_BYTES:
                        self._protocol = Protocol.LAYER_API
                    self._again = True
                if isinstance(lost, _PartTooSmall):
                    return self._attempt()
                raise
        return None

    def _stream(self) -> None:
        size = self._layer.size
        if self._upload is None or size <= PART_BYTES:
            first, upload = 0, self._uploads.start()
        else:
            first, upload = self._received(self._upload), self._upload.id
        self._remember(_Upload(Protocol.HTTP, upload, first, self._again))
        content = _Content()
        with closing(self._reader()) as reader:
            body = self._blocks(reader, first, content)
            try:
                self._uploads.complete(upload, self._layer.digest, first, size - first, body)
            except UploadRefused:
                self._verify(content)  # were the source's bytes wrong, or only those that ECR received?
                raise

    def _received(self, upload: _Upload) -> int:
        """How many bytes ECR has of an upload that broke, if it can continue."""
        received = self._uploads.received(upload.id)
        if not upload.first <= received <= self._layer.size or not _can_continue(upload.first, received):
            raise _PartTooSmall(f"ECR has {received} bytes, and its last part is too small to continue.")
        return received

    def _send_parts(self) -> None:
        upload = self._upload or _Upload(Protocol.LAYER_API, self._destination.initiate_layer_upload())
        content, moved = _Content(), False
        with closing(self._reader()) as reader:
            while (position := upload.first) < self._layer.size:
                length = min(part_bytes(self._layer.size), self._layer.size - position)
                with _one_part_in_memory:
                    part = b"".join(reader.blocks(position, length))
                    received = self._destination.upload_layer_part(upload.id, position, part)
                    content.update(part)
                    del part
                if received != position + length:
                    if moved:
                        raise UploadLost(f"ECR has {received} bytes after {position + length} were sent.")
                    content, moved = _Content(), True  # of an earlier process
                upload = _Upload(Protocol.LAYER_API, upload.id, received)
                self._remember(upload)
                self._on_bytes(received)
                if self._stop.is_set():
                    raise Stopped
        self._verify(content)
        self._destination.complete_layer_upload(upload.id, self._layer.digest)

    def _blocks(self, reader: BlobReader, first: int, content: _Content) -> Iterator[bytes]:
        position = first
        self._on_bytes(position)
        for block in reader.blocks(first, self._layer.size - first):
            content.update(block)
            yield block
            position += len(block)
            self._on_bytes(position)
            if self._stop.is_set() and _can_continue(first, position):
                raise Stopped

    def _verify(self, content: _Content) -> None:
        """
        Raises:
            DigestMismatch: all of the layer was read, and it is not the layer of the manifest.
        """
        if content.size == self._layer.size and content.digest != self._layer.digest:
            raise DigestMismatch(
                f"{self._name}: the received bytes have digest {content.digest} and were discarded. {RUN_AGAIN}"
            )

    def _reader(self) -> BlobReader:
        open_blob = partial(self._source.open_blob, self._layer.digest)
        return BlobReader(open_blob, self._layer.size, self._name, self._retry)

    def _remember(self, upload: _Upload) -> None:
        self._upload = upload
        if self._layer.size > PART_BYTES:
            again = " again" if upload.again else ""
            cache.remember(_CACHE, self._key, f"{upload.protocol.name} {upload.first} {upload.id}{again}")

    def _remembered(self) -> _Upload | None:
        """The upload of an interrupted copy."""
        protocols = "|".join(protocol.name for protocol in Protocol)
        match = re.fullmatch(rf"({protocols}) (\d{{1,18}}) (\S+)( again)?", cache.recall(_CACHE, self._key))
        if match is None or int(match[2]) > self._layer.size:
            return None
        upload = _Upload(Protocol[match[1]], match[3], int(match[2]), match[4] is not None)
        return upload if upload.protocol is Protocol.LAYER_API or self._uploads.is_upload(upload.id) else None

    def _forget(self) -> None:
        self._upload = None
        if self._layer.size > PART_BYTES:
            cache.forget(_CACHE, self._key)

    @property
    def _key(self) -> str:
        return f"{self._destination}: {self._layer.digest}"


def part_bytes(size: int) -> int:
    """Of the parts of a layer through the ECR API: the least that ECR allows, unless there would be too many."""
    return MIN_PART_BYTES if size <= MAX_PARTS * MIN_PART_BYTES else PART_BYTES


def _can_continue(first: int, end: int) -> bool:
    """Whether ECR can continue after a request with the bytes from `first` to `end` broke."""
    last_part = (end - first) % PART_BYTES
    return last_part == 0 or last_part >= MIN_PART_BYTES


class _Content:
    """Bytes that were read, if they are all from the first one on."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def update(self, block: bytes) -> None:
        self.size += len(block)
        self._sha256.update(block)
