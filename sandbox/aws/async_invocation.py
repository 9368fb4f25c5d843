"""One invocation of an asynchronous endpoint: from the input to the object that answers it, its notification, and its
metrics (developer guide, async-inference and async-inference-monitor)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.aws.async_settings import AsyncSettings
from sandbox.aws.fleet import Log, Place, Variant
from sandbox.aws.models import ExecutionRole
from sandbox.aws.notifications import Result, message_of, publish
from sandbox.aws.protocol import AwsError, RequestContext
from sandbox.aws.role_s3 import RoleS3, S3Error
from sandbox.aws.s3_location import S3Location

#: Of a request that does not say otherwise (API_runtime_InvokeEndpointAsync).
DEFAULT_TTL_SECONDS = 21_600
DEFAULT_TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class AsyncRequest:
    """A request in the queue.

    Attributes:
        params: of InvokeEndpointAsync.
        headers: what the container gets of them.
        queued: when it came, in seconds of AWS's time.
    """

    context: RequestContext
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    inference_id: str
    settings: AsyncSettings
    output: S3Location
    failure: S3Location | None
    queued: float
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def ttl(self) -> int:
        return int(self.params.get("RequestTTLSeconds", DEFAULT_TTL_SECONDS))

    @property
    def timeout(self) -> int:
        return int(self.params.get("InvocationTimeoutSeconds", DEFAULT_TIMEOUT_SECONDS))


class _Failure(Exception):
    """The invocation failed. The message is its failureReason; the wording is not checked against AWS."""

    def __init__(self, reason: str, content: bytes | None = None, content_type: str = "text/plain") -> None:
        super().__init__(reason)
        self.content = content
        self.content_type = content_type


class Dropped(Exception):
    """The endpoint was deleted while the container had the request, which is not answered then."""


class Processing:
    """A request on its way through one variant of the endpoint.

    It is processed as the variant's execution role. Its time limit and its latencies are in seconds as they pass here,
    because the model is as fast as it is whatever `timeFactor` says; the time in the queue is AWS's.

    Args:
        is_dropped: whether the endpoint has been deleted.
    """

    def __init__(
        self, place: Place, request: AsyncRequest, variant: Variant, is_dropped: Callable[[], bool] = lambda: False
    ) -> None:
        self.metrics: dict[str, float] = {}
        self._is_dropped = is_dropped
        self._place = place
        self._request = request
        self._variant = variant
        self._conditions = request.context.conditions
        self._role = ExecutionRole(variant.model["ExecutionRoleArn"])
        self._s3 = RoleS3(self._role, request.context)

    def run(self) -> Result:
        """Answers the request: with an object, and with a message where a topic is configured. Raises `Dropped`."""
        began = self._conditions.now()
        self.metrics["TimeInBacklog"] = (began - self._request.queued) * 1000
        try:
            result = self._answer(self._input())
        except _Failure as failure:
            result = self._fail(failure)
        return self._end(result)

    def expire(self) -> Result:
        """Answers a request that was in the queue for longer than its RequestTTLSeconds."""
        self.metrics["ExpiredRequests"] = 1.0
        return self._end(self._fail(_Failure(f"The request expired after {self._request.ttl} seconds in the queue.")))

    def _input(self) -> bytes:
        inline: bytes | None = self._request.params.get("Body")
        if inline:
            return inline
        began = time.perf_counter()
        location = S3Location.parse(self._request.params["InputLocation"])
        try:
            content = self._s3.read(location.bucket, location.key)
        except S3Error as error:
            self.metrics["RequestDownloadFailures"] = 1.0
            raise _Failure(f"ClientError: Unable to download the request payload from {location}: {error}") from None
        self.metrics["RequestDownloadLatency"] = _microseconds(began)
        return content

    def _answer(self, body: bytes) -> Result:
        status, content, content_type = self._invoke(body)
        self.metrics["Invocation4XXErrors"] = float(400 <= status < 500)
        self.metrics["Invocation5XXErrors"] = float(status >= 500)
        if not 200 <= status < 300:
            side = "client" if status < 500 else "server"
            # Worded as messages that people show (aws-solutions-library-samples/osml-model-runner).
            reason = (
                f"ClientError: Received {side} error ({status}) from model. See the SageMaker Endpoint logs in your "
                "account for more information."
            )
            raise _Failure(reason, content, content_type)
        began = time.perf_counter()
        try:
            self._write(self._request.output, content, content_type)
        except (S3Error, AwsError) as error:
            self.metrics["ResponseUploadFailures"] = 1.0
            reason = f"ClientError: Unable to upload the response to {self._request.output}: {error}"
            raise _Failure(reason, content, content_type) from None
        self.metrics["ResponseUploadLatency"] = _microseconds(began)
        return Result(None, content, content_type, str(self._request.output))

    def _invoke(self, body: bytes) -> tuple[int, bytes, str]:
        """Status, body and type of the container's answer."""
        if self._variant.server is None:
            raise _Failure("InternalError: No Triton runs here: the sandbox has SageMaker's control plane only.")
        began = time.perf_counter()
        try:
            status, headers, content = self._variant.server.invoke(body, self._request.headers, self._request.timeout)
        except OSError as error:
            late = f"The model did not answer within {self._request.timeout} seconds"
            reason = late if isinstance(error, TimeoutError) else "The connection to the model broke"
            raise _Failure(f"ClientError: {reason}. ({error})") from None
        finally:
            self.metrics["ModelLatency"] = _microseconds(began)
            if self._is_dropped():
                raise Dropped
        types = (value for name, value in headers.items() if name.lower() == "content-type")
        return status, content, next(types, "application/octet-stream")

    def _fail(self, failure: _Failure) -> Result:
        """Puts the container's answer at the failure location, else the reason: which of them AWS puts there where the
        container gave no answer is inferred.
        """
        self.metrics["InvocationFailures"] = 1.0
        location = self._request.failure
        if location is not None:
            content = str(failure).encode() if failure.content is None else failure.content
            try:
                self._write(location, content, failure.content_type)
            except (S3Error, AwsError) as error:
                self.metrics["ResponseUploadFailures"] = 1.0
                self._log(f"Unable to upload the failure to {location}: {error}")
                location = None
        return Result(str(failure), failure.content, failure.content_type, str(location) if location else None)

    def _write(self, location: S3Location, content: bytes, content_type: str) -> None:
        self._s3.write(location.bucket, location.key, content, content_type, self._request.settings.kms_key_id)

    def _end(self, result: Result) -> Result:
        failed = result.failure_reason is not None
        self._notify(result, failed=failed)
        self._log(result.failure_reason or f"Inference succeeded: {result.location}")
        # Recorded so against AWS in cloud-custodian/cloud-custodian#11078; the developer guide has one s more.
        self.metrics["InvocationsProcessed"] = 1.0
        self.metrics["TotalProcessingTime"] = (self._conditions.now() - self._request.queued) * 1000
        return result

    def _notify(self, result: Result, *, failed: bool) -> None:
        request = self._request
        topic = request.settings.topic(failed=failed)
        if topic is None:
            return
        included = request.settings.includes_response(failed=failed)
        message = message_of(
            self._place.region, request.params, request.inference_id, request.received, result, included=included
        )
        if not publish(topic, message, self._role):
            self.metrics["NotificationFailures"] = 1.0
            self._log(f"Unable to publish the notification to {topic}")

    def _log(self, line: str) -> None:
        """ "Log lines contain the request's inference ID" (async-inference-monitor, "Logs")."""
        stream = self._variant.log_stream or f"{self._variant.name}/i-00000000000000000"
        Log(self._place, f"{stream}/data-log")(f"[{self._request.inference_id}] {line}")


def _microseconds(began: float) -> float:
    return (time.perf_counter() - began) * 1_000_000
