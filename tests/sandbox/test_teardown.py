"""What `down` destroys, and what it says that AWS would keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.home import Sandbox
from sandbox.stacks import Stack, Update
from sandbox.teardown import retained, take_down

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

    def destroy(
        self,
        on_output: object = None,
        color: str = "never",
        ignore_protect: bool = False,
        override_freeze: str | None = None,
    ) -> Update:
        self.done.append(f"destroy, {ignore_protect=}, override_freeze={bool(override_freeze)}")
        return Update({}, (), "")


def test_a_bucket_is_retained_once_whatever_settings_it_has() -> None:
    assert retained([COMPONENT, BUCKET, VERSIONING, ROLE]) == [BUCKET]


def test_what_goes_with_another_resource_is_not_retained() -> None:
    repository = {"type": "aws:ecr/repository:Repository", "id": "triton"}
    policy = {"type": "aws:ecr/lifecyclePolicy:LifecyclePolicy", "id": "triton", "retainOnDelete": True}
    assert retained([repository, policy]) == []


def test_what_is_retained_is_named_with_the_objects_in_it(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    client = sandbox.client("s3", "us-east-1")
    client.create_bucket(Bucket="models")
    client.put_object(Bucket="models", Key="artifacts/model_7.tar.gz", Body=b"12345")
    said: list[str] = []
    monkeypatch.setattr(sandbox, "say", said.append)
    stack = StackOf(sandbox, BUCKET, VERSIONING, ROLE)

    take_down(stack)

    assert stack.done == ["destroy, ignore_protect=True, override_freeze=True"]
    assert said == [
        "prod: Bucket models is kept when its stack is destroyed",
        "    s3://models/artifacts/model_7.tar.gz  5 B",
    ]


def test_a_stack_without_resources_is_not_destroyed_again(sandbox: Sandbox) -> None:
    stack = StackOf(sandbox)

    take_down(stack)

    assert stack.done == []
