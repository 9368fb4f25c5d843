"""The release of an endpoint against a SageMaker that ends each change as a test decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.aws.errors import AwsRequestRefused
from infra.release.autoscaling import Record
from infra.release.failure import EndpointNotOwned, ReleaseFailed, ReleaseTimeout
from infra.release.gates import AlarmNotReady, MinimumInvocations
from infra.release.records import ReleaseRecord
from infra.release.request import OWNER_TAG, EndpointRequest
from tests.infra.release.fake_aws import (
    ARN,
    CREATING,
    ELSEWHERE,
    FAILED,
    NEW,
    OLD,
    POLICY,
    ROLLING_BACK,
    TARGET,
    UPDATING,
    CloudWatch,
    FakeTime,
    SageMaker,
    refused,
    release,
    request,
    rolling_out,
    serving,
    state_update,
    watched,
)


@pytest.fixture
def said() -> list[str]:
    return []


VARIANT = {key: TARGET[key] for key in ("ResourceId", "ScalableDimension")}


def test_a_new_endpoint_is_created_with_its_tags_and_waited_for(said: list[str]) -> None:
    sagemaker = SageMaker(None, created=[None, CREATING, CREATING, NEW])
    assert release(sagemaker, said).release(request()).serves("new")
    ((operation, sent),) = [call for call in sagemaker.calls if call[0] != "tag"]
    assert operation == "create"
    assert "DeploymentConfig" not in sent
    assert {tag["Key"]: tag["Value"] for tag in sent["Tags"]} == {"CostEnv": "prod", OWNER_TAG: "p/s"}


def test_a_failed_first_create_says_why_and_leaves_nothing_behind(said: list[str]) -> None:
    sagemaker = SageMaker(None, created=[CREATING, FAILED])
    with pytest.raises(ReleaseFailed, match="ping failed") as caught:
        release(sagemaker, said).release(request())
    assert "failed to load" in str(caught.value)
    assert sagemaker.operations == ["create", "delete"]


def test_a_failed_first_create_says_why_though_aws_cannot_be_reached_any_more(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://sagemaker")

    sagemaker = SageMaker(None, created=[CREATING, FAILED])
    monkeypatch.setattr(sagemaker, "delete_endpoint", unreachable)
    with pytest.raises(ReleaseFailed, match=r"ping failed[\s\S]*Deleting the failed endpoint failed"):
        release(sagemaker, said).release(request())


@pytest.mark.parametrize(("former", "recorded"), [("old", ["succeeded"]), ("new", []), (None, [])])
def test_a_release_that_nobody_saw_end_is_recorded_once_it_is_found_live(
    said: list[str], former: str | None, recorded: list[str]
) -> None:
    kept: list[ReleaseRecord] = []
    release(SageMaker(NEW), said, keep=[kept.append]).release(request(before={"config_name": former or ""}))
    assert [each.result for each in kept] == recorded
    assert [(each.from_config, each.seconds) for each in kept] == [("old", 0)] * len(recorded)
    assert all("its duration is not known" in each.reason for each in kept)


def test_a_failed_endpoint_found_at_the_start_is_deleted_and_created_again(said: list[str]) -> None:
    sagemaker = SageMaker(FAILED, created=[CREATING, NEW])
    assert release(sagemaker, said).release(request()).serves("new")
    assert sagemaker.operations[:2] == ["delete", "create"]


def test_an_update_keeps_live_capacity(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    assert release(sagemaker, said).release(request()).serves("new")
    assert sagemaker.calls[0] == (
        "update",
        {
            "EndpointName": "e",
            "EndpointConfigName": "new",
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [],
            "DeploymentConfig": {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
                    "TerminationWaitInSeconds": 0,
                    "MaximumExecutionTimeoutInSeconds": 3600,
                }
            },
        },
    )


@pytest.mark.parametrize(("autoscaled", "excluded"), [(False, ["DesiredInstanceCount"]), (True, [])])
def test_an_edited_instance_count_arrives_unless_autoscaling_owns_it(
    said: list[str], autoscaled: bool, excluded: list[str]
) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    sagemaker.counts["new"] = 3
    release(sagemaker, said).release(request(autoscaled=autoscaled))
    sent = sagemaker.calls[0][1]["ExcludeRetainedVariantProperties"]
    assert [each["VariantPropertyType"] for each in sent] == excluded


def test_a_fleet_that_loses_its_autoscaling_gets_the_count_of_the_settings(said: list[str]) -> None:
    busy = {**serving("new", "AllTraffic", count=8), "EndpointStatus": "Updating"}
    sagemaker = SageMaker(serving("new", "AllTraffic", count=8), updated=[busy, serving("new", "AllTraffic", count=2)])
    sagemaker.counts["new"] = 2
    fixed = request(before={"autoscaled": True})
    (variant,) = release(sagemaker, said).release(fixed).variants
    scaled = {"DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]}
    assert sagemaker.calls[0] == ("scale", scaled)
    assert variant.desired_instances == 2
    release(sagemaker, said).release(fixed)
    assert sagemaker.operations.count("scale") == 1, "it has that count already"


def test_a_count_of_the_settings_that_does_not_arrive_is_a_failure(said: list[str]) -> None:
    before = serving("new", "AllTraffic", count=1)
    unable = {**before, "FailureReason": "no capacity", "LastModifiedTime": datetime.fromtimestamp(1, UTC)}
    sagemaker = SageMaker(before, updated=[unable])
    sagemaker.counts["new"] = 2
    with pytest.raises(
        ReleaseFailed, match=r"did not reach the instance count of the settings \(AllTraffic 2\)[\s\S]*no capacity"
    ):
        release(sagemaker, said).release(request(before={"autoscaled": True}))


def test_a_release_that_ends_autoscaling_brings_the_count_of_the_settings(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    release(sagemaker, said).release(request(before={"autoscaled": True}))
    sent = sagemaker.calls[0][1]["ExcludeRetainedVariantProperties"]
    assert [each["VariantPropertyType"] for each in sent] == ["DesiredInstanceCount"]
    assert "scale" not in sagemaker.operations


def test_a_rolled_back_update_is_a_failure_although_the_endpoint_is_in_service(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD])
    with pytest.raises(ReleaseFailed) as caught:
        release(sagemaker, said).release(request())
    assert "old is live" in str(caught.value)
    assert "ping failed" in str(caught.value), "the reason was shown only during the rollback"
    assert sagemaker.operations == ["update"]


def test_an_update_under_way_to_the_same_configuration_is_attached_to(said: list[str]) -> None:
    sagemaker = SageMaker(UPDATING, UPDATING, NEW)
    assert release(sagemaker, said).release(request()).serves("new")
    assert "update" not in sagemaker.operations
    assert said[0] == "e: Updating to new; attaching"


def lost_answer(*after: dict[str, Any]) -> SageMaker:
    """A SageMaker whose answer to UpdateEndpoint was lost: boto3 asked again, and the update was under way by then."""
    sagemaker = SageMaker(OLD)

    def update_endpoint(**request: Any) -> None:
        sagemaker.calls.append(("update", request))
        sagemaker.states = list(after)
        raise refused("UpdateEndpoint", "Cannot update in-progress endpoint")

    sagemaker.update_endpoint = update_endpoint  # type: ignore[method-assign]
    return sagemaker


def test_an_update_whose_answer_was_lost_is_attached_to(said: list[str]) -> None:
    sagemaker = lost_answer(UPDATING, UPDATING, ROLLING_BACK, OLD)
    kept: list[ReleaseRecord] = []
    with pytest.raises(ReleaseFailed, match="was rolled back"):
        release(sagemaker, said, keep=[kept.append]).release(request())
    assert sagemaker.operations == ["update"], "a bad model is not released twice"
    assert [each.result for each in kept] == ["rolledBack"]


def test_an_update_whose_answer_was_lost_needs_the_traffic_that_others_need(said: list[str]) -> None:
    minimum = MinimumInvocations(100, "fail")
    with pytest.raises(ReleaseFailed, match="0 of the 100 requests"):
        release(lost_answer(UPDATING, UPDATING, NEW), said).release(request(minimum_invocations=minimum))


def test_a_create_under_way_is_attached_to(said: list[str]) -> None:
    sagemaker = SageMaker(CREATING, NEW)
    assert release(sagemaker, said).release(request()).serves("new")
    assert "create" not in sagemaker.operations


def test_the_failure_of_an_attached_update_is_reported_and_not_tried_again(said: list[str]) -> None:
    sagemaker = SageMaker(UPDATING, OLD)
    with pytest.raises(ReleaseFailed):
        release(sagemaker, said).release(request())
    assert sagemaker.operations == []


def test_an_update_to_another_configuration_is_waited_out_and_named(said: list[str]) -> None:
    sagemaker = SageMaker(ELSEWHERE, OLD, updated=[UPDATING, NEW])
    assert release(sagemaker, said).release(request()).serves("new")
    assert said[0] == "e: Updating to other; waiting for it to finish first"
    assert sagemaker.operations[0] == "update"


def test_system_updates_are_waited_out(said: list[str]) -> None:
    sagemaker = SageMaker({**OLD, "EndpointStatus": "SystemUpdating"}, OLD, updated=[NEW])
    assert release(sagemaker, said).release(request()).serves("new")


def test_an_update_that_lost_the_race_to_another_one_is_asked_again(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, ELSEWHERE, OLD, updated=[NEW])
    sagemaker.update_errors = iter([refused("UpdateEndpoint", f'Cannot update in-progress endpoint "{ARN}".')])
    assert release(sagemaker, said).release(request()).serves("new")
    assert sagemaker.operations[:2] == ["update", "update"]


def test_nothing_is_asked_of_an_endpoint_that_serves_already(said: list[str]) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.tags["CostEnv"] = "prod"
    assert release(sagemaker, said).release(request()).serves("new")
    assert sagemaker.operations == []


def test_changed_tags_are_put_and_foreign_ones_left(said: list[str]) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.tags |= {"CostEnv": "dev", "Team": "x"}
    release(sagemaker, said).release(request())
    assert sagemaker.calls == [("tag", {"CostEnv": "prod"})]


@pytest.mark.parametrize("owner", ["p/other", ""])
def test_a_foreign_endpoint_is_left_alone(said: list[str], owner: str) -> None:
    sagemaker = SageMaker(OLD, owner=owner)
    with pytest.raises(EndpointNotOwned, match=owner or "no tag"):
        release(sagemaker, said).release(request())
    with pytest.raises(EndpointNotOwned):
        release(sagemaker, said).delete("e", "p/s", 600)
    assert sagemaker.operations == []


def test_a_release_that_never_ends_is_given_up_and_nothing_undone(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING])
    with pytest.raises(ReleaseTimeout, match="still Updating after 600 s"):
        release(sagemaker, said).release(request())
    assert sagemaker.operations == ["update"]


def test_a_rollback_that_failed_is_final(said: list[str]) -> None:
    sagemaker = SageMaker({**OLD, "EndpointStatus": "UpdateRollbackFailed"})
    with pytest.raises(ReleaseFailed, match="so did its rollback"):
        release(sagemaker, said).release(request())
    assert sagemaker.operations == []


def test_an_endpoint_deleted_meanwhile_is_a_failure(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, None])
    with pytest.raises(ReleaseFailed, match="deleted by another party"):
        release(sagemaker, said).release(request())


def test_what_sagemaker_refuses_is_shown_with_operation_and_endpoint(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.update_errors = iter([refused("UpdateEndpoint", "1 validation error")])
    with pytest.raises(
        AwsRequestRefused, match="endpoint e: UpdateEndpoint was refused: ValidationException: 1 validation error"
    ):
        release(sagemaker, said).release(request())


def test_an_instance_type_change_takes_autoscaling_off_and_puts_it_back(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == [
        "record",
        "deregister",
        "update",
        "register",
        "tag target",
        "policy",
        "forget",
        "tag",
    ]
    calls = dict(sagemaker.calls)
    assert calls["register"] == {"ServiceNamespace": "sagemaker", **TARGET}
    assert calls["tag target"] == {"ResourceARN": "arn:target", "Tags": {"CostEnv": "prod"}}
    assert calls["policy"] == {"ServiceNamespace": "sagemaker", **POLICY}
    assert sagemaker.s3.objects == {}


def test_changed_tags_reach_the_scalable_target_that_a_release_registered_anew(said: list[str]) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.tags = {"CostEnv": "dev", "Gone": "x", "Theirs": "y"}
    release(sagemaker, said).release(request(autoscaled=True, before={"tags": {"CostEnv": "dev", "Gone": "x"}}))
    assert sagemaker.calls[-2:] == [
        ("tag target", {"ResourceARN": "arn:target", "Tags": {"CostEnv": "prod"}}),
        ("untag target", {"ResourceARN": "arn:target", "TagKeys": ["Gone"]}),
    ]


@pytest.mark.parametrize(
    "asked",
    [
        request(autoscaled=True, before={"tags": {"CostEnv": "prod"}}),
        request(autoscaled=True, before={"autoscaled": False}),
        request(autoscaled=False, before={"autoscaled": False}),
    ],
)
def test_scalable_targets_are_left_alone_where_nothing_changes_or_pulumi_has_yet_to_register_them(
    said: list[str], asked: EndpointRequest
) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.tags = {"CostEnv": "dev"}
    release(sagemaker, said).release(asked)
    assert not {"tag target", "untag target"} & set(sagemaker.operations)


def test_autoscaling_comes_back_when_the_update_rolls_back(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD])
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    with pytest.raises(ReleaseFailed):
        release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["record", "deregister", "update", "register", "tag target", "policy", "forget"]


def test_autoscaling_comes_back_when_the_update_is_refused(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    sagemaker.update_errors = iter([refused("UpdateEndpoint", "1 validation error")])
    with pytest.raises(AwsRequestRefused):
        release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["record", "deregister", "update", "register", "tag target", "policy", "forget"]


def test_autoscaling_taken_off_by_an_interrupted_release_comes_back_with_the_next(said: list[str]) -> None:
    record: Record = {"targets": [TARGET], "policies": [POLICY], "actions": []}
    sagemaker = SageMaker(UPDATING, NEW)
    sagemaker.recorded(record)
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["register", "policy", "forget", "tag"]


def test_autoscaling_that_the_settings_end_is_not_put_back(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.types["new"] = "ml.t2.medium"  # on which AWS would refuse it
    sagemaker.autoscaling.register()
    release(sagemaker, said).release(request(before={"autoscaled": True}))
    assert sagemaker.operations == ["record", "deregister", "update", "forget", "tag"]


def test_autoscaling_that_the_settings_end_comes_back_with_a_rollback(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD])
    sagemaker.types["new"] = "ml.t2.medium"
    sagemaker.autoscaling.register()
    with pytest.raises(ReleaseFailed):
        release(sagemaker, said).release(request(before={"autoscaled": True}))
    assert {"register", "policy", "forget"} <= set(sagemaker.operations)


def test_autoscaling_that_a_refresh_found_missing_is_left_to_pulumi(said: list[str]) -> None:
    action = {**VARIANT, "ScheduledActionName": "nights", "Schedule": "cron(0 0 * * ? *)"}
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": [action]})
    release(sagemaker, said).release(request(autoscaled=True, before={"autoscaled": False}))
    assert sagemaker.operations == ["update", "forget", "tag"]
    assert "these scheduled actions are not restored: nights" in said[-1]


def test_autoscaling_that_a_refresh_found_missing_stays_recorded_after_a_rollback(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD])
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": []})
    with pytest.raises(
        ReleaseFailed, match=r"autoscaling is removed\. The next `pulumi up` that succeeds registers it"
    ):
        release(sagemaker, said).release(request(autoscaled=True, before={"autoscaled": False}))
    assert sagemaker.operations == ["update"]


def test_alarms_of_a_step_scaling_policy_are_told_to_act_on_the_one_made_anew(said: list[str]) -> None:
    step = {**POLICY, "PolicyName": "busy", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": {}}
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.registered["ScalingPolicies"] = [
        {**step, "PolicyARN": "arn:policy", "Alarms": [{"AlarmName": "cpu-high", "AlarmARN": "arn:alarm"}]}
    ]
    release(sagemaker, said).release(request(autoscaled=True))
    assert dict(sagemaker.calls)["policy"] == {"ServiceNamespace": "sagemaker", **step}
    (told,) = [line for line in said if "cpu-high" in line]
    assert "busy is restored as arn:policy-made-anew" in told


def test_a_scheduled_action_whose_time_has_passed_keeps_nothing_from_coming_back(said: list[str]) -> None:
    over = {**VARIANT, "ScheduledActionName": "launch", "Schedule": "at(2000-01-01T00:00:00)"}
    nights = {**over, "ScheduledActionName": "nights", "Schedule": "cron(0 0 * * ? *)"}
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": [over, nights]})
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations[-5:] == ["register", "policy", "action", "forget", "tag"]
    assert any("the scheduled action launch (at(2000-01-01T00:00:00)) is not restored" in line for line in said)


def test_another_release_under_autoscaling_leaves_it_alone(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    sagemaker.autoscaling.register()
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["update", "tag"]


def test_autoscaling_is_taken_off_where_nobody_knows_the_live_instance_type(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.deleted_configs = {"old"}
    sagemaker.autoscaling.register()
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations[:3] == ["record", "deregister", "update"]


def test_autoscaling_comes_back_when_aws_cannot_be_reached(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    sagemaker.update_errors = iter([EndpointConnectionError(endpoint_url="https://sagemaker")])
    with pytest.raises(AwsRequestRefused, match="could not reach AWS"):
        release(sagemaker, said).release(request(autoscaled=True))
    assert {"register", "policy", "forget"} <= set(sagemaker.operations)


@pytest.mark.parametrize(
    ("ends", "error", "told"),
    [
        ({**OLD, "EndpointStatus": "UpdateRollbackFailed"}, ReleaseFailed, "Its autoscaling is still removed"),
        (UPDATING, ReleaseTimeout, "its autoscaling is removed until"),
    ],
)
def test_autoscaling_that_has_to_stay_off_is_told(
    said: list[str], ends: dict[str, Any], error: type[Exception], told: str
) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, ends])
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.autoscaling.register()
    with pytest.raises(error) as caught:
        release(sagemaker, said).release(request(autoscaled=True))
    assert told in f"{caught.value} {said}"
    assert "register" not in sagemaker.operations


def test_a_failed_endpoint_that_is_created_anew_gets_its_autoscaling_back(said: list[str]) -> None:
    sagemaker = SageMaker(FAILED, created=[CREATING, NEW])
    sagemaker.autoscaling.register()
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["record", "delete", "create", "register", "tag target", "policy", "forget"]


def test_a_live_configuration_that_somebody_deleted_does_not_stop_the_next_release(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.deleted_configs = {"old"}
    assert release(sagemaker, said).release(request()).serves("new")


def test_an_answer_from_before_the_update_is_no_rollback(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[OLD, OLD, UPDATING, NEW])
    assert release(sagemaker, said).release(request()).serves("new")


def test_waiting_for_somebody_elses_change_ends_with_the_timeout(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.update_errors = (refused("UpdateEndpoint", "Cannot update in-progress endpoint") for _ in range(10_000))
    with pytest.raises(ReleaseTimeout, match="busy with another change"):
        release(sagemaker, said).release(request())
    assert len(sagemaker.operations) < 100


def test_a_renamed_stack_keeps_its_endpoint(said: list[str]) -> None:
    sagemaker = SageMaker(NEW, owner="p/before")
    release(sagemaker, said).release(request(before={"owner": "p/before"}))
    assert sagemaker.tags[OWNER_TAG] == "p/s"


def test_a_renamed_stack_is_told_of_a_foreign_endpoint_under_its_new_name(said: list[str]) -> None:
    sagemaker = SageMaker(NEW, owner="p/other")
    with pytest.raises(EndpointNotOwned, match="not to p/s"):
        release(sagemaker, said).release(request(before={"owner": "p/before"}))


def test_a_tag_that_is_no_longer_asked_for_goes(said: list[str]) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.tags |= {"CostEnv": "prod", "Old": "x", "Foreign": "y"}
    release(sagemaker, said).release(request(before={"tags": {"CostEnv": "prod", "Old": "x"}}))
    assert sagemaker.calls == [("untag", {"keys": ["Old"]})]


def test_a_failed_endpoint_that_cannot_be_deleted_does_not_hide_why_it_failed(said: list[str]) -> None:
    sagemaker = SageMaker(None, created=[CREATING, FAILED])

    def denied(EndpointName: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DeleteEndpoint")

    sagemaker.delete_endpoint = denied  # type: ignore[method-assign]
    with pytest.raises(ReleaseFailed, match=r"ping failed[\s\S]*Deleting the failed endpoint failed: .*not you"):
        release(sagemaker, said).release(request())


def test_delete_waits_until_the_endpoint_is_gone(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    release(sagemaker, said).delete("e", "p/s", 600)
    assert sagemaker.operations == ["delete"]
    assert sagemaker.states == [None]


def test_delete_waits_for_a_rollout_first(said: list[str]) -> None:
    sagemaker = SageMaker(UPDATING, UPDATING, NEW)
    release(sagemaker, said).delete("e", "p/s", 600)
    assert sagemaker.operations == ["delete"]


def test_deleting_what_is_gone_is_fine(said: list[str]) -> None:
    sagemaker = SageMaker(None)
    release(sagemaker, said).delete("e", "p/s", 600)
    assert sagemaker.operations == []


def test_a_state_is_reported_once(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, UPDATING, UPDATING, NEW])
    release(sagemaker, said).release(request())
    assert said == ["e: updating from old to new", "e: Updating"]


def test_the_pause_is_a_tenth_of_what_has_passed_within_bounds() -> None:
    time = FakeTime()
    clock = time.clock()
    for elapsed in (0, 30, 3000):
        time.at = clock.began + elapsed
        clock.pause()
    assert time.sleeps == pytest.approx([0.5, 3.0, 10.0])


def test_an_update_is_asked_for_with_its_strategy_and_alarms(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    release(sagemaker, said, CloudWatch(rate=["OK"], latency=["INSUFFICIENT_DATA"])).release(watched())
    sent = sagemaker.calls[0][1]["DeploymentConfig"]
    assert sent["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert sent["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "rate"}, {"AlarmName": "latency"}]}


def test_a_missing_alarm_is_an_error_before_anything_is_changed(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    with pytest.raises(AlarmNotReady, match="alarm latency does not exist in ap-northeast-1, account 123456789012"):
        release(sagemaker, said, CloudWatch(rate=["OK"])).release(watched())
    assert sagemaker.operations == []


def test_an_alarm_that_fires_already_is_an_error_before_anything_is_changed(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    with pytest.raises(AlarmNotReady, match=r"alarm rate is in ALARM already \(rate is ALARM\).* from alarms.existing"):
        release(sagemaker, said, CloudWatch(rate=["ALARM"], latency=["OK"])).release(watched())
    assert sagemaker.operations == []


def test_an_alarm_of_this_very_configuration_that_still_fires_says_what_brings_a_new_one(said: list[str]) -> None:
    cloudwatch = CloudWatch()
    cloudwatch.alarms["new-error-rate"] = ["ALARM"]
    with pytest.raises(AlarmNotReady, match=r"earlier release of this same configuration\. Change the model"):
        release(SageMaker(OLD), said, cloudwatch).release(watched(rollback_alarms=("new-error-rate",)))


def test_a_composite_alarm_rolls_back_too(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[NEW])
    release(sagemaker, said, CloudWatch(composite=["OK"])).release(watched(rollback_alarms=("composite",)))
    assert sagemaker.operations[0] == "update"


def test_a_change_of_strategy_or_alarms_alone_asks_nothing_of_the_endpoint(said: list[str]) -> None:
    sagemaker = SageMaker(NEW)
    sagemaker.tags["CostEnv"] = "prod"
    release(sagemaker, said, CloudWatch(rate=["ALARM"])).release(watched())
    assert sagemaker.operations == []


def test_alarms_that_may_not_be_read_are_an_error_before_anything_is_changed(said: list[str]) -> None:
    sagemaker, cloudwatch = SageMaker(OLD), CloudWatch()
    cloudwatch.refuse = True
    with pytest.raises(AwsRequestRefused, match="DescribeAlarms was refused: AccessDenied"):
        release(sagemaker, said, cloudwatch).release(watched())
    assert sagemaker.operations == []


def test_a_rollback_names_the_alarms_that_fired_though_they_are_ok_again_when_it_is_over(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking"), ROLLING_BACK, OLD])
    cloudwatch = CloudWatch(rate=["OK", "ALARM", "OK"], latency=["OK"])
    with pytest.raises(ReleaseFailed) as caught:
        release(sagemaker, said, cloudwatch).release(watched())
    assert "Alarm rate fired: rate is ALARM" in str(caught.value)
    assert any(line.endswith("alarms: rate ALARM, 1 OK") for line in said)
    assert "latency" not in str(caught.value)
    assert "old is live" in str(caught.value)


def test_a_rollback_names_an_alarm_that_fired_between_two_looks_from_its_history(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking"), ROLLING_BACK, OLD])
    cloudwatch = CloudWatch(rate=["OK", "ALARM", "OK"], latency=["OK"])
    cloudwatch.history["latency"] = [state_update("latency", "OK", "fine"), state_update("latency", "ALARM", "slow")]
    records: list[ReleaseRecord] = []
    with pytest.raises(ReleaseFailed) as caught:
        release(sagemaker, said, cloudwatch, keep=[records.append]).release(watched())
    assert "  Alarm rate fired: rate is ALARM\n  Alarm latency fired: slow\n" in str(caught.value)
    assert records[0].alarms == ("rate", "latency")
    (asked,) = cloudwatch.histories_asked
    assert asked["StartDate"] == datetime.fromtimestamp(1_000, UTC), "when the rollout began"
    assert (asked["AlarmName"], asked["HistoryItemType"]) == ("latency", "StateUpdate"), "the other was seen firing"
    assert asked["AlarmTypes"] == ["MetricAlarm", "CompositeAlarm"], "either may roll back"
    assert asked["ScanBy"] == "TimestampDescending"


def test_a_history_of_alarms_that_may_not_be_read_does_not_hide_the_failure(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[ROLLING_BACK, OLD])
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    cloudwatch.history["rate"] = [state_update("rate", "ALARM", "they fail")]
    cloudwatch.refused_histories = {"latency"}
    with pytest.raises(ReleaseFailed, match="the release of new was rolled back; old is live") as caught:
        release(sagemaker, said, cloudwatch).release(watched())
    assert "Alarm rate fired: they fail" in str(caught.value)
    assert "may be missing here: alarm latency: DescribeAlarmHistory was refused: AccessDenied" in str(caught.value)


def test_a_release_that_succeeds_asks_for_no_history_of_alarms(said: list[str]) -> None:
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    release(SageMaker(OLD, updated=[UPDATING, NEW]), said, cloudwatch).release(watched())
    assert cloudwatch.histories_asked == []


def test_a_first_create_that_fails_is_not_blamed_on_an_alarm(said: list[str]) -> None:
    sagemaker = SageMaker(None, created=[CREATING, FAILED])
    with pytest.raises(ReleaseFailed) as caught:
        release(sagemaker, said, CloudWatch(rate=["ALARM"])).release(watched())
    assert "rate" not in str(caught.value)


def test_progress_tells_stage_traffic_and_alarms_and_the_bake_in_passing(said: list[str]) -> None:
    passing: list[str] = []
    sagemaker = SageMaker(
        OLD,
        updated=[
            rolling_out("Creating"),
            *[rolling_out("Baking", since=1_001.0)] * 90,
            rolling_out("ActivatingTraffic"),
            rolling_out("Baking", since=1_601.0),
            NEW,
        ],
    )
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    release(sagemaker, said, cloudwatch, report_ephemeral=passing.append).release(watched(deadline_seconds=9_000))
    assert said == [
        "e: updating from old to new",
        "e: Updating; AllTraffic Creating, 2 of 2 instances; alarms: 2 OK",
        "e: Updating; AllTraffic Baking, 2 of 2 instances; canary 1 of 2, 50 % of the traffic on the new fleet; "
        "alarms: 2 OK",
        "e: baked 5 of 10 minutes",
        "e: Updating; AllTraffic ActivatingTraffic, 2 of 2 instances; canary 1 of 2, 50 % of the traffic on the new "
        "fleet; alarms: 2 OK",
        "e: Updating; AllTraffic Baking, 2 of 2 instances; canary 2 of 2, 100 % of the traffic on the new fleet; "
        "alarms: 2 OK",
    ]
    assert passing[:3] == ["e: baked 0 of 10 minutes", "e: baked 1 of 10 minutes", "e: baked 2 of 10 minutes"]
    assert "e: baked 5 of 10 minutes" not in passing


def test_a_rollback_is_not_told_as_a_step_forward(said: list[str]) -> None:
    back = {**rolling_out("Baking", since=1_005.0), "EndpointStatus": "RollingBack"}
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking", since=1_001.0), back, OLD])
    with pytest.raises(ReleaseFailed):
        release(sagemaker, said, CloudWatch(rate=["OK"], latency=["OK"])).release(watched())
    assert said[-1] == "e: RollingBack; AllTraffic Baking, 2 of 2 instances; alarms: 2 OK"


def test_the_steps_of_a_rollout_that_was_attached_to_are_not_guessed(said: list[str]) -> None:
    sagemaker = SageMaker(*[rolling_out("Baking", since=900.0)] * 2, NEW)
    release(sagemaker, said, CloudWatch(rate=["OK"], latency=["OK"])).release(watched())
    assert not [line for line in said if "of the traffic" in line]


def test_alarms_that_cannot_be_read_for_a_while_do_not_end_a_rollout(said: list[str]) -> None:
    cloudwatch = CloudWatch(rate=["OK"], latency=["OK"])
    cloudwatch.refuse = True
    assert release(SageMaker(UPDATING, UPDATING, NEW), said, cloudwatch).release(watched()).serves("new")


def test_a_bake_with_enough_requests_proves_the_release(said: list[str]) -> None:
    warned: list[str] = []
    sagemaker = SageMaker(OLD, updated=[rolling_out("Baking", since=1_100.0), NEW])
    cloudwatch = CloudWatch(counts=[40, 100])
    minimum = MinimumInvocations(100, "fail")
    release(sagemaker, said, cloudwatch, warn=warned.append).release(request(minimum_invocations=minimum))
    assert warned == []
    assert len(cloudwatch.asked) == 2, "what CloudWatch does not show yet is asked for again"
    assert {each["Name"]: each["Value"] for each in cloudwatch.asked[0]["Dimensions"]} == {
        "EndpointName": "e",
        "VariantName": "AllTraffic",
        "EndpointConfigName": "new",
    }
    assert cloudwatch.asked[0]["StartTime"] == datetime.fromtimestamp(1_080, UTC), "the bake's begin, in whole minutes"


def test_a_bake_with_too_few_requests_is_a_warning_or_where_asked_a_failure(said: list[str]) -> None:
    warned: list[str] = []
    choices: list[Literal["warn", "fail"]] = ["warn", "fail"]
    for otherwise in choices:
        sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
        driver = release(sagemaker, said, CloudWatch(counts=[7]), warn=warned.append)
        wanted = request(minimum_invocations=MinimumInvocations(100, otherwise))
        if otherwise == "warn":
            assert driver.release(wanted).serves("new")
        else:
            with pytest.raises(ReleaseFailed, match="new is live, but its fleet received 7 of the 100 requests"):
                driver.release(wanted)
    assert len(warned) == 1
    assert "7 of the 100" in warned[0]


def test_requests_are_not_asked_for_where_nothing_was_released(said: list[str]) -> None:
    wanted = request(minimum_invocations=MinimumInvocations(100, "fail"))
    cloudwatch = CloudWatch()
    release(SageMaker(NEW), said, cloudwatch).release(wanted)
    release(SageMaker(None, created=[CREATING, NEW]), said, cloudwatch).release(wanted)
    assert cloudwatch.asked == []


@pytest.mark.parametrize("policy", ["BlueGreenUpdatePolicy", "RollingUpdatePolicy"])
def test_another_rollout_is_given_the_time_of_its_own_policy(said: list[str], policy: str) -> None:
    slow = {**ELSEWHERE, "LastDeploymentConfig": {policy: {"MaximumExecutionTimeoutInSeconds": 7200}}}
    sagemaker = SageMaker(*[slow] * 300, OLD, updated=[NEW])
    assert release(sagemaker, said).release(request(deadline_seconds=600)).serves("new")


def test_another_rollout_that_is_waited_out_leaves_the_release_its_whole_time(said: list[str]) -> None:
    sagemaker = SageMaker(*[ELSEWHERE] * 50, OLD, updated=[*[UPDATING] * 25, NEW])
    assert release(sagemaker, said).release(request(deadline_seconds=300)).serves("new")


def test_a_failed_endpoint_whose_targets_are_off_already_gets_what_was_recorded(said: list[str]) -> None:
    sagemaker = SageMaker(FAILED, created=[CREATING, NEW])
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": []})
    release(sagemaker, said).release(request())
    assert sagemaker.operations[:2] == ["delete", "create"]
    assert {"register", "policy"} <= set(sagemaker.operations)


def test_a_record_survives_a_failed_endpoint_and_the_one_created_anew_that_failed_too(said: list[str]) -> None:
    sagemaker = SageMaker(FAILED, created=[CREATING, FAILED])
    sagemaker.autoscaling.register()
    with pytest.raises(ReleaseFailed, match="it creates the endpoint again"):
        release(sagemaker, said).release(request())
    assert sagemaker.operations == ["record", "delete", "create", "delete"]
    sagemaker.created = [CREATING, NEW]
    release(sagemaker, said).release(request(autoscaled=True))
    assert {"register", "policy", "forget"} <= set(sagemaker.operations)


def test_autoscaling_comes_back_though_the_engine_was_killed_before_a_failed_endpoint_was_created_anew(
    said: list[str],
) -> None:
    sagemaker = SageMaker(None, created=[CREATING, NEW])
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": []})
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["create", "register", "policy", "forget"]


def test_a_record_is_not_replaced_by_what_an_interrupted_release_left_registered(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, NEW])
    sagemaker.types["new"] = "ml.m5.large"
    sagemaker.recorded({"targets": [TARGET], "policies": [POLICY], "actions": []})
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.registered["ScalingPolicies"] = []
    release(sagemaker, said).release(request(autoscaled=True))
    assert sagemaker.operations == ["deregister", "update", "register", "policy", "forget", "tag"]


def test_a_record_goes_with_its_endpoint(said: list[str]) -> None:
    sagemaker = SageMaker(OLD)
    sagemaker.recorded({"targets": [TARGET], "policies": [], "actions": []})
    release(sagemaker, said).delete("e", "p/s", 600)
    assert sagemaker.operations == ["delete", "forget"]


def test_a_count_that_moves_before_the_update_shows_is_no_rollback(said: list[str]) -> None:
    def live(count: int, modified: int) -> dict[str, Any]:
        variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": count, "DesiredInstanceCount": 2}
        return {**OLD, "LastModifiedTime": datetime.fromtimestamp(modified, UTC), "ProductionVariants": [variant]}

    sagemaker = SageMaker(live(1, 1), updated=[live(2, 1), UPDATING, NEW])
    assert release(sagemaker, said).release(request()).serves("new")


def test_autoscaling_that_cannot_come_back_does_not_hide_the_rollback(said: list[str]) -> None:
    sagemaker = SageMaker(OLD, updated=[UPDATING, ROLLING_BACK, OLD])
    sagemaker.types["new"] = "ml.m5.xlarge"
    sagemaker.autoscaling.register()

    def denied(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "RegisterScalableTarget")

    sagemaker.autoscaling.register_scalable_target = denied  # type: ignore[assignment]
    with pytest.raises(ReleaseFailed) as caught:
        release(sagemaker, said).release(request())
    assert "old is live" in str(caught.value)
    assert "Its autoscaling is still removed" in str(caught.value)
