"""The records of releases in the model bucket."""

from __future__ import annotations

import io
import json
import typing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.release.records import ReleaseHistory, ReleaseRecord, Result, publish
from tests.infra.release.fake_aws import (
    CREATING,
    ELSEWHERE,
    FAILED,
    NEW,
    OLD,
    ROLLING_BACK,
    UPDATING,
    CloudWatch,
    SageMaker,
    driver,
    refused,
    release,
    request,
    rolling_out,
    watched,
)

BEGAN = 1795328100.0  # 2026-11-22T06:15:00Z
RECORD = ReleaseRecord(
    endpoint="e",
    result="rolledBack",
    from_config="e-1",
    to_config="e-2",
    began=BEGAN,
    ended=BEGAN + 90,
    who="arn:aws:iam::123456789012:user/ci",
    strategy="canary",
    changes=("AllTraffic: weight 1 -> 2",),
    reason="ping failed",
    alarms=("e-2-error-rate",),
    override="INC-42",
    artifacts=("s3://b/models/e/2.tar.gz",),
)


class S3:
    """A bucket that lists two objects a page."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.refuse = False

    def put_object(self, Bucket: str, Key: str, Body: str, ContentType: str) -> None:
        if self.refuse:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "PutObject")
        assert (Bucket, ContentType) == ("b", "application/json")
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.objects[Key].encode())}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_objects_v2"
        objects = self.objects

        class Pages:
            def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
                keys = sorted(key for key in objects if key.startswith(Prefix))
                for start in range(0, len(keys), 2):
                    yield {"Contents": [{"Key": key} for key in keys[start : start + 2]]}
                yield {}  # a page without objects has no Contents

        return Pages()


def test_a_record_survives_its_json() -> None:
    assert ReleaseRecord.parse(RECORD.json()) == RECORD
    assert RECORD.seconds == 90


def test_a_record_has_camel_case_keys() -> None:
    assert set(json.loads(RECORD.json())) >= {"fromConfig", "toConfig", "endpoint", "override"}


def test_a_record_of_a_later_version_is_read_and_what_is_none_is_an_error() -> None:
    text = json.dumps({**json.loads(RECORD.json()), "reviewer": "somebody"})
    assert ReleaseRecord.parse(text) == RECORD
    with pytest.raises(ValueError, match="not the record of a release"):
        ReleaseRecord.parse('{"endpoint": "e"}')


def test_a_record_lies_under_the_endpoint_by_its_beginning() -> None:
    s3 = S3()
    ReleaseHistory(s3, "b").add(RECORD)
    assert list(s3.objects) == ["releases/e/20261122T061500Z-e-2.json"]


def test_the_latest_come_newest_first_and_of_one_endpoint_only() -> None:
    history = ReleaseHistory(S3(), "b")
    records = [replace(RECORD, began=BEGAN + n, to_config=f"e-{9 - n}") for n in range(5)]
    for record in [*records, replace(RECORD, endpoint="e2", began=BEGAN + 9)]:
        history.add(record)
    assert history.latest("e", 3) == [records[4], records[3], records[2]]
    assert history.latest("other", 3) == []


def test_the_rollouts_are_the_releases_that_sagemaker_began() -> None:
    history = ReleaseHistory(S3(), "b")
    results: tuple[Result, ...] = ("succeeded", "deleted", "rolledBack", "refused", "failed", "timedOut")
    for number, result in enumerate(results):
        history.add(replace(RECORD, began=BEGAN + number, to_config=f"e-{number}", result=result))
    assert [record.result for record in history.rollouts("e", 3)] == ["timedOut", "failed", "rolledBack"]
    assert [record.result for record in history.rollouts("e", 9)][3:] == ["succeeded"]


def test_the_end_of_a_rollout_takes_the_place_of_its_timeout() -> None:
    history = ReleaseHistory(S3(), "b")
    history.add(replace(RECORD, result="timedOut"))
    history.add(replace(RECORD, result="succeeded"))
    assert [record.result for record in history.latest("e", 9)] == ["succeeded"]


def test_a_refusal_names_operation_and_object() -> None:
    s3 = S3()
    s3.refuse = True
    expected = r"s3://b/releases/e/20261122T061500Z-e-2.json: PutObject was refused: AccessDenied: not you"
    with pytest.raises(AwsRequestRefused, match=expected):
        ReleaseHistory(s3, "b").add(RECORD)


@pytest.mark.parametrize(
    "change",
    [
        {"began": "yesterday"},
        {"began": None},
        {"began": 1e300},
        {"ended": float("nan")},
        {"result": "perhaps"},
        {"changes": 5},
        {"changes": [{}]},
        {"alarms": "all"},
        {"reason": {"a": 1}},
        {"who": None},
        {"endpoint": "other"},
    ],
    ids=str,
)
def test_a_broken_record_is_left_out_with_a_warning(change: dict[str, Any]) -> None:
    s3 = S3()
    warnings: list[str] = []
    history = ReleaseHistory(s3, "b", warnings.append)
    history.add(RECORD)
    s3.objects["releases/e/20261123T000000Z-e-3.json"] = json.dumps({**json.loads(RECORD.json()), **change})
    assert history.latest("e", 9) == [RECORD]
    assert [warning.split(" ")[0] for warning in warnings] == ["s3://b/releases/e/20261123T000000Z-e-3.json"]


@pytest.mark.parametrize("body", ["", "{", "null", "5", "[]", "[" * 100_000, " " * 1_000_001], ids=len)
def test_what_is_no_record_at_all_blocks_no_history(body: str) -> None:
    s3 = S3()
    warnings: list[str] = []
    s3.objects["releases/e/x.json"] = body
    assert ReleaseHistory(s3, "b", warnings.append).latest("e", 9) == []
    assert len(warnings) == 1


ARN = "arn:aws:sns:ap-northeast-1:123456789012:releases"


class Sns:
    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, **message: Any) -> None:
        self.published.append(message)


def test_a_message_is_the_record_with_what_to_filter_by() -> None:
    sns = Sns()
    publish(sns, ARN, RECORD)
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
    publish(sns, ARN, replace(RECORD, endpoint="e" * 63, result=result))
    assert len(sns.published[0]["Subject"]) <= 100


def test_a_refusal_names_operation_and_topic() -> None:
    class Denied:
        def publish(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AuthorizationError", "Message": "not you"}}, "Publish")

    with pytest.raises(AwsRequestRefused, match=f"topic {ARN}: Publish was refused: AuthorizationError"):
        publish(Denied(), ARN, RECORD)


def test_a_release_is_on_record_with_all_that_is_known_of_it() -> None:
    (record,) = release(SageMaker(OLD, updated=[UPDATING, UPDATING, NEW])).records
    assert record == ReleaseRecord(
        endpoint="e",
        result="succeeded",
        from_config="old",
        to_config="new",
        began=1000.0,
        ended=record.ended,
        who="arn:aws:sts::123456789012:assumed-role/deployer/ci",
        strategy="allAtOnce",
        changes=("AllTraffic: model data s3://b/model-old.tar.gz -> s3://b/model-new.tar.gz",),
        artifacts=("s3://b/model-new.tar.gz",),
    )
    assert record.ended > record.began


OTHER = {**OLD, "EndpointConfigName": "other"}


def other_release() -> SageMaker:
    """Another release ends before this one begins."""
    sagemaker = SageMaker(ELSEWHERE, OTHER, updated=[NEW])
    sagemaker.counts["other"], sagemaker.types["other"], sagemaker.variants["other"] = 1, "ml.c5.xlarge", ["AllTraffic"]
    return sagemaker


STARTED = {"PendingDeploymentSummary": {"EndpointConfigName": "new", "StartTime": datetime.fromtimestamp(900, UTC)}}


@pytest.mark.parametrize(
    ("sagemaker", "began", "from_config"),
    [
        (SageMaker(FAILED, created=[CREATING, NEW]), None, None),
        (SageMaker({**UPDATING, **STARTED}, NEW), 900, "old"),
        (SageMaker({**CREATING, **STARTED}, NEW), 900, None),
        (other_release(), None, "other"),
    ],
    ids=["first creation", "attached", "creation attached", "after another release"],
)
def test_a_record_has_the_beginning_and_the_configuration_before(
    sagemaker: SageMaker, began: float | None, from_config: str | None
) -> None:
    (record,) = release(sagemaker).records
    assert (record.result, record.from_config) == ("succeeded", from_config)
    assert began in (None, record.began)


@pytest.mark.parametrize("rate", [["OK", "ALARM", "OK"], ["OK", "OK", "OK", "ALARM"]], ids=["before", "at the end"])
def test_a_rollback_is_on_record_with_reason_and_alarms(rate: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking"), {**ROLLING_BACK, "FailureReason": "one\ntwo"}, OLD])
    (record,) = release(sagemaker, watched(), CloudWatch(rate=rate, latency=["OK"])).records
    assert (record.result, record.reason, record.alarms) == ("rolledBack", "one", ("rate",))


def test_a_release_that_can_no_longer_be_followed_is_not_on_record_as_refused() -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING])
    describe = sagemaker.describe_endpoint

    def expired(EndpointName: str) -> dict[str, Any]:
        if sagemaker.operations:
            raise refused("DescribeEndpoint", "the token has expired")
        return describe(EndpointName)

    sagemaker.describe_endpoint = expired  # type: ignore[method-assign]
    assert release(sagemaker).result == "timedOut"


@pytest.mark.parametrize("status", ["InService", "Updating", "SystemUpdating"])
def test_nothing_is_on_record_if_no_release_was_needed(status: str) -> None:
    now = {**NEW, "EndpointStatus": status}
    assert release(SageMaker(now, now, NEW)).records == []


@pytest.mark.parametrize(("before", "recorded"), [("old", True), ("new", False), ("", False)])
def test_a_release_whose_end_was_not_observed_is_on_record_once_it_is_live(before: str, recorded: bool) -> None:
    records = release(SageMaker(NEW), request(before={"config_name": before})).records
    assert [(record.result, record.from_config, record.seconds) for record in records] == [
        ("succeeded", "old", 0)
    ] * recorded


def test_a_failure_to_record_is_a_warning_that_changes_nothing() -> None:
    def denied(_: ReleaseRecord) -> None:
        raise AwsRequestRefused("s3://b/releases/e/x.json: PutObject was refused: AccessDenied: not you")

    outcome = release(SageMaker(OLD, updated=[UPDATING, NEW]), keep=[denied])
    assert (outcome.serves, outcome.result) == (True, "succeeded"), "the others receive it nevertheless"
    assert outcome.lines[-1].endswith("s3://b/releases/e/x.json: PutObject was refused: AccessDenied: not you")


@pytest.mark.parametrize(("problem", "warned"), [("Could not find endpoint configuration", 0), ("not authorized", 1)])
def test_a_configuration_that_cannot_be_read_leaves_the_record_incomplete(problem: str, warned: int) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    describe = sagemaker.describe_endpoint_config

    def gone(EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName == "old" and sagemaker.operations:
            raise refused("DescribeEndpointConfig", problem)
        return describe(EndpointConfigName)

    sagemaker.describe_endpoint_config = gone  # type: ignore[method-assign]
    outcome = release(sagemaker)
    assert (outcome.result, outcome.records[0].changes) == ("succeeded", ())
    assert sum("DescribeEndpointConfig was refused" in line for line in outcome.lines) == warned


def test_an_interruption_is_not_on_record() -> None:
    sagemaker, records = SageMaker(OLD), list[ReleaseRecord]()

    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    sagemaker.update_endpoint = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        driver(sagemaker, [], keep=[records.append]).release(request())
    assert records == []
