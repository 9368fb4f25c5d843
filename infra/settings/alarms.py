"""The settings of the alarms on an endpoint, which notify operators and roll a release back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from infra.names import ERROR_RATE, P99_MODEL_LATENCY, SERVER_ERROR_RATE, alarm, rollback_resource
from infra.release.gates import MinimumInvocations
from infra.settings.section import Effect, Section, setting, unique, violation, warning

LEAST_USUAL_PERCENT = 0.1
"""A lower rate is probably a fraction."""

MAX_ROLLBACK_ALARMS = 10
"""Alarms that may roll a release back (API `AlarmList`)."""


def _alarm_name(name: str) -> str:
    if name.startswith("arn:"):
        region, account = (name.split(":") + [""] * 6)[3:5]
        raise violation(
            "alarm-arn",
            f"{name} is an ARN (region {region}, account {account}); SageMaker accepts only the names of alarms in the "
            "endpoint's own region and account. Give the name of an alarm there.",
        )
    if not name.strip() or len(name) > 255:
        raise violation(
            "alarm-name",
            f"{name!r} is not a valid alarm name: use 1 to 255 characters, not only spaces (API AlarmName).",
        )
    return name


AlarmName = Annotated[
    str,
    AfterValidator(_alarm_name),
    WithJsonSchema({"type": "string", "pattern": r"^(?!arn:).*\S", "maxLength": 255}),
]


class MinimumInvocationsSettings(Section):
    """How many requests the new fleet must have received during the bake."""

    count: int = setting(
        "Requests that the new fleet must have received during the bake.",
        example=100,
        source="this project: without data SageMaker treats a release as successful, even if no request arrived",
        ge=1,
    )
    otherwise: Literal["warn", "fail"] = setting(
        "What happens with fewer requests: warn, or fail the deployment.",
        default="warn",
        example="fail",
        source="this project: a release without traffic may be intended",
    )


_METRICS = "SageMaker guide, Amazon SageMaker AI metrics in Amazon CloudWatch"


def _rate(description: str, example: float) -> Any:
    source = f"{_METRICS}; this project: at 0 an alarm fires at the first error, at 100 never"
    return setting(description, default=None, example=example, source=source, gt=0, lt=100)


class AlarmSettings(Section):
    """Thresholds of the stack's own alarms. Each creates two alarms: one on the endpoint, for operators, and one on the
    new fleet of a release, which triggers rollback."""

    error_rate_percent: float | None = _rate(
        "An alarm fires above this percentage of requests that the container did not answer with 2xx "
        "(InvocationModelErrors); without the key, there is no alarm. Recommended for rollback: some Triton releases "
        "answer 400 when a model fails. Callers' mistakes count too.",
        example=5,
    )
    server_error_rate_percent: float | None = _rate(
        "An alarm fires above this percentage of requests that were answered with 5xx (Invocation5XXErrors); without "
        "the key, there is no alarm. Use it with errorRatePercent as a lower limit that excludes callers' mistakes.",
        example=1,
    )
    p99_model_latency_milliseconds: float | None = setting(
        "An alarm fires when the 99th percentile of ModelLatency is above this value, in milliseconds; without the "
        "key, there is no alarm.",
        default=None,
        example=500,
        source=_METRICS,
        gt=0,
        allow_inf_nan=False,
    )
    evaluation_minutes: int = setting(
        "Consecutive minutes over the threshold after which an alarm fires.",
        default=1,
        example=1,
        source="CloudWatch API EvaluationPeriods; this project: at most 60, because a bake ends after 3600 s "
        "(SageMaker API WaitIntervalInSeconds)",
        ge=1,
        le=60,
    )
    existing: Annotated[list[AlarmName], AfterValidator(unique)] = setting(
        "Names of other alarms that roll a release back too; at most 10 with the stack's own.",
        default_factory=list,
        example=["pager"],
        effect=Effect.NOTHING,
        source="SageMaker API AlarmList; this project: the stack's own alarms are among the 10",
        max_length=MAX_ROLLBACK_ALARMS,
        schema={"uniqueItems": True},
    )
    minimum_invocations: MinimumInvocationsSettings | None = setting(
        "Minimum number of requests during a bake: without traffic, alarms prove nothing.",
        default=None,
        effect=Effect.NOTHING,
        source="this project: without traffic, alarms prove nothing",
    )

    @property
    def minimum(self) -> MinimumInvocations | None:
        """The same as `minimum_invocations` for the driver of releases."""
        minimum = self.minimum_invocations
        return MinimumInvocations(minimum.count, minimum.otherwise) if minimum else None

    @property
    def purposes(self) -> Mapping[str, float]:
        """The given thresholds by the purpose of their alarms, which ends the alarms' names."""
        thresholds = {
            ERROR_RATE: self.error_rate_percent,
            SERVER_ERROR_RATE: self.server_error_rate_percent,
            P99_MODEL_LATENCY: self.p99_model_latency_milliseconds,
        }
        return {purpose: threshold for purpose, threshold in thresholds.items() if threshold is not None}

    @property
    def made(self) -> int:
        """How many alarms of the stack roll a release back, per variant."""
        return len(self.purposes)

    def names(self, variant_resource: str) -> set[tuple[str, str]]:
        """Types and names of a variant's resources in the Pulumi program; alarms on the endpoint have the same names in
        CloudWatch."""
        if not self.made:
            return set()
        groups = variant_resource, rollback_resource(variant_resource)
        return {("VariantAlarms", group) for group in groups} | {
            ("MetricAlarm", alarm(group, purpose)) for group in groups for purpose in self.purposes
        }

    @warning("errorRatePercent")
    def error_rate_fraction(self) -> str | None:
        """This project: a percentage this low is more likely a fraction."""
        return _fraction(self.error_rate_percent)

    @warning("serverErrorRatePercent")
    def server_error_rate_fraction(self) -> str | None:
        """This project: a percentage this low is more likely a fraction."""
        return _fraction(self.server_error_rate_percent)


def _fraction(percent: float | None) -> str | None:
    if percent is None or percent >= LEAST_USUAL_PERCENT:
        return None
    return f"{percent:g} means {percent:g} % of the requests. For {100 * percent:g} %, write {100 * percent:g}."
