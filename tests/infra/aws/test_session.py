"""Clients of our own resources act as the stack's `aws` provider does, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pulumi_aws
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from moto import mock_aws

from infra.aws.errors import AwsRequestRefused
from infra.aws.provider import AWS_KEYS, ENDPOINT_KEYS, HONOURED, WITHOUT_EFFECT
from infra.aws.session import AwsSession, AwsSessionRefused

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
        *(spelled(name) for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for spelled in (str, str.lower)),
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
    result = credentials(session)
    assert (result.access_key, result.secret_key, result.token) == ("AKIDEXAMPLE", "secret", "token")


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


@pytest.mark.parametrize(
    ("service", "key"), [(service, key) for service, keys in ENDPOINT_KEYS.items() for key in keys]
)
def test_an_endpoint_of_the_provider_is_used_under_each_of_its_names(service: str, key: str) -> None:
    session = AwsSession({**KEYS, "aws:endpoints": json.dumps([{key: "http://127.0.0.1:1"}])})
    assert session.client(service).meta.endpoint_url == "http://127.0.0.1:1"
    other = "sns" if service == "s3" else "s3"
    assert "amazonaws.com" in session.client(other).meta.endpoint_url
    assert key in pulumi_aws.ProviderEndpointArgs.__init__.__annotations__


def test_the_first_name_of_an_endpoint_counts() -> None:
    both = {"cloudwatchlogs": "http://127.0.0.1:2", "logs": "http://127.0.0.1:1"}
    session = AwsSession({**KEYS, "aws:endpoints": json.dumps([both])})
    assert session.client("logs").meta.endpoint_url == "http://127.0.0.1:1"


def test_retries_and_addressing_are_the_providers() -> None:
    client = AwsSession({**KEYS, "aws:maxRetries": "3", "aws:s3UsePathStyle": "true"}).client("s3")
    assert client.meta.config.retries["total_max_attempts"] == 3
    assert client.meta.config.s3["addressing_style"] == "path"


@pytest.mark.parametrize(("patient", "attempts"), [(True, 10), (False, 3)])
def test_a_command_says_after_few_attempts_that_it_cannot_reach_aws(
    patient: bool, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def unreachable(_: object, request: Any) -> None:
        calls.append(request)
        raise EndpointConnectionError(endpoint_url=request.url)

    monkeypatch.setattr(URLLib3Session, "send", unreachable)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with pytest.raises(AwsRequestRefused, match="could not reach AWS"):
        _ = AwsSession(KEYS, patient).account_id
    assert len(calls) == attempts


@dataclass
class Sts:
    """An STS on this machine, or a proxy before one, and what it was asked."""

    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Of each request: the address in it, the operation, and the region that it is signed for."""


@pytest.fixture
def sts() -> Iterator[Sts]:
    result = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            operation, signed = body["Action"][0], self.headers.get("Authorization", "")
            region = signed.split("Credential=")[1].split("/")[2] if signed else ""
            result.asked.append((self.path, operation, region))
            credentials = (
                "<AccessKeyId>AKIDOFROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                "<SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
            )
            answer = (
                f'<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{operation}Result>'
                f"<Credentials>{credentials}</Credentials><Account>111111111111</Account>"
                f"</{operation}Result></{operation}Response>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    result.url = f"http://127.0.0.1:{server.server_port}"
    yield result
    server.shutdown()
    thread.join()
    server.server_close()


ROLE = {"roleArn": "arn:aws:iam::111111111111:role/deployer"}


def test_roles_are_assumed_at_the_providers_sts_in_its_region(sts: Sts) -> None:
    where = {"aws:endpoints": json.dumps([{"sts": sts.url}]), "aws:stsRegion": "us-west-2"}
    assert credentials(AwsSession({**KEYS, **where, "aws:assumeRoles": json.dumps([ROLE])})).access_key == "AKIDOFROLE"
    assert sts.asked == [("/", "AssumeRole", "us-west-2")]


def test_a_role_of_a_profile_is_assumed_at_the_providers_sts(sts: Sts, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(
        "[profile prod]\nrole_arn = arn:aws:iam::111111111111:role/deployer\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = s\n"
    )
    files = {"aws:profile": "prod", "aws:sharedConfigFiles": json.dumps([str(tmp_path / "mine")])}
    session = AwsSession({"aws:region": "eu-west-1", **files, "aws:endpoints": json.dumps([{"sts": sts.url}])})
    assert credentials(session).access_key == "AKIDOFROLE"


@pytest.mark.parametrize("key", ["sharedConfigFiles", "sharedCredentialsFiles"])
def test_several_files_of_which_boto3_reads_one_are_refused(key: str) -> None:
    with pytest.raises(AwsSessionRefused, match=f"aws:{key}: lists 2 files"):
        AwsSession({**KEYS, f"aws:{key}": '["a", "b"]'})


def test_a_file_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").write_text("[prod]\naws_access_key_id = AKIDHOME\naws_secret_access_key = s\n")
    session = AwsSession({"aws:region": "eu-west-1", "aws:profile": "prod", "aws:sharedCredentialsFiles": '["~/mine"]'})
    assert credentials(session).access_key == "AKIDHOME"


def test_the_keys_that_the_calls_honour_are_accepted() -> None:
    AwsSession({f"aws:{key}": "" for key in HONOURED | WITHOUT_EFFECT})


@pytest.mark.parametrize("key", sorted(AWS_KEYS - HONOURED - WITHOUT_EFFECT))
def test_a_key_that_the_environment_replaces_is_refused(key: str) -> None:
    with pytest.raises(AwsSessionRefused, match=rf"aws:{key}: .* set in the environment: \w+"):
        AwsSession({f"aws:{key}": "x"})


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3600), ("1h30m", 5400), ("900s", 900)])
def test_durations_are_gos(text: str, seconds: int) -> None:
    role = {"roleArn": "arn:aws:iam::111111111111:role/x", "duration": text}
    from infra.aws.session import _role_arguments

    assert _role_arguments(role)["DurationSeconds"] == seconds


def test_a_duration_that_is_none_is_refused() -> None:
    with mock_aws(), pytest.raises(AwsSessionRefused, match="an hour"):
        role = {"roleArn": "arn:aws:iam::111111111111:role/x", "duration": "an hour"}
        AwsSession({**KEYS, "aws:assumeRoles": json.dumps([role])}).client("s3")
