"""What subscribers get of a release."""

from __future__ import annotations

import typing
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.release.history import ReleaseRecord, Result
from infra.release.notification import ReleaseTopic
from tests.infra.release.test_history import RECORD

ARN = "arn:aws:sns:ap-northeast-1:123456789012:releases"


class Sns:
    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, **message: Any) -> None:
        self.published.append(message)


def test_a_message_is_the_record_with_what_to_filter_by() -> None:
    sns = Sns()
    ReleaseTopic(sns, ARN).publish(RECORD)
    (message,) = sns.published
    assert message["TopicArn"] == ARN
    assert message["Subject"] == "Release of e was rolled back"
    assert ReleaseRecord.parse(message["Message"]) == RECORD
    assert message["MessageAttributes"] == {
        "endpoint": {"DataType": "String", "StringValue": "e"},
        "result": {"DataType": "String", "StringValue": "rolledBack"},
    }


@pytest.mark.parametrize("result", typing.get_args(Result))
def test_a_subject_is_as_short_as_sns_takes_it_for_every_name_and_result(result: Result) -> None:
    sns = Sns()
    ReleaseTopic(sns, ARN).publish(replace(RECORD, endpoint="e" * 63, result=result))
    assert len(sns.published[0]["Subject"]) <= 100


def test_a_refusal_names_operation_and_topic() -> None:
    class Denied:
        def publish(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AuthorizationError", "Message": "not you"}}, "Publish")

    with pytest.raises(AwsRequestRefused, match=f"topic {ARN}: Publish was refused: AuthorizationError"):
        ReleaseTopic(Denied(), ARN).publish(RECORD)
