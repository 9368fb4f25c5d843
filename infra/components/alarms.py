"""CloudWatch alarms on an endpoint's variant: on all of it, for people, or on one release's fleet, to roll it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

from infra.release.alarms import STOP_METRIC, stop_alarm_name
from infra.settings.alarms import ERROR_RATE, P99_MODEL_LATENCY, SERVER_ERROR_RATE, AlarmSettings
from infra.settings.endpoint import ONLY_VARIANT

PERIOD_SECONDS = 60
"""SageMaker publishes an endpoint's metrics once a minute."""

_COUNTED = {ERROR_RATE: "InvocationModelErrors", SERVER_ERROR_RATE: "Invocation5XXErrors"}
"""The metric that counts the errors of a rate."""


@dataclass(frozen=True)
class VariantAlarmsArgs:
    endpoint_name: pulumi.Input[str]
    variant_name: str
    configuration_name: pulumi.Input[str] | None
    """The endpoint configuration whose fleet is watched; None watches every fleet of the endpoint."""
    settings: AlarmSettings
    tags: dict[str, str]
    notify: Sequence[pulumi.Input[str]] = ()
    """ARNs of the SNS topics that hear of ALARM and of OK."""


class VariantAlarms(pulumi.ComponentResource):
    """An alarm for each threshold in the settings.

    With a configuration the alarms see that release's fleet only (dimension `EndpointConfigName`), and are new with
    each configuration: an alarm keeps its state when it is changed, so one that fired for the last release, or for the
    old fleet, would roll back its own repair. Missing data is no breach: a fleet without requests makes no errors, and
    `minimumInvocations` is what asks for requests.
    """

    names: list[pulumi.Output[str]]

    def __init__(self, name: str, args: VariantAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAlarms", name, None, opts)
        self._name, self._args = name, args
        alarms = list(self._alarms())
        self.names = [alarm.name for alarm in alarms]
        self.register_outputs({"names": self.names})

    def _alarms(self) -> Iterator[cloudwatch.MetricAlarm]:
        for purpose, threshold in self._args.settings.purposes.items():
            if purpose == P99_MODEL_LATENCY:
                yield self._latency(purpose, threshold)
            else:
                yield self._rate(purpose, _COUNTED[purpose], threshold)

    def _rate(self, purpose: str, errors: str, percent: float) -> cloudwatch.MetricAlarm:
        """How many of a hundred requests a metric counts as errors."""

        def counted(id_: str, metric_name: str) -> cloudwatch.MetricAlarmMetricQueryArgs:
            return cloudwatch.MetricAlarmMetricQueryArgs(
                id=id_,
                metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(
                    namespace="AWS/SageMaker",
                    metric_name=metric_name,
                    dimensions=self._dimensions,
                    period=PERIOD_SECONDS,
                    stat="Sum",
                ),
                return_data=False,
            )

        rate = cloudwatch.MetricAlarmMetricQueryArgs(
            id="rate",
            expression="100 * errors / invocations",
            label=f"{errors} in percent of Invocations",
            return_data=True,
        )
        return self._alarm(
            purpose,
            f"More than {percent:g} % of the requests are counted in {errors}",
            cloudwatch.MetricAlarmArgs(
                comparison_operator="GreaterThanThreshold",
                evaluation_periods=self._args.settings.evaluation_minutes,
                threshold=percent,
                metric_queries=[rate, counted("errors", errors), counted("invocations", "Invocations")],
            ),
        )

    def _latency(self, purpose: str, milliseconds: float) -> cloudwatch.MetricAlarm:
        return self._alarm(
            purpose,
            f"The model takes more than {milliseconds:g} ms for the slowest of a hundred requests",
            cloudwatch.MetricAlarmArgs(
                comparison_operator="GreaterThanThreshold",
                evaluation_periods=self._args.settings.evaluation_minutes,
                threshold=milliseconds * 1000,  # ModelLatency is in microseconds
                namespace="AWS/SageMaker",
                metric_name="ModelLatency",
                dimensions=self._dimensions,
                period=PERIOD_SECONDS,
                extended_statistic="p99",
            ),
        )

    def _alarm(self, purpose: str, what: str, args: cloudwatch.MetricAlarmArgs) -> cloudwatch.MetricAlarm:
        watched = self._args.configuration_name or self._args.endpoint_name
        variant = "" if self._args.variant_name == ONLY_VARIANT else f"-{self._args.variant_name}"
        args.name = pulumi.Output.concat(watched, variant, "-", purpose)
        args.alarm_description = what
        args.treat_missing_data = "notBreaching"
        args.alarm_actions = args.ok_actions = [*self._args.notify] or None
        args.tags = self._args.tags
        return cloudwatch.MetricAlarm(f"{self._name}-{purpose}", args, opts=pulumi.ResourceOptions(parent=self))

    @property
    def _dimensions(self) -> dict[str, pulumi.Input[str]]:
        dimensions: dict[str, pulumi.Input[str]] = {
            "EndpointName": self._args.endpoint_name,
            "VariantName": self._args.variant_name,
        }
        if self._args.configuration_name is not None:
            dimensions["EndpointConfigName"] = self._args.configuration_name
        return dimensions


@dataclass(frozen=True)
class StopAlarmArgs:
    endpoint_name: pulumi.Input[str]
    configuration_name: pulumi.Input[str]
    tags: dict[str, str]


def stop_alarm(name: str, args: StopAlarmArgs, opts: pulumi.ResourceOptions) -> cloudwatch.MetricAlarm:
    """The rollback alarm that `python -m infra release stop` forces to ALARM, new with each configuration.

    It fires by nobody else's hand: nothing publishes its metric. And it holds: with `ignore`, "the current alarm state
    is maintained" while there is no data (CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing
    data"), where any other alarm returns from a forced state at its next evaluation.
    """
    return cloudwatch.MetricAlarm(
        f"{name}-stop",
        name=pulumi.Output.from_input(args.configuration_name).apply(stop_alarm_name),
        alarm_description="Forced to ALARM by `python -m infra release stop`, which rolls the release back",
        namespace="triton-sagemaker",
        metric_name=STOP_METRIC,
        dimensions={"EndpointName": args.endpoint_name, "EndpointConfigName": args.configuration_name},
        statistic="Maximum",
        period=PERIOD_SECONDS,
        evaluation_periods=1,
        comparison_operator="GreaterThanThreshold",
        threshold=0,
        treat_missing_data="ignore",
        tags=args.tags,
        opts=opts,
    )
