"""What is registered for an endpoint's autoscaling, kept as a JSON object in the model bucket while it is off.

It is written before anything is taken off. So it survives a crash of this process and the deletion of an endpoint that
failed, and is found by whoever releases next. The containers cannot read it: their role reads `models/*` only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.model import Shape
from botocore.validate import ParamValidator

from infra import names
from infra.aws.errors import aws_calls, code

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
