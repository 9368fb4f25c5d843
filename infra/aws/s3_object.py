"""An object in S3 that is read in parts, or as a stream that goes on after a broken connection."""

from __future__ import annotations

import contextlib
import io
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError

from infra.aws.errors import aws_calls

ATTEMPTS = 5
"""At the same byte."""
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class S3Object:
    """The content that a key has now; reads fail if somebody overwrites the object."""

    s3: Any
    bucket: str
    key: str
    size: int
    etag: str

    @classmethod
    def find(cls, s3: Any, bucket: str, key: str) -> S3Object:
        """The object of a key.

        Raises:
            AwsRequestRefused: it does not exist, or the caller may not read it.
        """
        with aws_calls(f"s3://{bucket}/{key}"):
            head = s3.head_object(Bucket=bucket, Key=key)
        return cls(s3, bucket, key, int(head["ContentLength"]), str(head["ETag"]))

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def range(self, start: int, count: int) -> bytes:
        """`count` bytes, fewer at the end.

        Raises:
            AwsRequestRefused: S3 refuses the read.
        """
        if start >= self.size:
            return b""
        with aws_calls(self.url), contextlib.closing(self.body(start, count)) as body:
            return bytes(body.read())

    def open(self) -> BinaryIO:
        """A stream of the content; its reads raise `AwsRequestRefused`."""
        return cast(BinaryIO, io.BufferedReader(_Stream(self), BUFFER_BYTES))

    def body(self, start: int, count: int | None = None) -> Any:
        """botocore's stream of the bytes from `start` on."""
        end = "" if count is None else start + count - 1
        ranged = {"Range": f"bytes={start}-{end}", "IfMatch": self.etag}
        return self.s3.get_object(Bucket=self.bucket, Key=self.key, **ranged)["Body"]


class _Stream(io.RawIOBase):
    def __init__(self, source: S3Object) -> None:
        self._source = source
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with aws_calls(self._source.url):
            for attempt in range(1, ATTEMPTS + 1):
                if self._position >= self._source.size:
                    return 0
                try:
                    self._body = self._body or self._source.body(self._position)
                    chunk = self._body.read(len(buffer))
                    break
                except (HTTPClientError, IncompleteReadError, ResponseStreamingError):
                    self._end()
                    if attempt == ATTEMPTS:
                        raise
                    time.sleep(attempt)
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._end()
        super().close()

    def _end(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
