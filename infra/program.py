"""The program: the resources of a stack, composed from its settings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pulumi
from pulumi.runtime import get_root_resource

from infra import names
from infra.aws.mode import Mode
from infra.components import existing
from infra.components.bucket import ModelBucket, ModelBucketArgs
from infra.components.budget import CostBudget, CostBudgetArgs
from infra.components.context import StackContext, unmoved
from infra.components.cost import announce_cost
from infra.components.dashboard import StackDashboard, StackDashboardArgs
from infra.components.endpoint import TritonEndpoint, TritonEndpointArgs
from infra.components.execution_role import ExecutionRole, ExecutionRoleArgs
from infra.components.image_mirror import ImageMirror, ImageMirrorArgs
from infra.components.metric_stream import DatadogMetricStream, MetricStreamArgs, announcement
from infra.components.model import TritonModel, TritonModelArgs
from infra.components.model_artifact import ModelArtifact, ModelArtifactArgs
from infra.components.notifications import MuteRules, MuteRulesArgs, NotificationTopic, NotificationTopicArgs
from infra.components.published_image import PublishedImage, PublishedImageArgs
from infra.components.replacement import keep_until_replaced
from infra.diagnostics.problem import Problem
from infra.dynamic.stack_guard import StackGuard
from infra.release import freeze
from infra.settings.endpoint import EndpointSettings
from infra.settings.stack import Settings
from infra.stack import Stack
from infra.triton.sample_request import SampleRequest

MAX_SHOWN_REQUEST = 2_000
"""Bytes of a request that one would still paste into a terminal."""


def deploy(stack: Stack) -> Mapping[str, Any]:
    """Register every resource of the stack, and return the stack's outputs."""
    settings = stack.settings
    _keep_outputs()
    pulumi.runtime.register_stack_transformation(keep_until_replaced)
    _announce(stack)
    if settings.adopt.bucket and settings.bucket.name:
        existing.require_region(settings.bucket.name, settings.region)

    context = StackContext.of(settings)
    first = _guard(names.FIRST_GUARD, settings, context, unmoved(context))
    guarded = pulumi.ResourceOptions(depends_on=[first])
    bucket = ModelBucket(names.BUCKET, ModelBucketArgs(context, settings.bucket, settings.adopt), guarded)
    image = (
        ImageMirror(names.IMAGE, ImageMirrorArgs(context, settings), guarded)
        if settings.image.mirror
        else PublishedImage(names.IMAGE, PublishedImageArgs(context, settings), guarded)
    )
    role = ExecutionRole(
        names.EXECUTION_ROLE, ExecutionRoleArgs(context, settings, bucket.arn, image.repository_arn), guarded
    )
    registered: list[pulumi.Resource] = [first, bucket, image, role]
    topic_arn: pulumi.Input[str] | None = settings.notification_topic_arn
    if settings.subscriptions:
        topic = NotificationTopicArgs(context, settings.subscriptions)
        registered.append(notifications := NotificationTopic(names.NOTIFICATIONS, topic, guarded))
        topic_arn = notifications.arn
    if settings.cost.budget:
        registered.append(CostBudget(names.BUDGET, CostBudgetArgs(context, settings.cost.budget), guarded))
    outputs, serving = {}, dict[str, TritonEndpoint]()
    for name, endpoint in settings.endpoints.items():
        artifacts = {
            variant: ModelArtifact(
                names.variant_resource(name, variant),
                ModelArtifactArgs(context, model, names.released(name, variant), bucket),
                guarded,
            )
            for variant, model in stack.models[name].items()
        }
        registered += artifacts.values()
        if endpoint.mode is Mode.BATCH:
            model = TritonModel(name, TritonModelArgs(context, settings, artifacts, image.image_uri, role), guarded)
            registered.append(model)
            served: dict[str, pulumi.Input[str]] = {"model": model.model_name}
        else:
            args = TritonEndpointArgs(context, settings, artifacts, image.image_uri, role, bucket.name, topic_arn)
            serving[name] = TritonEndpoint(name, args, guarded)
            registered.append(serving[name])
            served = {"name": serving[name].name, "arn": serving[name].arn}
        sample = next(iter(stack.models[name].values())).sample_request
        outputs[name] = {
            **served,
            "mode": endpoint.mode.value,
            "artifacts": {variant: artifact.url for variant, artifact in artifacts.items()},
            "image": image.image_uri,
            **_command(name, context, endpoint, bucket.name, sample),
        }
    observers, observed = _observe(context, settings, serving, bucket, guarded)
    _guard(names.LAST_GUARD, settings, context, registered + observers)
    return {"endpoints": outputs, "bucket": bucket.name, "image": image.image_uri, "roleArn": role.arn, **observed}


def _observe(
    context: StackContext,
    settings: Settings,
    serving: Mapping[str, TritonEndpoint],
    bucket: ModelBucket,
    opts: pulumi.ResourceOptions,
) -> tuple[list[pulumi.Resource], dict[str, Any]]:
    """Register what observes all endpoints of the stack. Returns the resources and their outputs."""
    observers: list[pulumi.Resource] = []
    outputs: dict[str, Any] = {}
    if (datadog := settings.metric_stream) and datadog.site and datadog.api_key_secret_arn:
        stream_args = MetricStreamArgs(context, settings, datadog.site, datadog.api_key_secret_arn, bucket.arn)
        observers.append(stream := DatadogMetricStream(names.METRIC_STREAM, stream_args, opts))
        outputs["datadog"] = {"metricStream": stream.name, "deliveryStream": stream.delivery_stream_name}
    if settings.dashboards:
        alarm_arns = [arn for endpoint in serving.values() for arn in endpoint.alarm_arns]
        releases = {name: endpoint.releases for name, endpoint in serving.items()}
        dashboard_args = StackDashboardArgs(context, settings, alarm_arns, releases)
        observers.append(dashboard := StackDashboard(names.DASHBOARD, dashboard_args, opts))
        outputs["dashboard"] = dashboard.url
    composite_alarms = [alarm for endpoint in serving.values() if (alarm := endpoint.composite_alarm_name)]
    if settings.monitoring.mute_in_freeze_windows and composite_alarms:
        windows = [setting.window for setting in settings.freeze_windows]
        observers.append(MuteRules(names.FREEZE_WINDOWS, MuteRulesArgs(context, windows, composite_alarms), opts))
    return observers, outputs


def _announce(stack: Stack) -> None:
    """Log the warnings, and what the preview cannot show: freeze windows, releases and adopted endpoints."""
    settings = stack.settings
    log_warnings(stack.warnings)
    windows = [setting.window for setting in settings.freeze_windows]
    if frozen := freeze.warning(windows, datetime.now(UTC), freeze.override(os.environ)):
        pulumi.log.warn(frozen)
    for name in settings.served_endpoints:
        pulumi.log.info(f"{name}: {release_summary(settings.endpoints[name])}")
    announce_cost(settings, stack.root)
    if settings.datadog:
        pulumi.log.info(announcement(settings.datadog, settings.region))
    for name in settings.adopt.endpoints:
        pulumi.log.info(
            f"{name}: adopting the existing endpoint: the preview shows `create`, but the endpoint is updated in place"
        )


def log_warnings(warnings: Iterable[Problem]) -> None:
    """Print the warnings of a stack as warnings of the engine."""
    for warning in warnings:
        pulumi.log.warn(f"{warning.position} {warning.text}".strip())


def _guard(
    name: str, settings: Settings, context: StackContext, after: pulumi.Input[list[pulumi.Resource]]
) -> StackGuard:
    return StackGuard(
        name,
        production=settings.production,
        bucket=settings.bucket.name,
        repository=names.repository(context.stack, context.production, settings.image.repository)
        if settings.image.mirror
        else "",
        endpoints={name: settings.endpoints[name].scaled_variants for name in settings.served_endpoints},
        mode_of={name: endpoint.mode for name, endpoint in settings.endpoints.items()},
        opts=pulumi.ResourceOptions(protect=context.production, depends_on=after),
    )


def _keep_outputs() -> None:
    """Have a deployment that fails keep the outputs of the last one, which describe what is live.

    A release that fails keeps the program from registering outputs, because they wait for the endpoint, and the engine
    then prints every output as deleted. Once some are registered, it adds those of the last deployment if this one
    fails.
    """
    if isinstance(root := get_root_resource(), pulumi.ComponentResource):
        root.register_outputs({})


def release_summary(settings: EndpointSettings) -> str:
    """How the endpoint will be released: strategy, steps and minutes."""
    policy, fleets = settings.release.policy, settings.fleet_sizes
    smallest, largest = min(fleets), max(fleets)
    strategy: str = policy.strategy
    if policy.batch is not None:
        moved = policy.batch.of(smallest)
        share = f"{moved} of {smallest} instances = {100 * moved // smallest} %"
        strategy += f" {policy.batch} ({share}{' at the smallest fleet' if largest > smallest else ''})"
    alarms = settings.rollback_alarms
    return f"a release takes {settings.release_estimate}: {strategy}, {alarms} rollback alarm{'s' * (alarms != 1)}"


def _command(
    name: str,
    context: StackContext,
    settings: EndpointSettings,
    bucket: pulumi.Output[str],
    sample: SampleRequest | None,
) -> dict[str, pulumi.Input[str]]:
    """The output with a command that asks the endpoint, or starts a job with the Model."""
    if settings.mode is Mode.BATCH:
        return {"batch": f"python -m infra batch -s {shlex.quote(context.stack)} {name} --input requests.jsonl"}
    shown = sample.body.decode() if sample and len(sample.body) <= MAX_SHOWN_REQUEST else None
    if settings.mode is Mode.ASYNCHRONOUS:
        return {"invoke": bucket.apply(partial(invoke_async_command, name, context.region, shown))}
    return {"invoke": invoke_command(name, context.region, shown)}


def invoke_command(endpoint: str, region: str, request: str | None) -> str:
    """A command that invokes the endpoint with a request, or with `request.json`."""
    command = (
        f"aws sagemaker-runtime invoke-endpoint --region {region} --endpoint-name {endpoint} "
        "--content-type application/json --body fileb://{} /dev/stdout"
    )
    if request is None:
        return command.format("request.json")
    return f"echo {shlex.quote(request)} | {command.format('/dev/stdin')}"


def invoke_async_command(endpoint: str, region: str, request: str | None, bucket: str) -> str:
    """A command that uploads a request, or `request.json`, and invokes the asynchronous endpoint with it. It prints
    where the answer will be."""
    location = f"s3://{bucket}/{names.async_input(endpoint)}request.json"
    upload = f"aws s3 cp --region {region} {{}} {location}"
    uploaded = (
        upload.format("request.json") if request is None else f"echo {shlex.quote(request)} | {upload.format('-')}"
    )
    return (
        f"{uploaded} && aws sagemaker-runtime invoke-endpoint-async --region {region} --endpoint-name {endpoint} "
        f"--content-type application/json --input-location {location}"
    )
