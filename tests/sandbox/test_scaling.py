"""Scaling policies of asynchronous endpoints: to zero instances and back."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.aws.alarms import Breach
from sandbox.aws.conditions import Conditions
from sandbox.aws.protocol import AwsError
from sandbox.aws.scaling import Scaling, wanted_count
from tests.sandbox.conftest import REGION, Host
from tests.sandbox.test_asynchronous import endpoint, invoke, read
from tests.sandbox.test_autoscaling import place, register
from tests.sandbox.test_runtime import QUIET, answering, question

FAST = 600
"""How much faster AWS's time runs in these tests."""


def track_backlog(host: Host, name: str, target: float = 5.0, **changes: Any) -> dict[str, Any]:
    metric = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": name}],
        "Statistic": "Average",
    }
    cooldowns = {"ScaleInCooldown": 60, "ScaleOutCooldown": 60}
    put: dict[str, Any] = host.aws.client("application-autoscaling").put_scaling_policy(
        **place(name),
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": target,
            "CustomizedMetricSpecification": metric,
            **cooldowns,
            **changes,
        },
    )
    return put


def leave_zero(host: Host, name: str) -> None:
    """The step policy and the alarm of the developer guide, async-inference-autoscale."""
    steps = [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]
    step: dict[str, Any] = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "Cooldown": 300}
    policy = host.aws.client("application-autoscaling").put_scaling_policy(
        **place(name), PolicyName="from-zero", PolicyType="StepScaling", StepScalingPolicyConfiguration=step
    )
    host.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{name}-backlog-without-capacity",
        MetricName="HasBacklogWithoutCapacity",
        Namespace="AWS/SageMaker",
        Dimensions=[{"Name": "EndpointName", "Value": name}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        DatapointsToAlarm=2,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
        AlarmActions=[policy["PolicyARN"]],
    )


def count(host: Host, name: str) -> int:
    return int(host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"])


def wait_for_count(host: Host, name: str, wanted: int) -> None:
    def is_there(described: dict[str, Any]) -> bool:
        instances = described["ProductionVariants"][0]["CurrentInstanceCount"]
        return (described["EndpointStatus"], instances) == ("InService", wanted)

    host.wait_until(name, is_there)


def test_an_endpoint_scales_to_zero_and_the_backlog_brings_it_back(scripted_host: Host) -> None:
    """Developer guide, async-inference-autoscale: "Define a scaling policy that scales up from zero for new
    requests"."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    register(scripted_host, name, MinCapacity=0, MaxCapacity=3)
    track_backlog(scripted_host, name)
    leave_zero(scripted_host, name)
    scripted_host.aws.impose(timeFactor=FAST)
    wait_for_count(scripted_host, name, 0)
    output = invoke(scripted_host, name)["OutputLocation"]
    assert read(scripted_host, output) == b"done"
    assert count(scripted_host, name) <= 1


def test_without_the_step_policy_a_backlog_below_the_target_stays_at_zero(scripted_host: Host) -> None:
    """Developer guide, async-inference-troubleshooting: "your endpoint won't scale up again until the number of
    requests in the queue exceeds the target specified in your scaling policy"."""
    name = endpoint(scripted_host, {"ANSWER": "done"})
    register(scripted_host, name, MinCapacity=0, MaxCapacity=3)
    track_backlog(scripted_host, name, target=2.0)
    scripted_host.aws.impose(timeFactor=FAST)
    wait_for_count(scripted_host, name, 0)
    outputs = [invoke(scripted_host, name)["OutputLocation"] for _ in range(2)]
    time.sleep(1)
    assert count(scripted_host, name) == 0
    outputs.append(invoke(scripted_host, name)["OutputLocation"])
    assert [read(scripted_host, output) for output in outputs] == [b"done"] * 3


def test_triton_ends_at_zero_and_starts_again(triton_host: Host) -> None:
    """DesiredInstanceCount 0 is possible for asynchronous endpoints (async-inference-autoscale)."""
    name = endpoint(triton_host, QUIET, artifact=answering(7))
    update = triton_host.sagemaker.update_endpoint_weights_and_capacities
    variant = {"VariantName": "AllTraffic", "DesiredInstanceCount": 0}
    update(EndpointName=name, DesiredWeightsAndCapacities=[variant])
    wait_for_count(triton_host, name, 0)
    output = invoke(triton_host, name, question()["Body"].encode(), ContentType="application/json")["OutputLocation"]
    time.sleep(0.5)
    streams = triton_host.aws.client("logs").describe_log_streams
    before = len(streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["logStreams"])
    update(EndpointName=name, DesiredWeightsAndCapacities=[{**variant, "DesiredInstanceCount": 1}])
    assert b"7" in read(triton_host, output)
    assert len(streams(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["logStreams"]) > before


def test_only_an_asynchronous_endpoint_has_zero_instances(scripted_host: Host) -> None:
    """Developer guide, async-inference-autoscale: "Unlike other hosted models …"."""
    name = scripted_host.endpoint()
    with pytest.raises(ClientError, match="MinCapacity must be at least 1"):
        register(scripted_host, name, MinCapacity=0)
    with pytest.raises(ClientError, match="DesiredInstanceCount"):
        scripted_host.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name,
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}],
        )


def test_the_alarms_of_target_tracking_come_and_go_with_the_policy(scripted_host: Host) -> None:
    """Application Auto Scaling guide, "Target tracking scaling policies": it "creates and manages the CloudWatch
    alarms"."""
    name = endpoint(scripted_host)
    register(scripted_host, name, MinCapacity=0)
    names = [alarm["AlarmName"] for alarm in track_backlog(scripted_host, name)["Alarms"]]
    assert [alarm["AlarmName"] for alarm in track_backlog(scripted_host, name, 7.0)["Alarms"]] == names
    describe = scripted_host.aws.client("cloudwatch").describe_alarms
    alarms = {alarm["AlarmName"]: alarm["Threshold"] for alarm in describe(AlarmNames=names)["MetricAlarms"]}
    assert [alarms[alarm] for alarm in names] == [7.0, pytest.approx(6.3)]
    scripted_host.aws.client("application-autoscaling").deregister_scalable_target(**place(name))
    assert describe(AlarmNames=names)["MetricAlarms"] == []


@pytest.mark.parametrize(
    ("steps", "current", "value", "wanted"),
    [
        ({"AdjustmentType": "ChangeInCapacity"}, 0, 1.0, 1),
        ({"AdjustmentType": "ExactCapacity"}, 5, 1.0, 1),
        ({"AdjustmentType": "PercentChangeInCapacity", "MinAdjustmentMagnitude": 2}, 4, 1.0, 6),
        ({"AdjustmentType": "ChangeInCapacity"}, 2, 0.5, 2),
    ],
)
def test_a_step_adjusts_the_count(steps: dict[str, Any], current: int, value: float, wanted: int) -> None:
    """API_StepScalingPolicyConfiguration and API_StepAdjustment."""
    steps = {**steps, "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}]}
    assert wanted_count({"StepScalingPolicyConfiguration": steps}, current, Breach(value, 1.0)) == wanted


@pytest.mark.parametrize(
    ("current", "value", "wanted"), [(1, 20.0, 4), (2, 5.5, 3), (2, 0.0, 0), (1, 1.0, 1), (0, 1.0, 0), (0, 6.0, 2)]
)
def test_target_tracking_keeps_the_metric_at_the_target(current: int, value: float, wanted: int) -> None:
    """Application Auto Scaling guide: capacity in proportion to the metric (inferred)."""
    policy = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 5.0}}
    assert wanted_count(policy, current, Breach(value, 5.0)) == wanted


class Target:
    """A variant as a scalable target with one policy, whose capacity `Scaling` changes."""

    def __init__(self, policy: dict[str, Any], count: int, **members: Any) -> None:
        self.policy, self.count, self.is_updating = policy, count, False
        resource = {"ResourceId": "endpoint/e/variant/A", "MinCapacity": 0, "MaxCapacity": 10, "SuspendedState": {}}
        self.members = {**resource, **members}
        self.conditions = Conditions()
        variant = SimpleNamespace(name="A", serverless=None, desired_count=count)
        hosting = SimpleNamespace(variant=lambda endpoint, name: variant)
        autoscaling = SimpleNamespace(policy=lambda *arn: (self.members, self.policy))
        self._variant = variant
        self._scaling = Scaling({("1", REGION): hosting}, autoscaling, self._update)  # type: ignore[arg-type]

    def _update(self, operation: str, params: dict[str, Any], context: Any) -> None:
        if self.is_updating:
            raise AwsError("ValidationException", "Cannot update in-progress endpoint")
        self.count = self._variant.desired_count = params["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"]

    def act(self, value: float, threshold: float = 1.0) -> int:
        """The capacity after an alarm that saw this value."""
        self._scaling.act("1", REGION, "arn", Breach(value, threshold), self.conditions)
        return self.count


ADD_ONE = {
    "StepScalingPolicyConfiguration": {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        "Cooldown": 60,
    }
}
TRACK_FIVE = {
    "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 5.0, "ScaleInCooldown": 60, "ScaleOutCooldown": 60}
}


def test_a_policy_waits_for_its_cooldown() -> None:
    """API_StepScalingPolicyConfiguration, Cooldown, in AWS's time."""
    target = Target(ADD_ONE, 0)
    assert [target.act(1.0), target.act(1.0)] == [1, 1]
    target.conditions.replace({"timeFactor": 100_000})
    time.sleep(0.01)
    assert target.act(1.0) == 2


def test_scaling_out_does_not_wait_for_the_cooldown_of_scaling_in() -> None:
    """Application Auto Scaling guide, "Define cooldown periods"."""
    target = Target(TRACK_FIVE, 4)
    assert [target.act(0.0, 5.0), target.act(20.0, 5.0)] == [0, 4]


@pytest.mark.parametrize(("direction", "kept"), [("In", [4, 8]), ("Out", [0, 0])])
def test_a_suspended_direction_does_not_scale(direction: str, kept: list[int]) -> None:
    """API_SuspendedState."""
    target = Target(TRACK_FIVE, 4, SuspendedState={f"DynamicScaling{direction}Suspended": True})
    assert [target.act(0.0, 5.0), target.act(10.0, 5.0)] == kept


def test_the_capacity_stays_between_minimum_and_maximum() -> None:
    """API_RegisterScalableTarget, MinCapacity and MaxCapacity."""
    target = Target(TRACK_FIVE, 4, MinCapacity=2, MaxCapacity=6)
    assert [target.act(0.0, 5.0), target.act(100.0, 5.0)] == [2, 6]


def test_an_endpoint_that_is_being_updated_scales_at_a_later_evaluation() -> None:
    target = Target(ADD_ONE, 0)
    target.is_updating = True
    assert target.act(1.0) == 0
    target.is_updating = False
    assert target.act(1.0) == 1
