"""One request and its response, from an endpoint that answers at once: in real time or serverless."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from infra import names
from infra.aws.errors import code, refused
from infra.errors import UserError
from infra.invocation.container_error import container_words
from infra.invocation.message import InferenceRequest

ANSWER_SECONDS = 70
"""InvokeEndpoint answers within 60 s, or with an error (SageMaker guide, Model Hosting FAQs)."""

BUSY = frozenset({"ModelNotReadyException", "ThrottlingException"})
"""Errors of a serverless endpoint that starts, or that has no free concurrency."""

BUSY_SECONDS = 240
"""How long such a request is repeated: a container has 3 minutes to start (SageMaker guide, Invoke a serverless
endpoint)."""

MAX_PAUSE = 10.0

_UNANSWERED = (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
"""Errors of requests that were sent."""


class InvocationFailed(UserError):
    """The endpoint or its container answered with an error, or did not answer.

    Attributes:
        reason: the container's own words, in a line.
    """

    def __init__(self, endpoint: str, what: str, reason: str) -> None:
        super().__init__(f"endpoint {endpoint}: {what}: {reason}\n  Log: {names.log_group(endpoint)}")
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """A response.

    Attributes:
        variant: the one that answered; empty if SageMaker does not name it.
        seconds: from the request to the last byte of the response.
    """

    body: bytes
    seconds: float
    variant: str = ""


def client_config(connections: int = 1) -> Config:
    """Of a client that sends each request once, so that its duration is that of one request."""
    return Config(
        retries={"total_max_attempts": 1}, read_timeout=ANSWER_SECONDS, max_pool_connections=max(connections, 10)
    )


def invoke(runtime: Any, endpoint: str, request: InferenceRequest, variant: str | None = None) -> Answer:
    """Send a request once.

    Args:
        runtime: boto3's `sagemaker-runtime` client with `client_config`.

    Raises:
        ClientError, BotoCoreError: as boto3 raises them.
    """
    target = {"TargetVariant": variant} if variant else {}
    started = time.perf_counter()
    response = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType=request.content_type, Body=request.body, **target
    )
    body = response["Body"].read()
    return Answer(body, time.perf_counter() - started, response.get("InvokedProductionVariant", ""))


def invoke_patiently(
    send: Callable[[], Answer],
    endpoint: str,
    report: Callable[[str], None],
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """The response to a request, which is repeated while the endpoint starts or has no free concurrency.

    Args:
        report: called with the reason of each repetition.

    Raises:
        InvocationFailed: the container answered with an error, or the endpoint is busy for `BUSY_SECONDS`.
        AwsRequestRefused: AWS refused the request.
    """
    end, pause = now() + BUSY_SECONDS, 1.0
    while True:
        try:
            return send()
        except (BotoCoreError, ClientError) as error:
            busy = isinstance(error, ClientError) and code(error) in BUSY
            if not busy or now() + pause > end:
                raise failed(endpoint, error) from None
            assert isinstance(error, ClientError)
            report(f"endpoint {endpoint}: {code(error)}; sending the request again in {pause:.0f} s")
        sleep(pause)
        pause = min(2 * pause, MAX_PAUSE)


def failed(endpoint: str, error: BotoCoreError | ClientError) -> UserError:
    """The error to show for one of InvokeEndpoint."""
    if not (code(error) == "ModelError" if isinstance(error, ClientError) else isinstance(error, _UNANSWERED)):
        return refused(f"endpoint {endpoint}", error)
    if isinstance(error, ClientError):
        status = error.response.get("OriginalStatusCode")
        what = f"the container answered{f' with status {status}' if status else ''}"
    else:
        what = "no answer"
    return InvocationFailed(endpoint, what, container_words(error))
