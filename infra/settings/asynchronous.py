"""The settings of an asynchronous endpoint, which queues its requests and writes its answers to S3."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, StringConstraints

from infra.settings.kms import KmsKeyArn, key_of_answers
from infra.settings.location import S3Location, S3Locations, accessible
from infra.settings.notifications import TOPIC_ARN
from infra.settings.section import Section, rule, setting, unique

_OUTPUT = "SageMaker API AsyncInferenceOutputConfig"
_NOTIFICATION = "SageMaker API AsyncInferenceNotificationConfig"

_TopicArn = Annotated[str, StringConstraints(pattern=f"^{TOPIC_ARN}$")]
_Message = Literal["success", "error"]


def _topic(message: str, name: str) -> Any:
    return setting(
        f"ARN of an existing SNS topic, in the stack's region, that receives a message for each {message}.",
        default=None,
        example=f"arn:aws:sns:ap-northeast-1:123456789012:{name}",
        source=_NOTIFICATION,
    )


class AsynchronousSettings(Section):
    """The queue of an asynchronous endpoint, and where its answers go (API `AsyncInferenceConfig`)."""

    max_concurrent_invocations_per_instance: int | None = setting(
        "Requests that SageMaker sends to an instance at the same time (MaxConcurrentInvocationsPerInstance). Default: "
        "SageMaker's choice.",
        default=None,
        ge=1,
        le=1000,
        example=4,
        source="SageMaker API AsyncInferenceClientConfig",
    )
    output_location: S3Location | None = setting(
        "S3 URI prefix below which answers are written (S3OutputPath). Default: async/ENDPOINT/output in the stack's "
        "bucket, which expires after bucket.resultExpirationDays.",
        default=None,
        example="s3://results-bucket/answers",
        source=f"{_OUTPUT} (S3OutputPath)",
    )
    failure_location: S3Location | None = setting(
        "S3 URI prefix below which failures are written (S3FailurePath). Default: async/ENDPOINT/failure in the "
        "stack's bucket, which expires after bucket.resultExpirationDays.",
        default=None,
        example="s3://results-bucket/failures",
        source=f"{_OUTPUT} (S3FailurePath)",
    )
    input_locations: S3Locations = accessible(
        "S3 URI prefixes below which the execution role may read requests, in addition to async/ENDPOINT/input in the "
        "stack's bucket.",
        "s3://documents-bucket/scans",
        "SageMaker guide, Asynchronous inference, Prerequisites",
    )
    kms_key_arn: KmsKeyArn | None = key_of_answers(_OUTPUT)
    notify: bool = setting(
        "Create an SNS topic for answers and one for failures; a topic that is given here replaces its own.",
        default=False,
        example=True,
        source=_NOTIFICATION,
    )
    success_topic_arn: _TopicArn | None = _topic("answer (SuccessTopic)", "answers")
    error_topic_arn: _TopicArn | None = _topic("failure (ErrorTopic)", "failures")
    include_response_in: Annotated[list[_Message], AfterValidator(unique)] = setting(
        "The messages that contain the answer itself: success, error or both (IncludeInferenceResponseIn). SageMaker "
        "includes answers of at most 128 KB.",
        default_factory=list,
        example=["success"],
        source=f"{_NOTIFICATION} (IncludeInferenceResponseIn)",
        schema={"uniqueItems": True},
    )

    @rule("includeResponseIn")
    def response_without_topic(self) -> str | None:
        """SageMaker API AsyncInferenceNotificationConfig."""
        topics = {"success": self.success_topic_arn, "error": self.error_topic_arn}
        if (
            self.notify
            or (missing := next((name for name in self.include_response_in if not topics[name]), None)) is None
        ):
            return None
        return (
            f"{missing} has no topic whose messages could contain the answer. Set {missing}TopicArn, or notify: true."
        )

    @rule("notify")
    def notify_without_effect(self) -> str | None:
        if self.notify and self.success_topic_arn and self.error_topic_arn:
            return "creates no topic, because both are given. Remove the key, or the ARN of the topic to create."
        return None
