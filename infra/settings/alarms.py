"""The settings of the alarms on an endpoint, which notify operators and roll a release back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from infra import names
from infra.aws import metrics
from infra.aws.mode import Mode
from infra.diagnostics.problem import Location
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
_ASYNCHRONOUS = "SageMaker guide, Monitor an asynchronous endpoint"
_SERVERLESS = "SageMaker guide, Alarms and logs for tracking metrics from serverless endpoints"


_OF_QUEUE = "It notifies operators and does not roll back a release, because the queue belongs to the endpoint."


def _percent(description: str, example: float, source: str = _METRICS) -> Any:
    source = f"{source}; this project: at 0 any value above zero fires the alarm, at 100 none does"
    return setting(description, default=None, example=example, source=source, gt=0, lt=100)


def _above(description: str, example: float, source: str = _METRICS, null: bool = False) -> Any:
    return setting(description, default=None, example=example, source=source, null=null, gt=0, allow_inf_nan=False)


_DEFAULTS = {
    names.AGE_OF_OLDEST_REQUEST: 10_800,
    names.CPU_UTILIZATION: 90,
    names.GPU_UTILIZATION: 95,
    names.GPU_MEMORY_UTILIZATION: 95,
    names.MEMORY_UTILIZATION: 90,
    names.DISK_UTILIZATION: 80,
    names.SCALING_LIMIT: 30,
}
"""The thresholds in production where the stack file has no key."""


def _default(purpose: str) -> str:
    return f"Default: {_DEFAULTS[purpose]} in production, else no alarm; null creates none."


def _utilization(purpose: str, metric: str, of: str, more: str = "") -> Any:
    return setting(
        f"An alarm notifies operators after saturationMinutes with {of} above this percentage ({metric}){more}. "
        f"{_default(purpose)}",
        default=None,
        example=_DEFAULTS[purpose],
        source=f"{_METRICS}; this project: at 100 an alarm never fires",
        null=True,
        gt=0,
        lt=100,
    )


class AlarmSettings(Section):
    """Thresholds of the stack's own alarms; without a key or a default, there is no alarm. Each creates an alarm on the
    endpoint, for operators. Rates and ModelLatency of real-time and asynchronous endpoints create a second one, on the
    new fleet of a release, which triggers rollback."""

    error_rate_percent: float | None = _percent(
        "An alarm fires above this percentage of requests that the container did not answer with 2xx "
        "(InvocationModelErrors; asynchronous: InvocationFailures, on both fleets of a release; serverless: "
        "Invocation4XXErrors and Invocation5XXErrors). Recommended for rollback: some Triton releases answer 400 when "
        "a model fails. Callers' mistakes count too.",
        example=5,
    )
    server_error_rate_percent: float | None = _percent(
        "An alarm fires above this percentage of requests that were answered with 5xx (Invocation5XXErrors). Use it "
        "with errorRatePercent as a lower limit that excludes callers' mistakes.",
        example=1,
    )
    p99_model_latency_milliseconds: float | None = _above(
        "An alarm fires when the 99th percentile of ModelLatency is above this value, in milliseconds.", example=500
    )
    age_of_oldest_request_seconds: float | None = _above(
        "Asynchronous endpoints only: an alarm fires when the oldest request in the queue is older than this, in "
        f"seconds (ApproximateAgeOfOldestRequest). {_OF_QUEUE} SageMaker drops a request after RequestTTLSeconds, by "
        f"default 21600. {_default(names.AGE_OF_OLDEST_REQUEST)}",
        example=600,
        source=_ASYNCHRONOUS,
        null=True,
    )
    backlog_size: float | None = _above(
        "Asynchronous endpoints only: an alarm fires when more requests than this wait or are being processed "
        f"(ApproximateBacklogSize). {_OF_QUEUE}",
        example=1000,
        source=_ASYNCHRONOUS,
    )
    concurrency_utilization_percent: float | None = _percent(
        "Serverless endpoints only: an alarm fires when concurrent requests are above this percentage of "
        "maxConcurrency (ServerlessConcurrentExecutionsUtilization). At 100 %, SageMaker throttles further requests "
        "(429) and publishes no count of them.",
        example=90,
        source=_SERVERLESS,
    )
    p99_model_setup_time_milliseconds: float | None = _above(
        "Serverless endpoints only: an alarm fires when the 99th percentile of ModelSetupTime, the time of a cold "
        "start, is above this value, in milliseconds.",
        example=30_000,
        source=_SERVERLESS,
    )
    cpu_utilization_percent: float | None = _utilization(
        names.CPU_UTILIZATION, "CPUUtilization, divided by the vCPUs", "the CPU of the instances"
    )
    gpu_utilization_percent: float | None = _utilization(
        names.GPU_UTILIZATION, "GPUUtilization, divided by the GPUs", "the GPUs of the instances"
    )
    gpu_memory_utilization_percent: float | None = _utilization(
        names.GPU_MEMORY_UTILIZATION,
        "GPUMemoryUtilization, divided by the GPUs",
        "the GPU memory of an instance",
        "; some backends of Triton reserve all of it, which is normal",
    )
    memory_utilization_percent: float | None = _utilization(
        names.MEMORY_UTILIZATION, "MemoryUtilization", "the memory of an instance or serverless container"
    )
    disk_utilization_percent: float | None = _utilization(
        names.DISK_UTILIZATION, "DiskUtilization", "the disk of an instance"
    )
    saturation_minutes: int = setting(
        "Consecutive minutes over the threshold after which the alarms on CPU, GPUs, memory and disk fire.",
        default=10,
        example=10,
        source="CloudWatch API EvaluationPeriods; this project: a short peak is normal, and a day is the longest that "
        "an alarm of minutes evaluates (CloudWatch User Guide, Alarm evaluation)",
        ge=1,
        le=1440,
    )
    no_traffic_minutes: int | None = setting(
        "An alarm notifies operators after this many minutes without a request (Invocations; asynchronous: "
        "InvocationsProcessed and InvocationFailures). Set it where traffic never stops. An endpoint with zero "
        "instances, or a variant of weight 0, does not count as one without traffic.",
        default=None,
        example=60,
        source="CloudWatch API EvaluationPeriods; this project: only you know whether traffic is expected",
        ge=1,
        le=1440,
    )
    scaling_limit_minutes: int | None = setting(
        "An alarm notifies operators after this many minutes in which the fleet has autoscaling.max instances and each "
        f"has more load than autoscaling aims at. {_default(names.SCALING_LIMIT)}",
        default=None,
        example=30,
        source="CloudWatch API EvaluationPeriods; this project: autoscaling cannot help any more",
        null=True,
        ge=1,
        le=1440,
    )
    failed_release: bool | None = setting(
        "Whether operators are notified of releases that failed or timed out, and of those whose `pulumi up` was "
        "killed. Default: true in production, else false.",
        default=None,
        example=True,
        source="this project: nobody needs to watch `pulumi up`",
    )
    evaluation_minutes: int = setting(
        "Consecutive minutes over the threshold after which the alarms on requests and queues fire.",
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
        """The given thresholds, in the units of their keys, by the purpose of their alarms, which ends the alarms'
        names."""
        values = {purpose: getattr(self, field) for purpose, field in _FIELDS.items()}
        return {purpose: threshold for purpose, threshold in values.items() if threshold is not None}

    def thresholds(self, production: bool) -> Mapping[str, float]:
        """The same with the defaults of production."""
        if not production:
            return self.purposes
        defaults = {
            purpose: float(threshold)
            for purpose, threshold in _DEFAULTS.items()
            if _FIELDS[purpose] not in self.model_fields_set
        }
        return {**self.purposes, **defaults}

    def watches_releases(self, production: bool) -> bool:
        """Whether operators are notified of failed releases."""
        return production if self.failed_release is None else self.failed_release

    def rolling_back(self, mode: Mode) -> int:
        """How many alarms of the stack roll a release back in a mode, per variant."""
        return sum(metrics.rolls_back(purpose, mode) for purpose in self.purposes)

    def names(self, variant_resource: str, thresholds: Iterable[str]) -> set[tuple[str, str]]:
        """Types and names of a variant's resources in the Pulumi program; alarms on the endpoint have the same names in
        CloudWatch.

        Args:
            thresholds: the purposes of the alarms on the endpoint.
        """
        groups = {variant_resource: [*thresholds], names.rollback_resource(variant_resource): [*self.purposes]}
        return {("VariantAlarms", group) for group, purposes in groups.items() if purposes} | {
            ("MetricAlarm", names.alarm(group, purpose)) for group, purposes in groups.items() for purpose in purposes
        }

    @classmethod
    def key(cls, purpose: str) -> str:
        """The key of the threshold of a purpose."""
        return str(cls.model_fields[_FIELDS[purpose]].alias)

    def useless(self, mode: Mode) -> dict[str | Location, str]:
        """Why keys have no effect in a mode: an alarm that could never fire gives false confidence."""
        silent: dict[str | Location, str] = {}
        for purpose in self.purposes:
            if mode in metrics.WATCHED[purpose]:
                continue
            *rest, last = sorted(metrics.WATCHED[purpose])
            modes = f"{', '.join(rest)} and {last}" if rest else last
            silent[self.key(purpose)] = (
                f"could never fire, because SageMaker publishes its metric for {modes} endpoints only, but the mode is "
                f"{mode}. Remove the key."
            )
        if mode not in (Mode.SERVERLESS, Mode.BATCH):
            return silent
        of_rollback = {"existing": bool(self.existing), "minimumInvocations": self.minimum_invocations is not None}
        return silent | {
            key: f"has no effect, because no alarm rolls back the release of a {mode} model (Deployment guardrails). "
            "Remove the key."
            for key, given in of_rollback.items()
            if given
        }

    @warning("errorRatePercent")
    def error_rate_fraction(self) -> str | None:
        """This project: a percentage this low is more likely a fraction."""
        return _fraction(self.error_rate_percent)

    @warning("serverErrorRatePercent")
    def server_error_rate_fraction(self) -> str | None:
        """This project: a percentage this low is more likely a fraction."""
        return _fraction(self.server_error_rate_percent)


_FIELDS = {
    names.ERROR_RATE: "error_rate_percent",
    names.SERVER_ERROR_RATE: "server_error_rate_percent",
    names.P99_MODEL_LATENCY: "p99_model_latency_milliseconds",
    names.AGE_OF_OLDEST_REQUEST: "age_of_oldest_request_seconds",
    names.BACKLOG: "backlog_size",
    names.CONCURRENCY_UTILIZATION: "concurrency_utilization_percent",
    names.P99_MODEL_SETUP_TIME: "p99_model_setup_time_milliseconds",
    names.CPU_UTILIZATION: "cpu_utilization_percent",
    names.GPU_UTILIZATION: "gpu_utilization_percent",
    names.GPU_MEMORY_UTILIZATION: "gpu_memory_utilization_percent",
    names.MEMORY_UTILIZATION: "memory_utilization_percent",
    names.DISK_UTILIZATION: "disk_utilization_percent",
    names.NO_TRAFFIC: "no_traffic_minutes",
    names.SCALING_LIMIT: "scaling_limit_minutes",
}
"""The field of a threshold by the purpose of its alarm."""


def _fraction(percent: float | None) -> str | None:
    if percent is None or percent >= LEAST_USUAL_PERCENT:
        return None
    return f"{percent:g} means {percent:g} % of the requests. For {100 * percent:g} %, write {100 * percent:g}."
