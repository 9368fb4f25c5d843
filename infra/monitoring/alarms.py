"""The alarms of an endpoint: what each watches, why it fires, and what to do then.

Alarms for operators have no actions of their own. A composite alarm on the endpoint notifies once, whichever of them
fires first, and its notification lists those that do. The alarms that roll a release back notify nobody.

None of the latter has a warm-up period: it would keep them in INSUFFICIENT_DATA, without actions, "as soon as enough
data fills its evaluation window" (CloudWatch User Guide, Alarm warm-up periods), which is no sooner than they fire.
With missing data as notBreaching they do not fire without requests either.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric, NoTraffic, Rate, ScalingLimit, Scope, Unit
from infra.aws.mode import Mode
from infra.settings.alarms import AlarmSettings
from infra.settings.endpoint import EndpointSettings
from infra.settings.sections import StackSections
from infra.settings.serverless import ServerlessVariant
from infra.settings.variant import InstanceVariant

_SILENT_MINUTES = 15
"""A release publishes its progress several times a minute."""

_FAILED_MINUTES = 5
"""For which one failure fires, so that a late value of the same rollback notifies nobody again."""

_TRACKING_ALARMS = 2
"""That Application Auto Scaling creates for a target-tracking policy (guide, Target tracking scaling policies), one on
each side of the target. CloudWatch bills them: https://github.com/aws-solutions/instance-scheduler-on-aws/issues/351
has such a bill."""

_SETTING: Mapping[Unit, tuple[str, float]] = {
    "Microseconds": (" ms", 1000),
    "Fraction": (" %", 0.01),
    "Percent": (" %", 1),
    "Seconds": (" s", 1),
    "Count": ("", 1),
}
"""The unit of a threshold in the settings, by that of the metric, and what it is of the metric's."""


@dataclass(frozen=True)
class Alarm:
    """A metric alarm.

    Attributes:
        cause: why it fires, as a sentence without a period.
        threshold: in the unit of the metric or of the expression.
        minutes: that are evaluated; all of them must be over the threshold.
        metrics: by the IDs of their queries.
        expression: over these IDs; None for the only metric itself.
        scope: the dimensions of all metrics; by default, each has its own.
        warm_up_minutes: for which a new alarm waits for data.
        datapoints: how many of the minutes must be over the threshold, if not all.
    """

    purpose: str
    cause: str
    threshold: float
    minutes: int
    metrics: Mapping[str, Metric]
    expression: str | None = None
    label: str = ""
    scope: Scope | None = None
    comparison: str = "GreaterThanThreshold"
    missing: str = "notBreaching"
    warm_up_minutes: int | None = None
    datapoints: int | None = None


def rollback_alarms(settings: AlarmSettings, mode: Mode) -> list[Alarm]:
    """The alarms on a variant of the fleet of a release, which roll it back."""
    return [
        _alarm(purpose, threshold, settings, mode, None)
        for purpose, threshold in settings.purposes.items()
        if metrics.rolls_back(purpose, mode)
    ]


def variant_alarms(endpoint: EndpointSettings, name: str, production: bool) -> list[Alarm]:
    """The alarms on a variant for operators."""
    variant = endpoint.serving_variants[name]
    return [
        _alarm(purpose, threshold, endpoint.alarms, endpoint.mode, variant)
        for purpose, threshold in endpoint.thresholds(name, production).items()
    ]


def release_alarms(endpoint: EndpointSettings, production: bool) -> list[Alarm]:
    """The alarms on the releases of an endpoint for operators."""
    if not endpoint.alarms.watches_releases(production):
        return []
    killed = f"`pulumi up` has reported no progress of a release for {_SILENT_MINUTES} minutes: it was probably killed"
    return [
        Alarm(
            names.RELEASE_FAILED,
            "A release failed",
            threshold=0,
            minutes=_FAILED_MINUTES,
            datapoints=1,
            metrics={"failed": metrics.RELEASE_FAILED},
        ),
        Alarm(
            names.RELEASE_STUCK,
            killed,
            threshold=0,
            # the last word must be among the minutes, or there is nothing to repeat
            minutes=_SILENT_MINUTES + 5,
            datapoints=_SILENT_MINUTES,
            metrics={"progress": metrics.RELEASE_IN_PROGRESS},
            expression="FILL(progress, REPEAT) - FILL(progress, 0)",
            label="release without reported progress",
        ),
    ]


@dataclass(frozen=True)
class AlarmCount:
    """What an endpoint is billed for.

    Attributes:
        metrics: of all metric alarms, which are billed by the metrics that they read.
    """

    metrics: int
    composite: int


def count(settings: StackSections, name: str) -> AlarmCount:
    """The alarms of an endpoint, with those of its autoscaling, and with those on the fleet of its last release, which
    remain."""
    endpoint, production = settings.endpoints[name], settings.production
    if endpoint.mode is Mode.BATCH:
        return AlarmCount(0, 0)
    on_fleet = rollback_alarms(endpoint.alarms, endpoint.mode)
    alarms = [*release_alarms(endpoint, production), *on_fleet * len(endpoint.serving_variants)]
    for variant in endpoint.serving_variants:
        alarms += variant_alarms(endpoint, variant, production)
    scaling = [variant.autoscaling for variant in endpoint.instance_variants.values() if variant.autoscaling]
    scaling_alarms = _TRACKING_ALARMS * len(endpoint.scaled_variants) + sum(range_.leaves_zero for range_ in scaling)
    read = sum(len(alarm.metrics) for alarm in alarms) + endpoint.can_be_stopped
    return AlarmCount(read + scaling_alarms, int(settings.composite_alarm(name) is not None))


def next_command(purpose: str, stack: str, endpoint: str) -> str:
    """What to type when the alarm of a purpose fires."""
    if purpose in (names.ERROR_RATE, names.SERVER_ERROR_RATE):
        command = "logs"
    else:
        command = "release status" if purpose in (names.RELEASE_FAILED, names.RELEASE_STUCK) else "status"
    return f"python -m infra {command} -s {shlex.quote(stack)} {endpoint}"


def description(alarm: Alarm, stack: str, endpoint: str, runbook: str | None) -> str:
    """Why an alarm for operators fires, what to type, and where the runbook is."""
    address = f" Runbook: {runbook}#{alarm.purpose}" if runbook and "#" not in runbook else _runbook(runbook)
    return f"{alarm.cause}. Next: {next_command(alarm.purpose, stack, endpoint)}{address}"


def composite_description(purposes: Iterable[str], stack: str, endpoint: str, runbook: str | None) -> str:
    """What to type for each of the alarms that a composite alarm combines. It fits in the 1,024 characters of API
    AlarmDescription, because most alarms have the same command."""
    usual = next_command("", stack, endpoint)
    commands: dict[str, list[str]] = {}
    for purpose in dict.fromkeys(purposes):
        commands.setdefault(next_command(purpose, stack, endpoint), []).append(purpose)
    commands.pop(usual, None)
    listed = "".join(f" {', '.join(listed)}: {command}." for command, listed in commands.items())
    head = f"An alarm on {endpoint} fires; its name ends in the cause. Next: {usual}."
    return f"{head}{listed}{_runbook(runbook)}"


def _runbook(address: str | None) -> str:
    return f" Runbook: {address}" if address else ""


def _alarm(
    purpose: str,
    threshold: float,
    settings: AlarmSettings,
    mode: Mode,
    variant: InstanceVariant | ServerlessVariant | None,
) -> Alarm:
    watched = metrics.WATCHED[purpose][mode]
    if isinstance(watched, Rate):
        return _rate(purpose, watched, threshold, settings.evaluation_minutes)
    if isinstance(watched, NoTraffic):
        return _no_traffic(purpose, watched, round(threshold))
    if isinstance(watched, ScalingLimit):
        return _scaling_limit(purpose, watched, round(threshold), variant)
    if watched in metrics.HOST:
        return _host(purpose, watched, threshold, settings.saturation_minutes, variant)
    unit, factor = _SETTING[watched.unit]
    cause = f"The {watched.statistic.lower()} of {watched.name} is more than {threshold:g}{unit}"
    return Alarm(purpose, cause, threshold * factor, settings.evaluation_minutes, {"m1": watched})


def _rate(purpose: str, rate: Rate, percent: float, minutes: int) -> Alarm:
    """Fires when the errors are more than `percent` of the requests."""
    errors, requests = _ids("errors", rate.errors), _ids("invocations", rate.requests)
    counters = " and ".join(metric.name for metric in rate.errors)
    cause = f"More than {percent:g} % of the requests are counted in {counters}"
    expression = _percent([*errors], [*requests])
    return Alarm(purpose, cause, percent, minutes, {**errors, **requests}, expression, rate.label, rate.scope)


def _host(
    purpose: str, metric: Metric, percent: float, minutes: int, variant: InstanceVariant | ServerlessVariant | None
) -> Alarm:
    """Fires when a resource of the instances has been nearly used up for some time."""
    devices = metric.divisor(variant.instance_type) if isinstance(variant, InstanceVariant) else 1
    of = f" of {devices} {metric.sum_over}s" if devices > 1 else ""
    cause = f"{metric.name} ({metric.statistic.lower()}) is more than {percent:g} %{of} for {minutes} minutes"
    if devices == 1:
        return Alarm(purpose, cause, percent, minutes, {"m1": metric})
    return Alarm(purpose, cause, percent, minutes, {"sum": metric}, f"sum / {devices}", f"{metric.name} in percent{of}")


def _no_traffic(purpose: str, watched: NoTraffic, minutes: int) -> Alarm:
    """Fires when no request arrived for some time, while the variant has instances. Of metrics of the requests, those
    without data do not count. Serverless endpoints publish nothing without requests, so missing data is breaching, and
    a new alarm must wait."""
    cause, below = f"No request for {minutes} minutes", "LessThanThreshold"
    requests = _ids("invocations", watched.requests)
    if watched.instances is None:
        return Alarm(
            purpose, cause, 1, minutes, requests, comparison=below, missing="breaching", warm_up_minutes=minutes
        )
    expression = f"SUM([{', '.join(requests)}, 0 * instances])"
    queried = {**requests, "instances": watched.instances}
    return Alarm(purpose, cause, 1, minutes, queried, expression, "requests while instances run", comparison=below)


def _scaling_limit(
    purpose: str, watched: ScalingLimit, minutes: int, variant: InstanceVariant | ServerlessVariant | None
) -> Alarm:
    """Fires when the fleet has its maximum size and each instance has more load than autoscaling aims at. The size
    alone would fire during a release, when both fleets count."""
    scaling = variant.autoscaling if isinstance(variant, InstanceVariant) else None
    assert scaling is not None
    target = scaling.backlog_per_instance or scaling.invocations_per_instance
    cause = (
        f"The fleet has its maximum of {scaling.max} instances and {watched.load.name} is more than the target "
        f"{target} for {minutes} minutes"
    )
    queried = {"load": watched.load, "instances": watched.instances}
    expression = f"IF(instances >= {scaling.max}, load, 0)"
    return Alarm(purpose, cause, target, minutes, queried, expression, f"{watched.load.name} at the maximum")


def _ids(kind: str, counted: Sequence[Metric]) -> dict[str, Metric]:
    """The metrics by the IDs of their queries: `errors`, `errors2`, …"""
    return {f"{kind}{number if number > 1 else ''}": metric for number, metric in enumerate(counted, 1)}


def _percent(errors: Sequence[str], requests: Sequence[str]) -> str:
    """The expression of a rate. Of several metrics of the requests, those without data do not count; errors do, because
    AWS does not document whether a processed request is one that succeeded."""
    counted = errors[0] if len(errors) == 1 else f"SUM([{', '.join(errors)}])"
    of = requests[0] if len(requests) == 1 else f"MAX([{', '.join([*errors, *requests])}])"
    return f"100 * {counted} / {of}"
