"""The bytes of ECR's image layers: uploads part by part, and presigned download addresses that take Range requests."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, quote, unquote, urlencode

from sandbox.aws.images import published_blob
from sandbox.aws.protocol import AwsError

_TIMESTAMP = "%Y%m%dT%H%M%SZ"


class LayerUpload:
    """A layer that is being uploaded. Hold `lock` to read or append.

    Attributes:
        first_request: bytes of the first request with a body. ECR's registry API reports no others.
    """

    def __init__(self, path: Path) -> None:
        self.id = path.name
        self.path = path
        self.lock = threading.Lock()
        self.part_sizes: list[int] = []
        self.size = 0
        self.first_request: int | None = None
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def append(self, chunks: Iterable[bytes | memoryview], part_bytes: int | None = None) -> None:
        """Append chunks as they come: as one part, or as parts of `part_bytes`, where chunks must end with parts.

        What came before an error of `chunks` is kept, the last of it as a part of its own.
        """
        part, before = 0, self.size
        try:
            with self.path.open("ab", buffering=0) as file:
                for chunk in chunks:
                    file.write(chunk)
                    self._sha256.update(chunk)
                    self.size += len(chunk)
                    part += len(chunk)
                    if part == part_bytes:
                        self.part_sizes.append(part)
                        part = 0
        finally:
            if part:
                self.part_sizes.append(part)
            if self.first_request is None and self.size > before:
                self.first_request = self.size - before


@dataclass(frozen=True)
class Download:
    """The bytes from `first` to `last` of a layer of `size` bytes; `content` is at `first`."""

    content: BinaryIO
    first: int
    last: int
    size: int
    partial: bool


class LayerStore:
    """Layers by digest, in files below a directory; those of the published images are made when asked for."""

    #: Where download addresses point to.
    http_prefix = "/_layers/"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = secrets.token_bytes()

    def begin(self) -> LayerUpload:
        self._directory.mkdir(parents=True, exist_ok=True)
        return LayerUpload(self._directory / str(uuid.uuid4()))

    def keep(self, upload: LayerUpload) -> None:
        """The whole upload becomes the layer of its digest."""
        upload.path.replace(self._path(upload.digest))

    def discard(self, upload: LayerUpload) -> None:
        upload.path.unlink(missing_ok=True)

    def open(self, digest: str) -> BinaryIO:
        """Raises `KeyError` if the layer does not exist."""
        path = self._path(digest)
        return path.open("rb") if path.exists() else BytesIO(published_blob(digest))

    def read(self, digest: str) -> bytes:
        """Raises `KeyError` if the layer does not exist."""
        with self.open(digest) as content:
            return content.read()

    def download_url(self, digest: str, url_root: str, seconds: float) -> str:
        """An address that is good for GET during `seconds`, signed as S3 signs one."""
        date = datetime.now(UTC).strftime(_TIMESTAMP)
        expires = f"{seconds:g}"
        query = {"X-Amz-Date": date, "X-Amz-Expires": expires, "X-Amz-Signature": self._sign(digest, date, expires)}
        return f"{url_root}{self.http_prefix}{quote(digest)}?{urlencode(query)}"

    def download(self, method: str, address: str, range_header: str) -> Download:
        """The layer of a download address.

        Raises:
            AwsError: S3's error. The address is invalid or expired, or the range starts after the layer's end.
        """
        path, _, query = address.partition("?")
        digest = unquote(path.removeprefix(self.http_prefix))
        self._authorize(method, digest, parse_qs(query))
        content = self.open(digest)
        size = content.seek(0, 2)
        wanted = _wanted_range(range_header, size)
        first, last = wanted or (0, size - 1)
        content.seek(first)
        return Download(content, first, last, size, partial=wanted is not None)

    def _path(self, digest: str) -> Path:
        return self._directory / digest.removeprefix("sha256:")

    def _sign(self, digest: str, date: str, expires: str) -> str:
        return hmac.digest(self._key, f"GET\n{digest}\n{date}\n{expires}".encode(), "sha256").hex()

    def _authorize(self, method: str, digest: str, query: dict[str, list[str]]) -> None:
        """Raises S3's errors for an address that is not signed, signed for another method or layer, or expired.

        The words are those of S3 (S3 User Guide, "Sharing objects with presigned URLs" and "Error responses").
        """
        date, expires, given = (query.get(f"X-Amz-{name}", [""])[0] for name in ("Date", "Expires", "Signature"))
        if not given:
            raise AwsError("AccessDenied", "Access Denied", 403)
        if method != "GET" or not hmac.compare_digest(given, self._sign(digest, date, expires)):
            raise AwsError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                403,
            )
        signed = datetime.strptime(date, _TIMESTAMP).replace(tzinfo=UTC)
        if datetime.now(UTC) >= signed + timedelta(seconds=float(expires)):
            raise AwsError("AccessDenied", "Request has expired", 403)


def _wanted_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte wanted, or None for all: S3 ignores a header of several ranges or of no valid one.

    Raises `AwsError` InvalidRange (416) for a range that begins behind the end (RFC 9110, section 14.1.2).
    """
    match = re.fullmatch(r"bytes=(?:(\d+)-(\d*)|-(\d+))", header.strip())
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        return None
    first = int(match[1]) if match[1] else max(0, size - int(match[3]))
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if first > last:
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416)
    return first, last
