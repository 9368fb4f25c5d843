"""What is registered for an endpoint's autoscaling, kept as a JSON object in the model bucket while it is off.

It is written before anything is taken off. So it survives a crash of this process and the deletion of an endpoint that
failed, and is found by whoever releases next. The containers cannot read it: their role reads `models/*` only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.model import Shape
from botocore.validate import ParamValidator

from infra import names
from infra.aws.errors import AwsRequestRefused, aws_calls, code
from infra.release.live import EndpointDescription

Record = dict[str, list[dict[str, Any]]]

SAGEMAKER = "sagemaker"
"""The service namespace of endpoints' variants."""

DIMENSION = "sagemaker:variant:DesiredInstanceCount"

TARGET = ("ResourceId", "ScalableDimension", "MinCapacity", "MaxCapacity", "SuspendedState", "Tags")
CALLED_BY = ("PolicyARN", "Alarms")
"""Of a step-scaling policy, whose alarms somebody else made: they call it by its ARN."""

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
"""What a record has: the operation that registers an entry again, and the keys that it may have."""

MAX_RECORD = 1_000_000
"""Bytes. Ten variants with hundreds of scheduled actions have less."""


class ScalingRecords:
    """The records in a bucket, one an endpoint. All methods raise AwsRequestRefused, naming the object.

    Who can write to the bucket can write a record, so nothing in it is believed: what is not an entry of this
    endpoint's autoscaling by the API's own rules is left out, with a warning.

    Args:
        s3: boto3's `s3` client.
        bucket: the bucket's name; None in the state of an endpoint that was deployed before there were records.
        warn: called once with each part of a record that is left out.
    """

    def __init__(self, s3: Any, bucket: str | None, warn: Callable[[str], None] = lambda _: None) -> None:
        self._s3, self._bucket, self._warn = s3, bucket, warn
        self._warned: set[str] = set()

    def get(self, endpoint: str) -> Record:
        """What is valid of the record; empty if there is none."""
        if self._bucket is None:
            return {}
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
            self._warn_once(
                f"s3://{self._bucket}/{key}: {problem}. It is left out of the autoscaling that is restored. If it is "
                "missing there, register it by hand; earlier versions of the object may have it."
            )
        return record

    def put(self, endpoint: str, record: Record) -> None:
        """Keep a record."""
        key, body = _key(endpoint), json.dumps(record, default=str)
        with aws_calls(f"s3://{self._bucket}/{key}"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")

    def delete(self, endpoint: str) -> None:
        """Forget a record."""
        key = _key(endpoint)
        with aws_calls(f"s3://{self._bucket}/{key}"):
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


def checked(endpoint: str, body: bytes) -> tuple[Record, list[str]]:
    """The valid part of a record as it was read, and what is wrong with the rest.

    Args:
        body: JSON; it may be anything.
    """
    if len(body) > MAX_RECORD:
        return {}, [f"the record has more than {MAX_RECORD} bytes"]
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}, ["the record is not valid JSON"]
    if not isinstance(found, dict):
        return {}, ["the record is not a JSON object"]
    record: Record = {kind: [] for kind in _KINDS}
    problems = [f"{json.dumps(kind)[:100]} is not a part of a record" for kind in found if kind not in _KINDS]
    for kind in record:
        entries = found.get(kind, [])
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
    if not str(entry.get("ResourceId")).startswith(f"endpoint/{endpoint}/variant/"):
        yield f"ResourceId is not a variant of endpoint {endpoint}"
    if entry.get("ScalableDimension") != DIMENSION:
        yield f"ScalableDimension is not {DIMENSION}"
    alarms = entry.get("Alarms", [])
    named = isinstance(alarms, list) and all(isinstance(each, dict) and "AlarmName" in each for each in alarms)
    if not named or not isinstance(entry.get("PolicyARN", ""), str):
        yield f"{' or '.join(CALLED_BY)} is not of the form of a scaling policy's"


@cache
def _input(operation: str) -> Shape:
    """The parameters of an operation, as botocore knows the API."""
    service = botocore.session.get_session().get_service_model("application-autoscaling")
    return service.operation_model(operation).input_shape


def _key(endpoint: str) -> str:
    return f"{names.AUTOSCALING}{endpoint}.json"


def refused_under_autoscaling(live: Mapping[str, Any], requested: Mapping[str, Any]) -> bool:
    """Whether an update from one endpoint configuration to the other is one that AWS refuses on scalable targets."""
    wanted = {variant["VariantName"]: variant.get("InstanceType") for variant in requested["ProductionVariants"]}
    return any(wanted.get(each["VariantName"]) != each.get("InstanceType") for each in live["ProductionVariants"])


def of_live_variants(record: Record, endpoint: EndpointDescription) -> Record:
    """What the record says of the variants in service."""
    live = {f"endpoint/{endpoint.name}/variant/{variant.name}" for variant in endpoint.live_variants}
    return {kind: [each for each in entries if each["ResourceId"] in live] for kind, entries in record.items()}


class EndpointAutoscaling:
    """The scalable targets of an endpoint's variants, with their policies and scheduled actions.

    Args:
        autoscaling: boto3's `application-autoscaling` client.
        records: where they are kept while they are off.
        report: called with a line of progress.
        warn: called with what does not come back as it was.
    """

    def __init__(
        self, autoscaling: Any, records: ScalingRecords, report: Callable[[str], None], warn: Callable[[str], None]
    ) -> None:
        self._client, self._records, self._report, self._warn = autoscaling, records, report, warn

    def record(self, endpoint: str) -> Record:
        """Record what is registered for the endpoint, and return it. A record that an interrupted release left is the
        true one, and stays."""
        registered = self._registered(endpoint)
        if registered and not self._records.get(endpoint):
            self._records.put(endpoint, registered)
        return registered

    def _registered(self, endpoint: str) -> Record:
        mine = f"endpoint/{endpoint}/variant/"
        targets = self._all("describe_scalable_targets", "ScalableTargets", mine)
        policies = self._all("describe_scaling_policies", "ScalingPolicies", mine)
        actions = self._all("describe_scheduled_actions", "ScheduledActions", mine)
        record = {
            "targets": [_only(each, TARGET) | self._tags(each) for each in targets],
            "policies": [
                _only(each, POLICY + (CALLED_BY if each["PolicyType"] == "StepScaling" else ())) for each in policies
            ],
            "actions": [_only(each, ACTION) for each in actions],
        }
        return record if record["targets"] else {}

    def take_off(self, endpoint: str) -> None:
        """Record what is registered, then deregister it, which takes policies and scheduled actions along."""
        record = self.record(endpoint)
        if not record:
            return
        self._report(f"{endpoint}: autoscaling is taken off for this update and put back after it")
        for target in record["targets"]:
            self._client.deregister_scalable_target(
                ServiceNamespace=SAGEMAKER,
                ResourceId=target["ResourceId"],
                ScalableDimension=target["ScalableDimension"],
            )

    def put_back(self, endpoint: EndpointDescription) -> None:
        """Register everything recorded again but that of variants that are gone, and forget the record. Doing so twice
        changes nothing."""
        if not (recorded := self._records.get(endpoint.name)):
            return
        record = of_live_variants(recorded, endpoint)
        for target in record["targets"]:
            with self._as_recorded(f"{target['ResourceId']}: the scalable target"):
                self._register(target)
        for policy in record["policies"]:
            with self._as_recorded(f"{policy['ResourceId']}: the scaling policy {policy['PolicyName']}"):
                self._put_policy(policy)
        for action in record["actions"]:
            what = f"{action['ResourceId']}: the scheduled action {action['ScheduledActionName']}"
            with self._as_recorded(f"{what} ({action.get('Schedule')})"):
                self._client.put_scheduled_action(ServiceNamespace=SAGEMAKER, **action)
        self._records.delete(endpoint.name)
        self._report(f"{endpoint.name}: autoscaling is back")

    def leave_off(self, endpoint: str) -> None:
        """Forget what is recorded: the stack ends this endpoint's autoscaling, or registers it itself."""
        if recorded := self.forget(endpoint):
            actions = ", ".join(each["ScheduledActionName"] for each in recorded.get("actions", ()))
            lost = f"; these scheduled actions are not put back: {actions}" if actions else ""
            self._report(f"{endpoint}: autoscaling is left off, for the stack ends it or registers it itself{lost}")

    def is_off(self, endpoint: str) -> bool:
        """Whether something is recorded; not known, and False, where the record cannot be read."""
        try:
            return bool(self._records.get(endpoint))
        except AwsRequestRefused:
            return False

    def forget(self, endpoint: str) -> Record:
        """Delete the record of an endpoint, and return what it was."""
        if recorded := self._records.get(endpoint):
            self._records.delete(endpoint)
        return recorded

    def tag(self, endpoint: str, tags: Mapping[str, str], former: Mapping[str, str]) -> None:
        """Bring the tags of the endpoint's scalable targets to what is asked; tags that others put there are kept."""
        for target in self._all("describe_scalable_targets", "ScalableTargets", f"endpoint/{endpoint}/variant/"):
            arn, has = target["ScalableTargetARN"], self._tags(target).get("Tags", {})
            if missing := {key: value for key, value in tags.items() if has.get(key) != value}:
                self._client.tag_resource(ResourceARN=arn, Tags=missing)
            if gone := sorted(key for key in former if key in has and key not in tags):
                self._client.untag_resource(ResourceARN=arn, TagKeys=gone)

    def _register(self, target: Mapping[str, Any]) -> None:
        """Tags go separately: RegisterScalableTarget takes none for a target that is there already."""
        plain = {key: value for key, value in target.items() if key != "Tags"}
        arn = self._client.register_scalable_target(ServiceNamespace=SAGEMAKER, **plain)["ScalableTargetARN"]
        if tags := target.get("Tags"):
            self._client.tag_resource(ResourceARN=arn, Tags=tags)

    def _put_policy(self, policy: Mapping[str, Any]) -> None:
        """A policy that is made anew has an ARN of its own."""
        plain = {key: value for key, value in policy.items() if key not in CALLED_BY}
        arn = self._client.put_scaling_policy(ServiceNamespace=SAGEMAKER, **plain)["PolicyARN"]
        alarms = ", ".join(each["AlarmName"] for each in policy.get("Alarms", ()))
        if alarms and arn != policy.get("PolicyARN"):
            self._warn(
                f"{policy['ResourceId']}: the scaling policy {policy['PolicyName']} is back as {arn}. Alarms act on "
                f"the one that it was; have them act on this: {alarms}"
            )

    @contextlib.contextmanager
    def _as_recorded(self, what: str) -> Iterator[None]:
        """Warn where AWS does not accept what is recorded: a scheduled action whose time has come meanwhile, or values
        that nobody registered. A policy without its target is an ObjectNotFoundException."""
        try:
            yield
        except ClientError as error:
            if code(error) not in ("ValidationException", "ObjectNotFoundException"):
                raise
            self._warn(f"{what} is not put back: {error.response['Error']['Message']}")

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
