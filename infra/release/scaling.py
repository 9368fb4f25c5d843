"""An endpoint's autoscaling, taken off for an update that AWS refuses under it, and put back exactly as it was.

AWS refuses to change a variant's instance type, or to remove the variant, while it is a scalable target (Application
Auto Scaling guide, "Update or delete endpoints that use automatic scaling"). And deleting an endpoint drops its targets
silently.

What has to come back is recorded in tags of the endpoint before anything is taken off: the record survives a crash
of this process, is found by whoever releases next, and needs no place or permission of its own.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from infra.release.description import EndpointDescription
from infra.release.reader import EndpointReader

SAGEMAKER = "sagemaker"
RECORD_TAG = "triton-sagemaker:autoscaling-"
"""Prefix of the tags that hold the record; a number follows. A tag's value has at most 256 characters."""

_TARGET = ("ResourceId", "ScalableDimension", "MinCapacity", "MaxCapacity", "SuspendedState")
_POLICY = (
    *("PolicyName", "ResourceId", "ScalableDimension", "PolicyType"),
    *("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"),
)
_ACTION = (
    *("ScheduledActionName", "ResourceId", "ScalableDimension", "Schedule", "Timezone"),
    *("StartTime", "EndTime", "ScalableTargetAction"),
)

Record = dict[str, list[dict[str, Any]]]


def refused_under_autoscaling(live: Mapping[str, Any], requested: Mapping[str, Any]) -> bool:
    """Whether an update from one endpoint configuration to the other is one that AWS refuses on scalable targets."""
    wanted = {variant["VariantName"]: variant.get("InstanceType") for variant in requested["ProductionVariants"]}
    return any(wanted.get(each["VariantName"]) != each.get("InstanceType") for each in live["ProductionVariants"])


def as_tags(record: Record) -> dict[str, str]:
    """The record in tags, whose values may hold letters, digits and a few signs only."""
    packed = base64.b64encode(zlib.compress(json.dumps(record, default=str).encode(), 9)).decode()
    return {f"{RECORD_TAG}{n}": packed[start : start + 256] for n, start in enumerate(range(0, len(packed), 256))}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as SageMaker's API takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def from_tags(tags: Mapping[str, str]) -> Record:
    """The record in an endpoint's tags; empty if there is none."""
    numbers = sorted(int(key.removeprefix(RECORD_TAG)) for key in tags if key.startswith(RECORD_TAG))
    packed = "".join(tags[f"{RECORD_TAG}{n}"] for n in numbers)
    record: Record = json.loads(zlib.decompress(base64.b64decode(packed))) if packed else {}
    return record


def of_live_variants(record: Record, endpoint: EndpointDescription) -> Record:
    """What the record says of the variants in service."""
    live = {f"endpoint/{endpoint.name}/variant/{variant.name}" for variant in endpoint.live_variants}
    return {kind: [each for each in entries if each["ResourceId"] in live] for kind, entries in record.items()}


class EndpointAutoscaling:
    """The scalable targets of an endpoint's variants, with their policies and scheduled actions.

    Args:
        autoscaling: boto3's `application-autoscaling` client.
        sagemaker: boto3's `sagemaker` client, for the endpoint's tags.
        report: called with a line of progress.
    """

    def __init__(self, autoscaling: Any, sagemaker: Any, report: Callable[[str], None]) -> None:
        self._client, self._sagemaker, self._report = autoscaling, sagemaker, report
        self._reader = EndpointReader(sagemaker)

    def record(self, endpoint: str) -> Record:
        """What is registered for the endpoint now; empty if nothing is."""
        mine = f"endpoint/{endpoint}/variant/"
        targets = self._all("describe_scalable_targets", "ScalableTargets", mine)
        policies = self._all("describe_scaling_policies", "ScalingPolicies", mine)
        actions = self._all("describe_scheduled_actions", "ScheduledActions", mine)
        record = {
            "targets": [_only(each, _TARGET) | self._tags(each) for each in targets],
            "policies": [_only(each, _POLICY) for each in policies],
            "actions": [_only(each, _ACTION) for each in actions],
        }
        return record if record["targets"] else {}

    def take_off(self, endpoint: EndpointDescription) -> None:
        """Record what is registered, then deregister it, which takes policies and scheduled actions along."""
        record = self.record(endpoint.name)
        if not record:
            return
        if not self.recorded(endpoint):  # a record of an interrupted release is the true one
            self._sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=tag_list(as_tags(record)))
        self._report(f"{endpoint.name}: autoscaling is taken off for this update and put back after it")
        for target in record["targets"]:
            self._client.deregister_scalable_target(
                ServiceNamespace=SAGEMAKER,
                ResourceId=target["ResourceId"],
                ScalableDimension=target["ScalableDimension"],
            )

    def put_back(self, endpoint: EndpointDescription) -> None:
        """Register everything recorded again but that of variants that are gone, and forget the record. Doing so twice
        changes nothing."""
        tags = self._reader.tags(endpoint)
        if not (record := from_tags(tags)):
            return
        record = of_live_variants(record, endpoint)
        for target in record["targets"]:
            self._register(target)
        for policy in record["policies"]:
            self._client.put_scaling_policy(ServiceNamespace=SAGEMAKER, **policy)
        for action in record["actions"]:
            self._client.put_scheduled_action(ServiceNamespace=SAGEMAKER, **action)
        recorded = [key for key in tags if key.startswith(RECORD_TAG)]
        self._sagemaker.delete_tags(ResourceArn=endpoint.arn, TagKeys=recorded)
        self._report(f"{endpoint.name}: autoscaling is back")

    def recorded(self, endpoint: EndpointDescription) -> Record:
        """What an interrupted release recorded; empty if there is no such record."""
        return from_tags(self._reader.tags(endpoint))

    def _register(self, target: Mapping[str, Any]) -> None:
        """Tags go separately: RegisterScalableTarget takes none for a target that is there already."""
        plain = {key: value for key, value in target.items() if key != "Tags"}
        arn = self._client.register_scalable_target(ServiceNamespace=SAGEMAKER, **plain)["ScalableTargetARN"]
        if tags := target.get("Tags"):
            self._client.tag_resource(ResourceARN=arn, Tags=tags)

    def _all(self, operation: str, key: str, mine: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator(operation).paginate(ServiceNamespace=SAGEMAKER)
        return [each for page in pages for each in page[key] if each["ResourceId"].startswith(mine)]

    def _tags(self, target: Mapping[str, Any]) -> dict[str, Any]:
        if "ScalableTargetARN" not in target:
            return {}
        tags = self._client.list_tags_for_resource(ResourceARN=target["ScalableTargetARN"])["Tags"]
        return {"Tags": tags} if tags else {}


def _only(described: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: described[key] for key in keys if key in described}
