"""A place in S3: an object, or a prefix of keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from infra.aws.errors import aws_calls
from infra.errors import UserError

SCHEME = "s3://"


class InvalidLocation(UserError):
    """Text that is not an S3 URI."""

    exit_code = 2


class StoredObject(NamedTuple):
    """An object in a listing."""

    key: str
    size: int
    modified: float


@dataclass(frozen=True)
class S3Location:
    """A bucket, and a key or the beginning of keys."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, url: str) -> S3Location:
        """The location of an S3 URI such as `s3://bucket/key`.

        Raises:
            InvalidLocation: it is not an S3 URI.
        """
        bucket, _, key = url.removeprefix(SCHEME).partition("/")
        if not url.startswith(SCHEME) or not bucket:
            raise InvalidLocation(f"{url!r} is not an S3 URI, such as s3://bucket/prefix/")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    @property
    def directory(self) -> S3Location:
        """The location with a slash at its end, so that no other prefix begins with it."""
        return self if not self.key or self.key.endswith("/") else replace(self, key=f"{self.key}/")

    def within(self, directory: str) -> bool:
        """Whether the location is in a directory, given as an address."""
        return str(self.directory).startswith(str(S3Location.parse(directory).directory))

    def objects_arn(self, partition: str) -> str:
        """The ARN of all objects whose keys begin with this one, with a wildcard."""
        return f"arn:{partition}:s3:::{self.bucket}/{self.key}*"

    def objects(self, s3: Any) -> Iterator[StoredObject]:
        """The objects whose keys begin with this one, except empty ones, which are markers of directories.

        Raises:
            AwsRequestRefused: the bucket does not exist, or the caller may not list it.
        """
        with aws_calls(str(self)):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key)
            for page in pages:
                for entry in page.get("Contents", []):
                    if entry["Size"]:
                        yield StoredObject(entry["Key"], entry["Size"], entry["LastModified"].timestamp())
