"""The settings of how a variant scales with its traffic."""

from __future__ import annotations

from pydantic import Field

from infra.settings.section import Section, rule
from infra.settings.source import according_to


class AutoscalingSettings(Section):
    """Target tracking on the invocations an instance answers in a minute."""

    min: int = Field(
        ge=1,
        description="Fewest instances; zero works with inference components and asynchronous endpoints only.",
        examples=[2],
        json_schema_extra=according_to("SageMaker guide, Register a model"),
    )
    max: int = Field(
        ge=1,
        description="Most instances; quotas of the account may be lower.",
        examples=[10],
        json_schema_extra=according_to("SageMaker guide, Register a model"),
    )
    invocations_per_instance: int = Field(
        70,
        ge=1,
        description="Target of SageMakerVariantInvocationsPerInstance: invocations a minute and instance.",
        examples=[70],
        json_schema_extra=according_to(
            "Application Auto Scaling API MetricScale; this project: whole invocations; the default: "
            "SageMaker guide, Use AWS CloudFormation to create a scaling policy"
        ),
    )
    scale_in_cooldown: int = Field(
        600,
        ge=0,
        description="Seconds from one scale-in to the next; long, for an instance takes minutes to come back.",
        examples=[600],
        json_schema_extra=according_to(
            "Application Auto Scaling API Cooldown; the default: SageMaker guide, Use AWS CloudFormation to "
            "create a scaling policy"
        ),
    )
    scale_out_cooldown: int = Field(
        30,
        ge=0,
        description="Seconds from one scale-out to the next; short, for requests wait meanwhile.",
        examples=[30],
        json_schema_extra=according_to(
            "Application Auto Scaling API Cooldown; the default: SageMaker guide, Use AWS CloudFormation to "
            "create a scaling policy"
        ),
    )
    policy_name: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="The scaling policy's name (API PolicyName); Pulumi chooses one if not given.",
        examples=["invocations"],
        json_schema_extra=according_to(
            "Application Auto Scaling API PolicyName; this project: 255 characters of the 256, as pulumi-aws takes them"
        ),
    )

    @rule("min")
    def min_is_not_over_max(self) -> str | None:
        if self.min > self.max:
            return f"{self.min} is more than max ({self.max}). Raise max or lower min."
        return None
