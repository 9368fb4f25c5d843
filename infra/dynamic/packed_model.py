"""A Triton model repository on disk, packed and uploaded under a key that its content decides."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pulumi
from botocore.exceptions import ClientError
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra import names
from infra.aws.errors import aws_calls, code, refused
from infra.dynamic.engine import report
from infra.dynamic.provider import AwsResourceProvider, difference
from infra.triton.repository import ModelRepository, ModelRepositoryError


class PackedModelProvider(AwsResourceProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """An object that somebody removed is uploaded again."""
        # `path` is where this machine has the files; the digest says what they are
        found = difference(olds, news, update=["tags"], replace=["bucket", "key", "digest", "accountId"])
        if not found.changes and not object_exists(self.client("s3", news), news["bucket"], news["key"]):
            return DiffResult(changes=True)
        return found

    def create(self, props: dict[str, Any]) -> CreateResult:
        self._upload(props)
        return CreateResult(f"{props['bucket']}/{props['key']}", props)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        self._upload(news)
        return UpdateResult(news)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        there = object_exists(self.client("s3", props), props["bucket"], props["key"])
        return ReadResult(id_, props) if there else ReadResult("", {})

    # No delete: an older Model that is still live, or is rolled back to, may name the object (infra.release.artifacts).

    def _upload(self, props: dict[str, Any]) -> None:
        s3 = self.client("s3", props)
        if object_exists(s3, props["bucket"], props["key"]):
            report(f"s3://{props['bucket']}/{props['key']} exists already")
            tag_object(s3, props["bucket"], props["key"], props["tags"])
        else:
            _pack_and_upload(s3, props)


def write_once(s3: Any) -> Any:
    """The client, whose writes of released artifacts fail where the key exists: the bucket's policy refuses others (S3
    guide, "Enforce conditional writes on Amazon S3 buckets")."""
    for operation in ("PutObject", "CompleteMultipartUpload"):
        event = f"provide-client-params.s3.{operation}"
        s3.meta.events.register(event, _if_none_match, unique_id=f"write-once-{operation}")
    return s3


def _if_none_match(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    """As a parameter of the upload boto3 would refuse it, and pass it to operations that have no such parameter."""
    return {**params, "IfNoneMatch": "*"} if params["Key"].startswith(names.RELEASED) else params


def object_exists(s3: Any, bucket: str, key: str) -> bool:
    """Whether the key has a current version."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code(error) in ("404", "NoSuchKey", "NoSuchBucket"):
            return False
        raise refused(f"s3://{bucket}/{key}", error) from None
    return True


def tag_object(s3: Any, bucket: str, key: str, tags: dict[str, str]) -> None:
    """Give the object these tags in place of those it has."""
    tag_set = [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
    with aws_calls(f"s3://{bucket}/{key}"):
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tag_set})


def _pack_and_upload(s3: Any, props: dict[str, Any]) -> None:
    bucket, key = props["bucket"], props["key"]
    with tempfile.TemporaryDirectory(prefix="triton-model-") as directory:
        archive = Path(directory) / "model.tar.gz"
        report(f"packing {props['path']}")
        try:
            ModelRepository.read(props["path"]).pack(archive, expected_digest=props["digest"])
        except ModelRepositoryError as error:
            raise ModelRepositoryError(error.path, error.problems) from None  # its cause is no news to the person
        size = archive.stat().st_size
        report(f"uploading {size / 1e6:.1f} MB to s3://{bucket}/{key}")
        arguments = {"Tagging": urlencode(props["tags"]), "ContentType": "application/gzip"}
        with aws_calls(f"s3://{bucket}/{key}"):
            write_once(s3).upload_file(str(archive), bucket, key, ExtraArgs=arguments, Callback=_Tenths(size))


class _Tenths:
    """Reports an upload of more than 100 MB at every tenth; smaller ones are over before it would help."""

    def __init__(self, size: int) -> None:
        self._size, self._sent, self._said = size, 0, 0

    def __call__(self, sent: int) -> None:
        self._sent += sent
        tenths = self._sent * 10 // max(self._size, 1)
        if self._size > 100e6 and tenths > self._said:
            self._said = tenths
            report(f"uploaded {tenths * 10} %")


class PackedModel(Resource, module="infra", name="PackedModel"):
    """A model repository, packed as a deterministic .tar.gz and uploaded once for each content.

    The object stays when the resource is deleted or replaced, as the bucket does.

    Args:
        bucket: where to.
        key: under which key; it holds the digest, so that no other content is ever found there.
        path: the model repository on this machine.
        digest: of the repository's paths and contents, hexadecimal SHA-256.
        tags: the object's tags (S3 takes 10).
        account_id: the account of the stack's `aws` provider.
    """

    key: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        bucket: pulumi.Input[str],
        key: str,
        path: str,
        digest: str,
        tags: dict[str, str],
        account_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {"bucket": bucket, "key": key, "path": path, "digest": digest, "tags": tags, "accountId": account_id}
        super().__init__(PackedModelProvider(), resource_name, props, opts)
