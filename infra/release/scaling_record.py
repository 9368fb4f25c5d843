"""What is registered for an endpoint's autoscaling, kept as a JSON object in the model bucket while it is off.

It is written before anything is taken off. So it survives a crash of this process and the deletion of an endpoint that
failed, and is found by whoever releases next. The containers cannot read it: their role reads `models/*` only.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from infra import prefixes
from infra.aws_error import aws_calls, code

Record = dict[str, list[dict[str, Any]]]


class ScalingRecords:
    """The records in a bucket, one an endpoint. All methods raise AwsRequestRefused, naming the object.

    Args:
        s3: boto3's `s3` client.
        bucket: the bucket's name; None in the state of an endpoint that was deployed before there were records.
    """

    def __init__(self, s3: Any, bucket: str | None) -> None:
        self._s3, self._bucket = s3, bucket

    def get(self, endpoint: str) -> Record:
        """The record; empty if there is none."""
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
            record: Record = json.loads(answer["Body"].read())
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


def _key(endpoint: str) -> str:
    return f"{prefixes.AUTOSCALING}{endpoint}.json"
