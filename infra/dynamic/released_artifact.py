"""An artifact that somebody uploaded, copied to a key of its own that the Model names and that nobody overwrites."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

import pulumi
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.aws.errors import aws_calls, code, refused
from infra.diagnostics.printable import printable
from infra.dynamic.engine import report
from infra.dynamic.packed_model import object_exists, tag_object, write_once
from infra.dynamic.provider import UNKNOWN, AwsResourceProvider, changed


class ArtifactMissing(Exception):
    """The key named by `artifact:` holds nothing; the message shows the upload that is missing."""

    def __init__(self, bucket: str, key: str) -> None:
        upload = shlex.join(["aws", "s3", "cp", PurePosixPath(key).name, f"s3://{bucket}/{key}"])
        super().__init__(
            f"artifact {printable(key)}: there is no such object in bucket {bucket}. Upload it, then run `pulumi up` "
            f"again, which goes on from here:\n\n    {upload}\n"
        )


class ReleasedArtifactProvider(AwsResourceProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A new version under the same key is a change, so that a preview shows the release it will cause. So is a copy
        that somebody removed, which is made again."""
        if changed(olds, news, "accountId"):
            return DiffResult(changes=True, replaces=["accountId"])
        moved = changed(olds, news, "bucket", "artifact", "prefix", "tags")
        if news["bucket"] == UNKNOWN:
            return DiffResult(changes=True)
        version = _current_version(self.client("s3", news), news["bucket"], news["artifact"])
        if version is None and not moved:
            pulumi.log.warn(
                f"artifact {news['artifact']} is gone from {news['bucket']}; {olds['key']}, released from it, stays"
            )
            return DiffResult(changes=False)
        if version is None:
            raise ArtifactMissing(news["bucket"], news["artifact"])
        gone = not moved and not object_exists(self.client("s3", news), olds["bucket"], olds["key"])
        return DiffResult(changes=bool(moved) or gone or version != olds["versionId"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['bucket']}/{props['artifact']}", self._released(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(self._released(news))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        there = object_exists(self.client("s3", props), props["bucket"], props["key"])
        return ReadResult(id_, props) if there else ReadResult("", {})

    # No delete: an older Model that is still live, or is rolled back to, may name the copy (infra.release.artifacts).

    def _released(self, props: dict[str, Any]) -> dict[str, Any]:
        s3, bucket, artifact = self.client("s3", props), props["bucket"], props["artifact"]
        version = _current_version(s3, bucket, artifact)
        if version is None:
            raise ArtifactMissing(bucket, artifact)
        key = released_key(props["prefix"], artifact, version)
        report(f"releasing version {version} of s3://{bucket}/{artifact} as {key}")
        _copy(s3, bucket, artifact, version, key, props["tags"])
        return {**props, "key": key, "versionId": version}


def released_key(prefix: str, artifact: str, version: str) -> str:
    """Where a version of an artifact is kept: `models/ranking/model_7/<version>.tar.gz`."""
    return f"{prefix}{PurePosixPath(artifact).name.removesuffix('.tar.gz')}/{quote(version, safe='')}.tar.gz"


def _current_version(s3: Any, bucket: str, key: str) -> str | None:
    """The version that a plain read of the key gives now; `null` for what was uploaded before versioning began."""
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code(error) in ("404", "NoSuchKey", "NoSuchBucket"):
            return None
        raise refused(f"s3://{bucket}/{key}", error) from None
    return str(head.get("VersionId", "null"))


def _copy(s3: Any, bucket: str, artifact: str, version: str, key: str, tags: dict[str, str]) -> None:
    """Server side and in parts, because S3's guide does not everywhere allow CopyObject where writes are conditional. A
    copy that exists already is of this very version."""
    if object_exists(s3, bucket, key):
        tag_object(s3, bucket, key, tags)
        return
    source = {"Bucket": bucket, "Key": artifact, "VersionId": version}
    arguments = {"TaggingDirective": "REPLACE", "Tagging": urlencode(tags)}
    with aws_calls(f"s3://{bucket}/{artifact} to {key}"):
        write_once(s3).copy(source, bucket, key, ExtraArgs=arguments, Config=TransferConfig(multipart_threshold=1))


class ReleasedArtifact(Resource, module="infra", name="ReleasedArtifact"):
    """The current version of an uploaded artifact, copied server side to a key that holds this version for good.

    A Model names an S3 key, not a version: without the copy, whoever overwrites the artifact changes what the next
    scale-out loads. The copy stays when the resource is deleted or replaced, as the bucket does.

    Args:
        bucket: the model bucket.
        artifact: the key that was uploaded to.
        prefix: where the copies go.
        tags: the copy's tags (S3 takes 10).
        account_id: the account of the stack's `aws` provider.
    """

    key: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        bucket: pulumi.Input[str],
        artifact: str,
        prefix: str,
        tags: dict[str, str],
        account_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        props = {
            "bucket": bucket,
            "artifact": artifact,
            "prefix": prefix,
            "tags": tags,
            "accountId": account_id,
            "key": None,
            "versionId": None,
        }
        super().__init__(ReleasedArtifactProvider(), resource_name, props, opts)
