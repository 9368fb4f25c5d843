"""Released artifacts go when nothing can need them any more, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.aws.errors import AwsRequestRefused
from infra.release import artifacts
from infra.release.artifacts import expire, not_needed
from infra.release.contents import artifacts as served
from infra.release.records import ReleaseHistory, ReleaseRecord, Result

ROLE = "arn:aws:iam::123456789012:role/execution-role"


class Account:
    """A versioned model bucket, Models, and the history of the endpoint `e`."""

    def __init__(self) -> None:
        self.s3, self.sagemaker = (boto3.client(service, region_name="us-east-1") for service in ("s3", "sagemaker"))
        self.s3.create_bucket(Bucket="bucket")
        self.s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})

    def upload(self, *keys: str) -> None:
        for key in keys:
            self.s3.put_object(Bucket="bucket", Key=key, Body=key.encode())

    def model(self, name: str, key: str) -> None:
        container = {"Image": "i", "ModelDataUrl": f"s3://bucket/{key}"}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)

    def released(self, number: int, *keys: str, result: Result = "succeeded") -> None:
        record = ReleaseRecord("e", result, None, f"e-{number}", 60.0 * number, 60.0 * number, "arn", "allAtOnce")
        urls = tuple(f"s3://bucket/{key}" for key in keys)
        ReleaseHistory(self.s3, "bucket").add(replace(record, artifacts=urls))

    def expire(self, releases: int = 1, endpoint: str = "e") -> list[str]:
        return expire(self.s3, self.sagemaker, "bucket", endpoint, releases)

    @property
    def left(self) -> list[str]:
        return [
            object_["Key"] for object_ in self.s3.list_objects_v2(Bucket="bucket", Prefix="models/").get("Contents", [])
        ]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield Account()


def test_the_last_successful_releases_are_kept_and_failed_ones_are_not(account: Account) -> None:
    account.upload(*(f"models/e/{n}.tar.gz" for n in range(1, 7)))
    for number in (1, 2, 4):
        account.released(number, f"models/e/{number}.tar.gz")
    for number in (3, 5):
        account.released(number, f"models/e/{number}.tar.gz", result="rolledBack")
    account.released(6, "models/e/6.tar.gz")
    assert account.expire(releases=3) == [f"models/e/{n}.tar.gz" for n in (1, 3, 5)]
    assert account.left == [f"models/e/{n}.tar.gz" for n in (2, 4, 6)]
    assert account.expire(releases=3) == []


def test_what_a_model_names_is_kept_whoever_retains_it(account: Account) -> None:
    account.upload("models/e/live.tar.gz", "models/e/retained.tar.gz", "models/e/T/old.tar.gz", "models/e/gone.tar.gz")
    account.released(9, "models/e/live.tar.gz")
    account.model("e-1234567", "models/e/live.tar.gz")
    account.model("E-T-7654321", "models/e/T/old.tar.gz")
    account.model("e-kept-by-hand", "models/e/retained.tar.gz")
    assert account.expire() == ["models/e/gone.tar.gz"]


def test_a_release_that_went_back_keeps_the_older_artifact_that_is_live_again(account: Account) -> None:
    account.upload("models/e/1.tar.gz", "models/e/2.tar.gz")
    account.released(1, "models/e/1.tar.gz")
    account.released(2, "models/e/2.tar.gz", result="failed")
    account.model("e-2222222", "models/e/2.tar.gz")  # still waits to be deleted
    account.released(3, "models/e/1.tar.gz")
    account.model("e-3333333", "models/e/1.tar.gz")
    assert account.expire() == []
    account.sagemaker.delete_model(ModelName="e-2222222")
    assert account.expire() == ["models/e/2.tar.gz"]


def test_artifacts_of_others_are_left_alone(account: Account) -> None:
    others = ["artifacts/model_7.tar.gz", "models/e-2/1.tar.gz", "models/ee/1.tar.gz", "models/1.tar.gz"]
    account.upload("models/e/1.tar.gz", "models/e/2.tar.gz", *others)
    account.released(2, "models/e/2.tar.gz")
    assert account.expire() == ["models/e/1.tar.gz"]
    assert account.left == sorted([*others[1:], "models/e/2.tar.gz"])


def test_what_is_removed_can_be_brought_back(account: Account) -> None:
    account.upload("models/e/1.tar.gz", "models/e/2.tar.gz")
    account.released(2, "models/e/2.tar.gz")
    account.expire()
    (marker,) = account.s3.list_object_versions(Bucket="bucket", Prefix="models/e/1")["DeleteMarkers"]
    account.s3.delete_object(Bucket="bucket", Key=marker["Key"], VersionId=marker["VersionId"])
    assert "models/e/1.tar.gz" in account.left


def test_nothing_is_removed_while_a_kept_release_does_not_say_what_it_served(account: Account) -> None:
    account.upload("models/e/1.tar.gz")
    assert account.expire() == []
    account.released(1)
    assert account.expire() == []
    account.released(2, "models/e/2.tar.gz")
    assert account.expire(releases=2) == []
    assert account.expire(releases=1) == ["models/e/1.tar.gz"]


def test_many_are_removed_in_requests_of_a_size_that_s3_accepts(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MAX_DELETED", 2)
    account.upload(*(f"models/e/{n}.tar.gz" for n in range(6)))
    account.released(5, "models/e/5.tar.gz")
    assert len(account.expire()) == 5
    assert account.left == ["models/e/5.tar.gz"]


def test_an_aws_error_names_the_place(account: Account) -> None:
    with pytest.raises(AwsRequestRefused, match="s3://elsewhere/models/e/: ListObjectsV2 was refused: NoSuchBucket"):
        expire(account.s3, account.sagemaker, "elsewhere", "e", 1)


def test_a_prefix_that_a_model_names_keeps_all_below() -> None:
    keys = ["models/e/v1/config.pbtxt", "models/e/v1/1/model.onnx", "models/e/v10/config.pbtxt"]
    assert not_needed("bucket", keys, ["s3://bucket/models/e/v1/"]) == ["models/e/v10/config.pbtxt"]


PACKED = {"PrimaryContainer": {"ModelDataUrl": "s3://bucket/1", "Environment": {"SECRET": "s3://user:secret@host"}}}
IN_SERIES = {"Containers": [{"ModelDataUrl": "s3://bucket/2"}]}
UNPACKED = {"PrimaryContainer": {"ModelDataSource": {"S3DataSource": {"S3Uri": "s3://bucket/p/"}}}}


@pytest.mark.parametrize(
    ("models", "urls"),
    [
        ({"m": PACKED, "n": IN_SERIES}, ("s3://bucket/1", "s3://bucket/2")),
        ({"m": UNPACKED, "n": {"PrimaryContainer": {}}}, ("s3://bucket/p/",)),
        ({"m": PACKED}, ()),
    ],
)
def test_a_release_served_what_its_models_name_if_all_are_known(models: dict[str, Any], urls: tuple[str, ...]) -> None:
    assert served({"ProductionVariants": [{"ModelName": "m"}, {"ModelName": "n"}]}, models) == urls
