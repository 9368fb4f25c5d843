"""The release of an endpoint against a SageMaker that ends each change as a test decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.aws.errors import AwsRequestRefused
from infra.errors import UserError
from infra.release.failure import EndpointNotOwned, ReleaseFailed, ReleaseTimeout
from infra.release.gates import MinimumInvocations
from infra.release.request import OWNER_TAG, EndpointRequest
from tests.infra.release.fake_aws import (
    ARN,
    CREATING,
    ELSEWHERE,
    FAILED,
    NEW,
    OLD,
    ROLLING_BACK,
    UPDATING,
    CloudWatch,
    FakeTime,
    SageMaker,
    driver,
    refused,
    release,
    request,
    rolling_out,
    serving,
    state_update,
    watched,
)

IN_PROGRESS = f'Cannot update in-progress endpoint "{ARN}".'
STUCK = {**OLD, "EndpointStatus": "UpdateRollbackFailed"}


def scaled(current: int, modified: int) -> dict[str, Any]:
    """DescribeEndpoint of the old fleet while it reaches two instances."""
    variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": current, "DesiredInstanceCount": 2}
    return {**OLD, "LastModifiedTime": datetime.fromtimestamp(modified, UTC), "ProductionVariants": [variant]}


def refusing(*errors: Exception, then: SageMaker) -> SageMaker:
    """A SageMaker that refuses the first updates."""
    then.update_errors = iter(errors)
    return then


def lost_answer(*after: dict[str, Any]) -> SageMaker:
    """A SageMaker whose answer to UpdateEndpoint was lost: boto3 repeats the call while the update is in progress."""
    sagemaker = SageMaker(OLD)

    def update_endpoint(**request: Any) -> None:
        sagemaker.calls.append(("update", request))
        sagemaker.states = list(after)
        raise refused("UpdateEndpoint", IN_PROGRESS)

    sagemaker.update_endpoint = update_endpoint  # type: ignore[method-assign]
    return sagemaker


def without_configuration(sagemaker: SageMaker) -> SageMaker:
    sagemaker.deleted_configs = {"old"}
    return sagemaker


@pytest.mark.parametrize(
    ("sagemaker", "operations"),
    [
        (SageMaker(None, created=[None, CREATING, CREATING, NEW]), ["create"]),
        (SageMaker(FAILED, created=[CREATING, NEW]), ["delete", "create"]),
        (SageMaker(OLD, updated=[UPDATING, NEW]), ["update", "tag"]),
        (SageMaker(OLD, updated=[OLD, OLD, UPDATING, NEW]), ["update", "tag"]),
        (SageMaker(scaled(1, 1), updated=[scaled(2, 1), UPDATING, NEW]), ["update", "tag"]),
        (SageMaker(UPDATING, UPDATING, NEW), ["tag"]),
        (lost_answer(UPDATING, UPDATING, NEW), ["update", "tag"]),
        (SageMaker(CREATING, NEW), ["tag"]),
        (SageMaker(ELSEWHERE, OLD, updated=[UPDATING, NEW]), ["update", "tag"]),
        (SageMaker({**OLD, "EndpointStatus": "SystemUpdating"}, OLD, updated=[NEW]), ["update", "tag"]),
        (
            refusing(refused("UpdateEndpoint", IN_PROGRESS), then=SageMaker(OLD, ELSEWHERE, OLD, updated=[NEW])),
            ["update", "update", "tag"],
        ),
        (SageMaker(NEW), ["tag"]),
        (without_configuration(SageMaker(OLD, updated=[UPDATING, NEW])), ["update", "tag"]),
    ],
    ids=[
        *("created", "failed endpoint created again", "updated", "outdated answers", "fleet scales before the update"),
        *("attached", "attached after a lost answer", "creation attached", "waits for another update"),
        *("waits for a system update", "another update began first", "serves already", "configuration deleted"),
    ],
)
def test_the_endpoint_gets_to_serve_the_requested_configuration(sagemaker: SageMaker, operations: list[str]) -> None:
    outcome = release(sagemaker)
    assert (outcome.serves, outcome.operations) == (True, operations)


@pytest.mark.parametrize(
    ("sagemaker", "error", "operations", "result"),
    [
        (SageMaker(None, created=[CREATING, FAILED]), ReleaseFailed, ["create", "delete"], "failed"),
        (SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD]), ReleaseFailed, ["update"], "rolledBack"),
        (lost_answer(UPDATING, ROLLING_BACK, OLD), ReleaseFailed, ["update"], "rolledBack"),
        (SageMaker(UPDATING, OLD), ReleaseFailed, [], "rolledBack"),
        (SageMaker(STUCK), ReleaseFailed, [], None),
        (SageMaker(OLD, updated=[UPDATING, STUCK]), ReleaseFailed, ["update"], "failed"),
        (SageMaker(OLD, updated=[UPDATING, None]), ReleaseFailed, ["update"], "failed"),
        (SageMaker(OLD, updated=[UPDATING]), ReleaseTimeout, ["update"], "timedOut"),
        (refusing(refused("UpdateEndpoint", "no"), then=SageMaker(OLD)), AwsRequestRefused, ["update"], "refused"),
    ],
    ids=[
        *("first creation fails", "rolled back", "rolled back after a lost answer", "attached update fails"),
        *("rollback failed before", "rollback fails", "deleted by someone else", "times out", "refused by AWS"),
    ],
)
def test_any_other_end_is_an_error_and_on_record(
    sagemaker: SageMaker, error: type[UserError], operations: list[str], result: str | None
) -> None:
    outcome = release(sagemaker)
    assert type(outcome.error) is error
    assert (outcome.operations, outcome.result) == (operations, result)


def test_a_failure_shows_reason_and_log_though_sagemaker_cleared_the_reason() -> None:
    outcome = release(SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD]))
    assert "ping failed" in outcome.text, "the reason was shown only during the rollback"
    assert "failed to load" in outcome.text
    assert "old is live" in outcome.text


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://sagemaker"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DeleteEndpoint"),
    ],
)
def test_a_failed_endpoint_that_cannot_be_deleted_does_not_hide_why_it_failed(error: Exception) -> None:
    sagemaker = SageMaker(None, created=[CREATING, FAILED])

    def fail(EndpointName: str) -> None:
        raise error

    sagemaker.delete_endpoint = fail  # type: ignore[method-assign]
    outcome = release(sagemaker)
    assert outcome.result == "failed"
    assert "ping failed" in outcome.text
    assert str(error) in outcome.text


def test_an_error_of_aws_has_operation_and_endpoint() -> None:
    outcome = release(refusing(refused("UpdateEndpoint", "1 validation error"), then=SageMaker(OLD)))
    assert str(outcome.error) == "endpoint e: UpdateEndpoint was refused: ValidationException: 1 validation error"


def test_a_creation_has_tags_and_no_strategy() -> None:
    sent = release(SageMaker(None, created=[CREATING, NEW])).sent("create")
    assert "DeploymentConfig" not in sent
    assert {tag["Key"]: tag["Value"] for tag in sent["Tags"]} == {"CostEnv": "prod", OWNER_TAG: "p/s"}


def test_an_update_retains_live_capacity_and_has_strategy_and_alarms() -> None:
    cloudwatch = CloudWatch(rate=["OK"], latency=["INSUFFICIENT_DATA"])
    asked = watched()
    assert release(SageMaker(OLD, updated=[NEW]), asked, cloudwatch).sent("update") == {
        "EndpointName": "e",
        "EndpointConfigName": "new",
        "RetainAllVariantProperties": True,
        "ExcludeRetainedVariantProperties": [],
        "DeploymentConfig": asked.policy.deployment_config(["rate", "latency"]),
    }


@pytest.mark.parametrize(
    ("asked", "count", "excluded"),
    [
        (request(autoscaled=False), 3, ["DesiredInstanceCount"]),
        (request(autoscaled=True), 3, []),
        (request(before={"autoscaled": True}), 1, ["DesiredInstanceCount"]),
    ],
    ids=["edited count", "edited count under autoscaling", "autoscaling ends"],
)
def test_a_count_of_the_settings_arrives_unless_autoscaling_controls_it(
    asked: EndpointRequest, count: int, excluded: list[str]
) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    sagemaker.counts["new"] = count
    outcome = release(sagemaker, asked)
    sent = outcome.sent("update")["ExcludeRetainedVariantProperties"]
    assert [retained["VariantPropertyType"] for retained in sent] == excluded
    assert "scale" not in outcome.operations


def test_a_fleet_that_loses_its_autoscaling_gets_the_count_of_the_settings() -> None:
    busy = {**serving("new", "AllTraffic", count=8), "EndpointStatus": "Updating"}
    sagemaker = SageMaker(serving("new", "AllTraffic", count=8), updated=[busy, serving("new", "AllTraffic", count=2)])
    sagemaker.counts["new"] = 2
    fixed = request(before={"autoscaled": True})
    outcome = release(sagemaker, fixed)
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
    assert outcome.sent("scale") == {"DesiredWeightsAndCapacities": desired}
    assert outcome.live is not None and outcome.live.variants[0].desired_instances == 2
    assert release(sagemaker, fixed).operations.count("scale") == 1, "it has that count already"


def test_a_count_of_the_settings_that_does_not_arrive_is_a_failure() -> None:
    before = serving("new", "AllTraffic", count=1)
    unable = {**before, "FailureReason": "no capacity", "LastModifiedTime": datetime.fromtimestamp(1, UTC)}
    sagemaker = SageMaker(before, updated=[unable])
    sagemaker.counts["new"] = 2
    outcome = release(sagemaker, request(before={"autoscaled": True}))
    assert isinstance(outcome.error, ReleaseFailed)
    assert "no capacity" in outcome.text


def test_tags_are_set_and_outdated_ones_removed_and_others_kept() -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.tags |= {"CostEnv": "dev", "Old": "x", "Foreign": "y"}
    outcome = release(sagemaker, request(before={"tags": {"CostEnv": "dev", "Old": "x"}}))
    assert sagemaker.calls == [("tag", {"CostEnv": "prod"}), ("untag", {"keys": ["Old"]})]
    assert outcome.serves


@pytest.mark.parametrize(
    ("owner", "asked"),
    [
        ("p/other", request()),
        ("", request()),
        ("p/other", request(adopt=True)),
        ("p/other", request(before={"owner": "p/before"})),
    ],
)
def test_an_endpoint_that_does_not_belong_to_the_stack_is_unchanged(owner: str, asked: EndpointRequest) -> None:
    sagemaker = SageMaker(OLD, owner=owner)
    outcome = release(sagemaker, asked)
    assert isinstance(outcome.error, EndpointNotOwned)
    assert outcome.result is None
    with pytest.raises(EndpointNotOwned):
        driver(sagemaker, []).delete("e", "p/s", 600)
    assert sagemaker.operations == []


def test_a_renamed_stack_keeps_its_endpoint() -> None:
    outcome = release(SageMaker(NEW, owner="p/before"), request(before={"owner": "p/before"}))
    assert outcome.sagemaker.tags[OWNER_TAG] == "p/s"


@pytest.mark.parametrize(
    ("states", "updated", "operations"),
    [
        ([OLD], [UPDATING, NEW], ["update", "tag"]),
        ([OLD], [UPDATING, ROLLING_BACK, OLD], ["update"]),
        ([UPDATING, NEW], [], ["tag"]),
    ],
    ids=["adopted", "rolled back", "interrupted"],
)
def test_an_adopted_endpoint_is_tagged_once_it_serves_and_keeps_its_other_tags(
    states: list[Any], updated: list[Any], operations: list[str]
) -> None:
    sagemaker = SageMaker(*states, updated=updated, owner="")
    sagemaker.tags = {"aws:cloudformation:stack-name": "ranking", "Team": "ml"}
    outcome = release(sagemaker, request(adopt=True))
    assert outcome.operations == operations
    assert sagemaker.tags["Team"] == "ml"
    assert (sagemaker.tags.get(OWNER_TAG) == "p/s") == outcome.serves


def test_delete_waits_for_a_rollout_and_until_the_endpoint_is_gone() -> None:
    for states, operations in (([OLD], ["delete"]), ([UPDATING, UPDATING, NEW], ["delete"]), ([None], [])):
        sagemaker = SageMaker(*states)
        driver(sagemaker, []).delete("e", "p/s", 600)
        assert (sagemaker.operations, sagemaker.states) == (operations, [None])


def test_a_change_of_policy_or_alarms_alone_requests_nothing() -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.tags["CostEnv"] = "prod"
    assert release(sagemaker, watched(), CloudWatch(rate=["ALARM"])).operations == []


def test_a_state_is_reported_once() -> None:
    outcome = release(SageMaker(OLD, updated=[UPDATING, UPDATING, UPDATING, NEW]))
    assert outcome.lines == ["e: updating from old to new", "e: Updating"]


def test_the_pause_is_a_tenth_of_the_elapsed_time_within_bounds() -> None:
    time = FakeTime()
    clock = time.clock()
    for elapsed in (0, 30, 3000):
        time.at = clock.began + elapsed
        clock.pause()
    assert time.sleeps == pytest.approx([0.5, 3.0, 10.0])


def test_waiting_for_another_partys_change_ends_with_the_timeout() -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.update_errors = (refused("UpdateEndpoint", IN_PROGRESS) for _ in range(10_000))
    assert isinstance(release(sagemaker).error, ReleaseTimeout)
    assert len(sagemaker.operations) < 100


@pytest.mark.parametrize("policy", ["BlueGreenUpdatePolicy", "RollingUpdatePolicy"])
def test_another_rollout_has_the_time_of_its_own_policy(policy: str) -> None:
    slow = {**ELSEWHERE, "LastDeploymentConfig": {policy: {"MaximumExecutionTimeoutInSeconds": 7200}}}
    assert release(SageMaker(*[slow] * 300, OLD, updated=[NEW]), request(deadline_seconds=600)).serves


def test_waiting_for_another_rollout_leaves_the_release_its_own_time() -> None:
    sagemaker = SageMaker(*[ELSEWHERE] * 50, OLD, updated=[*[UPDATING] * 25, NEW])
    assert release(sagemaker, request(deadline_seconds=300)).serves


def test_a_rollback_names_the_alarms_that_fired_though_they_are_ok_again() -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking"), ROLLING_BACK, OLD])
    outcome = release(sagemaker, watched(), CloudWatch(rate=["OK", "ALARM", "OK"], latency=["OK"]))
    assert outcome.records[0].alarms == ("rate",)
    assert "Alarm rate fired: rate is ALARM" in outcome.text
    assert any(line.endswith("alarms: rate ALARM, 1 OK") for line in outcome.lines)


def test_a_rollback_names_an_alarm_that_fired_between_two_polls_from_its_history() -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking"), ROLLING_BACK, OLD])
    cloudwatch = CloudWatch(rate=["OK", "ALARM", "OK"], latency=["OK"])
    cloudwatch.history["latency"] = [state_update("latency", "OK", "fine"), state_update("latency", "ALARM", "slow")]
    outcome = release(sagemaker, watched(), cloudwatch)
    assert outcome.records[0].alarms == ("rate", "latency")
    assert "Alarm latency fired: slow" in outcome.text
    (asked,) = cloudwatch.histories_asked
    assert asked["StartDate"] == datetime.fromtimestamp(1_000, UTC), "when the rollout began"
    assert (asked["AlarmName"], asked["HistoryItemType"]) == ("latency", "StateUpdate"), "the other was observed"
    assert asked["AlarmTypes"] == ["MetricAlarm", "CompositeAlarm"], "either may roll back"
    assert asked["ScanBy"] == "TimestampDescending"


@pytest.mark.parametrize(
    ("reason", "others", "is_stop"),
    [
        ("One or more alarms went into ALARM", [], True),
        ("", [], True),
        ("ping failed", [], False),
        ("One or more alarms went into ALARM", ["ALARM"], False),
    ],
)
def test_a_release_that_a_person_stopped_is_not_put_down_to_the_model(
    reason: str, others: list[str], is_stop: bool
) -> None:
    back = {**ROLLING_BACK, "FailureReason": reason}
    asked = replace(watched(), rollback_alarms=("rate", "new-stop"))
    cloudwatch = CloudWatch(rate=["OK", *others, "OK"])
    cloudwatch.alarms["new-stop"] = ["OK", "ALARM", "OK"]
    outcome = release(SageMaker(OLD, updated=[rolling_out("Baking"), back, OLD]), asked, cloudwatch)
    assert outcome.result == "rolledBack"
    assert ("stopped by `release stop`" in outcome.text) == is_stop
    assert ("model_lifecycle" in outcome.text) != is_stop, "the log of the container"
    assert "Alarm new-stop fired: new-stop is ALARM" in outcome.text
    assert outcome.records[0].reason == ("new-stop is ALARM" if is_stop else reason)


def test_a_history_of_alarms_that_cannot_be_read_does_not_hide_the_failure() -> None:
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    cloudwatch.history["rate"] = [state_update("rate", "ALARM", "they fail")]
    cloudwatch.refused_histories = {"latency"}
    outcome = release(SageMaker(OLD, updated=[ROLLING_BACK, OLD]), watched(), cloudwatch)
    assert (outcome.result, outcome.records[0].alarms) == ("rolledBack", ("rate",))
    assert "alarm latency: DescribeAlarmHistory was refused: AccessDenied" in outcome.text


def test_a_release_that_succeeds_reads_no_history_of_alarms() -> None:
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    release(SageMaker(OLD, updated=[UPDATING, NEW]), watched(), cloudwatch)
    assert cloudwatch.histories_asked == []


def test_a_first_creation_that_fails_is_not_blamed_on_an_alarm() -> None:
    outcome = release(SageMaker(None, created=[CREATING, FAILED]), watched(), CloudWatch(rate=["ALARM"]))
    assert outcome.records[0].alarms == ()


def test_progress_has_stage_traffic_and_alarms_and_the_bake_is_ephemeral() -> None:
    ephemeral: list[str] = []
    updated = [
        rolling_out("Creating"),
        *[rolling_out("Baking", since=1_001.0)] * 90,
        rolling_out("ActivatingTraffic"),
        rolling_out("Baking", since=1_601.0),
        NEW,
    ]
    outcome = release(
        SageMaker(OLD, updated=updated),
        watched(deadline_seconds=9_000),
        CloudWatch(rate=["OK"], latency=["OK"]),
        report_ephemeral=ephemeral.append,
    )
    instances, half = "2 of 2 instances", "canary 1 of 2, 50 % of the traffic on the new fleet"
    assert outcome.lines == [
        "e: updating from old to new",
        f"e: Updating; AllTraffic Creating, {instances}; alarms: 2 OK",
        f"e: Updating; AllTraffic Baking, {instances}; {half}; alarms: 2 OK",
        "e: baked 5 of 10 minutes",
        f"e: Updating; AllTraffic ActivatingTraffic, {instances}; {half}; alarms: 2 OK",
        f"e: Updating; AllTraffic Baking, {instances}; canary 2 of 2, 100 % of the traffic on the new fleet; "
        "alarms: 2 OK",
    ]
    assert ephemeral[:3] == ["e: baked 0 of 10 minutes", "e: baked 1 of 10 minutes", "e: baked 2 of 10 minutes"]
    assert "e: baked 5 of 10 minutes" not in ephemeral


def test_a_rollback_is_not_shown_as_a_step_forward() -> None:
    back = {**rolling_out("Baking", since=1_005.0), "EndpointStatus": "RollingBack"}
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking", since=1_001.0), back, OLD])
    outcome = release(sagemaker, watched(), CloudWatch(rate=["OK"], latency=["OK"]))
    assert outcome.lines[-1] == "e: RollingBack; AllTraffic Baking, 2 of 2 instances; alarms: 2 OK"


def test_the_steps_of_an_attached_rollout_are_not_guessed() -> None:
    sagemaker = SageMaker(*[rolling_out("Baking", since=900.0)] * 2, NEW)
    assert "of the traffic" not in release(sagemaker, watched(), CloudWatch(rate=["OK"], latency=["OK"])).text


def test_alarms_that_cannot_be_read_for_a_while_do_not_end_a_rollout() -> None:
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    cloudwatch.refuse = True
    assert release(SageMaker(UPDATING, UPDATING, NEW), watched(), cloudwatch).serves


def test_a_bake_with_enough_requests_proves_the_release() -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking", since=1_100.0), NEW])
    cloudwatch = CloudWatch(counts=[40, 100])
    assert release(sagemaker, request(minimum_invocations=MinimumInvocations(100, "fail")), cloudwatch).serves
    assert len(cloudwatch.asked) == 2, "CloudWatch shows requests with a delay"
    assert {entry["Name"]: entry["Value"] for entry in cloudwatch.asked[0]["Dimensions"]} == {
        "EndpointName": "e",
        "VariantName": "AllTraffic",
        "EndpointConfigName": "new",
    }
    assert cloudwatch.asked[0]["StartTime"] == datetime.fromtimestamp(1_080, UTC), "the bake's begin, in full minutes"


def test_a_bake_with_too_few_requests_is_a_warning_or_a_failure() -> None:
    warning, failure = (
        release(
            SageMaker(OLD, updated=[UPDATING, NEW]),
            request(minimum_invocations=MinimumInvocations(100, otherwise)),
            CloudWatch(counts=[7]),
        )
        for otherwise in ("warn", "fail")
    )
    assert (warning.serves, warning.result, "7 of the 100" in warning.lines[-1]) == (True, "succeeded", True)
    assert (failure.result, "7 of the 100" in str(failure.error)) == ("failed", True)


def test_an_attached_update_needs_the_traffic_that_others_need() -> None:
    asked = request(minimum_invocations=MinimumInvocations(100, "fail"))
    assert release(lost_answer(UPDATING, UPDATING, NEW), asked).result == "failed"


def test_requests_are_not_counted_if_nothing_was_updated() -> None:
    asked, cloudwatch = request(minimum_invocations=MinimumInvocations(100, "fail")), CloudWatch()
    assert release(SageMaker(NEW), asked, cloudwatch).serves
    assert release(SageMaker(None, created=[CREATING, NEW]), asked, cloudwatch).serves
    assert cloudwatch.asked == []
