"""Download a blob over unreliable connections: with a bounded number of retries, each resumed by Range."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from infra.image.errors import DigestMismatch
from infra.image.http import without_address
from infra.image.retry import Broken, Retry

BLOCK_BYTES = 1024 * 1024
"""Most bytes that are read, hashed and sent at once. hashlib and sockets release Python's lock while they work."""

BLOCK_SECONDS = 300.0
"""A connection that is slower than this for `BLOCK_BYTES` is replaced."""

_LENGTH = r"\d{1,18}"


class BlobReader:
    """Reads a blob of known size from any byte on, over one connection, and over another one if that breaks.

    Args:
        open_blob: requests the blob from a byte on, and returns the response with its body unread.
    """

    def __init__(self, open_blob: Callable[[int], BaseHTTPResponse], size: int, what: str, retry: Retry) -> None:
        self._open_blob = open_blob
        self._size = size
        self._what = what
        self._retry = retry
        self._response: BaseHTTPResponse | None = None
        self._position = 0

    def blocks(self, first: int, length: int) -> Iterator[bytes]:
        """The bytes from `first` on, in blocks of up to 1 MiB."""
        end = first + length
        for start in range(first, end, BLOCK_BYTES):
            yield from self._read(start, min(BLOCK_BYTES, end - start))

    def _read(self, first: int, length: int) -> list[bytes]:
        """Bytes in the pieces in which they arrived."""
        pieces: list[bytes] = []
        position = first

        def fill() -> None:
            nonlocal position
            deadline = time.monotonic() + BLOCK_SECONDS
            while position < first + length:
                if time.monotonic() > deadline:
                    self.close()
                    raise Broken(f"less than 1 MiB arrived in {BLOCK_SECONDS:.0f} seconds.", tries=3)
                pieces.append(self._piece(position, first + length - position))
                position += len(pieces[-1])

        self._retry.call(fill, self._what)
        return pieces

    def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _piece(self, position: int, length: int) -> bytes:
        """The bytes from `position` on, as many as the connection has, and at least one."""
        if self._response is None or self._position != position:
            self._open(position)
        assert self._response is not None
        try:
            piece = self._response.read1(length)
        except (HTTPError, OSError) as error:
            self.close()
            broke = f"the connection broke at byte {position} of {self._size}: {without_address(error)}."
            raise Broken(broke) from None
        if not piece:
            self.close()
            raise Broken(f"the connection ended at byte {position} of {self._size}.")
        self._position = position + len(piece)
        return piece

    def _open(self, position: int) -> None:
        self.close()
        response = self._open_blob(position)
        first, total = _extent(response)
        if total is not None and total != self._size:
            response.close()
            raise DigestMismatch(
                f"{self._what} has {total} bytes in the registry, but {self._size} in the manifest. Push the image "
                "again."
            )
        if first > position:
            response.close()
            raise Broken(f"the registry sent the bytes from {first} on instead of {position}.")
        self._response, self._position = response, first
        while self._position < position:  # a server without Range sends the blob from its beginning
            self._piece(self._position, min(BLOCK_BYTES, position - self._position))


def from_byte(start: int) -> dict[str, str]:
    """The header that requests a blob from a byte on."""
    return {"Range": f"bytes={start}-"} if start else {}


def _extent(response: BaseHTTPResponse) -> tuple[int, int | None]:
    """The first byte of the body, and the blob's size if the response has it."""
    if response.status == 206:
        extent = re.fullmatch(rf"bytes ({_LENGTH})-{_LENGTH}/({_LENGTH}|\*)", response.headers.get("Content-Range", ""))
        if extent is None:
            response.close()
            raise Broken("the registry sent a part without a valid Content-Range.")
        return int(extent[1]), None if extent[2] == "*" else int(extent[2])
    length = response.headers.get("Content-Length", "")
    if length and not re.fullmatch(_LENGTH, length):
        response.close()
        raise Broken("the registry sent an invalid Content-Length.")
    return 0, int(length) if length else None
