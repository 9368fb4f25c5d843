"""The record of autoscaling that is off, in the model bucket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws_error import AwsRequestRefused
from infra.release.scaling_record import Record, ScalingRecords
from tests.infra.release.fake_aws import POLICY, S3, TARGET

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
    records.put("e", {"actions": [{"StartTime": datetime(2026, 11, 22, 6, 15, tzinfo=UTC)}]})
    assert records.get("e") == {"actions": [{"StartTime": "2026-11-22 06:15:00+00:00"}]}


def test_an_endpoint_deployed_before_there_were_records_has_none() -> None:
    assert ScalingRecords(S3([]), None).get("e") == {}


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
