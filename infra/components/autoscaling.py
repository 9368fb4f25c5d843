"""Autoscaling of an endpoint's variant: of its instances, or of its provisioned concurrency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import appautoscaling, cloudwatch

from infra import names
from infra.aws.metrics import BACKLOG_PER_INSTANCE, BACKLOG_WITHOUT_CAPACITY, PERIOD_SECONDS, dimensions
from infra.components.context import StackContext
from infra.release.autoscaling import SAGEMAKER, scalable_dimension
from infra.settings.autoscaling import AutoscalingSettings
from infra.settings.serverless import ServerlessAutoscalingSettings

START_COOLDOWN_SECONDS = 300
"""How long the first instance may take before another one is added (SageMaker guide, Autoscale an asynchronous
endpoint)."""

INVOCATIONS_METRIC = "SageMakerVariantInvocationsPerInstance"
CONCURRENCY_METRIC = "SageMakerVariantProvisionedConcurrencyUtilization"
"""Predefined metrics (API `MetricType` of Application Auto Scaling)."""

_Tracking = dict[str, Any]
"""The configuration of a target-tracking policy."""


@dataclass(frozen=True)
class VariantAutoscalingArgs:
    """
    Attributes:
        adopt_from: the endpoint that has a scalable target already: AWS registers it with tags only once.
    """

    context: StackContext
    endpoint_name: pulumi.Input[str]
    variant_name: str
    settings: AutoscalingSettings | ServerlessAutoscalingSettings
    adopt_from: str | None = None


class VariantAutoscaling(pulumi.ComponentResource):
    """A scalable target on a variant's instance count, and target tracking on its invocations or its backlog; of a
    serverless variant on its provisioned concurrency, and on its utilization.

    Without instances an endpoint has no backlog per instance, so another policy starts the first one (SageMaker guide,
    "Autoscale an asynchronous endpoint").
    """

    def __init__(self, name: str, args: VariantAutoscalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAutoscaling", name, None, opts)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        self._scale(args.settings, self._target())
        self.register_outputs({})

    def _scale(
        self, settings: AutoscalingSettings | ServerlessAutoscalingSettings, target: appautoscaling.Target
    ) -> None:
        if isinstance(settings, ServerlessAutoscalingSettings):
            self._track("provisioned-concurrency", target, _predefined(CONCURRENCY_METRIC, settings.utilization))
            return
        cooldowns: _Tracking = {
            "scale_in_cooldown": settings.scale_in_cooldown,
            "scale_out_cooldown": settings.scale_out_cooldown,
        }
        if settings.backlog_per_instance is None:
            metric = _predefined(INVOCATIONS_METRIC, settings.invocations_per_instance)
            self._track("invocations", target, {**metric, **cooldowns}, settings.policy_name)
        else:
            metric = self._backlog(settings.backlog_per_instance)
            self._track("backlog", target, {**metric, **cooldowns}, settings.policy_name)
        if settings.leaves_zero:
            self._leave_zero(target)

    def _target(self) -> appautoscaling.Target:
        args = self._args
        dimension = scalable_dimension(isinstance(args.settings, ServerlessAutoscalingSettings))
        adopted = args.adopt_from and names.scalable_target(args.adopt_from, args.variant_name)
        options = pulumi.ResourceOptions(
            protect=args.context.production,  # AWS deletes the scheduled actions of others with it
            import_=f"{SAGEMAKER}/{adopted}/{dimension}" if adopted else None,
            # once the target exists, `Endpoint` tags it: a release may register it again, under another ARN
            ignore_changes=["tags", "tagsAll"],
        )
        return appautoscaling.Target(
            self._name,
            service_namespace=SAGEMAKER,
            scalable_dimension=dimension,
            resource_id=self._of_variant(names.scalable_target),
            min_capacity=args.settings.min,
            max_capacity=args.settings.max,
            tags=args.context.tags,
            opts=pulumi.ResourceOptions.merge(self._child, options),
        )

    @property
    def _dimensions(self) -> dict[str, pulumi.Input[str]]:
        return dimensions(self._args.endpoint_name)

    def _of_variant(self, name: Callable[[str, str], str]) -> pulumi.Output[str]:
        """What `infra.names` calls a resource of the variant."""
        return pulumi.Output.from_input(self._args.endpoint_name).apply(
            lambda endpoint: name(endpoint, self._args.variant_name)
        )

    def _backlog(self, target_value: int) -> _Tracking:
        return {
            "customized_metric_specification": {
                "namespace": BACKLOG_PER_INSTANCE.namespace,
                "metric_name": BACKLOG_PER_INSTANCE.name,
                "statistic": BACKLOG_PER_INSTANCE.statistic,
                "dimensions": [{"name": name, "value": value} for name, value in self._dimensions.items()],
            },
            "target_value": target_value,
        }

    def _track(self, what: str, target: appautoscaling.Target, tracking: _Tracking, name: str | None = None) -> None:
        appautoscaling.Policy(
            f"{self._name}-{what}",
            name=name,
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration=tracking,
            # AWS rejects a second one: "Only one TargetTrackingScaling policy for a given metric specification is
            # allowed" (Application Auto Scaling guide, "Multiple target tracking scaling policies")
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(delete_before_replace=True)),
        )

    def _leave_zero(self, target: appautoscaling.Target) -> None:
        """Add an instance when requests wait and there is none; target tracking does the rest."""
        name, args = names.alarm(self._name, names.BACKLOG_WITHOUT_CAPACITY), self._args
        policy = appautoscaling.Policy(
            name,
            policy_type="StepScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            step_scaling_policy_configuration={
                "adjustment_type": "ChangeInCapacity",
                "metric_aggregation_type": "Average",
                "cooldown": START_COOLDOWN_SECONDS,
                "step_adjustments": [{"metric_interval_lower_bound": "0", "scaling_adjustment": 1}],
            },
            opts=self._child,
        )
        cloudwatch.MetricAlarm(
            name,
            name=self._of_variant(names.backlog_alarm),
            alarm_description="Requests wait, and the endpoint has no instance",
            namespace=BACKLOG_WITHOUT_CAPACITY.namespace,
            metric_name=BACKLOG_WITHOUT_CAPACITY.name,
            statistic=BACKLOG_WITHOUT_CAPACITY.statistic,
            dimensions=self._dimensions,
            period=PERIOD_SECONDS,
            evaluation_periods=2,
            datapoints_to_alarm=2,
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=1,
            treat_missing_data="missing",
            alarm_actions=[policy.arn],
            tags=args.context.tags,
            # `Endpoint` tags it, as it tags the target: once a release has restored the policy under another ARN, an
            # update of the alarm would have it call the ARN in the state again
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(ignore_changes=["tags", "tagsAll"])),
        )


def _predefined(metric: str, target_value: float) -> _Tracking:
    return {"predefined_metric_specification": {"predefined_metric_type": metric}, "target_value": target_value}
