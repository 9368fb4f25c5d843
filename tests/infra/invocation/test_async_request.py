"""A request that is queued, and the object that ends the wait for its answer."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.invocation.answer import InvocationFailed
from infra.invocation.async_request import MAX_INLINE_BYTES, MAX_WAIT_SECONDS, AsyncRequest
from infra.invocation.message import InferenceRequest
from infra.release.waiting import Clock

from .conftest import BUCKET
from .test_container_error import RAISED

OUTPUT, FAILURE = "async/iris/output/1.out", "async/iris/failure/1-error.out"


class Runtime:
    """Queues requests."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def invoke_endpoint_async(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        return {"OutputLocation": f"s3://{BUCKET}/{OUTPUT}", "FailureLocation": f"s3://{BUCKET}/{FAILURE}"}


def sent(s3: Any, size: int) -> tuple[dict[str, Any], AsyncRequest]:
    runtime = Runtime()
    body = b'{"inputs": []}'.ljust(size)
    request = AsyncRequest.send(runtime, s3, "iris", InferenceRequest.parse(body, "test"), lambda: BUCKET)
    return runtime.calls[0], request


class Later(Clock):
    """A clock whose pause writes an object after some pauses."""

    def __init__(self, s3: Any, key: str, body: bytes, step: float = 5.0) -> None:
        self.s3, self.key, self.body, self.step = s3, key, body, step
        self.pauses, self.time = 0, 0.0
        super().__init__(now=lambda: self.time)

    def pause(self) -> None:
        self.pauses += 1
        self.time += self.step
        if self.pauses == 3:
            self.s3.put_object(Bucket=BUCKET, Key=self.key, Body=self.body)


def ignored(_: str) -> None:
    """A report."""


def test_a_small_request_is_sent_inline(s3: Any) -> None:
    call, _ = sent(s3, MAX_INLINE_BYTES)
    assert len(call["Body"]) == MAX_INLINE_BYTES
    assert "InputLocation" not in call
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_a_larger_one_is_uploaded_with_its_content_type(s3: Any) -> None:
    call, _ = sent(s3, MAX_INLINE_BYTES + 1)
    key = call["InputLocation"].removeprefix(f"s3://{BUCKET}/")
    assert key.startswith("async/iris/input/")
    assert "Body" not in call
    stored = s3.get_object(Bucket=BUCKET, Key=key)
    assert (len(stored["Body"].read()), stored["ContentType"]) == (MAX_INLINE_BYTES + 1, "application/json")


def test_the_object_at_the_output_is_the_answer(s3: Any) -> None:
    _, request = sent(s3, 100)
    clock = Later(s3, OUTPUT, b'{"outputs": []}')
    answer = request.wait(s3, clock, ignored)
    assert (answer.body, answer.seconds, clock.pauses) == (b'{"outputs": []}', 15, 3)


def test_the_object_at_the_failure_location_is_an_error_in_the_containers_words(s3: Any) -> None:
    _, request = sent(s3, 100)
    with pytest.raises(InvocationFailed, match=r"-error\.out\): ValueError: boom \(model\.py:9\)\n  Log: /aws"):
        request.wait(s3, Later(s3, FAILURE, RAISED.encode()), ignored)


def test_the_wait_ends_when_sagemaker_has_dropped_the_request(s3: Any) -> None:
    _, request = sent(s3, 100)
    clock = Later(s3, "other", b"", step=1000)
    with pytest.raises(InvocationFailed, match="no answer after 420 minutes"):
        request.wait(s3, clock, ignored)
    assert clock.time >= MAX_WAIT_SECONDS


def test_a_long_wait_is_reported_less_and_less_often(s3: Any) -> None:
    _, request = sent(s3, 100)
    lines: list[str] = []
    with pytest.raises(InvocationFailed):
        request.wait(s3, Later(s3, "other", b"", step=30), lines.append, limit=600)
    assert [line.split(" after ")[1].split(".")[0] for line in lines] == ["1 min", "2 min", "4 min", "8 min"]


def test_a_location_that_may_not_be_read_is_not_waited_for() -> None:
    class Forbidden:
        def get_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")

    _, request = sent(None, 100)
    with pytest.raises(AwsRequestRefused, match=r"async/iris/output/1\.out: GetObject was refused: AccessDenied"):
        request.wait(Forbidden(), Clock(), ignored)
