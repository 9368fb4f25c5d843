"""Clients of our own resources act as the stack's `aws` provider does, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from infra.aws_session import AwsSession, AwsSessionRefused

KEYS = {"aws:region": "ap-northeast-1", "aws:accessKey": "AKIDEXAMPLE", "aws:secretKey": "secret", "aws:token": "token"}


@pytest.fixture(autouse=True)
def nothing_from_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def credentials(session: AwsSession) -> Any:
    return session._session.get_credentials().get_frozen_credentials()


def test_region_and_keys_come_from_the_providers_configuration() -> None:
    session = AwsSession(KEYS)
    assert session.client("s3").meta.region_name == "ap-northeast-1"
    found = credentials(session)
    assert (found.access_key, found.secret_key, found.token) == ("AKIDEXAMPLE", "secret", "token")


def test_another_region_can_be_asked_for() -> None:
    assert AwsSession(KEYS).client("ecr", "us-east-1").meta.region_name == "us-east-1"


def test_a_client_is_made_once_for_each_service_and_region() -> None:
    session = AwsSession(KEYS)
    assert session.client("ecr") is session.client("ecr")
    assert session.client("ecr") is not session.client("ecr", "us-east-1")


def test_a_profile_of_a_named_file_is_used(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text("[prod]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\n")
    session = AwsSession(
        {"aws:region": "eu-west-1", "aws:profile": "prod", "aws:sharedCredentialsFiles": json.dumps([str(file)])}
    )
    assert credentials(session).access_key == "AKIDPROFILE"


@mock_aws
def test_roles_are_assumed_one_from_the_other() -> None:
    first = {"roleArn": "arn:aws:iam::111111111111:role/first", "sessionName": "ci"}
    second = {"roleArn": "arn:aws:iam::222222222222:role/second", "externalId": "xyz", "duration": "1h"}
    session = AwsSession({**KEYS, "aws:assumeRoles": json.dumps([first, second])})
    assert session.account_id == "222222222222"


@mock_aws
def test_a_web_identity_is_exchanged_for_the_role(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a.web.token")
    identity = {"roleArn": "arn:aws:iam::333333333333:role/ci", "webIdentityTokenFile": str(token)}
    session = AwsSession({"aws:region": "eu-west-1", "aws:assumeRoleWithWebIdentity": json.dumps(identity)})
    assert session.account_id == "333333333333"


@mock_aws
@pytest.mark.parametrize(
    "restriction", [{"aws:allowedAccountIds": '["111111111111"]'}, {"aws:forbiddenAccountIds": '["123456789012"]'}]
)
def test_an_account_that_the_provider_would_refuse_is_refused(restriction: dict[str, str]) -> None:
    with pytest.raises(AwsSessionRefused, match=next(iter(restriction))):
        _ = AwsSession({**KEYS, **restriction}).account_id


@mock_aws
def test_another_account_than_the_providers_is_refused() -> None:
    session = AwsSession(KEYS)
    session.require_account("123456789012")
    with pytest.raises(
        AwsSessionRefused, match="works in account 999999999999, but boto3 finds credentials of 123456789012"
    ):
        session.require_account("999999999999")


def test_a_key_that_only_the_provider_would_follow_is_refused() -> None:
    with pytest.raises(AwsSessionRefused, match="aws:somethingNew"):
        AwsSession({**KEYS, "aws:somethingNew": "x"})


def test_keys_of_the_project_are_not_looked_at() -> None:
    AwsSession({**KEYS, "triton-sagemaker:somethingNew": "x"})


def test_an_endpoint_of_the_provider_is_used() -> None:
    session = AwsSession(
        {**KEYS, "aws:endpoints": json.dumps([{"s3": "http://127.0.0.1:1", "cloudwatchlogs": "http://127.0.0.1:2"}])}
    )
    assert session.client("s3").meta.endpoint_url == "http://127.0.0.1:1"
    assert session.client("logs").meta.endpoint_url == "http://127.0.0.1:2"
    assert "amazonaws.com" in session.client("ecr").meta.endpoint_url


def test_retries_proxies_and_certificates_are_the_providers() -> None:
    client = AwsSession(
        {**KEYS, "aws:maxRetries": "3", "aws:httpsProxy": "http://proxy:8080", "aws:s3UsePathStyle": "true"}
    ).client("s3")
    assert client.meta.config.retries["total_max_attempts"] == 3
    assert client.meta.config.proxies == {"https": "http://proxy:8080"}
    assert client.meta.config.s3["addressing_style"] == "path"


def test_default_tags_are_known() -> None:
    assert AwsSession({**KEYS, "aws:defaultTags": '{"tags": {"Team": "ml"}}'}).default_tags == {"Team": "ml"}


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3600), ("1h30m", 5400), ("900s", 900)])
def test_durations_are_gos(text: str, seconds: int) -> None:
    role = {"roleArn": "arn:aws:iam::111111111111:role/x", "duration": text}
    from infra.aws_session import _role_arguments

    assert _role_arguments(role)["DurationSeconds"] == seconds


def test_a_duration_that_is_none_is_refused() -> None:
    with mock_aws(), pytest.raises(AwsSessionRefused, match="an hour"):
        role = {"roleArn": "arn:aws:iam::111111111111:role/x", "duration": "an hour"}
        AwsSession({**KEYS, "aws:assumeRoles": json.dumps([role])}).client("s3")
