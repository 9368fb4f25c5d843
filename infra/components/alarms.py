"""CloudWatch alarms on an endpoint's variant: on all its fleets, for operators, or on one fleet, to roll it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric, Rate, Scope, Unit
from infra.aws.mode import Mode
from infra.settings.alarms import AlarmSettings

_SETTING: dict[Unit, tuple[str, float]] = {
    "Microseconds": (" ms", 1000),
    "Fraction": (" %", 0.01),
    "Seconds": (" s", 1),
    "Count": ("", 1),
}
"""The unit of a threshold in the settings, by that of the metric, and what it is of the metric's."""


@dataclass(frozen=True)
class VariantAlarmsArgs:
    """
    Attributes:
        configuration_name: the endpoint configuration of the fleet to watch; None for every fleet of the endpoint.
        mode: the mode of the endpoint, which decides the metrics.
        notify: ARNs of the SNS topics that are notified of ALARM and of OK.
    """

    endpoint_name: pulumi.Input[str]
    variant_name: str
    configuration_name: pulumi.Input[str] | None
    settings: AlarmSettings
    mode: Mode
    tags: dict[str, str]
    notify: Sequence[pulumi.Input[str]] = ()


class VariantAlarms(pulumi.ComponentResource):
    """An alarm for each threshold in the settings; with a configuration, for each that can roll a release back.

    Alarms with a configuration watch the fleet of one release (dimension `EndpointConfigName`), or both fleets where
    their metric has no such dimension. Each configuration has new ones: a changed alarm keeps its state, so one that
    fired for an earlier fleet would roll back the release that fixes it. Missing data is not breaching: a fleet without
    requests has no errors. `minimumInvocations` requires requests.
    """

    alarm_names: list[pulumi.Output[str]]
    alarm_arns: list[pulumi.Output[str]]

    def __init__(self, name: str, args: VariantAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAlarms", name, None, opts)
        self._name, self._args = name, args
        alarms = list(self._alarms())
        self.alarm_names = [alarm.name for alarm in alarms]
        self.alarm_arns = [alarm.arn for alarm in alarms]
        self.register_outputs({"alarm_names": self.alarm_names})

    def _alarms(self) -> Iterator[cloudwatch.MetricAlarm]:
        mode = self._args.mode
        for purpose, threshold in self._args.settings.purposes.items():
            if self._args.configuration_name is not None and not metrics.rolls_back(purpose, mode):
                continue
            watched = metrics.WATCHED[purpose][mode]
            if isinstance(watched, Rate):
                yield self._rate(purpose, watched, threshold)
            else:
                yield self._metric(purpose, watched, threshold)

    def _rate(self, purpose: str, rate: Rate, percent: float) -> cloudwatch.MetricAlarm:
        """Fires when the errors are more than `percent` of the requests."""
        errors, requests = _ids("errors", rate.errors), _ids("invocations", rate.requests)
        counted = [self._query(id_, metric, rate.scope) for id_, metric in (errors | requests).items()]
        result = cloudwatch.MetricAlarmMetricQueryArgs(
            id="rate", expression=_percent([*errors], [*requests]), label=rate.label, return_data=True
        )
        counters = " and ".join(metric.name for metric in rate.errors)
        description = f"More than {percent:g} % of the requests are counted in {counters}"
        return self._alarm(purpose, percent, description, metric_queries=[result, *counted])

    def _query(self, id_: str, metric: Metric, scope: Scope) -> cloudwatch.MetricAlarmMetricQueryArgs:
        return cloudwatch.MetricAlarmMetricQueryArgs(
            id=id_,
            metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                namespace=metric.namespace,
                metric_name=metric.name,
                dimensions=self._dimensions(scope),
                period=metrics.PERIOD_SECONDS,
                stat=metric.statistic,
            ),
            return_data=False,
        )

    def _metric(self, purpose: str, metric: Metric, threshold: float) -> cloudwatch.MetricAlarm:
        statistic = "extended_statistic" if metric.statistic.startswith("p") else "statistic"
        unit, factor = _SETTING[metric.unit]
        return self._alarm(
            purpose,
            threshold * factor,
            f"The {metric.statistic.lower()} of {metric.name} is more than {threshold:g}{unit}",
            namespace=metric.namespace,
            metric_name=metric.name,
            dimensions=self._dimensions(metric.scope),
            period=metrics.PERIOD_SECONDS,
            **{statistic: metric.statistic},
        )

    def _alarm(self, purpose: str, threshold: float, description: str, **watched: Any) -> cloudwatch.MetricAlarm:
        args = self._args
        fleet = pulumi.Output.from_input(args.configuration_name or args.endpoint_name)
        return cloudwatch.MetricAlarm(
            names.alarm(self._name, purpose),
            name=fleet.apply(lambda name: names.alarm(names.variant_resource(name, args.variant_name), purpose)),
            alarm_description=description,
            comparison_operator="GreaterThanThreshold",
            threshold=threshold,
            evaluation_periods=args.settings.evaluation_minutes,
            treat_missing_data="notBreaching",
            alarm_actions=[*args.notify] or None,
            ok_actions=[*args.notify] or None,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
            **watched,
        )

    def _dimensions(self, scope: Scope) -> dict[str, pulumi.Input[str]]:
        args = self._args
        return metrics.dimensions(args.endpoint_name, args.variant_name, args.configuration_name, scope)


def _ids(kind: str, counted: Sequence[Metric]) -> dict[str, Metric]:
    """The metrics by the IDs of their queries: `errors`, `errors2`, …"""
    return {f"{kind}{number if number > 1 else ''}": metric for number, metric in enumerate(counted, 1)}


def _percent(errors: Sequence[str], requests: Sequence[str]) -> str:
    """The expression of a rate. Of several metrics of the requests, those without data do not count; errors do, because
    AWS does not document whether a processed request is one that succeeded."""
    counted = errors[0] if len(errors) == 1 else f"SUM([{', '.join(errors)}])"
    of = requests[0] if len(requests) == 1 else f"MAX([{', '.join([*errors, *requests])}])"
    return f"100 * {counted} / {of}"


def stop_alarm(
    endpoint: str, configuration_name: pulumi.Output[str], tags: dict[str, str], opts: pulumi.ResourceOptions
) -> cloudwatch.MetricAlarm:
    """The rollback alarm that `python -m infra release stop` forces to ALARM; each configuration has a new one.

    It never fires by itself, because nothing publishes its metric, and it keeps its state: with `ignore`, "the current
    alarm state is maintained" while data is missing (CloudWatch User Guide, "Configuring how CloudWatch alarms treat
    missing data"). Any other alarm returns from a forced state at its next evaluation.
    """
    return cloudwatch.MetricAlarm(
        names.stop_alarm(endpoint),
        name=configuration_name.apply(names.stop_alarm),
        alarm_description="Forced to ALARM by `python -m infra release stop`, which rolls the release back",
        namespace=metrics.STOP_RELEASE.namespace,
        metric_name=metrics.STOP_RELEASE.name,
        dimensions=metrics.dimensions(endpoint, configuration=configuration_name),
        statistic=metrics.STOP_RELEASE.statistic,
        period=metrics.PERIOD_SECONDS,
        evaluation_periods=1,
        comparison_operator="GreaterThanThreshold",
        threshold=0,
        treat_missing_data="ignore",
        tags=tags,
        opts=opts,
    )
