"""One endpoint: a Model for each variant, the EndpointConfiguration of all of them, and the Endpoint that serves it."""

from __future__ import annotations

from ctypes import c_float
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import sagemaker

from infra import names
from infra.components.alarms import (
    EndpointAlarms,
    EndpointAlarmsArgs,
    VariantAlarms,
    VariantAlarmsArgs,
    stop_alarm,
)
from infra.components.async_inference import async_inference_config
from infra.components.autoscaling import VariantAutoscaling, VariantAutoscalingArgs
from infra.components.model import TritonModelArgs, triton_model
from infra.dynamic.endpoint import Endpoint
from infra.dynamic.log_group import LogGroup
from infra.monitoring.alarms import rollback_alarms
from infra.settings.endpoint import EndpointSettings
from infra.settings.serverless import ServerlessVariant
from infra.settings.variant import InstanceVariant


@dataclass(frozen=True)
class TritonEndpointArgs(TritonModelArgs):
    """
    Attributes:
        bucket_name: the bucket of the artifacts and of the history of releases.
        topic_arn: the SNS topic that operators are notified by.
    """

    bucket_name: pulumi.Input[str]
    topic_arn: pulumi.Input[str] | None = None


class TritonEndpoint(pulumi.ComponentResource):
    """A SageMaker endpoint called `name` whose variants serve Triton model repositories.

    Pulumi names Model and EndpointConfiguration. They cannot be changed, so every release creates new ones, updates the
    Endpoint to them, and deletes the old ones last. Under a fixed name the new ones would collide with the old ones.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    alarm_arns: list[pulumi.Output[str]]
    """The alarms that notify operators."""
    releases: pulumi.Output[list[dict[str, Any]] | None]
    """The latest releases, as `Endpoint` has them."""
    composite_alarm_name: pulumi.Output[str] | None

    def __init__(self, name: str, args: TritonEndpointArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:TritonEndpoint", name, None, opts)
        self._name, self._args = name, args
        self._settings = settings = args.stack.endpoints[name]
        self._child = pulumi.ResourceOptions(parent=self)

        before = [*args.role.policies]
        if days := args.stack.monitoring.log_retention_days:
            before.append(
                LogGroup(
                    name,
                    log_group_name=names.log_group(name),
                    retention_days=days,
                    account_id=args.context.account_id,
                    tags=args.context.tags,
                    opts=self._child,
                )
            )
        configuration = sagemaker.EndpointConfiguration(
            name,
            production_variants=[
                _production_variant(variant, serving, triton_model(name, variant, serving, args, self._child).name)
                for variant, serving in settings.serving_variants.items()
            ],
            async_inference_config=settings.asynchronous
            and async_inference_config(name, settings.asynchronous, args.bucket_name, args.context, self._child),
            kms_key_arn=settings.volume_kms_key_arn,
            tags=args.context.tags,
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(ignore_changes=_scaled(settings))),
        )
        endpoint = Endpoint(
            name,
            endpoint_name=name,
            endpoint_config_name=configuration.name,
            account_id=args.context.account_id,
            tags=args.context.tags,
            autoscaled=bool(settings.scaled_variants),
            policy=settings.release.policy,
            deadline_seconds=settings.release_deadline_seconds,
            rollback_alarms=self._rollback_alarms(configuration.name),
            bucket=args.bucket_name,
            releases_kept=args.stack.bucket.releases_kept,
            minimum_invocations=settings.alarms.minimum,
            notification_topic_arn=args.topic_arn,
            publish_metrics=settings.alarms.watches_releases(args.context.production),
            adopt=name in args.stack.adopt.endpoints,
            opts=pulumi.ResourceOptions(parent=self, depends_on=before, protect=args.context.production),
        )
        self._scale(endpoint.name)

        self.composite_alarm_name, self.alarm_arns = None, []
        if settings.alarm_names(name, args.context.production):
            watching = EndpointAlarmsArgs(
                args.context, endpoint.name, settings, args.topic_arn, args.stack.monitoring.runbook_url
            )
            alarms = EndpointAlarms(name, watching, self._child)
            self.composite_alarm_name, self.alarm_arns = alarms.composite_name, alarms.alarm_arns

        self.name, self.arn, self.releases = endpoint.name, endpoint.arn, endpoint.releases
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _scale(self, endpoint_name: pulumi.Output[str]) -> None:
        name, adopt = self._name, self._args.stack.adopt
        for variant, serving in self._settings.serving_variants.items():
            if serving.scaling:
                scaling = VariantAutoscalingArgs(
                    context=self._args.context,
                    endpoint_name=endpoint_name,
                    variant_name=variant,
                    settings=serving.scaling,
                    adopt_from=name if adopt.autoscaling and name in adopt.endpoints else None,
                )
                VariantAutoscaling(names.variant_resource(name, variant), scaling, opts=self._child)

    def _rollback_alarms(self, configuration_name: pulumi.Output[str]) -> list[pulumi.Input[str]]:
        """The existing alarms, those on the fleet of this configuration, and the one that stops its release."""
        alarms: list[pulumi.Input[str]] = [*self._settings.alarms.existing]
        on_fleet = rollback_alarms(self._settings.alarms, self._settings.mode)
        for variant in self._settings.variants if on_fleet else ():
            resource = names.rollback_resource(names.variant_resource(self._name, variant))
            of_fleet = VariantAlarmsArgs(self._name, variant, configuration_name, on_fleet, self._args.context.tags)
            alarms += VariantAlarms(resource, of_fleet, opts=self._child).alarm_names
        if self._settings.can_be_stopped:
            alarms.append(stop_alarm(self._name, configuration_name, self._args.context.tags, self._child).name)
        return alarms


def _production_variant(
    name: str, settings: InstanceVariant | ServerlessVariant, model_name: pulumi.Input[str]
) -> sagemaker.EndpointConfigurationProductionVariantArgsDict:
    if isinstance(settings, ServerlessVariant):
        serverless = settings.serverless
        return {
            "variant_name": name,
            "model_name": model_name,
            "serverless_config": {
                "memory_size_in_mb": serverless.memory_mb,
                "max_concurrency": serverless.max_concurrency,
                "provisioned_concurrency": settings.provisioned_concurrency,
            },
        }
    return {
        "variant_name": name,
        "model_name": model_name,
        "instance_type": settings.instance_type,
        "initial_instance_count": settings.instance_count,
        # pulumi-aws reads it back in single precision: another value would be replaced at every deployment
        "initial_variant_weight": c_float(settings.initial_variant_weight).value,
        "container_startup_health_check_timeout_in_seconds": settings.startup_health_check_seconds,
        "model_data_download_timeout_in_seconds": settings.model_data_download_seconds,
        "volume_size_in_gb": settings.volume_size_gb,
        "inference_ami_version": settings.inference_ami_version,
    }


def _scaled(settings: EndpointSettings) -> list[str]:
    """The initial count of the only variant, if autoscaling changes the live one: a new minimum is not a release.

    Of several variants it is not ignored: a path is by position, so an inserted variant would get the count of another.
    Nor is provisioned concurrency: a serverless endpoint that gets autoscaling may have none, and an ignored key would
    not create the configuration that has it.
    """
    if [*settings.instance_variants] != [names.ONLY_VARIANT] or not settings.scaled_variants:
        return []
    return ["productionVariants[0].initialInstanceCount"]
