"""An uploaded artifact is checked once for each version, before it is released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from moto import mock_aws

from infra import triton
from infra.aws.errors import AwsRequestRefused
from infra.aws.s3_object import S3Object
from infra.components import uploaded_artifact
from infra.components.uploaded_artifact import ArtifactRejected, require_valid
from infra.dynamic.provider import UNKNOWN
from infra.dynamic.released_artifact import current_version, released_key
from infra.triton.artifact import ArtifactTarget, check_artifact
from tests.infra.triton.archives import archive, directory, member

INPUTS = {"bucket": "models", "artifact": "artifacts/model_7.tar.gz", "prefix": "models/ranking/"}
TARGET = ArtifactTarget(None, "ml.c5.xlarge", {"SAGEMAKER_TRITON_LOG_VERBOSE": "false", "TOKEN": "secret"}, "24.09-py3")
GOOD = archive(member("iris/config.pbtxt", b'name: "iris" backend: "python"'), member("iris/1/model.py"))
BAD = archive(member("models/iris/config.pbtxt", b'name: "iris"'), member("models/iris/1/model.py"))


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_bucket(Bucket="models")
        client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that an artifact is read."""
    calls: list[int] = []

    def counting(*arguments: Any) -> Any:
        calls.append(1)
        return check_artifact(*arguments)

    monkeypatch.setattr(uploaded_artifact, "check_artifact", counting)
    return calls


def upload(s3: Any, content: bytes) -> None:
    s3.put_object(Bucket="models", Key=INPUTS["artifact"], Body=content)


def test_an_artifact_with_errors_is_rejected_each_time(s3: Any, checks: list[int]) -> None:
    upload(s3, BAD)
    for _ in range(2):
        with pytest.raises(ArtifactRejected, match=r"artifacts/model_7\.tar\.gz.*\n.*\[wrapping-directory\]"):
            require_valid(s3, INPUTS, TARGET)
    assert len(checks) == 2


def test_a_valid_version_is_read_once_for_preview_and_update(s3: Any, checks: list[int]) -> None:
    upload(s3, GOOD)
    require_valid(s3, INPUTS, TARGET)
    require_valid(s3, INPUTS, TARGET)
    assert len(checks) == 1
    upload(s3, BAD)
    with pytest.raises(ArtifactRejected):
        require_valid(s3, INPUTS, TARGET)


def test_another_target_is_another_check(s3: Any, checks: list[int]) -> None:
    upload(s3, GOOD)
    require_valid(s3, INPUTS, TARGET)
    with pytest.raises(ArtifactRejected, match="default-model"):
        require_valid(s3, INPUTS, ArtifactTarget("other", TARGET.hardware, TARGET.environment, TARGET.image))


def test_a_version_that_was_released_is_not_read(s3: Any, checks: list[int]) -> None:
    upload(s3, BAD)
    version = current_version(s3, "models", INPUTS["artifact"])
    assert version is not None
    s3.put_object(Bucket="models", Key=released_key(INPUTS["prefix"], INPUTS["artifact"], version), Body=BAD)
    require_valid(s3, INPUTS, TARGET)
    assert checks == []


@pytest.mark.parametrize("bucket", [UNKNOWN, "models", "missing"])
def test_what_is_not_there_yet_is_left_to_the_release(s3: Any, checks: list[int], bucket: str) -> None:
    require_valid(s3, INPUTS | {"bucket": bucket}, TARGET)
    assert checks == []


def test_a_refused_read_names_the_permissions_and_the_setting(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "kms:Decrypt"}}, "GetObject")

    upload(s3, GOOD)
    monkeypatch.setattr(s3, "get_object", refuse)
    with pytest.raises(AwsRequestRefused, match=r"(?s)AccessDenied.*s3:GetObject.*checkArtifact"):
        require_valid(s3, INPUTS, TARGET)


def test_missing_credentials_are_reported(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_credentials(**_: Any) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(s3, "head_object", no_credentials)
    with pytest.raises(AwsRequestRefused):
        require_valid(s3, INPUTS, TARGET)


def test_warnings_are_logged(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    upload(s3, archive(*[member(f"iris/{name}", b"") for name in ("config.pbtxt", "1/model.py")], directory("logs")))
    require_valid(s3, INPUTS, ArtifactTarget("iris"))
    assert any("[stray-directory]" in warning for warning in warnings)


def test_no_value_of_the_environment_is_remembered_but_those_for_triton(s3: Any) -> None:
    source = S3Object(s3, "models", "a", 1, "etag")
    without = ArtifactTarget(None, TARGET.hardware, {"SAGEMAKER_TRITON_LOG_VERBOSE": "false"}, TARGET.image)
    assert uploaded_artifact._identity("1", source, TARGET) == uploaded_artifact._identity("1", source, without)


def test_an_artifact_that_other_rules_checked_is_checked_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = S3Object(s3, "models", "a", 1, "etag")
    before = uploaded_artifact._identity("1", source, TARGET)
    monkeypatch.setattr(triton, "__file__", __file__)
    assert uploaded_artifact._identity("1", source, TARGET) != before
