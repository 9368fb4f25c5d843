"""One endpoint: a Model, its EndpointConfiguration and the Endpoint that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import sagemaker

from infra.alarms import VariantAlarms, VariantAlarmsArgs
from infra.autoscaling import VariantAutoscaling, VariantAutoscalingArgs
from infra.resources.endpoint import Endpoint
from infra.role import ExecutionRole
from infra.settings.endpoint import EndpointSettings
from infra.settings.stack import VpcSettings

VARIANT = "AllTraffic"


@dataclass(frozen=True)
class TritonEndpointArgs:
    settings: EndpointSettings
    default_model_name: str | None
    """The model that answers; None lets Triton take the only one in the artifact."""
    image_uri: pulumi.Input[str]
    """The image by digest."""
    model_data_url: pulumi.Input[str]
    role: ExecutionRole
    vpc: VpcSettings | None
    account_id: pulumi.Input[str]
    tags: dict[str, str]
    secret_environment: bool
    """Whether the stack's configuration marks the settings, and so the container's environment, as secret."""
    protect: bool
    """Whether even a mistaken `pulumi destroy` is refused."""


class TritonEndpoint(pulumi.ComponentResource):
    """A SageMaker endpoint called `name` that serves a Triton model repository.

    Model and EndpointConfiguration have no name of their own: they cannot be changed, so every release makes new
    ones beside the old, points the Endpoint at them, and deletes the old ones last. A fixed name would collide with
    itself.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: TritonEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:TritonEndpoint", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # the role is of no use before its policies are there
        with_policies = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=args.role.policies))
        settings = args.settings
        environment = container_environment(settings, args.default_model_name)

        model = sagemaker.Model(
            name,
            execution_role_arn=args.role.arn,
            primary_container={
                "image": args.image_uri,
                "model_data_url": args.model_data_url,
                "environment": pulumi.Output.secret(environment) if args.secret_environment else environment,
            },
            vpc_config=_vpc_config(args.vpc),
            tags=args.tags,
            # the provider would update these in place, which tells AWS nothing: a Model cannot be changed
            opts=pulumi.ResourceOptions.merge(with_policies, pulumi.ResourceOptions(replace_on_changes=["vpcConfig"])),
        )
        configuration = sagemaker.EndpointConfiguration(
            name,
            production_variants=[_variant(settings, model.name)],
            tags=args.tags,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(ignore_changes=_scaled(settings))),
        )
        rollback_alarms: list[pulumi.Input[str]] = [*settings.alarms.existing]
        if settings.alarms.made:
            of_release = VariantAlarmsArgs(name, VARIANT, configuration.name, settings.alarms, args.tags)
            rollback_alarms += VariantAlarms(f"{name}-rollback", of_release, opts=child).names
        endpoint = Endpoint(
            name,
            endpoint_name=name,
            endpoint_config_name=configuration.name,
            account_id=args.account_id,
            tags=args.tags,
            autoscaled=settings.autoscaling is not None,
            deployment=deployment(settings),
            rollback_alarms=rollback_alarms,
            opts=pulumi.ResourceOptions.merge(with_policies, pulumi.ResourceOptions(protect=args.protect)),
        )
        if settings.alarms.made:
            of_endpoint = VariantAlarmsArgs(endpoint.name, VARIANT, None, settings.alarms, args.tags)
            VariantAlarms(name, of_endpoint, opts=child)
        if settings.autoscaling:
            scaling = VariantAutoscalingArgs(endpoint.name, VARIANT, settings.autoscaling, args.tags, args.protect)
            VariantAutoscaling(name, scaling, opts=child)

        self.name, self.arn = endpoint.name, endpoint.arn
        self.register_outputs({"name": self.name, "arn": self.arn})


def deployment(settings: EndpointSettings) -> dict[str, Any]:
    """How the endpoint is released, by the keys of the stack file."""
    minimum = settings.alarms.minimum_invocations
    return {
        **settings.release.inputs,
        "deadlineSeconds": settings.release_deadline_seconds,
        **({"minimumInvocations": minimum.model_dump(by_alias=True)} if minimum else {}),
    }


def container_environment(settings: EndpointSettings, default_model_name: str | None) -> dict[str, str]:
    """Triton's options. Verbose logging is off unless asked for: AWS's image logs every request by default, and
    logs cost."""
    environment = {"SAGEMAKER_TRITON_LOG_VERBOSE": "false"}
    if default_model_name is not None:
        environment["SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"] = default_model_name
    return environment | settings.environment


def _variant(
    settings: EndpointSettings, model_name: pulumi.Input[str]
) -> sagemaker.EndpointConfigurationProductionVariantArgs:
    return sagemaker.EndpointConfigurationProductionVariantArgs(
        variant_name=VARIANT,
        model_name=model_name,
        instance_type=settings.instance_type,
        initial_instance_count=settings.instance_count,
        initial_variant_weight=settings.initial_variant_weight,
        container_startup_health_check_timeout_in_seconds=settings.startup_health_check_seconds,
        model_data_download_timeout_in_seconds=settings.model_data_download_seconds,
        volume_size_in_gb=settings.volume_size_gb,
        inference_ami_version=settings.inference_ami_version,
    )


def _scaled(settings: EndpointSettings) -> list[str]:
    """A new autoscaling minimum is no release: the live count is autoscaling's, and the initial one is for the
    first."""
    return ["productionVariants[0].initialInstanceCount"] if settings.autoscaling else []


def _vpc_config(vpc: VpcSettings | None) -> sagemaker.ModelVpcConfigArgs | None:
    if vpc is None:
        return None
    return sagemaker.ModelVpcConfigArgs(subnets=vpc.subnet_ids, security_group_ids=vpc.security_group_ids)
