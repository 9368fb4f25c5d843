"""Sends requests to an endpoint in its mode, as any client would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.mode import Mode
from infra.errors import UserError
from infra.invocation.answer import Answer, InvocationFailed, client_config, failed, invoke, invoke_patiently
from infra.invocation.async_request import MAX_WAIT_SECONDS, AsyncRequest
from infra.invocation.endpoint import EndpointUnavailable, LiveEndpoint, ServedModel
from infra.invocation.message import InferenceRequest
from infra.release.waiting import Clock


class Invoker:
    """A client of one endpoint.

    Args:
        client: creates boto3's client of a service, with a configuration if one is given.
        live: the endpoint.
        variant: the variant that answers; None lets SageMaker choose one by weight.
        bucket: the stack's bucket; None is that of the model's artifact.
        connections: the requests that are sent at the same time.

    Raises:
        EndpointUnavailable: the variant does not exist, or cannot be chosen.
    """

    def __init__(
        self,
        client: Callable[..., Any],
        live: LiveEndpoint,
        variant: str | None = None,
        bucket: str | None = None,
        connections: int = 1,
    ) -> None:
        live.variant(variant)
        if variant and live.mode is Mode.ASYNCHRONOUS:
            raise EndpointUnavailable(
                f"endpoint {live.name} is asynchronous, and SageMaker chooses the variant (API InvokeEndpointAsync). "
                "Remove --variant."
            )
        self._client, self._live, self._variant, self._bucket = client, live, variant, bucket
        self._runtime = client("sagemaker-runtime", config=client_config(connections))

    def model(self) -> ServedModel:
        """The Model of the variant; of the first one if none is chosen.

        Raises:
            AwsRequestRefused: the caller may not read it.
            EndpointUnavailable: it was not made by this program.
        """
        return ServedModel.read(self._client("sagemaker"), self._live.model_name(self._variant))

    def ask(self, request: InferenceRequest, report: Callable[[str], None], limit: float = MAX_WAIT_SECONDS) -> Answer:
        """The response to a request.

        Args:
            report: called with each line about what the request waits for.
            limit: seconds to wait at most for an asynchronous answer.

        Raises:
            InvocationFailed: the container answered with an error, or not at all.
            AwsRequestRefused: AWS refused the request.
        """
        if self._live.mode is not Mode.ASYNCHRONOUS:
            return invoke_patiently(lambda: self._invoke(request), self._live.name, report)
        queued = self._queue(request)
        report("\n".join([f"endpoint {self._live.name} has queued the request. SageMaker writes", *queued.locations()]))
        return queued.wait(self._client("s3"), Clock(), report, limit)

    def measured(self, request: InferenceRequest) -> str | None:
        """Send a request once; why there is no response, in a line, or None. An asynchronous request ends when its
        answer is in S3."""
        try:
            if self._live.mode is Mode.ASYNCHRONOUS:
                self._queue(request).wait(self._client("s3"), Clock(), lambda _: None)
            else:
                self._invoke(request)
        except (BotoCoreError, ClientError) as error:
            problem = failed(self._live.name, error)
        except UserError as error:
            problem = error
        else:
            return None
        return problem.reason if isinstance(problem, InvocationFailed) else str(problem)

    def _invoke(self, request: InferenceRequest) -> Answer:
        return invoke(self._runtime, self._live.name, request, self._variant)

    def _queue(self, request: InferenceRequest) -> AsyncRequest:
        return AsyncRequest.send(self._runtime, self._client("s3"), self._live.name, request, self._bucket_of_stack)

    def _bucket_of_stack(self) -> str:
        """That of answers or failures, or that of the artifact if both are written outside of the stack."""
        try:
            return self._bucket or self._live.bucket or self.model().artifact.bucket
        except EndpointUnavailable:
            raise EndpointUnavailable(
                f"endpoint {self._live.name}: its Model was not made by this program, so it does not name the stack's "
                "bucket. Set bucket.name, so that the request can be uploaded."
            ) from None
