"""Autoscaling that is removed for an update: its record in the model bucket, and its restoration."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.aws.errors import AwsRequestRefused
from infra.release.autoscaling import Record, ScalingRecords, checked
from infra.release.request import EndpointRequest
from tests.infra.release.fake_aws import (
    CREATING,
    FAILED,
    NEW,
    OLD,
    POLICY,
    ROLLING_BACK,
    S3,
    TARGET,
    UPDATING,
    SageMaker,
    driver,
    refused,
    release,
    request,
    serving,
)

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
    assert all(warning.startswith("s3://b/autoscaling/e.json: ") for warning in warnings)


VARIANT = {key: TARGET[key] for key in ("ResourceId", "ScalableDimension")}
RESTORED = ["register", "tag target", "policy", "forget"]
AUTOSCALED, ENDS = request(autoscaled=True), request(before={"autoscaled": True})
MISSING = request(autoscaled=True, before={"autoscaled": False})
"""A refresh found the targets missing, so Pulumi registers them."""


def other_type(*updated: Any, now: dict[str, Any] = OLD) -> SageMaker:
    """An autoscaled endpoint whose instance type changes, which AWS refuses under autoscaling."""
    sagemaker = SageMaker(now, updated=[UPDATING, *updated], created=[CREATING, NEW])
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    return sagemaker


def interrupted(*states: dict[str, Any] | None, record: Record = RECORD, **changes: Any) -> SageMaker:
    """An endpoint whose autoscaling an interrupted release has removed."""
    sagemaker = SageMaker(*states, **changes)
    sagemaker.recorded(record)
    return sagemaker


def refused_update(error: Exception) -> SageMaker:
    sagemaker = other_type()
    sagemaker.update_errors = iter([error])
    return sagemaker


def same_type() -> SageMaker:
    sagemaker = other_type(NEW)
    sagemaker.types["new"] = sagemaker.types["old"]
    return sagemaker


def unknown_type() -> SageMaker:
    sagemaker = same_type()
    sagemaker.deleted_configs = {"old"}
    return sagemaker


@pytest.mark.parametrize(
    ("sagemaker", "asked", "operations"),
    [
        (other_type(NEW), AUTOSCALED, ["record", "deregister", "update", *RESTORED, "tag"]),
        (other_type(ROLLING_BACK, OLD), AUTOSCALED, ["record", "deregister", "update", *RESTORED]),
        (refused_update(refused("UpdateEndpoint", "no")), AUTOSCALED, ["record", "deregister", "update", *RESTORED]),
        (
            refused_update(EndpointConnectionError(endpoint_url="https://sagemaker")),
            AUTOSCALED,
            ["record", "deregister", "update", *RESTORED],
        ),
        (same_type(), AUTOSCALED, ["update", "tag"]),
        (unknown_type(), AUTOSCALED, ["record", "deregister", "update", *RESTORED, "tag"]),
        (other_type(now=FAILED), AUTOSCALED, ["record", "delete", "create", *RESTORED]),
        (other_type(NEW), ENDS, ["record", "deregister", "update", "forget", "tag"]),
        (other_type(ROLLING_BACK, OLD), ENDS, ["record", "deregister", "update", *RESTORED]),
        (interrupted(UPDATING, NEW), AUTOSCALED, ["register", "policy", "forget", "tag"]),
        (interrupted(FAILED, created=[CREATING, NEW]), request(), ["delete", "create", "register", "policy", "forget"]),
        (interrupted(None, created=[CREATING, NEW]), AUTOSCALED, ["create", "register", "policy", "forget"]),
        (interrupted(OLD, updated=[UPDATING, NEW]), MISSING, ["update", "forget", "tag"]),
        (interrupted(OLD, updated=[UPDATING, ROLLING_BACK, OLD]), MISSING, ["update"]),
    ],
    ids=[
        *("instance type changes", "rolled back", "update refused", "AWS unreachable", "no reason to remove it"),
        *("live type unknown", "failed endpoint created again", "settings end it", "settings end it, rolled back"),
        *("interrupted", "interrupted, endpoint failed", "interrupted, endpoint deleted"),
        *("Pulumi registers it", "Pulumi registers it later, rolled back"),
    ],
)
def test_autoscaling_is_removed_only_if_needed_and_restored_unless_the_stack_changes_it(
    sagemaker: SageMaker, asked: EndpointRequest, operations: list[str]
) -> None:
    assert release(sagemaker, asked).operations == operations


def test_a_target_is_restored_as_it_was() -> None:
    outcome = release(other_type(NEW), AUTOSCALED)
    assert outcome.sent("register") == {"ServiceNamespace": "sagemaker", **TARGET}
    assert outcome.sent("tag target") == {"ResourceARN": "arn:target", "Tags": {"CostEnv": "prod"}}
    assert outcome.sent("policy") == {"ServiceNamespace": "sagemaker", **POLICY}
    assert outcome.sagemaker.s3.objects == {}


@pytest.mark.parametrize("ends", [{**OLD, "EndpointStatus": "UpdateRollbackFailed"}, UPDATING])
def test_autoscaling_that_stays_removed_is_reported(ends: dict[str, Any]) -> None:
    outcome = release(other_type(ends), AUTOSCALED)
    assert outcome.error is not None
    assert "autoscaling is" in outcome.text and "removed" in outcome.text
    assert "register" not in outcome.operations


def test_autoscaling_that_cannot_be_restored_does_not_hide_the_rollback() -> None:
    sagemaker = other_type(ROLLING_BACK, OLD)

    def denied(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "RegisterScalableTarget")

    sagemaker.autoscaling.register_scalable_target = denied  # type: ignore[assignment]
    outcome = release(sagemaker, AUTOSCALED)
    assert outcome.result == "rolledBack"
    assert "RegisterScalableTarget was refused: AccessDenied" in outcome.text


def test_changed_tags_reach_a_target_that_a_release_has_registered_again() -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.tags = {"CostEnv": "dev", "Gone": "x", "Theirs": "y"}
    release(sagemaker, request(autoscaled=True, before={"tags": {"CostEnv": "dev", "Gone": "x"}}))
    assert sagemaker.calls[-2:] == [
        ("tag target", {"ResourceARN": "arn:target", "Tags": {"CostEnv": "prod"}}),
        ("untag target", {"ResourceARN": "arn:target", "TagKeys": ["Gone"]}),
    ]


@pytest.mark.parametrize(
    "asked", [request(autoscaled=True, before={"tags": {"CostEnv": "prod"}}), MISSING, request(autoscaled=False)]
)
def test_targets_keep_their_tags_if_none_changed_or_pulumi_registers_them(asked: EndpointRequest) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.tags = {"CostEnv": "dev"}
    assert not {"tag target", "untag target"} & {*release(sagemaker, asked).operations}


def test_the_alarms_of_a_step_scaling_policy_must_call_its_new_arn() -> None:
    sagemaker = other_type(NEW)
    step = {**POLICY, "PolicyName": "busy", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": {}}
    alarms = [{"AlarmName": "cpu-high", "AlarmARN": "arn:alarm"}]
    sagemaker.autoscaling.registered["ScalingPolicies"] = [{**step, "PolicyARN": "arn:policy", "Alarms": alarms}]
    outcome = release(sagemaker, AUTOSCALED)
    assert outcome.sent("policy") == {"ServiceNamespace": "sagemaker", **step}
    (warning,) = [line for line in outcome.lines if "cpu-high" in line]
    assert "arn:new-policy" in warning


def test_a_scheduled_action_whose_time_has_passed_does_not_prevent_the_others() -> None:
    over = {**VARIANT, "ScheduledActionName": "launch", "Schedule": "at(2000-01-01T00:00:00)"}
    nights = {**over, "ScheduledActionName": "nights", "Schedule": "cron(0 0 * * ? *)"}
    sagemaker = interrupted(OLD, updated=[UPDATING, NEW], record={**RECORD, "actions": [over, nights]})
    outcome = release(sagemaker, AUTOSCALED)
    assert outcome.operations[-5:] == ["register", "policy", "action", "forget", "tag"]
    assert "launch (at(2000-01-01T00:00:00)) is not restored" in outcome.text


def test_scheduled_actions_that_pulumi_does_not_register_are_reported() -> None:
    action = {**VARIANT, "ScheduledActionName": "nights", "Schedule": "cron(0 0 * * ? *)"}
    sagemaker = interrupted(OLD, updated=[UPDATING, NEW], record={**RECORD, "actions": [action]})
    assert "nights" in release(sagemaker, MISSING).lines[-1]


def test_a_record_survives_a_failed_endpoint_and_the_one_created_again_that_failed_too() -> None:
    sagemaker = other_type(now=FAILED)
    sagemaker.created = [CREATING, FAILED]
    assert release(sagemaker, AUTOSCALED).operations == ["record", "delete", "create", "delete"]
    sagemaker.created = [CREATING, NEW]
    assert {"register", "policy", "forget"} <= {*release(sagemaker, AUTOSCALED).operations}


def test_a_record_is_not_replaced_by_what_an_interrupted_release_left_registered() -> None:
    sagemaker = other_type(NEW)
    sagemaker.recorded(RECORD)
    sagemaker.autoscaling.registered["ScalingPolicies"] = []
    operations = ["deregister", "update", "register", "policy", "forget", "tag"]
    assert release(sagemaker, AUTOSCALED).operations == operations


def test_a_record_is_deleted_with_its_endpoint() -> None:
    sagemaker = interrupted(OLD)
    driver(sagemaker, []).delete("e", "p/s", 600)
    assert sagemaker.operations == ["delete", "forget"]


@pytest.mark.parametrize(("updated", "restored"), [([serving("new", "B", "C")], ["B"]), ([ROLLING_BACK], ["A", "B"])])
def test_only_the_autoscaling_of_variants_in_service_is_restored(
    updated: list[dict[str, Any]], restored: list[str]
) -> None:
    before = serving("old", "A", "B")
    sagemaker = SageMaker(before, updated=[UPDATING, *updated, *([before] if updated == [ROLLING_BACK] else [])])
    sagemaker.variants = {"old": ["A", "B"], "new": ["B", "C"]}
    sagemaker.autoscaling.register("A", "B")
    outcome = release(sagemaker, AUTOSCALED)
    assert outcome.operations.count("deregister") == 2
    registered = [sent["ResourceId"].split("/")[-1] for name, sent in sagemaker.calls if name == "register"]
    assert (registered, outcome.operations.count("policy")) == (restored, len(restored))
    assert sagemaker.s3.objects == {}
