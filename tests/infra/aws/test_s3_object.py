"""An object in S3 is read in parts, and its stream goes on where a connection broke."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError
from moto import mock_aws

from infra.aws import s3_object
from infra.aws.errors import AwsRequestRefused
from infra.aws.s3_object import S3Object

CONTENT = bytes(range(256)) * 8


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_bucket(Bucket="models")
        client.put_object(Bucket="models", Key="a.tar.gz", Body=CONTENT)
        client.put_object(Bucket="models", Key="empty", Body=b"")
        yield client


def test_parts_and_the_whole_are_read(s3: Any) -> None:
    found = S3Object.find(s3, "models", "a.tar.gz")
    assert found.size == len(CONTENT)
    assert (found.range(0, 3), found.range(255, 2)) == (CONTENT[:3], CONTENT[255:257])
    assert found.range(len(CONTENT) - 2, 100) == CONTENT[-2:]
    with found.open() as stream:
        assert stream.read() == CONTENT


def test_an_empty_object_has_no_range(s3: Any) -> None:
    found = S3Object.find(s3, "models", "empty")
    assert (found.range(0, 10), found.open().read()) == (b"", b"")


def test_a_missing_object_is_refused_with_its_address(s3: Any) -> None:
    with pytest.raises(AwsRequestRefused, match="s3://models/b"):
        S3Object.find(s3, "models", "b")


class Flaky:
    """An S3 whose connection breaks after some bytes."""

    def __init__(self, after: int, failures: int) -> None:
        self.after, self.failures = after, failures
        self.ranges: list[str] = []

    def get_object(self, Range: str, IfMatch: str, **_: Any) -> dict[str, Any]:
        if IfMatch != "etag":
            raise ClientError({"Error": {"Code": "PreconditionFailed", "Message": "changed"}}, "GetObject")
        self.ranges.append(Range)
        content = io.BytesIO(CONTENT[int(Range.removeprefix("bytes=").partition("-")[0]) :])
        flaky, sent = self, 0

        class Body:
            def read(self, count: int) -> bytes:
                nonlocal sent
                if sent >= flaky.after and flaky.failures:
                    flaky.failures -= 1
                    raise [
                        IncompleteReadError(actual_bytes=sent, expected_bytes=len(CONTENT)),
                        ReadTimeoutError(endpoint_url="s3"),
                    ][flaky.failures % 2]
                chunk = content.read(min(count, 100))
                sent += len(chunk)
                return chunk

            def close(self) -> None:
                pass

        return {"Body": Body()}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_a_broken_connection_is_resumed_where_it_broke() -> None:
    s3 = Flaky(after=500, failures=2)
    assert S3Object(s3, "models", "a", len(CONTENT), "etag").open().read() == CONTENT
    assert s3.ranges == ["bytes=0-", "bytes=500-", "bytes=1000-"]


def test_a_connection_that_keeps_breaking_is_given_up() -> None:
    s3 = Flaky(after=0, failures=100)
    with pytest.raises(AwsRequestRefused, match="s3://models/a"):
        S3Object(s3, "models", "a", len(CONTENT), "etag").open().read()
    assert len(s3.ranges) == s3_object.ATTEMPTS


def test_an_object_that_is_overwritten_is_refused() -> None:
    with pytest.raises(AwsRequestRefused, match="PreconditionFailed"):
        S3Object(Flaky(0, 0), "models", "a", len(CONTENT), "other").open().read()
