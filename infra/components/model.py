"""The SageMaker Model of a variant: the image, an artifact and the container's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import sagemaker

from infra import names
from infra.components.context import StackContext, secret_keys
from infra.components.execution_role import ExecutionRole
from infra.components.model_artifact import ModelArtifact
from infra.settings.endpoint_sections import Variant
from infra.settings.environment import InstanceContainer, program_environment
from infra.settings.stack import Settings


@dataclass(frozen=True)
class TritonModelArgs:
    """
    Attributes:
        stack: the settings of the stack, among them those of the endpoint, by its name.
        artifacts: by variant.
        image_uri: the image by digest.
    """

    context: StackContext
    stack: Settings
    artifacts: Mapping[str, ModelArtifact]
    image_uri: pulumi.Input[str]
    role: ExecutionRole


class TritonModel(pulumi.ComponentResource):
    """A Model without an endpoint, for batch transform jobs. `name` is that of the endpoint in the settings."""

    model_name: pulumi.Output[str]

    def __init__(self, name: str, args: TritonModelArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:TritonModel", name, None, opts)
        ((variant, settings),) = args.stack.endpoints[name].batch_variants.items()
        model = triton_model(name, variant, settings, args, pulumi.ResourceOptions(parent=self))
        self.model_name = model.name
        self.register_outputs({"modelName": self.model_name})


def triton_model(
    endpoint: str, variant: str, settings: Variant, args: TritonModelArgs, opts: pulumi.ResourceOptions
) -> sagemaker.Model:
    """A Model that Pulumi names: it cannot be changed, so every release creates another one."""
    secret_environment = args.stack.secret_environment.get(endpoint, {})
    artifact, vpc = args.artifacts[variant], args.stack.vpc
    environment = program_environment(artifact.default_model_name) | settings.environment | secret_environment
    secret = bool(secret_environment) or f"{pulumi.get_project()}:endpoints" in secret_keys()
    own = pulumi.ResourceOptions(
        depends_on=args.role.policies,
        replace_on_changes=["vpcConfig"],  # the provider would update it in place and send AWS nothing
    )
    isolated = isinstance(settings, InstanceContainer) and settings.enable_network_isolation
    return sagemaker.Model(
        names.variant_resource(endpoint, variant),
        execution_role_arn=args.role.arn,
        primary_container={
            "image": args.image_uri,
            "model_data_url": artifact.url,
            "environment": pulumi.Output.secret(environment) if secret else environment,
        },
        vpc_config=vpc and {"subnets": vpc.subnet_ids, "security_group_ids": vpc.security_group_ids},
        enable_network_isolation=isolated or None,
        tags=args.context.tags,
        opts=pulumi.ResourceOptions.merge(opts, own),
    )
