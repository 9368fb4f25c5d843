"""Autoscaling of the provisioned concurrency of a serverless variant."""

from __future__ import annotations

import pulumi
from pulumi_aws import appautoscaling

from infra.components.context import StackContext
from infra.settings.serverless import ServerlessVariant

DIMENSION = "sagemaker:variant:DesiredProvisionedConcurrency"


def scale_provisioned_concurrency(
    name: str,
    endpoint_name: pulumi.Input[str],
    variant: str,
    settings: ServerlessVariant,
    context: StackContext,
    opts: pulumi.ResourceOptions,
) -> None:
    """Register a scalable target with target tracking, if the settings have autoscaling (SageMaker guide, Automatically
    scale Provisioned Concurrency for a serverless endpoint)."""
    scaling = settings.serverless.autoscaling
    if scaling is None:
        return
    target = appautoscaling.Target(
        name,
        service_namespace="sagemaker",
        scalable_dimension=DIMENSION,
        resource_id=pulumi.Output.concat("endpoint/", endpoint_name, "/variant/", variant),
        min_capacity=scaling.min,
        max_capacity=scaling.max,
        tags=context.tags,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=context.production)),
    )
    appautoscaling.Policy(
        f"{name}-provisioned-concurrency",
        policy_type="TargetTrackingScaling",
        service_namespace=target.service_namespace,
        scalable_dimension=target.scalable_dimension,
        resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration={
            "predefined_metric_specification": {
                "predefined_metric_type": "SageMakerVariantProvisionedConcurrencyUtilization"
            },
            "target_value": scaling.utilization,
        },
        # AWS rejects a second policy for the same metric
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )
