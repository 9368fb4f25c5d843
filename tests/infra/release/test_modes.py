"""Releases of asynchronous and serverless endpoints, and changes between modes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from infra.aws.mode import Mode
from infra.release import modes
from infra.release.failure import ReleaseRefused
from infra.release.gates import MinimumInvocations
from infra.release.live import EndpointDescription, VariantDescription
from tests.infra.release.fake_aws import (
    ARN,
    CANARY,
    NEW,
    OLD,
    POLICY,
    TARGET,
    UPDATING,
    CloudWatch,
    Outcome,
    SageMaker,
    asynchronous,
    release,
    request,
    serverless,
    serving,
    watched,
)

CONCURRENCY = {"ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency"}


def test_only_serverless_becomes_real_time() -> None:
    changes = [(live, new) for live, new in product(Mode, Mode) if live is not Mode.BATCH and live is not new]
    allowed = [change for change in changes if modes.refusal("e", *change) is None]
    assert allowed == [(Mode.SERVERLESS, Mode.REAL_TIME)]
    assert modes.caution("e", *allowed[0]) and not modes.caution("e", Mode.SERVERLESS, Mode.SERVERLESS)


def of(live: Mode, new: Mode, *states: dict[str, Any], updated: list[Any] | None = None) -> SageMaker:
    """A SageMaker with two configurations of these modes."""
    sagemaker = SageMaker(*states, updated=updated)
    sagemaker.modes = {"old": live, "new": new}
    return sagemaker


@pytest.mark.parametrize(
    ("live", "new"),
    [
        (Mode.REAL_TIME, Mode.SERVERLESS),
        (Mode.REAL_TIME, Mode.ASYNCHRONOUS),
        (Mode.ASYNCHRONOUS, Mode.REAL_TIME),
        (Mode.ASYNCHRONOUS, Mode.SERVERLESS),
        (Mode.SERVERLESS, Mode.ASYNCHRONOUS),
    ],
)
def test_a_change_of_mode_is_refused_before_anything_changes(live: Mode, new: Mode) -> None:
    outcome = release(of(live, new, OLD))
    assert isinstance(outcome.error, ReleaseRefused)
    assert (outcome.operations, outcome.result) == ([], "refused")


def test_a_failed_endpoint_is_created_again_in_another_mode() -> None:
    failed = {**OLD, "EndpointStatus": "Failed"}
    sagemaker = of(Mode.REAL_TIME, Mode.SERVERLESS, failed)
    sagemaker.created = [serverless("new")]
    outcome = release(sagemaker)
    assert (outcome.serves, outcome.operations) == (True, ["delete", "create"])


def test_serverless_is_released_at_once_without_guardrails() -> None:
    sagemaker = of(Mode.SERVERLESS, Mode.SERVERLESS, serverless("old"), updated=[UPDATING, serverless("new")])
    sent = release(sagemaker, request(rollback_alarms=("rate",))).sent("update")
    assert "DeploymentConfig" not in sent
    assert sent["RetainAllVariantProperties"] and sent["ExcludeRetainedVariantProperties"] == []


@pytest.mark.parametrize("autoscaled", [False, True])
def test_from_serverless_to_instances_the_count_is_that_of_the_settings(autoscaled: bool) -> None:
    sagemaker = of(Mode.SERVERLESS, Mode.REAL_TIME, serverless("old"), updated=[UPDATING, NEW])
    sent = release(sagemaker, request(autoscaled=autoscaled)).sent("update")
    excluded = [each["VariantPropertyType"] for each in sent["ExcludeRetainedVariantProperties"]]
    assert excluded == ["DesiredInstanceCount"] and "DeploymentConfig" not in sent


def test_from_serverless_to_instances_traffic_cannot_move_in_steps() -> None:
    outcome = release(of(Mode.SERVERLESS, Mode.REAL_TIME, serverless("old")), watched())
    assert isinstance(outcome.error, ReleaseRefused) and outcome.operations == []


def test_the_provisioned_concurrency_that_autoscaling_set_is_kept() -> None:
    settled = [UPDATING, serverless("new", 2), serverless("new", 2), serverless("new", 7)]
    sagemaker = of(Mode.SERVERLESS, Mode.SERVERLESS, serverless("old", 7), updated=settled)

    def scale(EndpointName: str, **sent: Any) -> None:
        sagemaker.calls.append(("scale", sent))

    sagemaker.update_endpoint_weights_and_capacities = scale  # type: ignore[method-assign]
    outcome = release(sagemaker, request(autoscaled=True))
    (change,) = outcome.sent("scale")["DesiredWeightsAndCapacities"]
    assert change == {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 7}}
    assert outcome.serves


def test_the_provisioned_concurrency_fits_a_lower_maximum() -> None:
    updated = [UPDATING, serverless("new", 5, most=5)]
    sagemaker = of(Mode.SERVERLESS, Mode.SERVERLESS, serverless("old", 7), updated=updated)
    assert "scale" not in release(sagemaker, request(autoscaled=True)).operations


def at_zero(**more: Any) -> Outcome:
    """The release of an asynchronous endpoint that has no instances."""
    live, new = (asynchronous(serving(config, "AllTraffic", count=0)) for config in ("old", "new"))
    sagemaker = of(Mode.ASYNCHRONOUS, Mode.ASYNCHRONOUS, live, updated=[asynchronous(UPDATING), new])
    return release(sagemaker, request(autoscaled=True, **more))


def test_a_release_at_zero_instances_reports_that_nothing_is_proven() -> None:
    outcome = at_zero()
    (record,) = outcome.records
    assert outcome.serves and record.result == "succeeded"
    assert "no instances" in record.reason and record.reason in outcome.text
    assert outcome.sent("update")["ExcludeRetainedVariantProperties"] == [], "zero instances stay zero"


def test_a_release_with_instances_is_not_said_to_be_unproven() -> None:
    live, new = (asynchronous(serving(config, "AllTraffic")) for config in ("old", "new"))
    sagemaker = of(Mode.ASYNCHRONOUS, Mode.ASYNCHRONOUS, live, updated=[asynchronous(UPDATING), new])
    (record,) = release(sagemaker).records
    assert (record.result, record.reason) == ("succeeded", "")


@pytest.mark.parametrize(("processed", "result"), [(99, "failed"), (100, "succeeded")])
def test_an_asynchronous_endpoint_counts_what_its_variant_processed(processed: int, result: str) -> None:
    live, new = (asynchronous(serving(config, "AllTraffic")) for config in ("old", "new"))
    sagemaker = of(Mode.ASYNCHRONOUS, Mode.ASYNCHRONOUS, live, updated=[asynchronous(UPDATING), new])
    cloudwatch = CloudWatch([processed])
    minimum = MinimumInvocations(100, "fail")
    assert release(sagemaker, request(policy=CANARY, minimum_invocations=minimum), cloudwatch).result == result
    asked = {(query["MetricName"], len(query["Dimensions"])) for query in cloudwatch.asked}
    assert asked == {("InvocationsProcessed", 2), ("InvocationsProcesssed", 2)}, "both fleets: no EndpointConfigName"


STEPS = {
    **{key: POLICY[key] for key in ("ResourceId", "ScalableDimension")},
    "PolicyName": "steps",
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity"},
    "PolicyARN": "arn:old-policy",
}


@pytest.mark.parametrize("ends_with", ["old", "new"], ids=["rolled back", "released"])
@pytest.mark.parametrize("alarm", ["e-backlog-without-capacity", "other"])
def test_the_own_alarm_calls_the_restored_step_policy_and_others_are_warned_of(alarm: str, ends_with: str) -> None:
    live, after = (asynchronous(serving(config, "AllTraffic")) for config in ("old", ends_with))
    sagemaker = of(Mode.ASYNCHRONOUS, Mode.ASYNCHRONOUS, live, updated=[asynchronous(UPDATING), after])
    sagemaker.types["new"] = "ml.m5.xlarge"
    sagemaker.autoscaling.register()
    sagemaker.autoscaling.registered["ScalingPolicies"] += [{**STEPS, "Alarms": [{"AlarmName": alarm}]}]
    cloudwatch = CloudWatch()
    cloudwatch.alarms = {alarm: ["OK"]}
    cloudwatch.actions = {alarm: ["arn:topic", "arn:old-policy"]}
    outcome = release(sagemaker, request(autoscaled=True), cloudwatch)
    assert outcome.serves == (ends_with == "new")
    own = alarm == "e-backlog-without-capacity"
    assert cloudwatch.actions[alarm] == ["arn:topic", "arn:new-policy" if own else "arn:old-policy"]
    assert ("still call its previous ARN" in outcome.text) is not own


def test_a_release_tags_the_alarm_that_calls_the_step_policy() -> None:
    """Pulumi must not: its update of the alarm would call the policy by the ARN in the state."""
    live = asynchronous(serving("new", "AllTraffic"))
    sagemaker = of(Mode.ASYNCHRONOUS, Mode.ASYNCHRONOUS, live)
    sagemaker.autoscaling.register()
    cloudwatch = CloudWatch()
    cloudwatch.alarms = {"e-backlog-without-capacity": ["OK"]}
    cloudwatch.tags = {"CostEnv": "old", "Team": "ours", "Gone": "x"}
    release(sagemaker, request({"tags": {"CostEnv": "old", "Gone": "x"}}, autoscaled=True), cloudwatch)
    assert cloudwatch.tags == {"CostEnv": "prod", "Team": "ours"}


def test_autoscaling_of_provisioned_concurrency_is_not_restored_on_instances() -> None:
    updated = [UPDATING, NEW]
    sagemaker = of(Mode.SERVERLESS, Mode.REAL_TIME, serverless("old"), updated=updated)
    sagemaker.autoscaling.registered = {
        "ScalableTargets": [{**TARGET, **CONCURRENCY}],
        "ScalingPolicies": [{**POLICY, **CONCURRENCY, "Alarms": []}],
    }
    outcome = release(sagemaker, request(autoscaled=True))
    assert outcome.serves
    assert {"deregister", "forget"} <= {*outcome.operations} and "register" not in outcome.operations


@pytest.mark.parametrize(
    ("state", "mode", "shown"),
    [
        (serving("old", "AllTraffic"), Mode.REAL_TIME, "AllTraffic 1 of 1 instances"),
        (asynchronous(serving("old", "AllTraffic", count=0)), Mode.ASYNCHRONOUS, "AllTraffic 0 of 0 instances"),
        (serverless("old"), Mode.SERVERLESS, "AllTraffic serverless"),
        (serverless("old", 3), Mode.SERVERLESS, "AllTraffic serverless, provisioned concurrency 3"),
    ],
)
def test_the_live_endpoint_shows_its_mode(state: dict[str, Any], mode: Mode, shown: str) -> None:
    endpoint = EndpointDescription.of({"EndpointName": "e", "EndpointArn": ARN, **state})
    assert (endpoint.mode, str(endpoint.variants[0])) == (mode, shown)


def test_a_variant_shows_its_stages_before_its_size() -> None:
    assert (
        str(VariantDescription("A", {"Creating": None, "Baking": None}, 1, None))
        == "A Creating, Baking, 1 of ? instances"
    )
