"""An uploaded artifact, copied to a key of its own that the Model names and that is never overwritten."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

import pulumi
from boto3.s3.transfer import TransferConfig
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.aws.errors import aws_calls
from infra.diagnostics.printable import printable
from infra.dynamic.provider import UNKNOWN, changed
from infra.dynamic.released_object import ReleasedObjectProvider, head, put_once
from infra.errors import UserError


class ArtifactMissing(UserError):
    """The bucket has no object under the key of `artifact:`; the message shows the upload that is missing."""

    def __init__(self, bucket: str, key: str) -> None:
        upload = shlex.join(["aws", "s3", "cp", PurePosixPath(key).name, f"s3://{bucket}/{key}"])
        super().__init__(
            f"artifact {printable(key)} does not exist in bucket {bucket}. Upload it, then run `pulumi up` again, "
            f"which continues from here:\n\n    {upload}\n"
        )


class ReleasedArtifactProvider(ReleasedObjectProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """A new version under the same key is a change, so that a preview shows the release that it will cause. So is a
        deleted copy, which is made again."""
        if changed(olds, news, "accountId"):
            return DiffResult(changes=True, replaces=["accountId"])
        moved = changed(olds, news, "bucket", "artifact", "prefix", "tags")
        if news["bucket"] == UNKNOWN:
            return DiffResult(changes=True)
        version = current_version(self.client("s3", news), news["bucket"], news["artifact"])
        if version is None and not moved:
            deleted = f"artifact {news['artifact']} was deleted from {news['bucket']}"
            pulumi.log.warn(f"{deleted}; its released copy {olds['key']} stays")
            return DiffResult(changes=False)
        if version is None:
            raise ArtifactMissing(news["bucket"], news["artifact"])
        copy_gone = not moved and head(self.client("s3", news), olds["bucket"], olds["key"]) is None
        return DiffResult(changes=bool(moved) or copy_gone or version != olds["versionId"])

    def create(self, props: dict[str, Any]) -> CreateResult:
        return CreateResult(f"{props['bucket']}/{props['artifact']}", self._release(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(self._release(news))

    def _release(self, props: dict[str, Any]) -> dict[str, Any]:
        s3, bucket, artifact = self.client("s3", props), props["bucket"], props["artifact"]
        version = current_version(s3, bucket, artifact)
        if version is None:
            raise ArtifactMissing(bucket, artifact)
        key = released_key(props["prefix"], artifact, version)

        def copy(s3: Any) -> None:
            """On the server and in parts, because S3's guide does not always allow CopyObject where writes are
            conditional."""
            source = {"Bucket": bucket, "Key": artifact, "VersionId": version}
            arguments = {"TaggingDirective": "REPLACE", "Tagging": urlencode(props["tags"])}
            with aws_calls(f"s3://{bucket}/{artifact} to {key}"):
                s3.copy(source, bucket, key, ExtraArgs=arguments, Config=TransferConfig(multipart_threshold=1))

        pulumi.log.info(f"releasing version {version} of s3://{bucket}/{artifact} as {key}")
        put_once(s3, bucket, key, props["tags"], copy)
        return {**props, "key": key, "versionId": version}


def released_key(prefix: str, artifact: str, version: str) -> str:
    """The key of the copy of a version: `models/ranking/model_7/<version>.tar.gz`."""
    return f"{prefix}{PurePosixPath(artifact).name.removesuffix('.tar.gz')}/{quote(version, safe='')}.tar.gz"


def current_version(s3: Any, bucket: str, key: str) -> str | None:
    """The version that a plain read of the key returns now; `null` for one uploaded before versioning began."""
    current = head(s3, bucket, key)
    return None if current is None else str(current.get("VersionId", "null"))


class ReleasedArtifact(Resource, module="infra", name="ReleasedArtifact"):
    """The current version of an uploaded artifact, copied on the server to a key that keeps this version.

    A Model names an S3 key, not a version: without the copy, overwriting the artifact would change what the next
    scale-out loads. The copy is kept when the resource is deleted or replaced, as the bucket is.

    Args:
        bucket: the model bucket.
        artifact: the key of the upload.
        prefix: of the keys of its copies.
        tags: the copy's tags (S3 accepts 10).
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
