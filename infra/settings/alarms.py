"""The settings of the alarms on an endpoint: for people, and to roll a release back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from infra.names import ERROR_RATE, P99_MODEL_LATENCY, SERVER_ERROR_RATE, alarm, rollback_resource
from infra.settings.effect import Effect, on_change
from infra.settings.section import Section, rule, violation, warning
from infra.settings.source import according_to

LEAST_USUAL_PERCENT = 0.1
"""A rate below is rather a fraction that was meant as one."""

MAX_ROLLBACK_ALARMS = 10
"""Alarms that may roll a release back (API `AlarmList`)."""


def _alarm_name(name: str) -> str:
    if name.startswith("arn:"):
        region, account = (name.split(":") + [""] * 6)[3:5]
        raise violation(
            "alarm-arn",
            f"{name} is an ARN (region {region}, account {account}); SageMaker finds alarms by name in the endpoint's "
            "own region and account only. Give the name of an alarm there.",
        )
    if not name.strip() or len(name) > 255:
        raise violation(
            "alarm-name", f"{name!r} is no alarm name: 1 to 255 characters, not only spaces (API AlarmName)."
        )
    return name


AlarmName = Annotated[
    str,
    AfterValidator(_alarm_name),
    WithJsonSchema({"type": "string", "pattern": r"^(?!arn:).*\S", "maxLength": 255}),
]


class MinimumInvocationsSettings(Section):
    """How many requests the new fleet must have answered while the alarms were watched."""

    count: int = Field(
        ge=1,
        description="Requests that the new fleet must have seen during the bake.",
        examples=[100],
        json_schema_extra=according_to("this project: SageMaker takes silence for success, also where no request came"),
    )
    otherwise: Literal["warn", "fail"] = Field(
        "warn",
        description="What fewer requests are: a warning, or a failure of the deployment.",
        examples=["fail"],
        json_schema_extra=according_to("this project: a release without traffic may be all right"),
    )


class AlarmSettings(Section):
    """Thresholds of the alarms that are made with the endpoint. Each is made twice: on the whole endpoint, for people,
    and on the new fleet of a release alone, to roll it back."""

    error_rate_percent: float | None = Field(
        None,
        gt=0,
        lt=100,
        description="An alarm fires above this percent of requests that the container did not answer with 2xx "
        "(InvocationModelErrors); there is none if not given. The one for rollbacks: some Triton releases answer 400 "
        "when a model fails. Callers' mistakes count too.",
        examples=[5],
        json_schema_extra=according_to(
            "SageMaker guide, Amazon SageMaker AI metrics in Amazon CloudWatch; this project: at 0 an alarm "
            "fires at the first error, at 100 never"
        ),
    )
    server_error_rate_percent: float | None = Field(
        None,
        gt=0,
        lt=100,
        description="An alarm fires above this percent of requests that were answered with 5xx (Invocation5XXErrors); "
        "there is none if not given. Beside errorRatePercent, a tighter limit on what is not the callers' mistake.",
        examples=[1],
        json_schema_extra=according_to(
            "SageMaker guide, Amazon SageMaker AI metrics in Amazon CloudWatch; this project: at 0 an alarm "
            "fires at the first error, at 100 never"
        ),
    )
    p99_model_latency_milliseconds: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="An alarm fires when the model takes more than these milliseconds for the slowest of 100 requests "
        "(ModelLatency); there is none if not given.",
        examples=[500],
        json_schema_extra=according_to("SageMaker guide, Amazon SageMaker AI metrics in Amazon CloudWatch"),
    )
    evaluation_minutes: int = Field(
        1,
        ge=1,
        le=60,
        description="Minutes in a row over the threshold after which an alarm fires (1 to 60).",
        examples=[1],
        json_schema_extra=according_to(
            "CloudWatch API EvaluationPeriods; this project: 60 at most, for alarms are watched for 3600 s "
            "at most (SageMaker API WaitIntervalInSeconds)"
        ),
    )
    existing: list[AlarmName] = Field(
        default_factory=list,
        max_length=MAX_ROLLBACK_ALARMS,
        description="Names of other alarms that roll a release back too; with those made here at most 10.",
        examples=[["pager"]],
        json_schema_extra=on_change(Effect.NOTHING)
        | {"uniqueItems": True}
        | according_to("SageMaker API AlarmList; this project: the alarms made here are among the 10"),
    )
    minimum_invocations: MinimumInvocationsSettings | None = Field(
        None,
        description="How many requests a bake must have seen: alarms without traffic prove nothing.",
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to("this project: alarms without traffic prove nothing"),
    )

    @property
    def purposes(self) -> Mapping[str, float]:
        """The thresholds that are given, by what the names of their alarms end in."""
        thresholds = {
            ERROR_RATE: self.error_rate_percent,
            SERVER_ERROR_RATE: self.server_error_rate_percent,
            P99_MODEL_LATENCY: self.p99_model_latency_milliseconds,
        }
        return {purpose: threshold for purpose, threshold in thresholds.items() if threshold is not None}

    @property
    def made(self) -> int:
        """How many alarms are made to roll a release back."""
        return len(self.purposes)

    def names(self, variant_resource: str) -> set[tuple[str, str]]:
        """Types and names of what is made for a variant, in the Pulumi program; alarms on the whole endpoint are called
        so in CloudWatch too."""
        if not self.made:
            return set()
        groups = variant_resource, rollback_resource(variant_resource)
        return {("VariantAlarms", group) for group in groups} | {
            ("MetricAlarm", alarm(group, purpose)) for group in groups for purpose in self.purposes
        }

    @warning("errorRatePercent")
    def error_rate_fraction(self) -> str | None:
        """This project: so low a percentage is more likely a fraction."""
        return _fraction(self.error_rate_percent)

    @warning("serverErrorRatePercent")
    def server_error_rate_fraction(self) -> str | None:
        """This project: so low a percentage is more likely a fraction."""
        return _fraction(self.server_error_rate_percent)

    @rule("existing")
    def each_is_named_once(self) -> str | None:
        repeated = {name for name in self.existing if self.existing.count(name) > 1}
        return f"{', '.join(sorted(repeated))}: named more than once." if repeated else None


def _fraction(percent: float | None) -> str | None:
    if percent is None or percent >= LEAST_USUAL_PERCENT:
        return None
    return f"{percent:g} is {percent:g} % of the requests. If a fraction is meant, write {100 * percent:g}."
