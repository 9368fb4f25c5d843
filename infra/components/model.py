"""The SageMaker Model of a variant: the image, an artifact and the container's environment."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import sagemaker

from infra.components.context import StackContext, secret_keys
from infra.components.execution_role import ExecutionRole
from infra.components.model_artifact import ModelArtifact
from infra.settings.environment import program_environment
from infra.settings.network import VpcSettings
from infra.settings.variant import InstanceVariant


@dataclass(frozen=True)
class ModelArgs:
    """
    Attributes:
        image_uri: the image by digest.
        secret_environment: variables of the container in addition to those in the settings.
    """

    context: StackContext
    settings: InstanceVariant
    artifact: ModelArtifact
    image_uri: pulumi.Input[str]
    role: ExecutionRole
    vpc: VpcSettings | None
    secret_environment: dict[str, str]


def triton_model(name: str, args: ModelArgs, opts: pulumi.ResourceOptions) -> sagemaker.Model:
    """A Model that Pulumi names: it cannot be changed, so every release creates another one."""
    given = args.settings.environment | args.secret_environment
    environment = program_environment(args.artifact.default_model_name) | given
    secret = bool(args.secret_environment) or f"{pulumi.get_project()}:endpoints" in secret_keys()
    vpc = args.vpc and {"subnets": args.vpc.subnet_ids, "security_group_ids": args.vpc.security_group_ids}
    own = pulumi.ResourceOptions(
        depends_on=args.role.policies,
        replace_on_changes=["vpcConfig"],  # the provider would update it in place and send AWS nothing
    )
    return sagemaker.Model(
        name,
        execution_role_arn=args.role.arn,
        primary_container={
            "image": args.image_uri,
            "model_data_url": args.artifact.url,
            "environment": pulumi.Output.secret(environment) if secret else environment,
        },
        vpc_config=vpc,
        enable_network_isolation=args.settings.enable_network_isolation or None,
        tags=args.context.tags,
        opts=pulumi.ResourceOptions.merge(opts, own),
    )
