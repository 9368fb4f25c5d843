"""An artifact under `models/` of the bucket, which is written once and never overwritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pulumi.dynamic import ReadResult

from infra import names
from infra.aws.errors import aws_calls, code, refused
from infra.dynamic.provider import AwsResourceProvider


class ReleasedObjectProvider(AwsResourceProvider):
    """Has no delete: an older Model that is still live, or that a rollback returns to, may name the object. See
    `infra.release.artifacts`."""

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        exists = head(self.client("s3", props), props["bucket"], props["key"]) is not None
        return ReadResult(id_, props) if exists else ReadResult("", {})


def head(s3: Any, bucket: str, key: str) -> Mapping[str, Any] | None:
    """The answer of HeadObject; None if the key has no current version."""
    try:
        answer: Mapping[str, Any] = s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and code(error) in ("404", "NoSuchKey", "NoSuchBucket"):
            return None
        raise refused(f"s3://{bucket}/{key}", error) from None
    return answer


def put_once(s3: Any, bucket: str, key: str, tags: Mapping[str, str], write: Callable[[Any], None]) -> None:
    """Write an object, or set the tags of the one that exists: its key determines its content.

    Args:
        write: writes the object with the client that it is called with.
    """
    if head(s3, bucket, key) is None:
        write(write_once(s3))
        return
    tag_set = [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
    with aws_calls(f"s3://{bucket}/{key}"):
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tag_set})


def write_once(s3: Any) -> Any:
    """The client, whose writes of released artifacts fail if the key exists: the bucket's policy refuses others (S3
    guide, "Enforce conditional writes on Amazon S3 buckets")."""
    for operation in ("PutObject", "CompleteMultipartUpload"):
        event = f"provide-client-params.s3.{operation}"
        s3.meta.events.register(event, _if_none_match, unique_id=f"write-once-{operation}")
    return s3


def _if_none_match(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    """boto3 refuses it as a parameter of the upload, and would pass it to operations that have no such parameter."""
    return {**params, "IfNoneMatch": "*"} if params["Key"].startswith(names.RELEASED) else params
