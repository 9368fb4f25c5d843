"""What `down` destroys, and what it says that AWS would keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.home import Sandbox
from sandbox.stacks import Stack, Update
from sandbox.teardown import delete_images, retained, take_down

BUCKET = {"type": "aws:s3/bucket:Bucket", "id": "models", "retainOnDelete": True, "outputs": {}}
VERSIONING = {"type": "aws:s3/bucketVersioning:BucketVersioning", "id": "models", "retainOnDelete": True}
COMPONENT = {"type": "triton-sagemaker:infra:ModelBucket", "retainOnDelete": True}
ROLE = {"type": "aws:iam/role:Role", "id": "role"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("teardown"), say=print)
    sandbox.start()
    yield sandbox
    sandbox.stop()


class StackOf(Stack):
    """A stack with these resources in its state."""

    def __init__(self, sandbox: Sandbox, *resources: dict[str, Any]) -> None:
        super().__init__(sandbox, "prod")
        self.held = list(resources)
        self.done: list[str] = []

    def resources(self) -> list[dict[str, Any]]:
        return self.held

    def unprotect(self) -> None:
        self.done.append("unprotect")

    def destroy(self, on_output: object = None, color: str = "never") -> Update:
        self.done.append("destroy")
        return Update({}, (), "")


def test_a_bucket_is_retained_once_whatever_settings_it_has() -> None:
    assert retained([COMPONENT, BUCKET, VERSIONING, ROLE]) == [BUCKET]


def test_what_is_retained_is_named_with_the_objects_in_it(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    client = sandbox.client("s3", "us-east-1")
    client.create_bucket(Bucket="models")
    client.put_object(Bucket="models", Key="artifacts/model_7.tar.gz", Body=b"12345")
    said: list[str] = []
    monkeypatch.setattr(sandbox, "say", said.append)
    stack = StackOf(sandbox, BUCKET, VERSIONING, ROLE)

    take_down(stack)

    assert stack.done == ["unprotect", "destroy"]
    assert said == [
        "prod: Bucket models is kept when its stack is destroyed",
        "    s3://models/artifacts/model_7.tar.gz  5 B",
    ]


def test_a_stack_without_resources_is_not_destroyed_again(sandbox: Sandbox) -> None:
    stack = StackOf(sandbox)

    take_down(stack)

    assert stack.done == []


def make_repository(client: Any, name: str) -> dict[str, Any]:
    """A repository that holds an image."""
    arn: str = client.create_repository(repositoryName=name)["repository"]["repositoryArn"]
    blobs = [b"{}", b"layer"]
    for blob in blobs:
        upload = client.initiate_layer_upload(repositoryName=name)["uploadId"]
        client.upload_layer_part(
            repositoryName=name, uploadId=upload, partFirstByte=0, partLastByte=len(blob) - 1, layerPartBlob=blob
        )
        client.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[digest(blob)])
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    config, layer = (
        {"mediaType": f"application/vnd.docker.{kind}", "size": len(blob), "digest": digest(blob)}
        for kind, blob in zip(("container.image.v1+json", "image.rootfs.diff.tar.gzip"), blobs, strict=True)
    )
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]}
    client.put_image(repositoryName=name, imageManifest=json.dumps(manifest), imageTag="23.10-py3")
    return {"name": name, "arn": arn}


def digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def test_a_repository_that_aws_would_not_delete_is_emptied(sandbox: Sandbox) -> None:
    client = sandbox.client("ecr", "eu-west-1")
    repository = make_repository(client, "production")

    delete_images(sandbox, repository)

    client.delete_repository(repositoryName="production")
    delete_images(sandbox, repository)  # somebody else has deleted it


def test_a_repository_that_is_deleted_with_its_images_is_left_to_that(sandbox: Sandbox) -> None:
    client = sandbox.client("ecr", "eu-west-1")
    repository = make_repository(client, "development")

    delete_images(sandbox, {**repository, "forceDelete": True})

    assert client.list_images(repositoryName="development")["imageIds"]
