"""The SageMaker endpoint as a dynamic resource: a release that was rolled back fails the deployment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.dynamic.provider import AwsResourceProvider, changed, difference
from infra.release import artifacts, freeze
from infra.release.autoscaling import ScalingRecords
from infra.release.driver import ReleaseDriver
from infra.release.freeze import FreezeWindow
from infra.release.gates import MinimumInvocations
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.metrics import ReleaseMetrics
from infra.release.policy import ReleasePolicy
from infra.release.records import ReleaseHistory, ReleaseRecorder, publish
from infra.release.request import OWNER_TAG, EndpointRequest, PreviousRelease

RELEASES_SHOWN = 5
"""Releases that the dashboard shows: its body is in the state, so it should not grow."""

_NOW = ["endpointConfigName", "tags", "owner", "autoscaled", "bucket", "releasesKept"]
"""Inputs whose change is an update on AWS."""

_NEXT_RELEASE = [
    *("policy", "deadlineSeconds", "rollbackAlarms", "minimumInvocations", "notificationTopicArn"),
    "publishMetrics",
]
"""Inputs that apply from the next release on."""


class EndpointProvider(AwsResourceProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        diff = difference(olds, news, update=[*_NOW, *_NEXT_RELEASE], replace=["name", "accountId"])
        if diff.changes and not diff.replaces and not changed(olds, news, *_NOW):
            keys = ", ".join(changed(olds, news, *_NEXT_RELEASE))
            what = f"the update only saves {keys} for the next release; nothing changes on AWS"
            pulumi.log.info(f"{news['name']}: {what}")
        return diff

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(props["name"], self._release(props, PreviousRelease()))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        previous = PreviousRelease(olds["endpointConfigName"], olds["owner"], olds["autoscaled"], olds["tags"])
        return UpdateResult(self._release(news, previous))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """The endpoint as it is now. One that belongs to another stack now is dropped, so that it is not deleted. If an
        interrupted release has removed its autoscaling, the state drops that too, and the next `up` registers it."""
        reader = EndpointReader(self.client("sagemaker", props))
        with aws_calls(f"endpoint {id_}"):
            live = reader.endpoint(id_)
            current = reader.tags(live) if live else {}
        if live is None or current.get(OWNER_TAG) != props["owner"]:
            return ReadResult("", {})
        tags = {key: current[key] for key in props["tags"] if key in current}
        removed = self._scaling_records(props).get(id_)
        autoscaled = props["autoscaled"] and not removed
        return ReadResult(id_, {**props, **_outputs(live), "tags": tags, "autoscaled": autoscaled})

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        deadline, windows = int(props["deadlineSeconds"]), self._freeze_windows(props)
        self._driver(props).delete(id_, props["owner"], deadline, windows, freeze.override(os.environ))

    def _release(self, props: dict[str, Any], previous: PreviousRelease) -> dict[str, Any]:
        minimum = props.get("minimumInvocations")
        request = EndpointRequest(
            name=props["name"],
            config_name=props["endpointConfigName"],
            owner=props["owner"],
            tags=props["tags"],
            autoscaled=props["autoscaled"],
            deadline_seconds=int(props["deadlineSeconds"]),
            policy=ReleasePolicy.of(props["policy"]),
            rollback_alarms=tuple(props["rollbackAlarms"]),
            minimum_invocations=MinimumInvocations(int(minimum["count"]), minimum["otherwise"]) if minimum else None,
            previous=previous,
            adopt=props["adopt"],
            freeze_windows=tuple(self._freeze_windows(props)),
            freeze_override=freeze.override(os.environ),
        )
        if props["publishMetrics"]:
            published = ReleaseMetrics(self.client("cloudwatch", props), request.name, pulumi.log.warn)
            with published.until_ended():
                live = self._driver(props, published).release(request)
        else:
            live = self._driver(props).release(request)
        self._expire_artifacts(props)
        return {**props, **_outputs(live), "releases": self._releases(props)}

    def _releases(self, props: dict[str, Any]) -> list[dict[str, Any]]:
        """The latest releases for the dashboard, which shows them until the next one. If they cannot be read, it is a
        warning: the release succeeded."""
        history = ReleaseHistory(self.client("s3", props), props["bucket"], pulumi.log.warn)
        try:
            latest = history.rollouts(props["name"], RELEASES_SHOWN)
        except AwsRequestRefused as error:
            pulumi.log.warn(f"{props['name']}: the dashboard will not show its releases: {error}")
            return []
        return [
            {"configuration": record.to_config, "result": record.result, "began": record.began, "ended": record.ended}
            for record in latest
        ]

    def _freeze_windows(self, props: dict[str, Any]) -> list[FreezeWindow]:
        """Those of the stack file, not of the state: a window that was added must apply to a deletion too."""
        return freeze.windows_in(self.stack_config, props["owner"].partition("/")[0])

    def _expire_artifacts(self, props: dict[str, Any]) -> None:
        """If that fails, it is a warning: the release succeeded."""
        name, s3, sagemaker = props["name"], self.client("s3", props), self.client("sagemaker", props)
        try:
            expired = artifacts.expire(s3, sagemaker, props["bucket"], name, int(props["releasesKept"]))
        except AwsRequestRefused as error:
            pulumi.log.warn(f"{name}: released artifacts that are no longer needed could not be deleted: {error}")
            return
        if expired:
            pulumi.log.info(f"{name}: deleted {len(expired)} released artifacts that are no longer needed")

    def _driver(self, props: dict[str, Any], metrics: ReleaseMetrics | None = None) -> ReleaseDriver:
        client = partial(self.client, props=props)
        keep = [ReleaseHistory(client("s3"), props["bucket"]).add, *([metrics.add] if metrics else [])]
        if topic := props.get("notificationTopicArn"):
            keep.append(partial(publish, client("sns"), topic))
        return ReleaseDriver(
            client,
            scaling_records=self._scaling_records(props),
            recorder=ReleaseRecorder(client, keep, pulumi.log.warn),
            report=pulumi.log.info,
            report_ephemeral=partial(pulumi.log.info, ephemeral=True),
            warn=pulumi.log.warn,
            observed=metrics.observe if metrics else lambda _: None,
        )

    def _scaling_records(self, props: dict[str, Any]) -> ScalingRecords:
        return ScalingRecords(self.client("s3", props), props["bucket"], pulumi.log.warn)


def _outputs(live: EndpointDescription) -> dict[str, Any]:
    """A failed endpoint serves no configuration, so that the next `up` detects a difference."""
    return {"arn": live.arn, "endpointConfigName": "" if live.status == "Failed" else live.config_name}


def _default_tags() -> dict[str, str]:
    """Tags that the stack's `aws` provider sets on every resource. They are an input, so that a change of them is an
    update."""
    default = pulumi.Config("aws").get_object("defaultTags") or {}
    return dict(default.get("tags") or {})


class Endpoint(Resource, module="infra", name="Endpoint"):
    """A SageMaker endpoint that serves an endpoint configuration.

    A change of the configuration updates the endpoint in place. Deployment fails unless the endpoint is InService *and*
    serves the requested configuration. A change of `name` or account replaces the endpoint.

    Args:
        endpoint_name: the physical name (at most 63 characters; API `EndpointName`).
        endpoint_config_name: the configuration to serve.
        account_id: the account of the stack's `aws` provider.
        tags: the tags of the endpoint and of its scalable targets. `aws:defaultTags` and the owner tag are added.
        autoscaled: whether a scalable target controls the instance count.
        policy: how a release moves traffic.
        deadline_seconds: how long to wait for a release and its rollback.
        rollback_alarms: names of the alarms that roll an update back, at most 10.
        bucket: name of the bucket that keeps its artifacts, the history of its releases, and its autoscaling while that
            is removed.
        releases_kept: the number of latest successful releases whose artifacts are kept.
        minimum_invocations: how many requests the new fleet must receive during the bake.
        notification_topic_arn: the SNS topic that receives the result of each release.
        publish_metrics: whether releases publish the metrics of their alarms.
        adopt: whether an endpoint that belongs to no stack is adopted.
    """

    arn: pulumi.Output[str]
    name: pulumi.Output[str]
    releases: pulumi.Output[list[dict[str, Any]] | None]
    """The latest releases at the last one; None in a state without them."""

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint_name: pulumi.Input[str],
        endpoint_config_name: pulumi.Input[str],
        account_id: pulumi.Input[str],
        tags: dict[str, str],
        autoscaled: bool,
        policy: ReleasePolicy,
        deadline_seconds: int,
        rollback_alarms: Sequence[pulumi.Input[str]],
        bucket: pulumi.Input[str],
        releases_kept: int,
        minimum_invocations: MinimumInvocations | None = None,
        notification_topic_arn: pulumi.Input[str] | None = None,
        publish_metrics: bool = False,
        adopt: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "name": endpoint_name,
            "endpointConfigName": endpoint_config_name,
            "accountId": account_id,
            "owner": f"{pulumi.get_project()}/{pulumi.get_stack()}",
            "tags": {**_default_tags(), **tags},
            "autoscaled": autoscaled,
            "policy": policy.fields,
            "deadlineSeconds": deadline_seconds,
            "rollbackAlarms": rollback_alarms,
            "bucket": bucket,
            "releasesKept": releases_kept,
            "minimumInvocations": minimum_invocations and asdict(minimum_invocations),
            "notificationTopicArn": notification_topic_arn,
            "publishMetrics": publish_metrics,
            "adopt": adopt,
            "arn": None,
            "releases": None,
        }
        super().__init__(EndpointProvider(), resource_name, props, opts)
