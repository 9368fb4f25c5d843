"""The end of a release, published for whoever subscribes."""

from __future__ import annotations

from typing import Any

from infra.aws.errors import aws_calls
from infra.release.history import ReleaseRecord, Result

_SUBJECTS: dict[Result, str] = {
    "succeeded": "Release of {} succeeded",
    "rolledBack": "Release of {} was rolled back",
    "failed": "Release of {} failed",
    "timedOut": "Release of {} timed out",
    "refused": "Release of {} was refused",
    "deleted": "Endpoint {} was deleted",
}


class ReleaseTopic:
    """An SNS topic that gets a message about each release: the record as JSON, with the message attributes `endpoint`
    and `result` to filter by.

    Args:
        sns: boto3's `sns` client.
        arn: the topic's ARN.
    """

    def __init__(self, sns: Any, arn: str) -> None:
        self._sns, self._arn = sns, arn

    def publish(self, record: ReleaseRecord) -> None:
        """Tell of a release.

        Raises:
            AwsRequestRefused: naming the topic.
        """
        attributes = {"endpoint": record.endpoint, "result": record.result}
        with aws_calls(f"topic {self._arn}"):
            self._sns.publish(
                TopicArn=self._arn,
                Subject=_SUBJECTS[record.result].format(record.endpoint),
                Message=record.json(),
                MessageAttributes={
                    key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()
                },
            )
