"""A place in S3 by its URI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key, or a prefix of keys."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> S3Location:
        """From `s3://bucket/key`, or from S3's https address of either style."""
        scheme, host, path = urlsplit(uri)[:3]
        key = path.removeprefix("/")
        if scheme == "https" and re.match(r"s3[.-]", host):
            bucket, _, key = key.partition("/")
            return cls(bucket, key)
        return cls(re.sub(r"\.s3[.-].*", "", host) if scheme == "https" else host, key)

    def below(self, *names: str) -> S3Location:
        """The location of names below this prefix; empty ones count for nothing."""
        parts = (part.strip("/") for part in (self.key, *names))
        return S3Location(self.bucket, "/".join(part for part in parts if part))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"
