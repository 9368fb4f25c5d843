"""The record of autoscaling that is off, in the model bucket."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.release.autoscaling import Record, ScalingRecords, checked
from tests.infra.release.fake_aws import POLICY, S3, TARGET

ACTION = {
    "ScheduledActionName": "night",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "Schedule": "cron(0 20 * * ? *)",
    "ScalableTargetAction": {"MinCapacity": 1},
}
STEPS = {
    **{key: POLICY[key] for key in ("PolicyName", "ResourceId", "ScalableDimension")},
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity"},
    "PolicyARN": "arn:aws:autoscaling:ap-northeast-1:123456789012:scalingPolicy:x",
    "Alarms": [{"AlarmName": "backlog", "AlarmARN": "arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:backlog"}],
}
RECORD: Record = {"targets": [TARGET], "policies": [POLICY], "actions": []}


def test_a_record_is_kept_for_each_endpoint_and_forgotten() -> None:
    s3 = S3([])
    records = ScalingRecords(s3, "b")
    records.put("e", RECORD)
    assert s3.objects.keys() == {"autoscaling/e.json"}
    assert (records.get("e"), records.get("f")) == (RECORD, {})
    records.delete("e")
    assert records.get("e") == {}


def test_times_of_scheduled_actions_are_kept_as_aws_takes_them() -> None:
    records = ScalingRecords(S3([]), "b")
    records.put("e", {"actions": [{**ACTION, "StartTime": datetime(2026, 11, 22, 6, 15, tzinfo=UTC)}]})
    assert records.get("e")["actions"] == [{**ACTION, "StartTime": "2026-11-22 06:15:00+00:00"}]


@pytest.mark.parametrize(
    ("method", "operation"), [("get", "GetObject"), ("put", "PutObject"), ("delete", "DeleteObject")]
)
def test_a_refusal_names_operation_and_object(method: str, operation: str) -> None:
    def denied(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, operation)

    s3 = S3([])
    setattr(s3, f"{method}_object", denied)
    with pytest.raises(AwsRequestRefused, match=rf"s3://b/autoscaling/e\.json: {operation} was refused: AccessDenied"):
        getattr(ScalingRecords(s3, "b"), method)("e", *([RECORD] if method == "put" else []))


@pytest.mark.parametrize(
    ("kind", "change", "problem"),
    [
        ("targets", {"RoleARN": "arn:aws:iam::123456789012:role/admin"}, '"RoleARN" is not known'),
        ("targets", {"MinCapacity": "2"}, "MinCapacity"),
        ("targets", {"MaxCapacity": None}, "MaxCapacity"),
        ("targets", {"ResourceId": "endpoint/other/variant/AllTraffic"}, "not a variant of endpoint e"),
        ("targets", {"ResourceId": ["endpoint/e/variant/AllTraffic"]}, "ResourceId"),
        ("targets", {"ScalableDimension": "ecs:service:DesiredCount"}, "ScalableDimension"),
        ("targets", {"ServiceNamespace": "ecs"}, '"ServiceNamespace" is not known'),
        ("targets", {"Tags": ["a"]}, "Tags"),
        ("policies", {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0, "X": 1}}, '"X"'),
        ("policies", {"PolicyName": None}, "PolicyName"),
        ("policies", {"Alarms": "all"}, "Alarms"),
        ("policies", {"PolicyARN": 5}, "PolicyARN"),
        ("actions", {"StartTime": "soon"}, "StartTime"),
    ],
)
def test_an_entry_that_the_api_would_not_take_is_left_out_with_a_warning(
    kind: str, change: dict[str, Any], problem: str
) -> None:
    good: Record = {"targets": [TARGET], "policies": [POLICY, STEPS], "actions": [ACTION]}
    broken = {**good, kind: [*good[kind], {**good[kind][0], **change}]}
    found, problems = checked("e", json.dumps(broken).encode())
    assert found == good
    assert len(problems) == 1 and problem in problems[0], problems


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        b"{" + b" " * 1_000_001 + b"}",
        b'{"targets": {}}',
        b'{"targets": [1, null, "x"]}',
        b'{"others": []}',
        b'{"targets": [{"ResourceId": {}}]}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_record_at_all_is_none_and_warned_of_once(body: bytes) -> None:
    class Broken(S3):
        def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
            return {"Body": io.BytesIO(body)}

    warnings: list[str] = []
    records = ScalingRecords(Broken([]), "b", warnings.append)
    assert records.get("e") == records.get("e") == {}
    assert warnings and len(warnings) == len(set(warnings))
    assert all(each.startswith("s3://b/autoscaling/e.json: ") for each in warnings)
