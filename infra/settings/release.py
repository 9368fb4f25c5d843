"""The settings of how a new release takes over from the live fleet."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Discriminator, Field, Tag

from infra.diagnostics.suggest import nearest
from infra.release.policy import ReleasePolicy, Strategy
from infra.settings.section import Section, rule
from infra.settings.source import according_to

# API WaitIntervalInSeconds, TerminationWaitInSeconds, MaximumExecutionTimeoutInSeconds
_WaitSeconds = Annotated[int, Field(ge=0, le=3600)]
_STRATEGY = "How traffic moves to the new fleet: allAtOnce, canary, linear or rolling (Deployment guardrails)."
_STRATEGIES = "SageMaker guide, Deployment guardrails for updating models in production"
MAX_TIMEOUT_SECONDS = 28_800
_TimeoutSeconds = Annotated[int, Field(ge=600, le=MAX_TIMEOUT_SECONDS)]


class _Release(Section):
    timeout_seconds: _TimeoutSeconds = Field(
        3600,
        description="Seconds after which SageMaker gives a release up and rolls it back "
        f"(600 to {MAX_TIMEOUT_SECONDS}).",
        examples=[7200],
        json_schema_extra=according_to("SageMaker API MaximumExecutionTimeoutInSeconds"),
    )

    @property
    def policy(self) -> ReleasePolicy:
        """The same as the rollout takes it."""
        return ReleasePolicy.of(self.inputs)

    @property
    def inputs(self) -> dict[str, Any]:
        """The same by the keys of the stack file, without those that are not given."""
        return self.model_dump(by_alias=True, exclude_none=True)


class _BlueGreen(_Release):
    """The new fleet comes up beside the old one, and takes over the traffic when all of it is healthy."""

    termination_wait_seconds: _WaitSeconds = Field(
        0,
        description="Seconds that the old fleet stays after the new one has all traffic (0 to 3600).",
        examples=[300],
        json_schema_extra=according_to("SageMaker API TerminationWaitInSeconds"),
    )


class _InSteps(_Release):
    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["percent"]}, {"required": ["instances"]}]})

    @rule("percent")
    def percent_or_instances(self) -> str | None:
        if (getattr(self, "percent", None) is None) == (getattr(self, "instances", None) is None):
            return "give exactly one of percent and instances."
        return None


class AllAtOnce(_BlueGreen):
    """All traffic moves to the new fleet at once."""

    strategy: Literal["allAtOnce"] = Field(
        "allAtOnce", description=_STRATEGY, json_schema_extra=according_to(_STRATEGIES)
    )
    bake_seconds: _WaitSeconds = Field(
        0,
        description="Seconds for which the alarms are watched after the shift (0 to 3600).",
        examples=[600],
        json_schema_extra=according_to("SageMaker API WaitIntervalInSeconds"),
    )


class Canary(_BlueGreen, _InSteps):
    """A small part of the traffic moves first; the rest when that has gone well."""

    strategy: Literal["canary"] = Field(description=_STRATEGY, json_schema_extra=according_to(_STRATEGIES))
    percent: int | None = Field(
        None,
        ge=1,
        le=50,
        description="The canary, in percent of the fleet (1 to 50). Give this or instances.",
        examples=[10],
        json_schema_extra=according_to("SageMaker API TrafficRoutingConfig (CanarySize)"),
    )
    instances: int | None = Field(
        None,
        ge=1,
        description="The canary, in instances; at most half of the fleet. Give this or percent.",
        examples=[1],
        json_schema_extra=according_to("SageMaker API TrafficRoutingConfig (CanarySize)"),
    )
    bake_seconds: _WaitSeconds = Field(
        600,
        description="Seconds for which the alarms are watched after the canary, and again after the rest (0 to 3600).",
        examples=[600],
        json_schema_extra=according_to("SageMaker API WaitIntervalInSeconds"),
    )


class Linear(_BlueGreen, _InSteps):
    """Traffic moves in equal steps."""

    strategy: Literal["linear"] = Field(description=_STRATEGY, json_schema_extra=according_to(_STRATEGIES))
    percent: int | None = Field(
        None,
        ge=10,
        le=50,
        description="A step, in percent of the fleet (10 to 50). Give this or instances.",
        examples=[10],
        json_schema_extra=according_to("SageMaker API TrafficRoutingConfig (LinearStepSize)"),
    )
    instances: int | None = Field(
        None,
        ge=1,
        description="A step, in instances; 10 to 50 % of the fleet. Give this or percent.",
        examples=[1],
        json_schema_extra=according_to("SageMaker API TrafficRoutingConfig (LinearStepSize)"),
    )
    interval_seconds: _WaitSeconds = Field(
        300,
        description="Seconds for which the alarms are watched after each step (0 to 3600).",
        examples=[300],
        json_schema_extra=according_to("SageMaker API WaitIntervalInSeconds"),
    )


class Rolling(_InSteps):
    """The fleet is replaced batch by batch, so that it never needs twice the instances."""

    strategy: Literal["rolling"] = Field(description=_STRATEGY, json_schema_extra=according_to(_STRATEGIES))
    percent: int | None = Field(
        None,
        ge=5,
        le=50,
        description="A batch, in percent of the fleet (5 to 50). Give this or instances.",
        examples=[10],
        json_schema_extra=according_to("SageMaker API RollingUpdatePolicy (MaximumBatchSize)"),
    )
    instances: int | None = Field(
        None,
        ge=1,
        description="A batch, in instances; 5 to 50 % of the fleet. Give this or percent.",
        examples=[1],
        json_schema_extra=according_to("SageMaker API RollingUpdatePolicy (MaximumBatchSize)"),
    )
    interval_seconds: _WaitSeconds = Field(
        300,
        description="Seconds for which the alarms are watched after each batch (0 to 3600).",
        examples=[300],
        json_schema_extra=according_to("SageMaker API WaitIntervalInSeconds"),
    )
    rollback_percent: int = Field(
        100,
        ge=5,
        le=100,
        description="A batch of the way back, in percent of the fleet (5 to 100); 100 brings the old fleet back at "
        "once.",
        examples=[100],
        json_schema_extra=according_to(
            "SageMaker API RollingUpdatePolicy (RollbackMaximumBatchSize); this project: 5 or more, like a batch"
        ),
    )


def _strategy(release: Any) -> Any:
    """A release without a strategy moves all traffic at once. A misspelt `strategy` is refused as a key of the one that
    is meant."""
    if not isinstance(release, dict):
        return getattr(release, "strategy", "allAtOnce")
    if "strategy" in release:
        return release["strategy"]
    given = next((value for key, value in release.items() if nearest(key, ["strategy"])), "allAtOnce")
    return nearest(str(given), get_args(Strategy)) or "allAtOnce"


ReleaseSettings = Annotated[
    Annotated[AllAtOnce, Tag("allAtOnce")]
    | Annotated[Canary, Tag("canary")]
    | Annotated[Linear, Tag("linear")]
    | Annotated[Rolling, Tag("rolling")],
    Discriminator(_strategy),
]
