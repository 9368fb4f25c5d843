"""How a release takes over from the live fleet, and the DeploymentConfig that asks SageMaker for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Strategy = Literal["allAtOnce", "canary", "linear", "rolling"]

_TRAFFIC_ROUTING: Mapping[Strategy, tuple[str, str | None]] = {
    "allAtOnce": ("ALL_AT_ONCE", None),
    "canary": ("CANARY", "CanarySize"),
    "linear": ("LINEAR", "LinearStepSize"),
}
"""API `TrafficRoutingConfigType`, and the member that holds the size of a step."""


@dataclass(frozen=True)
class BatchSize:
    """How much of a fleet is moved at once: a percentage or a number of instances (API `CapacitySize`)."""

    unit: Literal["percent", "instances"]
    value: int

    def __str__(self) -> str:
        return f"{self.value} %" if self.unit == "percent" else f"{self.value} instances"

    def of(self, fleet: int) -> int:
        """The whole instances that this is of `fleet` instances, rounded up. (AWS does not document how it rounds.)"""
        return math.ceil(fleet * self.value / 100) if self.unit == "percent" else self.value

    @property
    def capacity_size(self) -> dict[str, Any]:
        return {"Type": "CAPACITY_PERCENT" if self.unit == "percent" else "INSTANCE_COUNT", "Value": self.value}


@dataclass(frozen=True)
class ReleasePolicy:
    """A strategy with its times, all in seconds."""

    strategy: Strategy = "allAtOnce"
    wait_seconds: int = 0
    """Between two steps and after the last one, while the alarms are watched: SageMaker has one wait for both."""
    batch: BatchSize | None = None
    """The canary, the step or the rolling batch; None when all of it moves at once."""
    rollback_percent: int = 100
    termination_wait_seconds: int = 0
    """How long the old fleet stays beside the new one afterwards."""
    timeout_seconds: int = 3600
    """When SageMaker gives up and rolls back."""

    @classmethod
    def of(cls, release: Mapping[str, Any]) -> ReleasePolicy:
        """From the keys of the setting `release`. Numbers may be floats, as Pulumi hands them to a provider."""
        unit = next((unit for unit in ("percent", "instances") if unit in release), None)
        wait = release.get("bakeSeconds", release.get("intervalSeconds", 0))
        return cls(
            strategy=release["strategy"],
            wait_seconds=int(wait),
            batch=BatchSize(unit, int(release[unit])) if unit else None,  # type: ignore[arg-type]
            rollback_percent=int(release.get("rollbackPercent", 100)),
            termination_wait_seconds=int(release.get("terminationWaitSeconds", 0)),
            timeout_seconds=int(release["timeoutSeconds"]),
        )


def deployment_config(policy: ReleasePolicy, alarms: Sequence[str]) -> dict[str, Any]:
    """What UpdateEndpoint takes as `DeploymentConfig`. Without alarms there is no AutoRollbackConfiguration: SageMaker
    then rolls back only what does not start."""
    update = _rolling_update(policy) if policy.strategy == "rolling" else _blue_green_update(policy)
    if alarms:
        update["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return update


def policy_of(deployment: Mapping[str, Any]) -> ReleasePolicy:
    """The policy that a DeploymentConfig asks for: all at once where it names none (UpdateEndpoint)."""
    rolling, blue_green = deployment.get("RollingUpdatePolicy"), deployment.get("BlueGreenUpdatePolicy")
    timeout = (rolling or blue_green or {}).get("MaximumExecutionTimeoutInSeconds", ReleasePolicy.timeout_seconds)
    if rolling:
        back = rolling.get("RollbackMaximumBatchSize", {})
        return ReleasePolicy(
            strategy="rolling",
            wait_seconds=rolling["WaitIntervalInSeconds"],
            batch=_batch(rolling["MaximumBatchSize"]),
            rollback_percent=back["Value"] if back.get("Type") == "CAPACITY_PERCENT" else 100,
            timeout_seconds=timeout,
        )
    if not blue_green:
        return ReleasePolicy()
    routing = blue_green["TrafficRoutingConfiguration"]
    strategy, size = next((s, size) for s, (type_, size) in _TRAFFIC_ROUTING.items() if type_ == routing["Type"])
    return ReleasePolicy(
        strategy=strategy,
        wait_seconds=routing["WaitIntervalInSeconds"],
        batch=_batch(routing[size]) if size else None,
        termination_wait_seconds=blue_green.get("TerminationWaitInSeconds", 0),
        timeout_seconds=timeout,
    )


def rollback_alarms(deployment: Mapping[str, Any]) -> list[str]:
    """The alarms that a DeploymentConfig names."""
    return [each["AlarmName"] for each in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]


def _batch(capacity_size: Mapping[str, Any]) -> BatchSize:
    return BatchSize("percent" if capacity_size["Type"] == "CAPACITY_PERCENT" else "instances", capacity_size["Value"])


def _blue_green_update(policy: ReleasePolicy) -> dict[str, Any]:
    kind, size = _TRAFFIC_ROUTING[policy.strategy]
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": policy.wait_seconds}
    if size and policy.batch:
        routing[size] = policy.batch.capacity_size
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": policy.termination_wait_seconds,
            "MaximumExecutionTimeoutInSeconds": policy.timeout_seconds,
        }
    }


def _rolling_update(policy: ReleasePolicy) -> dict[str, Any]:
    if policy.batch is None:
        raise ValueError("a rolling release needs a batch size")
    return {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": policy.batch.capacity_size,
            "WaitIntervalInSeconds": policy.wait_seconds,
            "MaximumExecutionTimeoutInSeconds": policy.timeout_seconds,
            "RollbackMaximumBatchSize": BatchSize("percent", policy.rollback_percent).capacity_size,
        }
    }
