"""The results of an endpoint's releases: recorded in the model bucket, and published to an SNS topic.

The bucket is versioned, stays when the stack is destroyed, and outlives endpoint and logs; records need no resource of
their own. The containers cannot read them: their role reads `models/*` only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from infra import names
from infra.aws.errors import aws_calls
from infra.release.contents import artifacts, changes
from infra.release.failure import ReleaseFailed, ReleaseRefused, ReleaseTimeout
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.progress import Rollout
from infra.release.waiting import Clock

_T = TypeVar("_T")

Result = Literal["succeeded", "rolledBack", "failed", "timedOut", "refused", "deleted"]
"""How a release ended. `refused`: a gate (a freeze window, an alarm) or AWS refused it before it started. `deleted`
is the deletion of the endpoint."""

Time = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
"""Seconds since 1970, until the end of the year 9999."""

MAX_RECORD = 1_000_000
"""Bytes of a record that is read; one of ours has some thousands."""

RESULTS: Mapping[Result, str] = {
    "succeeded": "succeeded",
    "rolledBack": "was rolled back",
    "failed": "failed",
    "timedOut": "did not end in time",
    "refused": "was refused",
    "deleted": "was deleted",
}
"""The results in words."""


@dataclass(frozen=True)
class ReleaseRecord:
    """One release from its request to its end, or the deletion of an endpoint. Times are in seconds since 1970."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel, validate_by_name=False)

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
    """The differences between the two configurations; of environment variables the names only."""
    reason: str = ""
    """The first line of SageMaker's FailureReason or of the refusal; of a success, a remark on it."""
    alarms: tuple[str, ...] = ()
    """Names of those that fired."""
    override: str | None = None
    """The reason given to release during a freeze window."""
    artifacts: tuple[str, ...] = ()
    """The S3 addresses that the Models of `to_config` name; empty if they could not be read."""

    @property
    def seconds(self) -> float:
        """How long the release took; 0 if that is not known."""
        return self.ended - self.began

    def json(self) -> str:
        """As an object with camelCase keys."""
        return _RECORD.dump_json(self, by_alias=True).decode()

    @classmethod
    def parse(cls, text: bytes | str) -> ReleaseRecord:
        """From `json()`; unknown keys are ignored.

        Raises:
            ValueError: it is not a valid record.
        """
        try:
            return _RECORD.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{key}: " for key in first["loc"])
            raise ValueError(f"not the record of a release: {where}{first['msg']}") from None


_RECORD = TypeAdapter(ReleaseRecord)


class ReleaseHistory:
    """The records in a bucket.

    Args:
        s3: boto3's `s3` client.
        bucket: the bucket's name.
        warn: called with each object under the prefix that is not a record of the endpoint: anyone with write access
            to the bucket can put an object there.
    """

    def __init__(self, s3: Any, bucket: str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._s3, self._bucket, self._warn = s3, bucket, warn

    def add(self, record: ReleaseRecord) -> None:
        """Keep a record. It replaces an earlier one of the same rollout, such as `timedOut`.

        Raises:
            AwsRequestRefused: naming the object.
        """
        began = datetime.fromtimestamp(record.began, UTC)
        key = f"{_prefix(record.endpoint)}{began:%Y%m%dT%H%M%SZ}-{record.to_config or record.result}.json"
        with aws_calls(f"s3://{self._bucket}/{key}"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=record.json(), ContentType="application/json")

    def latest(self, endpoint: str, limit: int) -> list[ReleaseRecord]:
        """The last `limit` releases of an endpoint, newest first.

        Raises:
            AwsRequestRefused: naming the bucket.
        """
        with aws_calls(f"s3://{self._bucket}/{_prefix(endpoint)}"):
            return list(islice(self._records(endpoint), limit))

    def rollouts(self, endpoint: str, limit: int) -> list[ReleaseRecord]:
        """The last `limit` releases that SageMaker began, newest first.

        Raises:
            AwsRequestRefused: naming the bucket.
        """
        with aws_calls(f"s3://{self._bucket}/{_prefix(endpoint)}"):
            began = (record for record in self._records(endpoint) if record.result not in ("refused", "deleted"))
            return list(islice(began, limit))

    def succeeded(self, endpoint: str) -> Iterator[ReleaseRecord]:
        """The successful releases of an endpoint, newest first; each is read on demand."""
        return (record for record in self._records(endpoint) if record.result == "succeeded")

    def _records(self, endpoint: str) -> Iterator[ReleaseRecord]:
        keys = sorted(object_keys(self._s3, self._bucket, _prefix(endpoint)), reverse=True)
        return filter(None, (self._read(endpoint, key) for key in keys))

    def _read(self, endpoint: str, key: str) -> ReleaseRecord | None:
        """The record; None, with a warning, if the object is not a record of the endpoint."""
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read(MAX_RECORD + 1)
        try:
            if len(body) > MAX_RECORD:
                raise ValueError(f"not the record of a release: more than {MAX_RECORD} bytes")
            record = ReleaseRecord.parse(body)
            if record.endpoint != endpoint:
                raise ValueError("the record of another endpoint")
        except ValueError as error:
            self._warn(f"s3://{self._bucket}/{key} is left out of the history: {error}")
            return None
        return record


def object_keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """The keys in a bucket that begin with `prefix`."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return (object_["Key"] for page in pages for object_ in page.get("Contents", []))


def _prefix(endpoint: str) -> str:
    return f"{names.HISTORY}{endpoint}/"


def publish(sns: Any, topic: str, record: ReleaseRecord) -> None:
    """Publish a record as JSON, with the message attributes `endpoint` and `result` to filter by.

    Args:
        sns: boto3's `sns` client.
        topic: the topic's ARN.

    Raises:
        AwsRequestRefused: naming the topic.
    """
    what = "Endpoint" if record.result == "deleted" else "Release of"
    attributes = {"endpoint": record.endpoint, "result": record.result}
    with aws_calls(f"topic {topic}"):
        sns.publish(
            TopicArn=topic,
            Subject=f"{what} {record.endpoint} {RESULTS[record.result]}",
            Message=record.json(),
            MessageAttributes={key: {"DataType": "String", "StringValue": value} for key, value in attributes.items()},
        )


class ReleaseRecorder:
    """Records how releases end. If it fails, it warns: the release's result stays.

    Args:
        client: creates boto3's client of a service.
        keep: called with each record.
        warn: called with what could not be read or kept.
    """

    def __init__(
        self, client: Callable[[str], Any], keep: Sequence[Callable[[ReleaseRecord], None]], warn: Callable[[str], None]
    ) -> None:
        self._reader, self._sts = EndpointReader(client("sagemaker")), client("sts")
        self._keep, self._warn = keep, warn

    @contextlib.contextmanager
    def recording(self, rollout: Rollout, clock: Clock) -> Iterator[None]:
        """Record how the rollout inside the block ends; nothing if none was needed."""
        try:
            yield
        except Exception as error:
            self._record(rollout, clock.now(), error)
            raise
        self._record(rollout, clock.now(), None)

    def deleted(self, endpoint: EndpointDescription, began: float, ended: float, override: str | None) -> None:
        """Record that an endpoint was deleted, with the reason if that was during a freeze window."""
        if not self._keep:
            return
        self._add(
            ReleaseRecord(
                endpoint=endpoint.name,
                result="deleted",
                from_config=endpoint.config_name or None,
                to_config=None,
                began=began,
                ended=ended,
                who=self._caller(endpoint.name),
                strategy="",
                override=override,
            )
        )

    def _record(self, rollout: Rollout, now: float, error: Exception | None) -> None:
        if (ended := result(rollout, error)) is None or not self._keep:
            return
        endpoint, config_name = rollout.request.name, rollout.request.config_name
        changed, served = self._or_warn(endpoint, lambda: self._contents(rollout.from_config, config_name)) or ((), ())
        self._add(
            ReleaseRecord(
                endpoint=endpoint,
                result=ended,
                from_config=rollout.from_config,
                to_config=config_name,
                began=rollout.began,
                ended=now,
                who=self._caller(endpoint),
                strategy=rollout.request.policy.strategy,
                changes=changed,
                reason=_reason(error) or rollout.note,
                alarms=tuple(rollout.fired),
                override=rollout.override,
                artifacts=served,
            )
        )

    def _add(self, record: ReleaseRecord) -> None:
        for keep in self._keep:
            self._or_warn(record.endpoint, partial(keep, record))

    def _caller(self, endpoint: str) -> str:
        return self._or_warn(endpoint, lambda: str(self._sts.get_caller_identity()["Arn"])) or "unknown"

    def _or_warn(self, endpoint: str, work: Callable[[], _T]) -> _T | None:
        try:
            with aws_calls(f"endpoint {endpoint}"):
                return work()
        except Exception as error:
            self._warn(f"the record of a release of endpoint {endpoint} is incomplete: {error}")
            return None

    def _contents(self, old_name: str | None, new_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the new configuration changes, and the artifacts that it serves, as far as they are still there."""
        old = self._reader.configuration(old_name) if old_name else None
        new = self._reader.configuration(new_name)
        configs = [config for config in (old, new) if config is not None]
        model_names = {variant["ModelName"] for config in configs for variant in config["ProductionVariants"]}
        described = {name: self._reader.model(name) for name in sorted(model_names)}
        models = {name: model for name, model in described.items() if model is not None}
        changed = changes(old, new, models) if old is not None and new is not None else ()
        return changed, artifacts(new, models) if new is not None else ()


def result(rollout: Rollout, error: Exception | None) -> Result | None:
    """How a release ended; None if none was needed."""
    if not rollout.needed:
        return None
    if isinstance(error, ReleaseFailed):
        return error.result
    if isinstance(error, ReleaseTimeout):
        return "timedOut"
    if rollout.requested is None:
        return "refused" if error else None
    # a rollout that can no longer be observed has not failed
    return "timedOut" if error else "succeeded"


def _reason(error: Exception | None) -> str:
    reason = error.reason if isinstance(error, (ReleaseFailed, ReleaseRefused)) else ""
    return next(iter((reason or str(error or "")).splitlines()), "")
