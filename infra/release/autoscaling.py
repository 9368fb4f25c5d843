"""An endpoint's autoscaling, removed for an update that AWS refuses under it, and restored exactly as it was.

AWS refuses to change a variant's instance type, or to remove the variant, while it is a scalable target (Application
Auto Scaling guide, "Update or delete endpoints that use automatic scaling"). And deleting an endpoint deletes its
targets silently.

What was registered is recorded in the model bucket before it is removed. So it survives a crash of this process and the
deletion of a failed endpoint, and the next release finds it. The containers cannot read it: their role reads `models/*`
only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.model import Shape
from botocore.validate import ParamValidator

from infra import names
from infra.aws.errors import AwsRequestRefused, aws_calls, code
from infra.release import alarms
from infra.release.live import EndpointDescription

Record = dict[str, list[dict[str, Any]]]

SAGEMAKER = "sagemaker"
"""The service namespace of endpoints' variants."""

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
PROVISIONED_CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
"""The scalable dimensions of variants with instances and of serverless ones."""

TARGET = ("ResourceId", "ScalableDimension", "MinCapacity", "MaxCapacity", "SuspendedState", "Tags")
CALLED_BY = ("PolicyARN", "Alarms")
"""Of a step-scaling policy: alarms call it by its ARN."""

POLICY = (
    *("PolicyName", "ResourceId", "ScalableDimension", "PolicyType"),
    *("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"),
)
ACTION = (
    *("ScheduledActionName", "ResourceId", "ScalableDimension", "Schedule", "Timezone"),
    *("StartTime", "EndTime", "ScalableTargetAction"),
)
_KINDS = {
    "targets": ("RegisterScalableTarget", TARGET),
    "policies": ("PutScalingPolicy", (*POLICY, *CALLED_BY)),
    "actions": ("PutScheduledAction", ACTION),
}
"""The parts of a record: the operation that registers an entry again, and the keys that it may have."""

MAX_RECORD = 1_000_000
"""Bytes. Ten variants with hundreds of scheduled actions need less."""


class ScalingRecords:
    """The records in a bucket, one per endpoint. All methods raise AwsRequestRefused, naming the object.

    Anyone with write access to the bucket can write a record, so nothing in it is trusted: an entry that is not part of
    this endpoint's autoscaling by the API's own rules is left out, with a warning.

    Args:
        s3: boto3's `s3` client.
        bucket: the bucket's name.
        warn: called once with each part of a record that is left out.
    """

    def __init__(self, s3: Any, bucket: str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._s3, self._bucket, self._warn = s3, bucket, cache(warn)

    def get(self, endpoint: str) -> Record:
        """The valid part of the record; empty if there is none."""
        key = _key(endpoint)
        with aws_calls(f"s3://{self._bucket}/{key}"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if code(error) in ("NoSuchKey", "NoSuchBucket"):
                    return {}
                raise
            body = answer["Body"].read(MAX_RECORD + 1)
        record, problems = checked(endpoint, body)
        for problem in problems:
            self._warn(
                f"s3://{self._bucket}/{key}: {problem}. It is not restored. If the endpoint lacks it, register it by "
                "hand; earlier versions of the object may have it."
            )
        return record

    def put(self, endpoint: str, record: Record) -> None:
        """Keep a record."""
        key, body = _key(endpoint), json.dumps(record, default=str)
        with aws_calls(f"s3://{self._bucket}/{key}"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")

    def delete(self, endpoint: str) -> None:
        """Delete a record."""
        key = _key(endpoint)
        with aws_calls(f"s3://{self._bucket}/{key}"):
            self._s3.delete_object(Bucket=self._bucket, Key=key)


def checked(endpoint: str, body: bytes) -> tuple[Record, list[str]]:
    """The valid part of a record, and the problems of the rest.

    Args:
        body: the object's content: JSON, or anything else.
    """
    if len(body) > MAX_RECORD:
        return {}, [f"the record has more than {MAX_RECORD} bytes"]
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}, ["the record is not valid JSON"]
    if not isinstance(content, dict):
        return {}, ["the record is not a JSON object"]
    record: Record = {kind: [] for kind in _KINDS}
    problems = [f"{json.dumps(kind)[:100]} is not a part of a record" for kind in content if kind not in _KINDS]
    for kind in record:
        entries = content.get(kind, [])
        if not isinstance(entries, list):
            entries, problems = [], [*problems, f"{kind} is not a list"]
        for number, entry in enumerate(entries):
            if problem := next(_problems(endpoint, kind, entry), None):
                problems.append(f"{kind}[{number}]: {problem}")
            else:
                record[kind].append(entry)
    return record if any(record.values()) else {}, problems


def _problems(endpoint: str, kind: str, entry: Any) -> Iterator[str]:
    operation, keys = _KINDS[kind]
    if not isinstance(entry, dict):
        yield "is not a JSON object"
        return
    yield from (f"the key {json.dumps(key)[:100]} is not known" for key in entry if key not in keys)
    plain = {key: value for key, value in entry.items() if key not in CALLED_BY}
    report = ParamValidator().validate({"ServiceNamespace": SAGEMAKER, **plain}, _input(operation))
    yield from report.generate_report().splitlines()
    if not str(entry.get("ResourceId")).startswith(names.scalable_target(endpoint)):
        yield f"ResourceId is not a variant of endpoint {endpoint}"
    if entry.get("ScalableDimension") not in (INSTANCES, PROVISIONED_CONCURRENCY):
        yield f"ScalableDimension is neither {INSTANCES} nor {PROVISIONED_CONCURRENCY}"
    alarms = entry.get("Alarms", [])
    named = isinstance(alarms, list) and all(isinstance(alarm, dict) and "AlarmName" in alarm for alarm in alarms)
    if not named or not isinstance(entry.get("PolicyARN", ""), str):
        yield f"{' or '.join(CALLED_BY)} does not have the form of a scaling policy's"


@cache
def _input(operation: str) -> Shape:
    """The parameters of an operation in botocore's model of the API."""
    service = botocore.session.get_session().get_service_model("application-autoscaling")
    return service.operation_model(operation).input_shape


def _key(endpoint: str) -> str:
    return f"{names.AUTOSCALING}{endpoint}.json"


def _backlog_alarm(resource_id: str) -> str:
    """The stack's alarm that calls the step-scaling policy of a variant."""
    _, endpoint, _, variant = resource_id.split("/")
    return names.backlog_alarm(endpoint, variant)


def scalable_dimension(is_serverless: bool) -> str:
    """What autoscaling changes of a variant."""
    return PROVISIONED_CONCURRENCY if is_serverless else INSTANCES


def registered_limits(autoscaling: Any, endpoint: str, variants: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The smallest and the largest capacity of the variants that are scalable targets.

    Args:
        autoscaling: boto3's `application-autoscaling` client.
    """
    prefix = names.scalable_target(endpoint)
    answer = autoscaling.describe_scalable_targets(
        ServiceNamespace=SAGEMAKER, ResourceIds=[f"{prefix}{variant}" for variant in variants]
    )
    return {
        target["ResourceId"].removeprefix(prefix): (target["MinCapacity"], target["MaxCapacity"])
        for target in answer["ScalableTargets"]
    }


def refused_under_autoscaling(live: Mapping[str, Any], requested: Mapping[str, Any]) -> bool:
    """Whether AWS refuses an update from one configuration to the other while variants are scalable targets."""
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in requested["ProductionVariants"]}
    return any(
        types.get(variant["VariantName"]) != variant.get("InstanceType") for variant in live["ProductionVariants"]
    )


class EndpointAutoscaling:
    """The scalable targets of an endpoint's variants, with their policies and scheduled actions.

    Args:
        autoscaling: boto3's `application-autoscaling` client.
        cloudwatch: boto3's `cloudwatch` client.
        records: keeps them while they are removed.
        report: called with a line of progress.
        warn: called with each entry that cannot be restored as it was.
    """

    def __init__(
        self,
        autoscaling: Any,
        cloudwatch: Any,
        records: ScalingRecords,
        report: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._client, self._cloudwatch = autoscaling, cloudwatch
        self._records, self._report, self._warn = records, report, warn

    def record(self, endpoint: str) -> Record:
        """Record what is registered for the endpoint, and return it. The record of an interrupted release stays: it is
        the complete one."""
        registered = self._registered(endpoint)
        if registered and not self._records.get(endpoint):
            self._records.put(endpoint, registered)
        return registered

    def deregister(self, endpoint: str) -> None:
        """Record the targets, then deregister them, which deletes their policies and scheduled actions."""
        record = self.record(endpoint)
        if not record:
            return
        self._report(f"{endpoint}: removing autoscaling for this update; it is restored afterwards")
        for target in record["targets"]:
            self._client.deregister_scalable_target(
                ServiceNamespace=SAGEMAKER,
                ResourceId=target["ResourceId"],
                ScalableDimension=target["ScalableDimension"],
            )

    def restore(self, endpoint: EndpointDescription) -> None:
        """Register what is recorded of the variants in service, and delete the record. It is idempotent. After a change
        of mode, what scaled another dimension is left out: the stack registers its new targets."""
        if not (recorded := self._records.get(endpoint.name)):
            return
        live = {
            (names.scalable_target(endpoint.name, variant.name), scalable_dimension(variant.is_serverless))
            for variant in endpoint.live_variants
        }
        record = {
            kind: [entry for entry in recorded[kind] if (entry["ResourceId"], entry["ScalableDimension"]) in live]
            for kind in recorded
        }
        for target in record["targets"]:
            with self._warning(f"{target['ResourceId']}: the scalable target"):
                self._register(target)
        for policy in record["policies"]:
            with self._warning(f"{policy['ResourceId']}: the scaling policy {policy['PolicyName']}"):
                self._put_policy(policy)
        for action in record["actions"]:
            what = f"{action['ResourceId']}: the scheduled action {action['ScheduledActionName']}"
            with self._warning(f"{what} ({action.get('Schedule')})"):
                self._client.put_scheduled_action(ServiceNamespace=SAGEMAKER, **action)
        self._records.delete(endpoint.name)
        self._report(f"{endpoint.name}: autoscaling is restored")

    def restore_after_failure(self, endpoint: EndpointDescription, registered_by_stack: bool) -> list[str]:
        """Restore it where a release failed; a failure to do so is a note on that of the release.

        Args:
            registered_by_stack: whether Pulumi registers the targets, and would fail on one that exists.
        """
        if registered_by_stack:
            removed = self.is_removed(endpoint.name)
            return ["Its autoscaling is removed. The next `pulumi up` that succeeds registers it."] if removed else []
        try:
            with aws_calls(f"endpoint {endpoint.name}"):
                self.restore(endpoint)
        except AwsRequestRefused as error:
            return [f"Its autoscaling is still removed: {error}. The next `pulumi up` restores it."]
        return []

    def discard(self, endpoint: str) -> None:
        """Delete the record of an endpoint whose autoscaling the stack ends or registers itself."""
        if recorded := self.forget(endpoint):
            actions = ", ".join(action["ScheduledActionName"] for action in recorded.get("actions", ()))
            lost = f"; these scheduled actions are not restored: {actions}" if actions else ""
            self._report(f"{endpoint}: autoscaling is not restored: the stack removes it or registers it itself{lost}")

    def is_removed(self, endpoint: str) -> bool:
        """Whether a record exists; False if it cannot be read."""
        try:
            return bool(self._records.get(endpoint))
        except AwsRequestRefused:
            return False

    def forget(self, endpoint: str) -> Record:
        """Delete the record of an endpoint, and return it."""
        if recorded := self._records.get(endpoint):
            self._records.delete(endpoint)
        return recorded

    def tag(self, endpoint: str, tags: Mapping[str, str], previous: Mapping[str, str]) -> None:
        """Set the tags of the endpoint's scalable targets and of the alarms that call their step policies, and remove
        previous ones; other tags are kept."""
        for target in self._all("describe_scalable_targets", "ScalableTargets", endpoint):
            arn, current = target["ScalableTargetARN"], self._tags(target).get("Tags", {})
            if missing := {key: value for key, value in tags.items() if current.get(key) != value}:
                self._client.tag_resource(ResourceARN=arn, Tags=missing)
            outdated = sorted(key for key in previous if key not in tags)
            if removed := [key for key in outdated if key in current]:
                self._client.untag_resource(ResourceARN=arn, TagKeys=removed)
            alarms.tag(self._cloudwatch, _backlog_alarm(target["ResourceId"]), tags, outdated)

    def _registered(self, endpoint: str) -> Record:
        targets = self._all("describe_scalable_targets", "ScalableTargets", endpoint)
        policies = self._all("describe_scaling_policies", "ScalingPolicies", endpoint)
        actions = self._all("describe_scheduled_actions", "ScheduledActions", endpoint)
        record = {
            "targets": [_only(target, TARGET) | self._tags(target) for target in targets],
            "policies": [
                _only(policy, POLICY + (CALLED_BY if policy["PolicyType"] == "StepScaling" else ()))
                for policy in policies
            ],
            "actions": [_only(action, ACTION) for action in actions],
        }
        return record if record["targets"] else {}

    def _register(self, target: Mapping[str, Any]) -> None:
        """Tags are set separately: RegisterScalableTarget refuses them for a target that exists."""
        plain = {key: value for key, value in target.items() if key != "Tags"}
        arn = self._client.register_scalable_target(ServiceNamespace=SAGEMAKER, **plain)["ScalableTargetARN"]
        if tags := target.get("Tags"):
            self._client.tag_resource(ResourceARN=arn, Tags=tags)

    def _put_policy(self, policy: Mapping[str, Any]) -> None:
        """A policy that is created again has another ARN, which the stack's own alarm calls from then on."""
        plain = {key: value for key, value in policy.items() if key not in CALLED_BY}
        arn = self._client.put_scaling_policy(ServiceNamespace=SAGEMAKER, **plain)["PolicyARN"]
        previous = policy.get("PolicyARN")
        if previous in (None, arn):
            return
        own = _backlog_alarm(policy["ResourceId"])
        alarms.replace_action(self._cloudwatch, own, previous, arn)
        called_by = [alarm["AlarmName"] for alarm in policy.get("Alarms", ())]
        if others := ", ".join(alarm for alarm in called_by if alarm != own):
            self._warn(
                f"{policy['ResourceId']}: the scaling policy {policy['PolicyName']} is restored as {arn}. These alarms "
                f"still call its previous ARN; change their action: {others}"
            )

    @contextlib.contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """Warn if AWS refuses an entry: a scheduled action whose time has passed, or values that were never registered.
        A policy without its target is an ObjectNotFoundException."""
        try:
            yield
        except ClientError as error:
            if code(error) not in ("ValidationException", "ObjectNotFoundException"):
                raise
            self._warn(f"{what} is not restored: {error.response['Error']['Message']}")

    def _all(self, operation: str, key: str, endpoint: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator(operation).paginate(ServiceNamespace=SAGEMAKER)
        variants = names.scalable_target(endpoint)
        return [entry for page in pages for entry in page[key] if entry["ResourceId"].startswith(variants)]

    def _tags(self, target: Mapping[str, Any]) -> dict[str, Any]:
        if "ScalableTargetARN" not in target:
            return {}
        tags = self._client.list_tags_for_resource(ResourceARN=target["ScalableTargetARN"])["Tags"]
        return {"Tags": tags} if tags else {}


def _only(described: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: described[key] for key in keys if key in described}
