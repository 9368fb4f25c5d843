"""The settings of how a variant scales with its traffic: the range of its target and the policies that move it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from infra.aws.mode import Mode
from infra.diagnostics.problem import Location
from infra.settings.section import Section, rule, setting

_ARTICLE = "SageMaker guide, Use AWS CloudFormation to create a scaling policy"
_PolicyName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=255)]


def _cooldown(description: str, default: int) -> Any:
    source = f"Application Auto Scaling API Cooldown; the default: {_ARTICLE}"
    return setting(description, default=default, ge=0, example=default, source=source)


def over_maximum(low: int, high: int) -> str | None:
    """The problem of a minimum that is more than the maximum."""
    return f"{low} is more than max ({high}). Raise max or lower min." if low > high else None


def outside_range(initial: int, low: int, high: int) -> str | None:
    """The problem of a capacity that autoscaling would change at once."""
    if low <= initial <= high:
        return None
    return f"{initial} is outside the autoscaling range {low} to {high}. Remove the key to start with the minimum."


class AutoscalingSettings(Section):
    """Target tracking on the invocations that each instance answers in a minute, or on the requests of an asynchronous
    endpoint that wait for each instance."""

    min: int = setting(
        "Minimum number of instances. 0 is for asynchronous endpoints only: a request that waits starts the first "
        "instance, which takes minutes.",
        ge=0,
        example=2,
        source="SageMaker guide, Register a model; SageMaker guide, Autoscale an asynchronous endpoint",
    )
    max: int = setting(
        "Maximum number of instances. The quota of the account may be lower.",
        ge=1,
        example=10,
        source="SageMaker guide, Register a model",
    )
    invocations_per_instance: int = setting(
        "Real-time endpoints only: target value of SageMakerVariantInvocationsPerInstance, invocations per minute and "
        "instance.",
        default=70,
        ge=1,
        example=70,
        source=f"Application Auto Scaling API MetricScale; this project: integers only; the default: {_ARTICLE}",
    )
    backlog_per_instance: int | None = setting(
        "Asynchronous endpoints only, which require it: target value of ApproximateBacklogSizePerInstance, requests "
        "that wait or are being processed per instance.",
        default=None,
        ge=1,
        example=5,
        source="SageMaker guide, Autoscale an asynchronous endpoint; this project: integers only",
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

    @property
    def leaves_zero(self) -> bool:
        """Whether a request that waits must start the first instance."""
        return self.backlog_per_instance is not None and self.min == 0

    def unsuitable(self, mode: Mode) -> dict[str | Location, str]:
        """What an endpoint with instances cannot scale by in a mode."""
        if mode is Mode.ASYNCHRONOUS:
            return self._unsuitable_for_a_queue()
        problems: dict[str | Location, str] = {}
        if self.backlog_per_instance is not None:
            problems["backlogPerInstance"] = (
                "would never scale, because only asynchronous endpoints have a queue. Use invocationsPerInstance."
            )
        if self.min == 0:
            problems["min"] = (
                "0 requires an asynchronous endpoint, which keeps its requests until an instance has started "
                "(SageMaker guide, Autoscale an asynchronous endpoint). Set 1 or more."
            )
        return problems

    def _unsuitable_for_a_queue(self) -> dict[str | Location, str]:
        if "invocations_per_instance" in self.model_fields_set:
            return {
                "invocationsPerInstance": "would never scale, because asynchronous endpoints do not publish "
                "InvocationsPerInstance (SageMaker guide, Monitor an asynchronous endpoint). Use backlogPerInstance."
            }
        if self.backlog_per_instance is None:
            return {
                "backlogPerInstance": "is required for asynchronous endpoints, which scale by the requests that wait "
                "for each instance. Set it, for example to 5."
            }
        return {}

    @rule("min")
    def min_over_max(self) -> str | None:
        return over_maximum(self.min, self.max)
