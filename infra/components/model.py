"""The SageMaker Model of a variant: the image, an artifact and the container's environment."""

from __future__ import annotations

import pulumi
from pulumi_aws import sagemaker

from infra.components.context import StackContext, secret_keys
from infra.components.execution_role import ExecutionRole
from infra.components.model_artifact import ModelArtifact
from infra.settings.environment import program_environment
from infra.settings.network import VpcSettings
from infra.settings.variant import InstanceVariant


def triton_model(
    name: str,
    context: StackContext,
    settings: InstanceVariant,
    artifact: ModelArtifact,
    image_uri: pulumi.Input[str],
    role: ExecutionRole,
    vpc: VpcSettings | None,
    secret_environment: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> sagemaker.Model:
    """A Model that Pulumi names: it cannot be changed, so every release creates another one.

    Args:
        image_uri: the image by digest.
        secret_environment: variables of the container in addition to those in the settings.
    """
    given = settings.environment | secret_environment
    environment = program_environment(artifact.default_model_name) | given
    secret = bool(secret_environment) or f"{pulumi.get_project()}:endpoints" in secret_keys()
    own = pulumi.ResourceOptions(
        depends_on=role.policies,
        replace_on_changes=["vpcConfig"],  # the provider would update it in place and send AWS nothing
    )
    return sagemaker.Model(
        name,
        execution_role_arn=role.arn,
        primary_container={
            "image": image_uri,
            "model_data_url": artifact.url,
            "environment": pulumi.Output.secret(environment) if secret else environment,
        },
        vpc_config=vpc and {"subnets": vpc.subnet_ids, "security_group_ids": vpc.security_group_ids},
        enable_network_isolation=settings.enable_network_isolation or None,
        tags=context.tags,
        opts=pulumi.ResourceOptions.merge(opts, own),
    )
