"""A stack put together from its settings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi.runtime import get_root_resource

from infra import existing, names
from infra.components.bucket import ModelBucket, ModelBucketArgs
from infra.components.endpoint import ServedModel, TritonEndpoint, TritonEndpointArgs
from infra.components.execution_role import ExecutionRole, ExecutionRoleArgs
from infra.components.image_mirror import ImageMirror, ImageMirrorArgs
from infra.components.model_artifact import ModelArtifact, ModelArtifactArgs
from infra.dynamic.stack_guard import Held, StackGuard
from infra.home import unmoved
from infra.models import Models
from infra.names import variant_resource
from infra.pulumi_config import secret_keys
from infra.release import freeze
from infra.replacement import keep_until_replaced
from infra.settings.endpoint import EndpointSettings
from infra.settings.stack import Settings
from infra.triton.sample_request import SampleRequest

MAX_SHOWN_REQUEST = 2_000
"""Bytes of a request that one would still paste into a terminal."""


def deploy(settings: Settings, models: Models) -> Mapping[str, Any]:
    """Register every resource of the stack; what is returned are the stack's outputs."""
    _keep_outputs()
    pulumi.runtime.register_stack_transformation(keep_until_replaced)
    secret = secret_keys()
    for warning in (*models.warnings, *settings.warnings(pulumi.get_project(), secret)):
        pulumi.log.warn(str(warning))
    windows = [each.window for each in settings.freeze_windows]
    if frozen := freeze.warning(windows, datetime.now(UTC), freeze.override(os.environ)):
        pulumi.log.warn(frozen)
    for name, endpoint_settings in settings.endpoints.items():
        pulumi.log.info(f"{name}: {release_summary(endpoint_settings)}")
    for name in settings.adopt.endpoints:
        pulumi.log.info(f"{name}: one that is there and belongs to no stack is updated, whatever `create` says below")
    if settings.adopt.bucket and settings.bucket.name:
        existing.require_region(settings.bucket.name, settings.region)
    account_id = aws.get_caller_identity_output().account_id
    partition = aws.get_partition_output().partition
    tags, protect = settings.tags, settings.production
    environment_is_secret = f"{pulumi.get_project()}:endpoints" in secret

    stack = pulumi.get_stack()
    repository = settings.image.repository or names.repository(stack, settings.production)
    held = Held(
        production=settings.production,
        bucket=settings.bucket.name,
        repository=repository,
        endpoints={name: each.scaled_variants for name, each in settings.endpoints.items()},
    )
    first = StackGuard(
        names.FIRST_GUARD,
        held,
        pulumi.ResourceOptions(protect=protect, depends_on=unmoved(account_id, settings.region)),
    )
    guarded = pulumi.ResourceOptions(depends_on=[first])
    bucket = ModelBucket(
        names.BUCKET, ModelBucketArgs(settings.bucket, names.bucket(stack), tags, protect, settings.adopt), guarded
    )
    mirror = ImageMirror(
        names.IMAGE,
        ImageMirrorArgs(
            repository_name=repository,
            sources=settings.image_sources,
            follows_tag=settings.image.source is not None,
            untagged_image_expiration_days=settings.image.untagged_image_expiration_days,
            account_id=account_id,
            tags=tags,
            production=settings.production,
            adopt=settings.adopt.repository,
        ),
        guarded,
    )
    role = ExecutionRole(
        names.EXECUTION_ROLE,
        ExecutionRoleArgs(
            settings=settings,
            default_name=names.execution_role(stack),
            account_id=account_id,
            partition=partition,
            bucket_arn=bucket.arn,
            repository_arn=mirror.repository_arn,
        ),
        guarded,
    )

    endpoints = {}
    made: list[pulumi.Resource] = [first, bucket, mirror, role]
    for name, endpoint_settings in settings.endpoints.items():
        served = {}
        for variant, model in models.by_endpoint[name].items():
            prefix = names.released(name, variant)
            source = ModelArtifactArgs(model.source, prefix, bucket, account_id, tags)
            artifact = ModelArtifact(variant_resource(name, variant), source, guarded)
            made.append(artifact)
            served[variant] = ServedModel(artifact.url, model.default_model_name)
        sample_request = next(iter(models.by_endpoint[name].values())).sample_request
        endpoint = TritonEndpoint(
            name,
            TritonEndpointArgs(
                settings=endpoint_settings,
                models=served,
                image_uri=mirror.image_uri,
                role=role,
                vpc=settings.vpc,
                account_id=account_id,
                bucket_name=bucket.name,
                releases_kept=settings.bucket.releases_kept,
                freeze_windows=[each.inputs for each in settings.freeze_windows],
                notification_topic_arn=settings.notification_topic_arn,
                tags=tags,
                secret_environment=settings.secret_environment.get(name, {}),
                environment_is_secret=environment_is_secret,
                protect=protect,
                adopt=name in settings.adopt.endpoints,
                adopt_autoscaling=settings.adopt.autoscaling and name in settings.adopt.endpoints,
            ),
            guarded,
        )
        made.append(endpoint)
        endpoints[name] = {
            "name": endpoint.name,
            "arn": endpoint.arn,
            "artifacts": {variant: model.data_url for variant, model in served.items()},
            "image": mirror.image_uri,
            "invoke": invoke_command(name, settings.region, sample_request),
        }
    StackGuard(names.LAST_GUARD, held, pulumi.ResourceOptions(protect=protect, depends_on=made))
    return {"endpoints": endpoints, "bucket": bucket.name, "image": mirror.image_uri, "roleArn": role.arn}


def _keep_outputs() -> None:
    """Have a deployment that fails keep the outputs of the last one, which describe what is live.

    A release that fails keeps the program from registering outputs, because they wait for the endpoint, and the engine
    then prints every output as deleted. Once some are registered, it adds those of the last deployment if this one
    fails.
    """
    if isinstance(root := get_root_resource(), pulumi.ComponentResource):
        root.register_outputs({})


def release_summary(settings: EndpointSettings) -> str:
    """What a release of the endpoint will be, before it begins: its strategy, steps and minutes."""
    policy, fleets = settings.release.policy, settings.fleet_sizes
    least, most = min(fleets), max(fleets)
    how: str = policy.strategy
    if policy.batch is not None:
        moved = policy.batch.of(least)
        share = f"{moved} of {least} instances = {100 * moved // least} %"
        how += f" {policy.batch} ({share}{' at the smallest fleet' if most > least else ''})"
    alarms = settings.rollback_alarms
    return f"a release takes {settings.release_estimate}: {how}, {alarms} rollback alarm{'' if alarms == 1 else 's'}"


def invoke_command(endpoint: str, region: str, sample_request: SampleRequest | None) -> str:
    """A command line that invokes the endpoint with its sample request, or with `request.json` if it has none."""
    command = (
        f"aws sagemaker-runtime invoke-endpoint --region {region} --endpoint-name {endpoint} "
        "--content-type application/json --body fileb://{} /dev/stdout"
    )
    if sample_request is None or len(sample_request.body) > MAX_SHOWN_REQUEST:
        return command.format("request.json")
    return f"echo {shlex.quote(sample_request.body.decode())} | {command.format('/dev/stdin')}"
