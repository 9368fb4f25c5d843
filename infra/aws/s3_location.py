"""Addresses in S3."""

from __future__ import annotations


def bucket_and_prefix(location: str) -> tuple[str, str]:
    """The bucket of `s3://bucket/prefix`, and the prefix with a slash at its end; it is empty for the whole bucket."""
    bucket, _, prefix = location.removeprefix("s3://").rstrip("/").partition("/")
    return bucket, f"{prefix}/" if prefix else ""
