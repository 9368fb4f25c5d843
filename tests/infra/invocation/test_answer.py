"""One request to an endpoint that answers at once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from infra.aws.errors import AwsRequestRefused
from infra.invocation.answer import BUSY_SECONDS, Answer, InvocationFailed, failed, invoke, invoke_patiently
from infra.invocation.message import InferenceRequest

from .test_container_error import model_error

REQUEST = InferenceRequest.parse(b'{"inputs": []}', "test")


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "later"}}, "InvokeEndpoint")


class Runtime:
    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def invoke_endpoint(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        return {"Body": io.BytesIO(b"{}"), "InvokedProductionVariant": "Trial"}


@pytest.mark.parametrize(("variant", "target"), [(None, {}), ("Trial", {"TargetVariant": "Trial"})])
def test_a_request_is_sent_once_as_it_is(variant: str | None, target: dict[str, str]) -> None:
    runtime = Runtime()
    answer = invoke(runtime, "iris", REQUEST, variant)
    assert runtime.calls == [
        {"EndpointName": "iris", "ContentType": "application/json", "Body": REQUEST.body, **target}
    ]
    assert (answer.body, answer.variant) == (b"{}", "Trial")


class Time:
    """A clock that only sleep moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize("code", ["ModelNotReadyException", "ThrottlingException"])
def test_a_request_to_a_busy_endpoint_is_repeated_and_reported(code: str) -> None:
    errors, time, lines = [refusal(code), refusal(code)], Time(), list[str]()

    def send() -> Answer:
        if errors:
            raise errors.pop()
        return Answer(b"{}", 0.1)

    assert invoke_patiently(send, "iris", lines.append, time.now, time.sleep).body == b"{}"
    assert [code in line for line in lines] == [True, True]
    assert time.seconds == 1 + 2


def test_repetitions_end() -> None:
    time = Time()

    def send() -> Answer:
        raise refusal("ThrottlingException")

    with pytest.raises(AwsRequestRefused, match="ThrottlingException"):
        invoke_patiently(send, "iris", lambda _: None, time.now, time.sleep)
    assert BUSY_SECONDS - 15 < time.seconds <= BUSY_SECONDS


def test_another_error_is_not_repeated() -> None:
    calls = []

    def send() -> Answer:
        calls.append(1)
        raise model_error('{"error":"no weights"}', 400)

    with pytest.raises(InvocationFailed, match="status 400: no weights\n  Log: /aws/sagemaker/Endpoints/iris"):
        invoke_patiently(send, "iris", lambda _: None)
    assert calls == [1]


def test_what_aws_refuses_is_not_an_error_of_the_container() -> None:
    assert isinstance(failed("iris", refusal("ValidationError")), AwsRequestRefused)
    assert isinstance(failed("iris", ReadTimeoutError(endpoint_url="http://127.0.0.1:1")), InvocationFailed)


def test_a_request_that_was_not_sent_is_not_an_error_of_the_container() -> None:
    for error in (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), NoCredentialsError()):
        assert isinstance(failed("iris", error), AwsRequestRefused)
