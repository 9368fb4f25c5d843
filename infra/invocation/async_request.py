"""One request to an asynchronous endpoint, and the object that SageMaker writes when it is processed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infra import names
from infra.aws.errors import aws_calls, code
from infra.aws.s3_location import S3Location
from infra.invocation.answer import Answer, InvocationFailed
from infra.invocation.container_error import words
from infra.invocation.message import InferenceRequest
from infra.release.waiting import Clock

MAX_INLINE_BYTES = 128_000
"""SageMaker API InvokeEndpointAsync, `Body`."""

MAX_WAIT_SECONDS = 21_600 + 3_600
"""A request may be queued for 6 hours and processed for one (API InvokeEndpointAsync, `RequestTTLSeconds` and
`InvocationTimeoutSeconds`)."""


@dataclass(frozen=True)
class AsyncRequest:
    """A request that SageMaker has queued: it writes an object at one of two locations."""

    endpoint: str
    output: S3Location
    failure: S3Location | None

    @classmethod
    def send(
        cls, runtime: Any, s3: Any, endpoint: str, request: InferenceRequest, bucket: Callable[[], str]
    ) -> AsyncRequest:
        """Queue a request: inline if it is small, else by an object below `async/ENDPOINT/input/`.

        Args:
            bucket: the stack's bucket, for a request that must be uploaded.

        Raises:
            AwsRequestRefused: AWS refused the upload or the request.
        """
        if len(request.body) <= MAX_INLINE_BYTES:
            source: dict[str, Any] = {"Body": request.body}
        else:
            location = S3Location(bucket(), f"{names.async_input(endpoint)}{uuid.uuid4()}")
            with aws_calls(str(location)):
                s3.put_object(
                    Bucket=location.bucket, Key=location.key, Body=request.body, ContentType=request.content_type
                )
            source = {"InputLocation": str(location)}
        with aws_calls(f"endpoint {endpoint}"):
            queued = runtime.invoke_endpoint_async(EndpointName=endpoint, ContentType=request.content_type, **source)
        failure = queued.get("FailureLocation")
        return cls(endpoint, S3Location.parse(queued["OutputLocation"]), S3Location.parse(failure) if failure else None)

    def wait(self, s3: Any, clock: Clock, report: Callable[[str], None], limit: float = MAX_WAIT_SECONDS) -> Answer:
        """The answer, once SageMaker has written it.

        Args:
            report: called after 1, 2, 4, 8, … minutes without an answer.
            limit: seconds to wait at most.

        Raises:
            InvocationFailed: the request failed; the message has the words of the container.
            AwsRequestRefused: the caller may not read the locations.
        """
        minutes = 1
        while clock.elapsed < limit:
            if (body := _content(s3, self.output)) is not None:
                return Answer(body, clock.elapsed)
            if self.failure and (body := _content(s3, self.failure)) is not None:
                reason = words(body.decode(errors="replace"))
                raise InvocationFailed(self.endpoint, f"the request failed ({self.failure})", reason)
            if clock.elapsed >= 60 * minutes:
                report(
                    f"endpoint {self.endpoint}: no answer after {minutes} min. The request waits for earlier ones or "
                    "for an instance, or the execution role cannot write the answer."
                )
                minutes *= 2
            clock.pause()
        raise InvocationFailed(
            self.endpoint, f"no answer after {limit / 60:.0f} minutes", f"{self.output} does not exist"
        )

    def locations(self) -> Iterator[str]:
        """Where the answer or the failure will be."""
        yield f"answer:  {self.output}"
        if self.failure:
            yield f"failure: {self.failure}"


def _content(s3: Any, location: S3Location) -> bytes | None:
    """An object; None while it does not exist. Without `s3:ListBucket` S3 answers AccessDenied in place of that."""
    with aws_calls(str(location)):
        try:
            return bytes(s3.get_object(Bucket=location.bucket, Key=location.key)["Body"].read())
        except ClientError as error:
            if code(error) in ("NoSuchKey", "404"):
                return None
            raise
