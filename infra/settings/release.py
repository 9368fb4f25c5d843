"""The settings of how a release moves traffic to the new fleet."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Discriminator, Tag

from infra.release.policy import (
    BATCH_PERCENT,
    ROLLBACK_PERCENT,
    TIMEOUT_SECONDS,
    WAIT_SECONDS,
    BatchSize,
    ReleasePolicy,
    Strategy,
    Unit,
)
from infra.settings.section import Section, rule, setting


def _range(limits: tuple[int, int]) -> dict[str, Any]:
    return {"ge": limits[0], "le": limits[1]}


def _strategy_setting(**default: Any) -> Any:
    return setting(
        "How traffic moves to the new fleet: allAtOnce, canary, linear or rolling (Deployment guardrails).",
        source="SageMaker guide, Deployment guardrails for updating models in production",
        **default,
    )


def _wait(strategy: Strategy, default: int, when: str) -> Any:
    """A bake or an interval."""
    return setting(
        f"Seconds for which the alarms are watched {when}.",
        alias=ReleasePolicy(strategy).wait_key,
        default=default,
        example=default or 600,
        source="SageMaker API WaitIntervalInSeconds",
        **_range(WAIT_SECONDS),
    )


def _percent(what: str, strategy: Strategy, source: str) -> Any:
    """A step as a share of the fleet."""
    return setting(
        f"{what}, in percent of the fleet. Set either this or instances.",
        default=None,
        example=10,
        source=source,
        **_range(BATCH_PERCENT[strategy]),
    )


def _instances(what: str, share: str, source: str) -> Any:
    """A step in instances."""
    return setting(
        f"{what}, in instances; {share} of the fleet. Set either this or percent.",
        default=None,
        example=1,
        source=source,
        ge=1,
    )


class _Release(Section):
    timeout_seconds: int = setting(
        "Seconds after which SageMaker gives up a release and rolls it back.",
        default=ReleasePolicy.timeout_seconds,
        example=7200,
        source="SageMaker API MaximumExecutionTimeoutInSeconds",
        **_range(TIMEOUT_SECONDS),
    )

    @property
    def chosen(self) -> list[str]:
        """The keys that say how traffic moves, other than all at once without waiting."""
        if self.policy.strategy != ReleasePolicy.strategy:
            return ["strategy"]
        fields = type(self).model_fields.items()
        return [str(field.alias) for name, field in fields if getattr(self, name) != field.default]

    @property
    def policy(self) -> ReleasePolicy:
        """The same for the driver of releases; its fields have the names of these."""
        given = self.model_dump(exclude_none=True)
        batch = next((BatchSize(unit, given.pop(unit)) for unit in get_args(Unit) if unit in given), None)
        return ReleasePolicy(**given, batch=batch)


class _BlueGreen(_Release):
    """The new fleet starts next to the old one, and receives traffic once all of it is healthy."""

    termination_wait_seconds: int = setting(
        "Seconds that the old fleet stays after the new one has all traffic.",
        default=0,
        example=300,
        source="SageMaker API TerminationWaitInSeconds",
        **_range(WAIT_SECONDS),
    )


class _InSteps(_Release):
    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["percent"]}, {"required": ["instances"]}]})

    @rule("percent")
    def percent_or_instances(self) -> str | None:
        if (getattr(self, "percent", None) is None) == (getattr(self, "instances", None) is None):
            return "set exactly one of percent and instances."
        return None


class AllAtOnce(_BlueGreen):
    """All traffic moves to the new fleet at once."""

    strategy: Literal["allAtOnce"] = _strategy_setting(default="allAtOnce")
    wait_seconds: int = _wait("allAtOnce", 0, "after the shift")


_CANARY = "SageMaker API TrafficRoutingConfig (CanarySize)"


class Canary(_BlueGreen, _InSteps):
    """A small part of the traffic moves first, and the rest if that goes well."""

    strategy: Literal["canary"] = _strategy_setting()
    percent: int | None = _percent("Size of the canary", "canary", _CANARY)
    instances: int | None = _instances("Size of the canary", "at most half", _CANARY)
    wait_seconds: int = _wait("canary", 600, "after the canary, and again after the rest")


_STEP = "SageMaker API TrafficRoutingConfig (LinearStepSize)"


class Linear(_BlueGreen, _InSteps):
    """Traffic moves in equal steps."""

    strategy: Literal["linear"] = _strategy_setting()
    percent: int | None = _percent("Size of a step", "linear", _STEP)
    instances: int | None = _instances("Size of a step", "{} to {} %".format(*BATCH_PERCENT["linear"]), _STEP)
    wait_seconds: int = _wait("linear", 300, "after each step")


_BATCH = "SageMaker API RollingUpdatePolicy (MaximumBatchSize)"


class Rolling(_InSteps):
    """The fleet is replaced in batches, so that it never needs twice the instances."""

    strategy: Literal["rolling"] = _strategy_setting()
    percent: int | None = _percent("Size of a batch", "rolling", _BATCH)
    instances: int | None = _instances("Size of a batch", "{} to {} %".format(*BATCH_PERCENT["rolling"]), _BATCH)
    wait_seconds: int = _wait("rolling", 300, "after each batch")
    rollback_percent: int = setting(
        "Size of a batch of the rollback, in percent of the fleet; 100 restores the old fleet at once.",
        default=ReleasePolicy.rollback_percent,
        example=100,
        source="SageMaker API RollingUpdatePolicy (RollbackMaximumBatchSize); this project: 5 or more, like a batch",
        **_range(ROLLBACK_PERCENT),
    )


def _strategy(release: Any) -> Any:
    """A release without a strategy moves all traffic at once."""
    if isinstance(release, dict):
        return release.get("strategy", "allAtOnce")
    return getattr(release, "strategy", "allAtOnce")


ReleaseSettings = Annotated[
    Annotated[AllAtOnce, Tag("allAtOnce")]
    | Annotated[Canary, Tag("canary")]
    | Annotated[Linear, Tag("linear")]
    | Annotated[Rolling, Tag("rolling")],
    Discriminator(_strategy),
]
