"""A Triton model repository on disk, packed and uploaded under a key that its content determines."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.aws.errors import aws_calls
from infra.diagnostics.size import decimal_size
from infra.dynamic.engine import Tenths
from infra.dynamic.provider import difference
from infra.dynamic.released_object import ReleasedObjectProvider, head, put_once
from infra.triton.repository import ModelRepository, ModelRepositoryError

PROGRESS_BYTES = 100e6
"""A smaller upload is over before its progress would help."""


class PackedModelProvider(ReleasedObjectProvider):
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """An object that was deleted is uploaded again. `path` is no difference: it is where this machine has the
        files, and the digest identifies them."""
        diff = difference(olds, news, update=["tags"], replace=["bucket", "key", "digest", "accountId"])
        if not diff.changes and head(self.client("s3", news), news["bucket"], news["key"]) is None:
            return DiffResult(changes=True)
        return diff

    def create(self, props: dict[str, Any]) -> CreateResult:
        self._upload(props)
        return CreateResult(f"{props['bucket']}/{props['key']}", props)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        self._upload(news)
        return UpdateResult(news)

    def _upload(self, props: dict[str, Any]) -> None:
        def pack_and_upload(s3: Any) -> None:
            with tempfile.TemporaryDirectory(prefix="triton-model-") as directory:
                _upload(s3, _pack(props, Path(directory) / "model.tar.gz"), props)

        put_once(self.client("s3", props), props["bucket"], props["key"], props["tags"], pack_and_upload)


def _pack(props: dict[str, Any], archive: Path) -> Path:
    pulumi.log.info(f"packing {props['path']}")
    try:
        ModelRepository.read(props["path"]).pack(archive, expected_digest=props["digest"])
    except ModelRepositoryError as error:
        raise ModelRepositoryError(error.path, error.problems) from None  # the message is complete without its cause
    return archive


def _upload(s3: Any, archive: Path, props: dict[str, Any]) -> None:
    url, size, tenths, sent = f"s3://{props['bucket']}/{props['key']}", archive.stat().st_size, Tenths(), 0

    def show_progress(transferred: int) -> None:
        nonlocal sent
        sent += transferred
        if size > PROGRESS_BYTES and (percent := tenths.passed(sent, size)):
            pulumi.log.info(f"uploaded {percent} %")

    pulumi.log.info(f"uploading {decimal_size(size)} to {url}")
    arguments = {"Tagging": urlencode(props["tags"]), "ContentType": "application/gzip"}
    with aws_calls(url):
        s3.upload_file(str(archive), props["bucket"], props["key"], ExtraArgs=arguments, Callback=show_progress)


class PackedModel(Resource, module="infra", name="PackedModel"):
    """A model repository, packed as a .tar.gz and uploaded once for each content.

    The object is kept when the resource is deleted or replaced, as the bucket is.

    Args:
        bucket: the model bucket.
        key: the object's key, which contains the digest, so that it never has other content.
        path: the model repository on this machine.
        digest: of the repository's paths and contents, hexadecimal SHA-256.
        tags: the object's tags (S3 accepts 10).
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
