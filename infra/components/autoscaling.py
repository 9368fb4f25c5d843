"""Autoscaling of an endpoint's variant by the invocations each instance answers."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import appautoscaling

from infra.release.autoscaling import DIMENSION
from infra.settings.autoscaling import AutoscalingSettings


@dataclass(frozen=True)
class VariantAutoscalingArgs:
    endpoint_name: pulumi.Input[str]
    variant_name: str
    settings: AutoscalingSettings
    tags: dict[str, str]
    protect: bool
    """Whether the engine refuses to delete the scalable target, with which AWS deletes scheduled actions of others."""
    adopt_from: str | None = None
    """The endpoint whose scalable target is there already: AWS registers none with tags a second time."""


class VariantAutoscaling(pulumi.ComponentResource):
    """A scalable target on a variant's instance count, and target tracking on its invocations an instance."""

    def __init__(self, name: str, args: VariantAutoscalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:VariantAutoscaling", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        imported = f"sagemaker/endpoint/{args.adopt_from}/variant/{args.variant_name}/{DIMENSION}"
        of_target = pulumi.ResourceOptions(
            protect=args.protect,
            import_=imported if args.adopt_from else None,
            # once the target exists, `Endpoint` tags it: a release may register it anew, under another ARN
            ignore_changes=["tags", "tagsAll"],
        )
        target = appautoscaling.Target(
            name,
            service_namespace="sagemaker",
            scalable_dimension=DIMENSION,
            resource_id=pulumi.Output.concat("endpoint/", args.endpoint_name, "/variant/", args.variant_name),
            min_capacity=args.settings.min,
            max_capacity=args.settings.max,
            tags=args.tags,
            opts=pulumi.ResourceOptions.merge(child, of_target),
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
            # AWS refuses a second one: "Only one TargetTrackingScaling policy for a given metric specification is
            # allowed" (Application Auto Scaling guide, "Multiple target tracking scaling policies")
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(delete_before_replace=True)),
        )
        self.register_outputs({})
