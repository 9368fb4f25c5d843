"""An uploaded artifact is copied to a key of its own, version by version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pulumi
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.aws.errors import AwsRequestRefused
from infra.aws.session import AwsSession
from infra.dynamic.provider import UNKNOWN
from infra.dynamic.released_artifact import ArtifactMissing, ReleasedArtifactProvider, released_key

PROPS = {
    "bucket": "models",
    "artifact": "artifacts/model_7.tar.gz",
    "prefix": "models/ranking/",
    "tags": {"CostEnv": "prod", "CostService": "ranking"},
    "accountId": "123456789012",
}


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_bucket(Bucket="models")
        client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def provider(s3: Any) -> ReleasedArtifactProvider:
    provider = ReleasedArtifactProvider()
    provider.aws = AwsSession({"aws:region": "us-east-1", "aws:accessKey": "test", "aws:secretKey": "test"})
    return provider


def upload(s3: Any, body: bytes) -> str:
    return str(s3.put_object(Bucket="models", Key=PROPS["artifact"], Body=body)["VersionId"])


def test_the_current_version_is_copied_to_a_key_of_its_own(s3: Any, provider: ReleasedArtifactProvider) -> None:
    version = upload(s3, b"seven")
    outputs = provider.create(dict(PROPS)).outs
    assert outputs is not None
    assert (outputs["versionId"], outputs["key"]) == (version, f"models/ranking/model_7/{version}.tar.gz")
    assert s3.get_object(Bucket="models", Key=outputs["key"])["Body"].read() == b"seven"
    tags = s3.get_object_tagging(Bucket="models", Key=outputs["key"])["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == PROPS["tags"]


def test_overwriting_the_artifact_does_not_change_what_was_released(
    s3: Any, provider: ReleasedArtifactProvider
) -> None:
    upload(s3, b"seven")
    released = provider.create(dict(PROPS)).outs
    upload(s3, b"another seven")
    assert released is not None
    assert s3.get_object(Bucket="models", Key=released["key"])["Body"].read() == b"seven"


def test_a_new_version_under_the_same_key_is_a_change(s3: Any, provider: ReleasedArtifactProvider) -> None:
    upload(s3, b"seven")
    olds = provider.create(dict(PROPS)).outs
    assert olds is not None
    assert provider.diff("id", olds, dict(PROPS)).changes is False
    newer = upload(s3, b"another seven")
    assert provider.diff("id", olds, dict(PROPS)).changes is True
    updated = provider.update("id", olds, dict(PROPS)).outs
    assert updated is not None
    assert updated["key"] == f"models/ranking/model_7/{newer}.tar.gz"


def test_a_copy_that_somebody_deleted_is_made_again(s3: Any, provider: ReleasedArtifactProvider) -> None:
    upload(s3, b"seven")
    olds = provider.create(dict(PROPS)).outs
    assert olds is not None
    s3.delete_object(Bucket="models", Key=olds["key"])
    assert provider.diff("id", olds, dict(PROPS)).changes is True
    assert provider.update("id", olds, dict(PROPS)).outs == olds
    assert provider.diff("id", olds, dict(PROPS)).changes is False


def test_a_missing_artifact_shows_the_upload_to_run(provider: ReleasedArtifactProvider) -> None:
    with pytest.raises(ArtifactMissing, match=r"aws s3 cp model_7\.tar\.gz s3://models/artifacts/model_7\.tar\.gz"):
        provider.create(dict(PROPS))


def test_a_preview_already_misses_an_artifact_that_is_newly_named(s3: Any, provider: ReleasedArtifactProvider) -> None:
    upload(s3, b"seven")
    olds = provider.create(dict(PROPS)).outs
    assert olds is not None
    with pytest.raises(ArtifactMissing, match=r"model_8\.tar\.gz"):
        provider.diff("id", olds, {**PROPS, "artifact": "artifacts/model_8.tar.gz"})


def test_an_artifact_that_was_cleaned_up_after_its_release_changes_nothing(
    s3: Any, provider: ReleasedArtifactProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    upload(s3, b"seven")
    olds = provider.create(dict(PROPS)).outs
    assert olds is not None
    s3.delete_object(Bucket="models", Key=PROPS["artifact"])
    assert provider.diff("id", olds, dict(PROPS)).changes is False
    assert "was deleted from models" in warnings[0]


def test_a_bucket_that_is_not_there_yet_is_not_asked(provider: ReleasedArtifactProvider) -> None:
    olds = {**PROPS, "key": "k", "versionId": "v"}
    assert provider.diff("id", olds, {**PROPS, "bucket": UNKNOWN}).changes is True


def test_new_tags_reach_the_copy(s3: Any, provider: ReleasedArtifactProvider) -> None:
    upload(s3, b"seven")
    olds = provider.create(dict(PROPS)).outs
    assert olds is not None
    news = {**PROPS, "tags": {"CostEnv": "dev", "CostService": "ranking"}}
    assert provider.diff("id", olds, news).changes is True
    provider.update("id", olds, news)
    tags = s3.get_object_tagging(Bucket="models", Key=olds["key"])["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == news["tags"]


def test_a_copy_that_somebody_deleted_is_made_again_after_a_refresh(
    s3: Any, provider: ReleasedArtifactProvider
) -> None:
    upload(s3, b"seven")
    olds = provider.create(dict(PROPS)).outs
    assert olds is not None
    assert provider.read("id", olds).id == "id"
    s3.delete_object(Bucket="models", Key=olds["key"])
    assert provider.read("id", olds).id == ""


def test_a_refusal_names_object_and_operation(
    provider: ReleasedArtifactProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denied:
        def head_object(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")

    monkeypatch.setattr(provider, "client", lambda *_: Denied())
    with pytest.raises(
        AwsRequestRefused, match=r"s3://models/artifacts/model_7\.tar\.gz: HeadObject was refused: 403: Forbidden"
    ):
        provider.create(dict(PROPS))


def test_a_version_id_becomes_one_part_of_the_key() -> None:
    assert released_key("models/r/", "a/b/model_7.tar.gz", "x/y") == "models/r/model_7/x%2Fy.tar.gz"
