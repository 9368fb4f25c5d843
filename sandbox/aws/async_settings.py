"""What makes an endpoint asynchronous: AsyncInferenceConfig, and its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws.protocol import AwsError, not_in_sandbox
from sandbox.aws.s3_location import S3Location

#: InvocationTimeoutSeconds at most (API_runtime_InvokeEndpointAsync).
LONGEST_INVOCATION_SECONDS = 3600

#: "The maximum number of concurrent requests … If no value is provided, SageMaker chooses an optimal value": which one
#: is not public.
_DEFAULT_CONCURRENCY = 4


@dataclass(frozen=True)
class AsyncSettings:
    """botocore's AsyncInferenceConfig."""

    config: Mapping[str, Any]

    @classmethod
    def of(cls, endpoint_config: Mapping[str, Any]) -> AsyncSettings | None:
        """Of a request of CreateEndpointConfig; None for one that is not asynchronous."""
        config = endpoint_config.get("AsyncInferenceConfig")
        return cls(config) if config is not None else None

    @property
    def concurrency(self) -> int:
        """Requests that one instance processes at the same time."""
        client: Mapping[str, Any] = self.config.get("ClientConfig", {})
        return int(client.get("MaxConcurrentInvocationsPerInstance", _DEFAULT_CONCURRENCY))

    @property
    def kms_key_id(self) -> str | None:
        return self._output.get("KmsKeyId") or None

    @property
    def output_path(self) -> S3Location:
        return S3Location.parse(self._output["S3OutputPath"])

    @property
    def failure_path(self) -> S3Location | None:
        path = self._output.get("S3FailurePath")
        return S3Location.parse(path) if path else None

    def topic(self, *, failed: bool) -> str | None:
        """The ARN of the SNS topic for results of a kind."""
        return self._notification.get("ErrorTopic" if failed else "SuccessTopic") or None

    def includes_response(self, *, failed: bool) -> bool:
        """Whether the topic for results of a kind gets the container's answer."""
        kind = "ERROR_NOTIFICATION_TOPIC" if failed else "SUCCESS_NOTIFICATION_TOPIC"
        return kind in self._notification.get("IncludeInferenceResponseIn", [])

    @property
    def _output(self) -> Mapping[str, Any]:
        return self.config["OutputConfig"]  # type: ignore[no-any-return]

    @property
    def _notification(self) -> Mapping[str, Any]:
        return self._output.get("NotificationConfig", {})  # type: ignore[no-any-return]


def check_async_config(request: Mapping[str, Any]) -> None:
    """Raises `AwsError` for an AsyncInferenceConfig that the sandbox lacks; `serverless.py` has what excludes one."""
    settings = AsyncSettings.of(request)
    if settings is not None and not settings.config["OutputConfig"].get("S3OutputPath"):
        raise not_in_sandbox("AsyncInferenceConfig without S3OutputPath")


def check_same_kind(endpoint: str, was: bool, will_be: bool) -> None:
    """An endpoint stays asynchronous, or not.

    AWS refuses to remove the AsyncInferenceConfig with these words (aws/sagemaker-python-sdk#3124). That it refuses to
    add one is inferred from that.

    Raises:
        AwsError: UpdateEndpoint would change it.
    """
    if was == will_be:
        return
    change = "removed from" if was else "added to"
    message = f"The AsyncInferenceConfig parameter cannot be {change} this endpoint {endpoint}."
    raise AwsError("ValidationException", f"{message} To change the endpoint, create a new one.")
