"""What became of the releases of an endpoint, kept as JSON objects in the model bucket.

The bucket is versioned, stays when the stack goes, and outlives endpoint and logs; it needs no resource of its own. The
containers cannot read it: their role reads `models/*` only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from infra import names
from infra.aws.errors import aws_calls
from infra.release.failure import ReleaseFailed, ReleaseTimeout
from infra.release.gates import ReleaseRefused
from infra.release.live import EndpointDescription, EndpointReader, artifacts, changes
from infra.release.progress import Rollout
from infra.release.waiting import Clock

Result = Literal["succeeded", "rolledBack", "failed", "timedOut", "refused", "deleted"]
"""How a release ended. `refused`: a gate (a freeze window, an alarm) or AWS kept it from beginning. `deleted` is no
release: the endpoint is gone."""

Time = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
"""Seconds since 1970, until the end of the year 9999."""

MAX_RECORD = 1_000_000
"""Bytes of a record that is read; one of ours has some thousands."""


@dataclass(frozen=True)
class ReleaseRecord:
    """One release, from the request to its end, or the deletion of an endpoint. Times are in seconds since 1970."""

    endpoint: str
    result: Result
    from_config: str | None
    """The configuration that was live before; None for a first creation."""
    to_config: str | None
    """None for a deletion."""
    began: Time
    ended: Time
    who: str
    """ARN of the caller (STS `GetCallerIdentity`)."""
    strategy: str
    """Empty for a deletion."""
    changes: tuple[str, ...] = ()
    """What differs between the two configurations; of environment variables the names only."""
    reason: str = ""
    """SageMaker's FailureReason or the refusal, first line; of a success what else is to be known."""
    alarms: tuple[str, ...] = ()
    """Names of those that fired."""
    override: str | None = None
    """The reason given for going through a freeze window."""
    artifacts: tuple[str, ...] = ()
    """The S3 addresses that the Models of `to_config` name; empty if they could not be read."""

    @property
    def seconds(self) -> float:
        """How long the release took; 0 if that is not known."""
        return self.ended - self.began

    def json(self) -> str:
        """As an object with camelCase keys."""
        return json.dumps({_camel_case(key): value for key, value in dataclasses.asdict(self).items()})

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `json()`; keys that it does not know are passed over.

        Raises:
            ValueError: it is no record.
        """
        try:
            found = json.loads(text)
        except RecursionError:
            raise ValueError("not the record of a release: its JSON is nested too deeply") from None
        if not isinstance(found, dict):
            raise ValueError("not the record of a release: it is not a JSON object")
        values = {name: found[key] for name, key in _KEYS.items() if key in found}
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"not the record of a release: {first['loc'][0]}: {first['msg']}") from None


class ReleaseHistory:
    """The records in a bucket.

    Args:
        s3: boto3's `s3` client.
        bucket: the bucket's name.
        warn: called with each object below the prefix that is not a record of the endpoint: who can write to the
            bucket can put anything there.
    """

    def __init__(self, s3: Any, bucket: str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._s3, self._bucket, self._warn = s3, bucket, warn

    def add(self, record: ReleaseRecord) -> None:
        """Keep a record. One of the same rollout takes the place of an earlier one, such as `timedOut`.

        Raises:
            AwsRequestRefused: naming the object.
        """
        key = _key(record)
        with aws_calls(f"s3://{self._bucket}/{key}"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=record.json(), ContentType="application/json")

    def latest(self, endpoint: str, limit: int) -> list[ReleaseRecord]:
        """The last `limit` releases of an endpoint, newest first.

        Raises:
            AwsRequestRefused: naming the bucket.
        """
        with aws_calls(f"s3://{self._bucket}/{_prefix(endpoint)}"):
            return list(islice(self._records(endpoint), limit))

    def succeeded(self, endpoint: str) -> Iterator[ReleaseRecord]:
        """The successful releases of an endpoint, newest first, each read when it is asked for."""
        return (each for each in self._records(endpoint) if each.result == "succeeded")

    def _records(self, endpoint: str) -> Iterator[ReleaseRecord]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_prefix(endpoint))
        keys = sorted((each["Key"] for page in pages for each in page.get("Contents", [])), reverse=True)
        return filter(None, (self._read(endpoint, key) for key in keys))

    def _read(self, endpoint: str, key: str) -> ReleaseRecord | None:
        """The record; None, with a warning, for an object that is none of the endpoint's."""
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read(MAX_RECORD + 1)
        try:
            if len(body) > MAX_RECORD:
                raise ValueError(f"not the record of a release: more than {MAX_RECORD} bytes")
            record = ReleaseRecord.parse(body.decode())
            if record.endpoint != endpoint:
                raise ValueError("the record of another endpoint")
        except ValueError as error:
            self._warn(f"s3://{self._bucket}/{key} is left out of the history: {error}")
            return None
        return record


def _prefix(endpoint: str) -> str:
    return f"{names.HISTORY}{endpoint}/"


def _key(record: ReleaseRecord) -> str:
    began = datetime.fromtimestamp(record.began, UTC)
    return f"{_prefix(record.endpoint)}{began:%Y%m%dT%H%M%SZ}-{record.to_config or record.result}.json"


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


_KEYS = {field.name: _camel_case(field.name) for field in dataclasses.fields(ReleaseRecord)}


_SUBJECTS: dict[Result, str] = {
    "succeeded": "Release of {} succeeded",
    "rolledBack": "Release of {} was rolled back",
    "failed": "Release of {} failed",
    "timedOut": "Release of {} timed out",
    "refused": "Release of {} was refused",
    "deleted": "Endpoint {} was deleted",
}


class ReleaseTopic:
    """An SNS topic that gets a message about each release: the record as JSON, with the message attributes `endpoint`
    and `result` to filter by.

    Args:
        sns: boto3's `sns` client.
        arn: the topic's ARN.
    """

    def __init__(self, sns: Any, arn: str) -> None:
        self._sns, self._arn = sns, arn

    def publish(self, record: ReleaseRecord) -> None:
        """Tell of a release.

        Raises:
            AwsRequestRefused: naming the topic.
        """
        attributes = {"endpoint": record.endpoint, "result": record.result}
        with aws_calls(f"topic {self._arn}"):
            self._sns.publish(
                TopicArn=self._arn,
                Subject=_SUBJECTS[record.result].format(record.endpoint),
                Message=record.json(),
                MessageAttributes={
                    key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()
                },
            )


_T = TypeVar("_T")


class ReleaseRecorder:
    """Records how releases end. Whatever fails in doing so is a warning: it changes no release's outcome.

    Args:
        sagemaker: boto3's `sagemaker` client, for what the configurations hold.
        sts: boto3's `sts` client, for who released.
        keep: called with each record.
        warn: called with what could not be read or kept.
    """

    def __init__(
        self, *, sagemaker: Any, sts: Any, keep: Sequence[Callable[[ReleaseRecord], None]], warn: Callable[[str], None]
    ) -> None:
        self._reader, self._sts = EndpointReader(sagemaker), sts
        self._keep, self._warn = keep, warn

    @contextlib.contextmanager
    def recording(self, endpoint: str, config_name: str, rollout: Rollout, clock: Clock) -> Iterator[None]:
        """Record how the rollout ends that is made inside; nothing if there was none to make."""
        try:
            yield
        except Exception as error:
            self._record(endpoint, config_name, rollout, clock.now(), error)
            raise
        self._record(endpoint, config_name, rollout, clock.now(), None)

    def _record(self, endpoint: str, config_name: str, rollout: Rollout, now: float, error: Exception | None) -> None:
        ended, resource = result(rollout, error), f"endpoint {endpoint}"
        if ended is None or not self._keep:
            return
        contents = self._or_warn(resource, lambda: self._contents(rollout.from_config, config_name))
        changed, artifacts = contents or ((), ())
        record = ReleaseRecord(
            endpoint=endpoint,
            result=ended,
            from_config=rollout.from_config,
            to_config=config_name,
            began=rollout.began,
            ended=now,
            who=self._or_warn(resource, self._caller) or "unknown",
            strategy=rollout.policy.strategy,
            changes=changed,
            reason=_reason(error) or rollout.note,
            alarms=tuple(rollout.fired),
            override=rollout.override,
            artifacts=artifacts,
        )
        self._keep_record(record)

    def deleted(self, endpoint: EndpointDescription, began: float, ended: float, override: str | None) -> None:
        """Record that an endpoint was deleted, which `override` says why it was in a freeze window."""
        if not self._keep:
            return
        self._keep_record(
            ReleaseRecord(
                endpoint=endpoint.name,
                result="deleted",
                from_config=endpoint.config_name or None,
                to_config=None,
                began=began,
                ended=ended,
                who=self._or_warn(f"endpoint {endpoint.name}", self._caller) or "unknown",
                strategy="",
                override=override,
            )
        )

    def _keep_record(self, record: ReleaseRecord) -> None:
        for keep in self._keep:
            self._or_warn(f"endpoint {record.endpoint}", partial(keep, record))

    def _or_warn(self, resource: str, work: Callable[[], _T]) -> _T | None:
        try:
            with aws_calls(resource):
                return work()
        except Exception as error:
            self._warn(f"the record of a release of {resource} is not complete: {error}")
            return None

    def _caller(self) -> str:
        return str(self._sts.get_caller_identity()["Arn"])

    def _contents(self, old_name: str | None, new_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the new configuration changes, and the artifacts that it serves. Nothing is known of a configuration
        that is gone."""
        old = self._reader.configuration(old_name) if old_name else None
        new = self._reader.configuration(new_name)
        configs = [config for config in (old, new) if config is not None]
        names = {variant["ModelName"] for config in configs for variant in config["ProductionVariants"]}
        read = {name: self._reader.model(name) for name in sorted(names)}
        models = {name: model for name, model in read.items() if model is not None}
        changed = changes(old, new, models) if old is not None and new is not None else ()
        return changed, artifacts(new, models) if new is not None else ()


def result(rollout: Rollout, error: Exception | None) -> Result | None:
    """How a release ended; None when there was nothing to release."""
    if not rollout.tried:
        return None
    if isinstance(error, ReleaseFailed):
        return error.result
    if isinstance(error, ReleaseTimeout):
        return "timedOut"
    if rollout.asked is None:
        return "refused" if error else None
    # no longer being able to look at a rollout is not its failure
    return "timedOut" if error else "succeeded"


def _reason(error: Exception | None) -> str:
    reason = error.reason if isinstance(error, (ReleaseFailed, ReleaseRefused)) else ""
    return next(iter((reason or str(error or "")).splitlines()), "")
