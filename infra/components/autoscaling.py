"""Autoscaling of an endpoint's variant by the invocations of each instance."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import appautoscaling

from infra.components.context import StackContext
from infra.release.autoscaling import INSTANCES
from infra.settings.autoscaling import AutoscalingSettings


@dataclass(frozen=True)
class VariantAutoscalingArgs:
    """
    Attributes:
        adopt_from: the endpoint that has a scalable target already: AWS registers it with tags only once.
    """

    context: StackContext
    endpoint_name: pulumi.Input[str]
    variant_name: str
    settings: AutoscalingSettings
    adopt_from: str | None = None


class VariantAutoscaling(pulumi.ComponentResource):
    """A scalable target on a variant's instance count, and target tracking on its invocations an instance."""

    def __init__(self, name: str, args: VariantAutoscalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAutoscaling", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        imported = f"sagemaker/endpoint/{args.adopt_from}/variant/{args.variant_name}/{INSTANCES}"
        target_options = pulumi.ResourceOptions(
            protect=args.context.production,  # AWS deletes the scheduled actions of others with it
            import_=imported if args.adopt_from else None,
            # once the target exists, `Endpoint` tags it: a release may register it again, under another ARN
            ignore_changes=["tags", "tagsAll"],
        )
        target = appautoscaling.Target(
            name,
            service_namespace="sagemaker",
            scalable_dimension=INSTANCES,
            resource_id=pulumi.Output.concat("endpoint/", args.endpoint_name, "/variant/", args.variant_name),
            min_capacity=args.settings.min,
            max_capacity=args.settings.max,
            tags=args.context.tags,
            opts=pulumi.ResourceOptions.merge(child, target_options),
        )
        appautoscaling.Policy(
            f"{name}-invocations",
            name=args.settings.policy_name,
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration={
                "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
                "target_value": args.settings.invocations_per_instance,
                "scale_in_cooldown": args.settings.scale_in_cooldown,
                "scale_out_cooldown": args.settings.scale_out_cooldown,
            },
            # AWS rejects a second one: "Only one TargetTrackingScaling policy for a given metric specification is
            # allowed" (Application Auto Scaling guide, "Multiple target tracking scaling policies")
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(delete_before_replace=True)),
        )
        self.register_outputs({})
