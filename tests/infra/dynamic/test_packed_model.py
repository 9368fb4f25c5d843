"""A model repository is packed and uploaded once for each content."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.aws.session import AwsSession
from infra.dynamic.packed_model import PackedModelProvider
from infra.dynamic.released_object import write_once
from infra.triton.repository import ModelRepository, ModelRepositoryError


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_bucket(Bucket="models")
        yield client


@pytest.fixture
def provider(s3: Any) -> PackedModelProvider:
    provider = PackedModelProvider()
    provider.aws = AwsSession({"aws:region": "us-east-1", "aws:accessKey": "test", "aws:secretKey": "test"})
    return provider


@pytest.fixture
def props(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "iris" / "1").mkdir(parents=True)
    (tmp_path / "iris" / "1" / "model.py").write_text("1")
    (tmp_path / "iris" / "config.pbtxt").write_text('backend: "python"')
    digest = ModelRepository.read(tmp_path).digest()
    tags = {"CostEnv": "dev", "CostService": "x"}
    return {
        "bucket": "models",
        "key": f"models/e/{digest}.tar.gz",
        "path": str(tmp_path),
        "digest": digest,
        "tags": tags,
        "accountId": "123456789012",
    }


def tags_of(s3: Any, props: dict[str, Any]) -> dict[str, str]:
    tag_set = s3.get_object_tagging(Bucket=props["bucket"], Key=props["key"])["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in tag_set}


def test_the_repository_is_uploaded_with_its_tags(
    s3: Any, provider: PackedModelProvider, props: dict[str, Any]
) -> None:
    provider.create(props)
    assert s3.head_object(Bucket="models", Key=props["key"])["ContentType"] == "application/gzip"
    assert tags_of(s3, props) == props["tags"]


def test_what_is_there_is_not_uploaded_again_but_tagged(
    s3: Any, provider: PackedModelProvider, props: dict[str, Any]
) -> None:
    s3.put_object(Bucket="models", Key=props["key"], Body=b"packed before")
    provider.create(props)
    assert s3.get_object(Bucket="models", Key=props["key"])["Body"].read() == b"packed before"
    assert tags_of(s3, props) == props["tags"]


def test_files_that_changed_since_the_deployment_began_are_not_released(
    s3: Any, provider: PackedModelProvider, props: dict[str, Any]
) -> None:
    (Path(props["path"]) / "iris" / "1" / "model.py").write_text("2")
    with pytest.raises(ModelRepositoryError, match="changed while it was packed"):
        provider.create(props)
    assert "Contents" not in s3.list_objects_v2(Bucket="models")


def test_where_the_files_lie_on_this_machine_is_no_change(provider: PackedModelProvider, props: dict[str, Any]) -> None:
    provider.create(props)
    assert provider.diff("id", props, {**props, "path": "/elsewhere"}).changes is False
    assert provider.diff("id", props, {**props, "digest": "d", "key": "k"}).replaces == ["key", "digest"]


def test_an_object_that_somebody_deleted_is_uploaded_again(
    s3: Any, provider: PackedModelProvider, props: dict[str, Any]
) -> None:
    provider.create(props)
    assert provider.read("id", props).id == "id"
    assert provider.diff("id", props, props).changes is False
    s3.delete_object(Bucket="models", Key=props["key"])
    assert provider.read("id", props).id == ""
    assert provider.diff("id", props, props).changes is True
    provider.update("id", props, props)
    assert provider.diff("id", props, props).changes is False


def test_a_released_artifact_is_never_overwritten(s3: Any) -> None:
    write_once(s3).put_object(Bucket="models", Key="models/e/x.tar.gz", Body=b"first")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        write_once(s3).put_object(Bucket="models", Key="models/e/x.tar.gz", Body=b"second")
    parts = TransferConfig(multipart_threshold=1)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        write_once(s3).upload_fileobj(BytesIO(b"third"), "models", "models/e/x.tar.gz", Config=parts)
    assert s3.get_object(Bucket="models", Key="models/e/x.tar.gz")["Body"].read() == b"first"


def test_other_objects_are_overwritten_as_ever(s3: Any) -> None:
    for _ in range(2):
        write_once(s3).put_object(Bucket="models", Key="autoscaling/e.json", Body=b"{}")
