"""The SageMaker endpoint as a resource of our own: a release that was rolled back fails the deployment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.dynamic.engine import report, report_passing, warn
from infra.dynamic.provider import AwsResourceProvider, difference
from infra.release import freeze
from infra.release.alarms import MinimumInvocations
from infra.release.artifacts import ReleasedArtifacts
from infra.release.autoscaling import ScalingRecords
from infra.release.driver import EndpointRelease
from infra.release.freeze import FreezeWindow
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import ReleasePolicy
from infra.release.records import ReleaseHistory, ReleaseRecord, ReleaseRecorder, ReleaseTopic
from infra.release.request import OWNER_TAG, EndpointRequest


class EndpointProvider(AwsResourceProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        in_place = [
            *("endpointConfigName", "tags", "owner", "autoscaled", "deployment", "rollbackAlarms"),
            *("freezeWindows", "bucket", "notificationTopicArn", "releasesKept"),
        ]
        return difference(olds, news, update=in_place, replace=["name", "accountId"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(props["name"], self._released(props, {}))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(self._released(news, olds))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """The endpoint as it is. One that another stack owns by now is not ours any more, and must not be deleted
        as such. One whose autoscaling is off has none: the refresh drops that from the state too, and the next `up`
        registers it."""
        reader = EndpointReader(self.client("sagemaker", props))
        with aws_calls(f"endpoint {id_}"):
            found = reader.endpoint(id_)
            has = reader.tags(found) if found else {}
        if found is None or has.get(OWNER_TAG) != props["owner"]:
            return ReadResult("", {})
        tags = {key: has[key] for key in props["tags"] if key in has}
        off = ScalingRecords(self.client("s3", props), props.get("bucket"), warn).get(id_)
        autoscaled = props.get("autoscaled", False) and not off
        return ReadResult(id_, {**props, **_outputs(found), "tags": tags, "autoscaled": autoscaled})

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        windows = freeze.windows_in(self.stack_config, props["owner"].partition("/")[0])
        self._release(props).delete(id_, props["owner"], _deadline_seconds(props), windows, freeze.override(os.environ))

    def _released(self, props: dict[str, Any], olds: dict[str, Any]) -> dict[str, Any]:
        deployment = props["deployment"]
        request = EndpointRequest(
            name=props["name"],
            config_name=props["endpointConfigName"],
            owner=props["owner"],
            tags=props["tags"],
            autoscaled=props["autoscaled"],
            deadline_seconds=_deadline_seconds(props),
            policy=ReleasePolicy.of(deployment),
            rollback_alarms=tuple(props["rollbackAlarms"]),
            minimum_invocations=MinimumInvocations.of(deployment.get("minimumInvocations")),
            former_config_name=olds.get("endpointConfigName") or None,
            former_owner=olds.get("owner"),
            formerly_autoscaled=olds.get("autoscaled", False),
            former_tags=olds.get("tags", {}),
            adopt=props.get("adopt") or False,
            freeze_windows=tuple(FreezeWindow.of(each) for each in props.get("freezeWindows") or []),
            freeze_override=freeze.override(os.environ),
        )
        endpoint = self._release(props).release(request)
        self._expire_artifacts(props)
        return {**props, **_outputs(endpoint)}

    def _expire_artifacts(self, props: dict[str, Any]) -> None:
        """Whatever keeps it from that is a warning: the release succeeded."""
        name, s3 = props["name"], self.client("s3", props)
        released = ReleasedArtifacts(s3, self.client("sagemaker", props), props["bucket"], name)
        try:
            expired = released.expire(int(props["releasesKept"]))  # a float, as the engine hands numbers over
        except AwsRequestRefused as error:
            warn(f"{name}: released artifacts that nothing needs any more stay in the bucket: {error}")
            return
        if expired:
            report(f"{name}: {len(expired)} released artifacts that nothing needs any more are removed")

    def _release(self, props: dict[str, Any]) -> EndpointRelease:
        return EndpointRelease(
            sagemaker=self.client("sagemaker", props),
            logs=self.client("logs", props),
            autoscaling=self.client("application-autoscaling", props),
            cloudwatch=self.client("cloudwatch", props),
            scaling_records=ScalingRecords(self.client("s3", props), props.get("bucket"), warn),
            recorder=self._recorder(props),
            report=report,
            report_passing=report_passing,
            warn=warn,
        )

    def _recorder(self, props: dict[str, Any]) -> ReleaseRecorder:
        keep: list[Callable[[ReleaseRecord], None]] = []
        if bucket := props.get("bucket"):
            keep.append(ReleaseHistory(self.client("s3", props), bucket).add)
        if topic := props.get("notificationTopicArn"):
            keep.append(ReleaseTopic(self.client("sns", props), topic).publish)
        return ReleaseRecorder(
            sagemaker=self.client("sagemaker", props), sts=self.client("sts", props), keep=keep, warn=warn
        )


def _deadline_seconds(props: dict[str, Any]) -> int:
    """Of a state written before there were strategies too: it holds `timeoutSeconds` and no `deployment`."""
    deployment = props.get("deployment") or {"deadlineSeconds": props.get("timeoutSeconds", 3600)}
    return int(deployment["deadlineSeconds"])


def _outputs(endpoint: EndpointDescription) -> dict[str, Any]:
    """A failed endpoint serves no configuration, whatever it was asked to: the next `up` must see a difference."""
    serves = "" if endpoint.status == "Failed" else endpoint.config_name
    return {"arn": endpoint.arn, "endpointConfigName": serves}


def _default_tags() -> dict[str, str]:
    """Tags that the stack's `aws` provider puts on every resource. They are an input, so that a change of them is an
    update."""
    default = pulumi.Config("aws").get_object("defaultTags") or {}
    return dict(default.get("tags") or {})


class Endpoint(Resource, module="infra", name="Endpoint"):
    """A SageMaker endpoint that serves an endpoint configuration.

    A change of the configuration updates the endpoint in place; a change of `deployment`, `rollback_alarms`,
    `freeze_windows`, `bucket` or `notification_topic_arn` alone is only remembered for the next one. Deployment fails
    unless the endpoint is InService *and* serves the configuration that was asked for. `name` is for life.

    Args:
        endpoint_name: the physical name (at most 63 characters; API `EndpointName`).
        endpoint_config_name: what to serve.
        account_id: the account of the stack's `aws` provider.
        tags: the endpoint's tags, and those of its scalable targets once these exist. `aws:defaultTags` and that of
            ownership are added.
        autoscaled: whether a scalable target moves the instance count.
        deployment: the setting `release`, with `deadlineSeconds` (how long to wait for a release and its rollback) and
            `minimumInvocations` if it is set.
        rollback_alarms: names of the alarms that roll an update back, at most 10.
        freeze_windows: the setting `freezeWindows`: when the endpoint is not updated.
        bucket: name of the bucket that keeps its artifacts, the history of its releases, and its autoscaling while that
            is off.
        releases_kept: of how many successful releases, the newest counted, the artifacts are kept.
        notification_topic_arn: the SNS topic that is told of each release.
        adopt: whether an endpoint that belongs to no stack is taken over.
    """

    arn: pulumi.Output[str]
    name: pulumi.Output[str]
    endpoint_config_name: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        endpoint_name: pulumi.Input[str],
        endpoint_config_name: pulumi.Input[str],
        account_id: pulumi.Input[str],
        tags: dict[str, str],
        autoscaled: bool,
        deployment: dict[str, Any],
        rollback_alarms: Sequence[pulumi.Input[str]],
        bucket: pulumi.Input[str],
        releases_kept: int,
        freeze_windows: Sequence[dict[str, Any]] = (),
        notification_topic_arn: str | None = None,
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
            "deployment": deployment,
            "rollbackAlarms": rollback_alarms,
            "freezeWindows": list(freeze_windows),
            "bucket": bucket,
            "releasesKept": releases_kept,
            "notificationTopicArn": notification_topic_arn,
            "adopt": adopt,
            "arn": None,
        }
        super().__init__(EndpointProvider(), resource_name, props, opts)
