"""A deployment policy: how the traffic of an endpoint moves to a new fleet, by whole instances (DeploymentConfig)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from sandbox.aws.protocol import AwsError

#: The least and the most that a step may be, in percent of a variant's instances (TrafficRoutingConfig,
#: RollingUpdatePolicy).
_SIZES = {
    "CanarySize": (0, 50),
    "LinearStepSize": (10, 50),
    "MaximumBatchSize": (5, 50),
    "RollbackMaximumBatchSize": (5, 100),
}

_SIZE_OF = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize", "ROLLING": "MaximumBatchSize"}

#: Instance types without guardrails: "your endpoint will fall back to … all at once traffic shifting and no final
#: baking period" (developer guide, deployment-guardrails-exclusions).
_EXCLUDED_TYPES = "ml.inf1."

Counts = Mapping[str, int]  # instances, by the name of their variant


@dataclass(frozen=True)
class CapacitySize:
    """botocore's CapacitySize."""

    type: str
    value: int

    def of(self, count: int, times: int = 1) -> int:
        """So many steps of this size in whole instances, at least one, never more than there are."""
        size = self.value * times if self.type == "INSTANCE_COUNT" else ceil(count * self.value * times / 100)
        return min(max(size, 1), count)


_EVERYTHING = CapacitySize("CAPACITY_PERCENT", 100)


@dataclass(frozen=True)
class Rollout:
    """What a DeploymentConfig asks for; all at once and without waits where it asks for nothing. Times in seconds."""

    type: str = "ALL_AT_ONCE"  # or CANARY, LINEAR, ROLLING
    step: CapacitySize = _EVERYTHING
    rollback_step: CapacitySize = _EVERYTHING
    wait: int = 0
    termination_wait: int = 0
    timeout: int | None = None
    alarms: tuple[str, ...] = ()
    is_guarded: bool = False  # whether anything is asked for, be it all at once

    @classmethod
    def of(cls, config: Mapping[str, Any] | None, instance_types: Collection[str] = ()) -> Rollout:
        """Raises `AwsError` for a policy that misses a part."""
        config = config or {}
        alarms = tuple(alarm["AlarmName"] for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", []))
        if any(instance_type.startswith(_EXCLUDED_TYPES) for instance_type in instance_types):
            return cls()
        if "RollingUpdatePolicy" in config and "BlueGreenUpdatePolicy" in config:
            raise _invalid("Only one of BlueGreenUpdatePolicy and RollingUpdatePolicy can be used in DeploymentConfig.")
        if rolling := config.get("RollingUpdatePolicy"):
            return cls(
                "ROLLING",
                _size(rolling, "MaximumBatchSize"),
                _size(rolling, "RollbackMaximumBatchSize") if "RollbackMaximumBatchSize" in rolling else _EVERYTHING,
                rolling["WaitIntervalInSeconds"],
                timeout=rolling.get("MaximumExecutionTimeoutInSeconds"),
                alarms=alarms,
                is_guarded=True,
            )
        policy = config.get("BlueGreenUpdatePolicy", {})
        routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0})
        return cls(
            routing["Type"],
            _step(routing),
            wait=routing["WaitIntervalInSeconds"],
            termination_wait=policy.get("TerminationWaitInSeconds", 0),
            timeout=policy.get("MaximumExecutionTimeoutInSeconds"),
            alarms=alarms,
            is_guarded=bool(config),
        )

    @property
    def is_rolling(self) -> bool:
        return self.type == "ROLLING"

    def steps(self, counts: Counts) -> Iterator[dict[str, int]]:
        """The instances that have traffic after each step, up to all of them: a canary has two steps."""
        yield from _steps(self.step, counts, 1 if self.type == "CANARY" else None)

    def rollback_steps(self, counts: Counts) -> Iterator[dict[str, int]]:
        """The instances of the old fleet that are back after each step of a rollback."""
        yield from _steps(self.rollback_step, counts, None)

    def check(self, old: Collection[str] | None, counts: Counts, alarm_exists: Callable[[str], bool]) -> None:
        """Raises `AwsError` for a policy that does not fit the variants; `old` are the names of those in service.

        The rules are of TrafficRoutingConfig, RollingUpdatePolicy, AutoRollbackConfig and the developer guide's page
        deployment-guardrails-exclusions; the wording is not checked against AWS.
        """
        if self.is_rolling and len(counts) > 1:
            raise _invalid("RollingUpdatePolicy is not supported for endpoints with multiple production variants.")
        if self.is_guarded and old is not None and set(old) != set(counts):
            raise _invalid(
                f"The variant names of the new endpoint configuration ({_names(counts)}) must be those of the old one "
                f"({_names(old)}) in a blue/green or rolling deployment; without a DeploymentConfig they may change."
            )
        if self.type != "ALL_AT_ONCE":
            self._check_sizes(counts)
        if missing := [name for name in self.alarms if not alarm_exists(name)]:
            raise _invalid(
                f"The CloudWatch alarm(s) [{', '.join(missing)}] in AutoRollbackConfiguration do not exist in this "
                "account and region."
            )

    def _check_sizes(self, counts: Counts) -> None:
        sizes = {_SIZE_OF[self.type]: self.step}
        if self.is_rolling:
            sizes["RollbackMaximumBatchSize"] = self.rollback_step
        for member, size in sizes.items():
            low, high = _SIZES[member]
            for variant, count in ((variant, count) for variant, count in counts.items() if count):
                asked = size.value if size.type == "CAPACITY_PERCENT" else 100 * size.value / count
                got = 100 * size.of(count) / count
                if not low <= asked <= high or got > high:
                    limits = f"{low}% to {high}%" if low else f"at most {high}%"
                    raise _invalid(
                        f"{member} must be {limits} of the variant's total instance count; "
                        f"{size.type} {size.value} is {size.of(count)} of the {count} instances of {variant}."
                    )


def _steps(size: CapacitySize, counts: Counts, last: int | None) -> Iterator[dict[str, int]]:
    step = 0
    reached: dict[str, int] = {}
    while reached != counts:
        step += 1
        is_rest = last is not None and step > last
        reached = {name: count if is_rest else size.of(count, step) for name, count in counts.items()}
        yield reached


def _step(routing: Mapping[str, Any]) -> CapacitySize:
    member = _SIZE_OF.get(routing["Type"])
    if member is None:
        return _EVERYTHING
    if member not in routing:
        raise _invalid(f"{member} is required for traffic routing {routing['Type']}.")
    return _size(routing, member)


def _size(policy: Mapping[str, Any], member: str) -> CapacitySize:
    return CapacitySize(policy[member]["Type"], policy[member]["Value"])


def _names(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)
