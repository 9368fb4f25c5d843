"""The settings of how a variant scales with its traffic: the range of its target and the policy that moves it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from infra.settings.section import Section, rule, setting

_ARTICLE = "SageMaker guide, Use AWS CloudFormation to create a scaling policy"
_PolicyName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=255)]


def _cooldown(description: str, default: int) -> Any:
    source = f"Application Auto Scaling API Cooldown; the default: {_ARTICLE}"
    return setting(description, default=default, ge=0, example=default, source=source)


class AutoscalingSettings(Section):
    """Target tracking on the invocations that each instance answers in a minute."""

    min: int = setting(
        "Minimum number of instances. Only asynchronous endpoints and inference components can scale to zero.",
        ge=1,
        example=2,
        source="SageMaker guide, Register a model",
    )
    max: int = setting(
        "Maximum number of instances. The quota of the account may be lower.",
        ge=1,
        example=10,
        source="SageMaker guide, Register a model",
    )
    invocations_per_instance: int = setting(
        "Target value of SageMakerVariantInvocationsPerInstance: invocations per minute and instance.",
        default=70,
        ge=1,
        example=70,
        source=f"Application Auto Scaling API MetricScale; this project: integers only; the default: {_ARTICLE}",
    )
    scale_in_cooldown: int = _cooldown(
        "Seconds between scale-in activities; long, because a replacement instance takes minutes to start.", 600
    )
    scale_out_cooldown: int = _cooldown(
        "Seconds between scale-out activities; short, because requests are waiting.", 30
    )
    policy_name: _PolicyName | None = setting(
        "Name of the scaling policy (API PolicyName). Pulumi chooses a name by default.",
        default=None,
        example="invocations",
        source="Application Auto Scaling API PolicyName; this project: 255 characters of the 256, because pulumi-aws "
        "accepts no more",
    )

    @rule("min")
    def min_over_max(self) -> str | None:
        return f"{self.min} is more than max ({self.max}). Raise max or lower min." if self.min > self.max else None
