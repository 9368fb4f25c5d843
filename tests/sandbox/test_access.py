"""Who may call the embedded AWS on a machine that others use too."""

from __future__ import annotations

import dataclasses
import http.client
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sandbox.aws.access import AccessKey, is_loopback
from sandbox.home import Sandbox, SandboxError
from tests.sandbox.conftest import REGION, RunningAws, unique

SERVICES = [
    ("sagemaker", "list_models"),  # json, ours
    ("sagemaker-runtime", "invoke_endpoint"),  # rest-json, ours
    ("ecr", "get_authorization_token"),  # json, ours and moto's
    ("iam", "list_roles"),  # query
    ("sts", "get_caller_identity"),  # query
    ("s3", "list_buckets"),  # rest-xml
    ("ec2", "describe_vpcs"),  # ec2, moto's
]
ARGUMENTS: dict[str, dict[str, Any]] = {"invoke_endpoint": {"EndpointName": "e", "Body": b"{}"}}


def refusal(client: Any, operation: str) -> tuple[int, str | None]:
    """The status and code with which a call is refused."""
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**ARGUMENTS.get(operation, {}))
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer.get("Error", {}).get("Code")


@pytest.mark.parametrize(("service", "operation"), SERVICES)
def test_a_key_of_somebody_else_is_refused(control_plane: RunningAws, service: str, operation: str) -> None:
    before = control_plane.last_call()
    status, code = refusal(control_plane.client(service, access_key=AccessKey("test", "test")), operation)
    assert status == 403
    assert code in ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure")
    assert control_plane.calls(before) == []


@pytest.mark.parametrize(("service", "operation"), SERVICES)
def test_the_key_without_its_secret_is_refused(control_plane: RunningAws, service: str, operation: str) -> None:
    key = dataclasses.replace(control_plane.access_key, secret="guessed")
    status, code = refusal(control_plane.client(service, access_key=key), operation)
    assert (status, code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(("service", "operation"), SERVICES)
def test_an_unsigned_request_is_refused(control_plane: RunningAws, service: str, operation: str) -> None:
    client = boto3.client(
        service, region_name=REGION, endpoint_url=control_plane.url, config=Config(signature_version=UNSIGNED)
    )
    assert refusal(client, operation)[0] == 403


@pytest.mark.parametrize("path", ["/", "/moto-api/", "/moto-api/reset", "/_sandbox/health", "/_sandbox/calls", "/v2/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_no_other_way_in_is_open(control_plane: RunningAws, method: str, path: str) -> None:
    assert urllib3.request(method, control_plane.url + path).status == 403


def test_a_header_of_another_kind_is_no_signature(control_plane: RunningAws) -> None:
    for authorization in ("Basic dGVzdDp0ZXN0", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential=,=,", "AWS é:é"):
        headers = {"Authorization": authorization.encode("latin-1").decode("latin-1")}
        for path in ("/", "/_sandbox/health", "/?X-Amz-Credential=a&X-Amz-Expires=9&X-Amz-Signature=%C3%A9"):
            assert urllib3.request("GET", control_plane.url + path, headers=headers).status == 403


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "", "["])
def test_a_host_that_is_not_this_machine_is_refused(control_plane: RunningAws, host: str) -> None:
    """A page of another origin can have its name resolve to 127.0.0.1; the browser sends that name as Host."""
    for path in ("/", "/_sandbox/health", "/_layers/sha256:0"):
        headers = {**control_plane.access_key.authorization, "Host": host}
        assert urllib3.request("GET", control_plane.url + path, headers=headers).status == 403


def test_a_request_without_a_host_is_refused(control_plane: RunningAws) -> None:
    connection = http.client.HTTPConnection(urlsplit(control_plane.url).netloc)
    connection.putrequest("GET", "/_sandbox/health", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4566", "b.localhost:1", "127.0.0.1:1", "127.9.9.9", "[::1]"])
def test_the_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


def signed(aws: RunningAws, body: bytes, at: datetime) -> AWSRequest:
    request = AWSRequest("POST", f"{aws.url}/", headers={"X-Amz-Target": "SageMaker.ListModels"}, data=body)
    auth = SigV4Auth(Credentials(aws.access_key.id, aws.access_key.secret), "sagemaker", REGION)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    auth._inject_signature_to_request(request, signature)
    return request


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda now: (b"{}", b"{}", now), 200),
        (lambda now: (b"{}", b'{"MaxResults": 1}', now), 403),
        (lambda now: (b"{}", b"{}", now - timedelta(minutes=20)), 403),
        (lambda now: (b"{}", b"{}", now + timedelta(minutes=20)), 403),
    ],
)
def test_a_signature_is_of_one_body_and_for_a_while(
    control_plane: RunningAws, change: Callable[[datetime], tuple[bytes, bytes, datetime]], status: int
) -> None:
    """ "Signature Version 4 request elements" (IAM User Guide): within 15 minutes."""
    body, sent, at = change(datetime.now(UTC))
    request = signed(control_plane, body, at)
    answer = urllib3.request("POST", request.url, headers=dict(request.headers), body=sent)
    assert answer.status == status


def test_a_presigned_address_is_of_one_object_and_expires(control_plane: RunningAws) -> None:
    s3, bucket = control_plane.client("s3", signature_version="s3v4"), unique("bucket")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key="a b", Body=b"1")
    s3.put_object(Bucket=bucket, Key="other", Body=b"2")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert urllib3.request("GET", url).data == b"1"
    assert urllib3.request("GET", url.replace("a%20b", "other")).status == 403
    assert urllib3.request("GET", url.replace("Expires=60", "Expires=600000")).status == 403
    expired = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=0)
    assert urllib3.request("GET", expired).status == 403


def test_the_keys_that_this_aws_issues_are_good(control_plane: RunningAws) -> None:
    iam, user = control_plane.client("iam"), unique("user")
    iam.create_user(UserName=user)
    issued = iam.create_access_key(UserName=user)["AccessKey"]
    key = AccessKey(issued["AccessKeyId"], issued["SecretAccessKey"])
    assert control_plane.client("sts", access_key=key).get_caller_identity()["Arn"].endswith(f":user/{user}")
    assert refusal(control_plane.client("sts", access_key=dataclasses.replace(key, secret="x")), "get_caller_identity")


def test_every_sandbox_has_a_key_of_its_own_that_only_its_owner_can_read(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir(mode=0o755)
    sandboxes = [Sandbox(tmp_path / name, tmp_path, print) for name in "ab"]
    try:
        keys = [sandbox.start().access_key for sandbox in sandboxes]
        assert keys[0].id != keys[1].id and keys[0].secret != keys[1].secret
        for sandbox in sandboxes:
            assert stat.S_IMODE(sandbox.home.stat().st_mode) == 0o700
            for file in ("aws.json", "aws-credentials"):
                assert stat.S_IMODE((sandbox.home / file).stat().st_mode) == 0o600
    finally:
        for sandbox in sandboxes:
            sandbox.stop()


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(SandboxError, match="belongs to another user"):
        Sandbox(tmp_path, tmp_path, print).start()
