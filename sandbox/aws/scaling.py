"""What scaling policies do when their alarms go off: they change the instances or the provisioned concurrency of a
variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, inf
from typing import Any

from sandbox.aws.alarms import Breach
from sandbox.aws.autoscaling import ApplicationAutoScaling
from sandbox.aws.conditions import Conditions
from sandbox.aws.fleet import Variant
from sandbox.aws.hosting import Hostings
from sandbox.aws.protocol import AwsError, RequestContext

#: Of policies that name none: "the default value is 300 for … SageMaker endpoint variants"
#: (API_StepScalingPolicyConfiguration; the guide's "Define cooldown periods" for target tracking).
_COOLDOWN_SECONDS = 300

Handle = Callable[[str, dict[str, Any], RequestContext], Any]


class Scaling:
    """Carries policies out, by SageMaker's UpdateEndpointWeightsAndCapacities as Application Auto Scaling does.

    `update` answers SageMaker's operations. An endpoint that is being updated is left alone, and the alarm tries again
    a minute later.
    """

    def __init__(self, hostings: Hostings, autoscaling: ApplicationAutoScaling, update: Handle) -> None:
        self._hostings = hostings
        self._autoscaling = autoscaling
        self._update = update
        self._cooldowns: dict[tuple[str, bool], float] = {}

    def act(self, account: str, region: str, policy_arn: str, breach: Breach, conditions: Conditions) -> None:
        """What an alarm with this action does at each evaluation in ALARM."""
        target, policy = self._autoscaling.policy(account, region, policy_arn) or (None, None)
        if target is None or policy is None:
            return
        _, endpoint, _, name = target["ResourceId"].split("/")
        variant = self._hostings[account, region].variant(endpoint, name)
        if variant is None:
            return
        current = int(variant.serverless["ProvisionedConcurrency"]) if variant.serverless else variant.desired_count
        wanted = min(max(wanted_count(policy, current, breach), target["MinCapacity"]), target["MaxCapacity"])
        outward, now = wanted > current, conditions.now()
        if wanted == current or _is_suspended(target, outward) or now < self._cooldowns.get((policy_arn, outward), 0.0):
            return
        changes = {"EndpointName": endpoint, "DesiredWeightsAndCapacities": [_change(variant, wanted)]}
        operation = "UpdateEndpointWeightsAndCapacities"
        try:
            self._update(operation, changes, RequestContext(account, region, operation, {}, "", conditions))
        except AwsError:
            return
        self._cooldowns[policy_arn, outward] = now + _cooldown(policy, outward)


def _change(variant: Variant, capacity: int) -> dict[str, Any]:
    if variant.serverless is not None:
        return {"VariantName": variant.name, "ServerlessUpdateConfig": {"ProvisionedConcurrency": capacity}}
    return {"VariantName": variant.name, "DesiredInstanceCount": capacity}


def wanted_count(policy: Mapping[str, Any], current: int, breach: Breach) -> int:
    """The capacity that a policy asks for."""
    if tracking := policy.get("TargetTrackingScalingPolicyConfiguration"):
        target = float(tracking["TargetValue"])
        wanted = ceil(max(current, 1) * breach.value / target)
        return wanted if breach.value > target else min(wanted, current)  # the low alarm scales in only
    return _stepped(policy.get("StepScalingPolicyConfiguration", {}), current, breach.value - breach.threshold)


def _stepped(steps: Mapping[str, Any], current: int, excess: float) -> int:
    """The count after the step whose interval has the breach (API_StepAdjustment: above the threshold the lower bound
    is inclusive, below it the upper bound).
    """
    for step in steps.get("StepAdjustments", []):
        low = step.get("MetricIntervalLowerBound", -inf)
        high = step.get("MetricIntervalUpperBound", inf)
        if (low <= excess < high) if excess >= 0 else (low < excess <= high):
            return _adjusted(steps, current, int(step["ScalingAdjustment"]))
    return current


def _adjusted(steps: Mapping[str, Any], current: int, adjustment: int) -> int:
    """API_StepScalingPolicyConfiguration, AdjustmentType and MinAdjustmentMagnitude."""
    match steps.get("AdjustmentType"):
        case "ExactCapacity":
            return adjustment
        case "PercentChangeInCapacity":
            size = max(abs(current * adjustment) // 100, int(steps.get("MinAdjustmentMagnitude", 1)))
            return current + (size if adjustment > 0 else -size)
    return current + adjustment


def _is_suspended(target: Mapping[str, Any], outward: bool) -> bool:
    return bool(target["SuspendedState"].get(f"DynamicScaling{'Out' if outward else 'In'}Suspended"))


def _cooldown(policy: Mapping[str, Any], outward: bool) -> float:
    if tracking := policy.get("TargetTrackingScalingPolicyConfiguration"):
        return float(tracking.get("ScaleOutCooldown" if outward else "ScaleInCooldown", _COOLDOWN_SECONDS))
    return float(policy.get("StepScalingPolicyConfiguration", {}).get("Cooldown", _COOLDOWN_SECONDS))
