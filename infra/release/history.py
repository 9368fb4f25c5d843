"""What became of the releases of an endpoint, kept as JSON objects in the model bucket.

The bucket is versioned, stays when the stack goes, and outlives endpoint and logs; it needs no resource of its own. The
containers cannot read it: their role reads `models/*` only.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from infra import names
from infra.aws.errors import aws_calls

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
