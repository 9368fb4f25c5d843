"""CloudWatch alarms on an endpoint's variant: on all its fleets, for operators, or on one fleet, to roll it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric
from infra.settings.alarms import AlarmSettings

_ERRORS = {names.ERROR_RATE: metrics.MODEL_ERRORS, names.SERVER_ERROR_RATE: metrics.SERVER_ERRORS}
"""The metric that counts the errors of a rate."""


@dataclass(frozen=True)
class VariantAlarmsArgs:
    """
    Attributes:
        configuration_name: the endpoint configuration of the fleet to watch; None for every fleet of the endpoint.
        notify: ARNs of the SNS topics that are notified of ALARM and of OK.
    """

    endpoint_name: pulumi.Input[str]
    variant_name: str
    configuration_name: pulumi.Input[str] | None
    settings: AlarmSettings
    tags: dict[str, str]
    notify: Sequence[pulumi.Input[str]] = ()


class VariantAlarms(pulumi.ComponentResource):
    """An alarm for each threshold in the settings.

    Alarms with a configuration watch the fleet of one release (dimension `EndpointConfigName`), and each configuration
    has new ones: a changed alarm keeps its state, so one that fired for an earlier fleet would roll back the release
    that fixes it. Missing data is not breaching: a fleet without requests has no errors. `minimumInvocations` requires
    requests.
    """

    alarm_names: list[pulumi.Output[str]]

    def __init__(self, name: str, args: VariantAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAlarms", name, None, opts)
        self._name, self._args = name, args
        alarms = list(self._alarms())
        self.alarm_names = [alarm.name for alarm in alarms]
        self.register_outputs({"alarm_names": self.alarm_names})

    def _alarms(self) -> Iterator[cloudwatch.MetricAlarm]:
        for purpose, threshold in self._args.settings.purposes.items():
            if purpose == names.P99_MODEL_LATENCY:
                yield self._latency(purpose, threshold)
            else:
                yield self._rate(purpose, _ERRORS[purpose], threshold)

    def _rate(self, purpose: str, errors: Metric, percent: float) -> cloudwatch.MetricAlarm:
        """Fires when a metric counts more than `percent` of the requests."""
        rate = cloudwatch.MetricAlarmMetricQueryArgs(
            id="rate",
            expression="100 * errors / invocations",
            label=f"{errors.name} in percent of {metrics.INVOCATIONS.name}",
            return_data=True,
        )
        return self._alarm(
            purpose,
            percent,
            f"More than {percent:g} % of the requests are counted in {errors.name}",
            metric_queries=[rate, self._query("errors", errors), self._query("invocations", metrics.INVOCATIONS)],
        )

    def _query(self, id_: str, metric: Metric) -> cloudwatch.MetricAlarmMetricQueryArgs:
        return cloudwatch.MetricAlarmMetricQueryArgs(
            id=id_,
            metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                namespace=metric.namespace,
                metric_name=metric.name,
                dimensions=self._dimensions,
                period=metrics.PERIOD_SECONDS,
                stat=metric.statistic,
            ),
            return_data=False,
        )

    def _latency(self, purpose: str, milliseconds: float) -> cloudwatch.MetricAlarm:
        metric = metrics.MODEL_LATENCY
        return self._alarm(
            purpose,
            milliseconds * 1000,  # the metric is in microseconds
            f"The p99 of ModelLatency is more than {milliseconds:g} ms",
            namespace=metric.namespace,
            metric_name=metric.name,
            dimensions=self._dimensions,
            period=metrics.PERIOD_SECONDS,
            extended_statistic=metric.statistic,
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

    @property
    def _dimensions(self) -> dict[str, pulumi.Input[str]]:
        return metrics.dimensions(self._args.endpoint_name, self._args.variant_name, self._args.configuration_name)


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
