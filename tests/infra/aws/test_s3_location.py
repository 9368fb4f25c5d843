"""Addresses in S3."""

from __future__ import annotations

import pytest

from infra.aws.s3_location import InvalidLocation, S3Location


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [("s3://b/k/x", "b", "k/x"), ("s3://b/k/", "b", "k/"), ("s3://b", "b", ""), ("s3://b/", "b", "")],
)
def test_an_address_is_a_bucket_and_a_key(url: str, bucket: str, key: str) -> None:
    assert S3Location.parse(url) == S3Location(bucket, key)


@pytest.mark.parametrize("url", ["", "s3://", "s3:///k", "b/k", "https://b.s3.amazonaws.com/k"])
def test_other_text_is_refused(url: str) -> None:
    with pytest.raises(InvalidLocation):
        S3Location.parse(url)


def test_a_directory_ends_with_a_slash_and_a_bucket_has_none() -> None:
    assert S3Location("b", "k").directory.key == S3Location("b", "k/").directory.key == "k/"
    assert S3Location("b", "").directory.key == ""


@pytest.mark.parametrize(
    ("url", "directory", "within"),
    [
        ("s3://b/in/x", "s3://b/in", True),
        ("s3://b/in", "s3://b/in", True),
        ("s3://b/in/", "s3://b", True),
        ("s3://b/in2", "s3://b/in", False),
        ("s3://b2/in", "s3://b", False),
        ("s3://b", "s3://b/in", False),
    ],
)
def test_an_address_is_within_a_directory_or_not(url: str, directory: str, within: bool) -> None:
    assert S3Location.parse(url).within(directory) is within
