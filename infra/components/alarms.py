"""CloudWatch alarms on an endpoint: on its variants and releases, for operators, and on one fleet, to roll it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric
from infra.components.context import StackContext
from infra.monitoring import alarms
from infra.monitoring.alarms import Alarm
from infra.settings.endpoint import EndpointSettings


@dataclass(frozen=True)
class VariantAlarmsArgs:
    """
    Attributes:
        configuration_name: the endpoint configuration of the fleet to watch; None for every fleet of the endpoint.
        describe: the description of an alarm.
    """

    endpoint_name: pulumi.Input[str]
    variant_name: str
    configuration_name: pulumi.Input[str] | None
    alarms: Sequence[Alarm]
    tags: dict[str, str]
    describe: Callable[[Alarm], str] = lambda alarm: alarm.cause


class VariantAlarms(pulumi.ComponentResource):
    """The alarms on a variant; with a configuration, those that can roll it back.

    Alarms with a configuration watch the fleet of one release (dimension `EndpointConfigName`), or both fleets where
    their metric has no such dimension. Each configuration has new ones: a changed alarm keeps its state, so one that
    fired for an earlier fleet would roll back the release that fixes it. Missing data is not breaching: a fleet without
    requests has no errors. `minimumInvocations` requires requests.
    """

    alarm_names: list[pulumi.Output[str]]
    alarm_arns: list[pulumi.Output[str]]

    def __init__(self, name: str, args: VariantAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAlarms", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        fleet = pulumi.Output.from_input(args.configuration_name or args.endpoint_name)
        watched = fleet.apply(lambda name: names.variant_resource(name, args.variant_name))
        naming = names.operators_alarm if args.configuration_name is None else names.alarm
        dimensions = partial(metrics.dimensions, args.endpoint_name, args.variant_name, args.configuration_name)
        created = [
            _metric_alarm(
                names.alarm(name, alarm.purpose),
                watched.apply(partial(naming, purpose=alarm.purpose)),
                alarm,
                dimensions,
                args.describe(alarm),
                args.tags,
                child,
            )
            for alarm in args.alarms
        ]
        self.alarm_names = [alarm.name for alarm in created]
        self.alarm_arns = [alarm.arn for alarm in created]
        self.register_outputs({"alarm_names": self.alarm_names})


@dataclass(frozen=True)
class EndpointAlarmsArgs:
    """
    Attributes:
        topic_arn: the SNS topic that is notified of ALARM and of OK; None for no composite alarm.
    """

    context: StackContext
    endpoint_name: pulumi.Input[str]
    settings: EndpointSettings
    topic_arn: pulumi.Input[str] | None
    runbook_url: str | None


class EndpointAlarms(pulumi.ComponentResource):
    """The alarms on an endpoint for operators, and the composite alarm that notifies them once of any of these.

    The others have no actions, so that one cause does not notify twice.
    """

    composite_name: pulumi.Output[str] | None
    alarm_arns: list[pulumi.Output[str]]
    """The composite alarm, if there is one, and those that it combines."""

    def __init__(self, name: str, args: EndpointAlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:EndpointAlarms", name, None, opts)
        context, settings = args.context, args.settings
        child, endpoint_name = pulumi.ResourceOptions(parent=self), pulumi.Output.from_input(args.endpoint_name)
        where = context.stack, name, args.runbook_url
        describe = partial(_describe, *where)
        children: list[pulumi.Output[str]] = []
        self.alarm_arns = []
        purposes: list[str] = []
        for variant in settings.serving_variants:
            of_variant = alarms.variant_alarms(settings, variant, context.production)
            if not of_variant:
                continue
            variant_args = VariantAlarmsArgs(args.endpoint_name, variant, None, of_variant, context.tags, describe)
            on_variant = VariantAlarms(names.variant_resource(name, variant), variant_args, child)
            children += on_variant.alarm_names
            self.alarm_arns += on_variant.alarm_arns
            purposes += [alarm.purpose for alarm in of_variant]
        dimensions = partial(metrics.dimensions, args.endpoint_name, None, None)
        for alarm in alarms.release_alarms(settings, context.production):
            resource = names.alarm(name, alarm.purpose)
            alarm_name = endpoint_name.apply(partial(names.operators_alarm, purpose=alarm.purpose))
            created = _metric_alarm(resource, alarm_name, alarm, dimensions, describe(alarm), context.tags, child)
            children.append(created.name)
            self.alarm_arns.append(created.arn)
            purposes.append(alarm.purpose)
        self.composite_name = None
        if args.topic_arn and children:
            composite = cloudwatch.CompositeAlarm(
                name,
                alarm_name=endpoint_name.apply(names.composite_alarm),
                alarm_description=alarms.composite_description(purposes, *where),
                alarm_rule=pulumi.Output.all(*children).apply(names.alarm_rule),
                alarm_actions=[args.topic_arn],
                ok_actions=[args.topic_arn],
                tags=context.tags,
                opts=child,
            )
            self.composite_name = composite.alarm_name
            self.alarm_arns.insert(0, composite.arn)
        self.register_outputs({"composite_name": self.composite_name})


def _describe(stack: str, endpoint: str, runbook: str | None, alarm: Alarm) -> str:
    return alarms.description(alarm, stack, endpoint, runbook)


def _metric_alarm(
    resource: str,
    name: pulumi.Output[str],
    alarm: Alarm,
    dimensions: Callable[..., dict[str, pulumi.Input[str]]],
    description: str,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> cloudwatch.MetricAlarm:
    """An alarm without actions.

    Args:
        dimensions: those of a metric with a `scope`.
    """
    warm_up = alarm.warm_up_minutes
    return cloudwatch.MetricAlarm(
        resource,
        name=name,
        alarm_description=description,
        comparison_operator=alarm.comparison,
        threshold=alarm.threshold,
        evaluation_periods=alarm.minutes,
        datapoints_to_alarm=alarm.datapoints,
        treat_missing_data=alarm.missing,
        warm_up_configuration={"warm_up_period_duration_in_minutes": warm_up} if warm_up else None,
        tags=tags,
        opts=opts,
        **_watching(alarm, dimensions),
    )


def _watching(alarm: Alarm, dimensions: Callable[..., dict[str, pulumi.Input[str]]]) -> dict[str, Any]:
    """The arguments of the metric, or of the expression over several."""

    def identity(metric: Metric) -> dict[str, Any]:
        return {
            "namespace": metric.namespace,
            "metric_name": metric.name,
            "dimensions": dimensions(scope=alarm.scope or metric.scope),
            "period": metrics.PERIOD_SECONDS,
        }

    if alarm.expression is None:
        (metric,) = alarm.metrics.values()
        statistic = "extended_statistic" if metric.statistic.startswith("p") else "statistic"
        return {**identity(metric), statistic: metric.statistic}
    queries = [
        cloudwatch.MetricAlarmMetricQueryArgs(
            id=id_,
            metric=cloudwatch.MetricAlarmMetricQueryMetricArgs(**identity(metric), stat=metric.statistic),
            return_data=False,
        )
        for id_, metric in alarm.metrics.items()
    ]
    result = cloudwatch.MetricAlarmMetricQueryArgs(
        id="result", expression=alarm.expression, label=alarm.label, return_data=True
    )
    return {"metric_queries": [result, *queries]}


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
