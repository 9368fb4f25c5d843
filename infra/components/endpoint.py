"""One endpoint: a Model for each variant, the EndpointConfiguration of all of them, and the Endpoint that serves it."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import c_float
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import sagemaker

from infra.components.alarms import StopAlarmArgs, VariantAlarms, VariantAlarmsArgs, stop_alarm
from infra.components.autoscaling import VariantAutoscaling, VariantAutoscalingArgs
from infra.components.execution_role import ExecutionRole
from infra.dynamic.endpoint import Endpoint
from infra.names import rollback_resource, variant_resource
from infra.settings.endpoint import EndpointSettings
from infra.settings.network import VpcSettings
from infra.settings.variant import VariantSettings


@dataclass(frozen=True)
class ServedModel:
    """What a variant serves."""

    data_url: pulumi.Input[str]
    """The artifact, as `s3://bucket/key`."""
    default_model_name: str | None
    """The model that answers; None lets Triton take the only one in the artifact."""


@dataclass(frozen=True)
class TritonEndpointArgs:
    settings: EndpointSettings
    models: Mapping[str, ServedModel]
    """By variant."""
    image_uri: pulumi.Input[str]
    """The image by digest."""
    role: ExecutionRole
    vpc: VpcSettings | None
    account_id: pulumi.Input[str]
    bucket_name: pulumi.Input[str]
    """Where the artifacts and the history of the releases are kept."""
    releases_kept: int
    """Of how many releases the artifacts are kept."""
    freeze_windows: list[dict[str, Any]]
    """When the endpoint is not released anew, by the keys of the stack file."""
    notification_topic_arn: str | None
    """The SNS topic that hears of releases and of the alarms on the whole endpoint."""
    tags: dict[str, str]
    secret_environment: Mapping[str, str]
    """Environment variables of every variant's container, beside those in the settings."""
    environment_is_secret: bool
    """Whether the stack's configuration marks the settings, and so the environment in them, as secret."""
    protect: bool
    """Whether the engine refuses to delete the endpoint and its scalable targets."""
    adopt: bool
    """Whether the endpoint exists, belongs to no stack, and is taken over."""
    adopt_autoscaling: bool
    """Whether the scalable targets of its variants are there already."""


class TritonEndpoint(pulumi.ComponentResource):
    """A SageMaker endpoint called `name` whose variants serve Triton model repositories.

    Model and EndpointConfiguration have no name of their own: they cannot be changed, so every release makes new
    ones beside the old, points the Endpoint at them, and deletes the old ones last. A fixed name would collide with
    itself.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: TritonEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:TritonEndpoint", name, None, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        settings, variants = args.settings, args.settings.production_variants

        configuration = sagemaker.EndpointConfiguration(
            name,
            production_variants=[
                _production_variant(variant, each, self._model(variant, each).name)
                for variant, each in variants.items()
            ],
            kms_key_arn=settings.volume_kms_key_arn,
            tags=args.tags,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(ignore_changes=_scaled(settings))),
        )
        endpoint = Endpoint(
            name,
            endpoint_name=name,
            endpoint_config_name=configuration.name,
            account_id=args.account_id,
            tags=args.tags,
            autoscaled=bool(settings.scaled_variants),
            deployment=deployment(settings),
            rollback_alarms=self._rollback_alarms(configuration.name),
            freeze_windows=args.freeze_windows,
            bucket=args.bucket_name,
            releases_kept=args.releases_kept,
            notification_topic_arn=args.notification_topic_arn,
            adopt=args.adopt,
            opts=pulumi.ResourceOptions.merge(self._with_policies, pulumi.ResourceOptions(protect=args.protect)),
        )
        for variant, each in variants.items():
            resource = variant_resource(name, variant)
            if settings.alarms.made:
                of_endpoint = VariantAlarmsArgs(
                    endpoint.name, variant, None, settings.alarms, args.tags, notify=self._topics
                )
                VariantAlarms(resource, of_endpoint, opts=child)
            if each.autoscaling:
                scaling = VariantAutoscalingArgs(
                    endpoint_name=endpoint.name,
                    variant_name=variant,
                    settings=each.autoscaling,
                    tags=args.tags,
                    protect=args.protect,
                    adopt_from=name if args.adopt_autoscaling else None,
                )
                VariantAutoscaling(resource, scaling, opts=child)

        self.name, self.arn = endpoint.name, endpoint.arn
        self.register_outputs({"name": self.name, "arn": self.arn})

    @property
    def _with_policies(self) -> pulumi.ResourceOptions:
        """The role is of no use before its policies are there."""
        return pulumi.ResourceOptions(parent=self, depends_on=self._args.role.policies)

    @property
    def _topics(self) -> list[str]:
        return [self._args.notification_topic_arn] if self._args.notification_topic_arn else []

    def _model(self, variant: str, settings: VariantSettings) -> sagemaker.Model:
        args, served = self._args, self._args.models[variant]
        environment = {**container_environment(settings, served.default_model_name), **args.secret_environment}
        secret = args.environment_is_secret or bool(args.secret_environment)
        return sagemaker.Model(
            variant_resource(self._name, variant),
            execution_role_arn=args.role.arn,
            primary_container={
                "image": args.image_uri,
                "model_data_url": served.data_url,
                "environment": pulumi.Output.secret(environment) if secret else environment,
            },
            vpc_config=_vpc_config(args.vpc),
            enable_network_isolation=settings.enable_network_isolation or None,
            tags=args.tags,
            # the provider would update these in place, which tells AWS nothing: a Model cannot be changed
            opts=pulumi.ResourceOptions.merge(
                self._with_policies, pulumi.ResourceOptions(replace_on_changes=["vpcConfig"])
            ),
        )

    def _rollback_alarms(self, configuration_name: pulumi.Output[str]) -> list[pulumi.Input[str]]:
        """Those that were there, those on the fleet of this configuration alone, and the one that stops its release."""
        settings, child = self._args.settings, pulumi.ResourceOptions(parent=self)
        names: list[pulumi.Input[str]] = [*settings.alarms.existing]
        for variant in settings.production_variants if settings.alarms.made else ():
            of_release = VariantAlarmsArgs(self._name, variant, configuration_name, settings.alarms, self._args.tags)
            names += VariantAlarms(
                rollback_resource(variant_resource(self._name, variant)), of_release, opts=child
            ).alarm_names
        if settings.can_be_stopped:
            names.append(
                stop_alarm(self._name, StopAlarmArgs(self._name, configuration_name, self._args.tags), child).name
            )
        return names


def deployment(settings: EndpointSettings) -> dict[str, Any]:
    """How the endpoint is released, by the keys of the stack file."""
    minimum = settings.alarms.minimum_invocations
    return {
        **settings.release.inputs,
        "deadlineSeconds": settings.release_deadline_seconds,
        **({"minimumInvocations": minimum.model_dump(by_alias=True)} if minimum else {}),
    }


def container_environment(settings: VariantSettings, default_model_name: str | None) -> dict[str, str]:
    """Triton's options. Verbose logging is off unless asked for: AWS's image logs every request by default, and
    logs cost."""
    environment = {"SAGEMAKER_TRITON_LOG_VERBOSE": "false"}
    if default_model_name is not None:
        environment["SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"] = default_model_name
    return environment | settings.environment


def _production_variant(
    name: str, settings: VariantSettings, model_name: pulumi.Input[str]
) -> sagemaker.EndpointConfigurationProductionVariantArgs:
    return sagemaker.EndpointConfigurationProductionVariantArgs(
        variant_name=name,
        model_name=model_name,
        instance_type=settings.instance_type,
        initial_instance_count=settings.instance_count,
        # pulumi-aws reads it back in single precision: another value would be replaced at every deployment
        initial_variant_weight=c_float(settings.initial_variant_weight).value,
        container_startup_health_check_timeout_in_seconds=settings.startup_health_check_seconds,
        model_data_download_timeout_in_seconds=settings.model_data_download_seconds,
        volume_size_in_gb=settings.volume_size_gb,
        inference_ami_version=settings.inference_ami_version,
    )


def _scaled(settings: EndpointSettings) -> list[str]:
    """A new autoscaling minimum is no release: the live count is autoscaling's, and the initial one is for the first.
    Of several variants it is one, because a path is by position: a variant put before another would get its count."""
    scaled = settings.variants is None and settings.autoscaling is not None
    return ["productionVariants[0].initialInstanceCount"] if scaled else []


def _vpc_config(vpc: VpcSettings | None) -> sagemaker.ModelVpcConfigArgs | None:
    if vpc is None:
        return None
    return sagemaker.ModelVpcConfigArgs(subnets=vpc.subnet_ids, security_group_ids=vpc.security_group_ids)
