"""How a release moves traffic to the new fleet, and the DeploymentConfig that asks SageMaker for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

Strategy = Literal["allAtOnce", "canary", "linear", "rolling"]
Unit = Literal["percent", "instances"]

BATCH_PERCENT: Mapping[Strategy, tuple[int, int]] = {"canary": (1, 50), "linear": (10, 50), "rolling": (5, 50)}
"""The share of a fleet that one step may move (API `TrafficRoutingConfig`, `RollingUpdatePolicy`). A canary's minimum
is that of a percentage (API `CapacitySize`)."""

ROLLBACK_PERCENT = (5, 100)
"""The share that one step of a rolling update's rollback moves; this project: 5 or more, like a batch."""

WAIT_SECONDS = (0, 3600)
"""API `WaitIntervalInSeconds`, `TerminationWaitInSeconds`."""

TIMEOUT_SECONDS = (600, 28_800)
"""API `MaximumExecutionTimeoutInSeconds`."""

_TRAFFIC_ROUTING: Mapping[Strategy, tuple[str, str | None]] = {
    "allAtOnce": ("ALL_AT_ONCE", None),
    "canary": ("CANARY", "CanarySize"),
    "linear": ("LINEAR", "LinearStepSize"),
}
"""API `TrafficRoutingConfigType`, and the member that holds the size of a step."""


@dataclass(frozen=True)
class BatchSize:
    """How much of a fleet moves at once: a percentage or a number of instances (API `CapacitySize`)."""

    unit: Unit
    value: int

    def __str__(self) -> str:
        return f"{self.value} %" if self.unit == "percent" else f"{self.value} instance{'s' * (self.value != 1)}"

    def of(self, fleet: int) -> int:
        """The instances that this is of `fleet` instances, rounded up. (AWS does not document how it rounds.)"""
        return math.ceil(fleet * self.value / 100) if self.unit == "percent" else self.value

    @property
    def capacity_size(self) -> dict[str, Any]:
        return {"Type": "CAPACITY_PERCENT" if self.unit == "percent" else "INSTANCE_COUNT", "Value": self.value}

    @classmethod
    def of_capacity_size(cls, size: Mapping[str, Any]) -> Self:
        return cls("percent" if size["Type"] == "CAPACITY_PERCENT" else "instances", size["Value"])


@dataclass(frozen=True)
class ReleasePolicy:
    """A strategy with its times, all in seconds."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel)

    strategy: Strategy = "allAtOnce"
    wait_seconds: int = 0
    """Between two steps and after the last one, while alarms are watched: SageMaker has one wait for both."""
    batch: BatchSize | None = None
    """The canary, the step or the rolling batch; None if all traffic moves at once."""
    rollback_percent: int = 100
    termination_wait_seconds: int = 0
    """How long the old fleet stays after the new one has all traffic."""
    timeout_seconds: int = 3600
    """When SageMaker gives up and rolls back."""

    @property
    def wait_key(self) -> str:
        """The key of `wait_seconds` in the stack file: a bake follows the first or only shift, an interval each one."""
        return "bakeSeconds" if self.strategy in ("allAtOnce", "canary") else "intervalSeconds"

    @property
    def fields(self) -> dict[str, Any]:
        """The policy as JSON, the form in which the stack's state keeps it; see `of`."""
        fields: dict[str, Any] = _POLICY.dump_python(self, by_alias=True, exclude_none=True)
        return fields

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> ReleasePolicy:
        """From `fields`; Pulumi passes their numbers to a provider as floats."""
        return _POLICY.validate_python(fields)

    @classmethod
    def of_deployment(cls, deployment: Mapping[str, Any]) -> Self:
        """From a DeploymentConfig; without a policy it moves all traffic at once (UpdateEndpoint)."""
        if rolling := deployment.get("RollingUpdatePolicy"):
            rollback = rolling.get("RollbackMaximumBatchSize", {})
            return cls(
                strategy="rolling",
                wait_seconds=rolling["WaitIntervalInSeconds"],
                batch=BatchSize.of_capacity_size(rolling["MaximumBatchSize"]),
                rollback_percent=rollback["Value"] if rollback.get("Type") == "CAPACITY_PERCENT" else 100,
                timeout_seconds=rolling.get("MaximumExecutionTimeoutInSeconds", cls.timeout_seconds),
            )
        if not (blue_green := deployment.get("BlueGreenUpdatePolicy")):
            return cls()
        routing = blue_green["TrafficRoutingConfiguration"]
        strategy, size = next((s, size) for s, (type_, size) in _TRAFFIC_ROUTING.items() if type_ == routing["Type"])
        return cls(
            strategy=strategy,
            wait_seconds=routing["WaitIntervalInSeconds"],
            batch=BatchSize.of_capacity_size(routing[size]) if size else None,
            termination_wait_seconds=blue_green.get("TerminationWaitInSeconds", 0),
            timeout_seconds=blue_green.get("MaximumExecutionTimeoutInSeconds", cls.timeout_seconds),
        )

    def deployment_config(self, alarms: Sequence[str]) -> dict[str, Any]:
        """The `DeploymentConfig` of UpdateEndpoint. Without alarms it has no AutoRollbackConfiguration: SageMaker then
        rolls back only a fleet that does not start."""
        batch = self.batch.capacity_size if self.batch else None
        config: dict[str, Any] = {}
        if alarms:
            config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
        if self.strategy == "rolling":
            config["RollingUpdatePolicy"] = {
                "MaximumBatchSize": batch,
                "WaitIntervalInSeconds": self.wait_seconds,
                "MaximumExecutionTimeoutInSeconds": self.timeout_seconds,
                "RollbackMaximumBatchSize": BatchSize("percent", self.rollback_percent).capacity_size,
            }
            return config
        kind, size = _TRAFFIC_ROUTING[self.strategy]
        routing = {"Type": kind, "WaitIntervalInSeconds": self.wait_seconds}
        config["BlueGreenUpdatePolicy"] = {
            "TrafficRoutingConfiguration": {**routing, size: batch} if size else routing,
            "TerminationWaitInSeconds": self.termination_wait_seconds,
            "MaximumExecutionTimeoutInSeconds": self.timeout_seconds,
        }
        return config


_POLICY = TypeAdapter(ReleasePolicy)


def rollback_alarms(deployment: Mapping[str, Any]) -> list[str]:
    """The alarms that a DeploymentConfig names."""
    return [alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
