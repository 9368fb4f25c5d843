"""The WSGI front: which operation a request is for, the call log, conditions, and moto behind it all."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from sandbox.aws.access import AccessKey
from tests.sandbox.conftest import ACCOUNT, AwsProcess, RunningAws, start_aws, unique


def last_call(aws: RunningAws) -> dict[str, Any]:
    return aws.calls()[-1]


def test_it_announces_itself_and_takes_the_announcement_back_on_sigterm(tmp_path: Path) -> None:
    aws = start_aws(tmp_path / "home")
    facts = json.loads((tmp_path / "home" / "aws.json").read_text())
    assert facts == {**facts, "pid": aws.process.pid, "region": "ap-northeast-1", "account": ACCOUNT}
    assert aws.control("GET", "health").json() == facts
    os.kill(facts["pid"], signal.SIGTERM)
    assert aws.process.wait(30) == 0
    assert not (tmp_path / "home" / "aws.json").exists()


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "params"),
    [
        ("iam", "list_roles", {"PathPrefix": "/a/"}, {"PathPrefix": "/a/"}),  # query
        ("logs", "describe_log_groups", {"logGroupNamePrefix": "x"}, {"logGroupNamePrefix": "x"}),  # json
        ("cloudwatch", "describe_alarms", {"AlarmNames": ["a"]}, {"AlarmNames": ["a"]}),  # several protocols
        ("s3", "list_buckets", {}, {}),  # rest-xml
        ("sagemaker", "list_models", {"NameContains": "x"}, {"NameContains": "x"}),  # ours
    ],
)
def test_a_call_is_logged_with_its_operation_and_parameters(
    aws: AwsProcess, service: str, operation: str, arguments: dict[str, Any], params: dict[str, Any]
) -> None:
    getattr(aws.client(service), operation)(**arguments)
    call = last_call(aws)
    name = operation.title().replace("_", "")
    assert (call["service"], call["operation"], call["status"], call["error"]) == (service, name, 200, None)
    assert call["params"] == params


@pytest.fixture(scope="module")
def bucket(aws: AwsProcess) -> str:
    name = unique("bucket")
    location = {"LocationConstraint": "ap-northeast-1"}
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=location)
    aws.client("s3").put_object(Bucket=name, Key="dir/a b%20c+ü.bin", Body=b"\x00\xff")
    return name


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("get_object", {"Key": "dir/a b%20c+ü.bin"}),
        ("head_object", {"Key": "dir/a b%20c+ü.bin"}),
        ("get_bucket_versioning", {}),
        ("list_objects_v2", {"Prefix": "dir/"}),
        ("list_objects", {"Prefix": "dir/"}),
        ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
        ("put_object_tagging", {"Key": "dir/a b%20c+ü.bin", "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
        ("copy_object", {"Key": "copy", "CopySource": "{bucket}/dir/a b%20c+ü.bin"}),
        ("create_multipart_upload", {"Key": "large"}),
        ("delete_object", {"Key": "nothing"}),
    ],
)
def test_an_operation_of_s3_is_told_by_its_path_and_query(
    aws: AwsProcess, bucket: str, operation: str, arguments: dict[str, Any]
) -> None:
    if "CopySource" in arguments:
        arguments = {**arguments, "CopySource": {"Bucket": bucket, "Key": "dir/a b%20c+ü.bin"}}
    getattr(aws.client("s3"), operation)(Bucket=bucket, **arguments)
    call = last_call(aws)
    assert call["operation"] == operation.title().replace("_", "")
    assert call["params"]["Bucket"] == bucket
    assert call["params"].get("Key") == arguments.get("Key")


def test_the_virtual_host_style_of_s3_reaches_the_bucket(aws: AwsProcess, bucket: str) -> None:
    s3 = boto3.client(
        "s3", region_name="ap-northeast-1", endpoint_url=aws.url.replace("127.0.0.1", "localhost"),
        aws_access_key_id=aws.access_key.id, aws_secret_access_key=aws.access_key.secret,
        config=Config(s3={"addressing_style": "virtual"}, signature_version="s3v4"),
    )  # fmt: skip
    signed = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "dir/a b%20c+ü.bin"})
    host, _, path = signed.removeprefix("http://").partition("/")
    assert host.startswith(f"{bucket}.localhost:")
    answer = urllib3.request("GET", f"{aws.url}/{path}", headers={"Host": host})
    assert answer.data == b"\x00\xff"
    call = last_call(aws)
    assert (call["operation"], call["params"]) == ("GetObject", {"Bucket": bucket, "Key": "dir/a b%20c+ü.bin"})


def test_presigned_addresses_of_s3_pass_through(aws: AwsProcess, bucket: str) -> None:
    s3 = aws.client("s3", signature_version="s3v4")
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "signed"})
    assert urllib3.request("PUT", put, body=b"by address").status == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "signed"})
    assert urllib3.request("GET", get).data == b"by address"
    assert (last_call(aws)["operation"], last_call(aws)["params"]["Key"]) == ("GetObject", "signed")


def test_an_error_of_moto_is_logged_with_its_code(aws: AwsProcess, bucket: str) -> None:
    with pytest.raises(ClientError):
        aws.client("s3").get_object(Bucket=bucket, Key="missing")
    call = last_call(aws)
    assert (call["status"], call["error"]) == (404, "NoSuchKey: The specified key does not exist.")
    with pytest.raises(ClientError):
        aws.client("iam").get_role(RoleName="missing")
    assert last_call(aws)["error"] == "NoSuchEntity: Role missing not found"


def test_calls_are_numbered_without_gaps_and_can_be_read_from_a_number_on(aws: AwsProcess) -> None:
    before = aws.last_call()
    aws.client("sts").get_caller_identity()
    aws.client("s3").list_buckets()
    assert [(call["n"], call["operation"]) for call in aws.calls(after=before)] == [
        (before + 1, "GetCallerIdentity"),
        (before + 2, "ListBuckets"),
    ]


def test_a_reader_of_the_call_log_can_wait_for_the_next_call(aws: AwsProcess) -> None:
    before = aws.last_call()
    found: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: found.extend(aws.calls(after=before, wait=60)))
    reader.start()
    aws.client("sts").get_caller_identity()
    reader.join(30)
    assert [call["operation"] for call in found] == ["GetCallerIdentity"]


def test_waiting_for_a_call_ends_without_one(aws: AwsProcess) -> None:
    assert aws.calls(after=aws.last_call(), wait=0.05) == []


@pytest.mark.parametrize(
    ("service", "operation", "method"),
    [
        ("sagemaker", "ListModels", "list_models"),  # json, ours
        ("logs", "DescribeLogGroups", "describe_log_groups"),  # json, moto's
        ("iam", "ListRoles", "list_roles"),  # query
        ("s3", "ListBuckets", "list_buckets"),  # rest-xml
        ("ec2", "DescribeVpcs", "describe_vpcs"),  # ec2
    ],
)
def test_the_next_calls_of_a_throttled_operation_are_refused_in_every_protocol(
    aws: AwsProcess, service: str, operation: str, method: str
) -> None:
    call: Callable[[], Any] = getattr(aws.client(service), method)
    aws.impose(throttle={f"{service}.{operation}": 2})
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            call()
        error = refused.value.response["Error"]
        assert (error["Code"], error["Message"]) == ("ThrottlingException", "Rate exceeded")
    call()
    assert [each["error"] for each in aws.calls()[-3:]] == ["ThrottlingException: Rate exceeded"] * 2 + [None]


@pytest.mark.parametrize(
    ("service", "operation", "method"),
    [("sagemaker", "ListModels", "list_models"), ("s3", "ListBuckets", "list_buckets")],  # ours, moto's
)
def test_an_answer_that_is_held_back_is_of_a_call_that_is_done(
    aws: AwsProcess, service: str, operation: str, method: str
) -> None:
    call: Callable[[], Any] = getattr(aws.client(service, read_timeout=0.2), method)
    before = aws.last_call()
    aws.impose(answerSeconds={f"{service}.{operation}": 5})
    try:
        with pytest.raises(ReadTimeoutError):
            call()
        [done] = aws.calls(after=before, wait=30)
    finally:
        aws.impose(answerSeconds={})
    assert (done["operation"], done["status"]) == (operation, 200)
    getattr(aws.client(service), method)()


def test_a_refused_upload_is_logged_without_its_bytes(aws: AwsProcess) -> None:
    aws.impose(throttle={"ecr.UploadLayerPart": 1})
    part = {"partFirstByte": 0, "partLastByte": 99_999, "layerPartBlob": bytes(100_000)}
    with pytest.raises(ClientError, match="ThrottlingException"):
        aws.client("ecr").upload_layer_part(repositoryName="models", uploadId="u", **part)
    assert last_call(aws)["params"]["layerPartBlob"] == "<133336 characters>"


def test_an_unknown_condition_is_refused_with_those_that_exist(aws: AwsProcess) -> None:
    answer = aws.control("PUT", "conditions", json={"provisioningSecond": 1})
    assert answer.status == 400
    assert "no such condition: provisioningSecond; there are: provisioningSeconds," in answer.json()["error"]


@pytest.mark.parametrize("factor", [0, -1])
def test_a_time_that_would_not_run_forward_is_refused(aws: AwsProcess, factor: int) -> None:
    answer = aws.control("PUT", "conditions", json={"timeFactor": factor})
    assert (answer.status, answer.json()) == (400, {"error": f"timeFactor is {factor}: it must be greater than 0"})
    assert aws.conditions()["timeFactor"] == 1.0


def test_the_caller_of_another_account_has_resources_of_its_own(aws: AwsProcess) -> None:
    role = f"arn:aws:iam::999999999999:role/{unique('visitor')}"
    issued = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="visit")["Credentials"]
    key = AccessKey(issued["AccessKeyId"], issued["SecretAccessKey"])
    assert aws.client("sts", access_key=key).get_caller_identity()["Account"] == "999999999999"
    with pytest.raises(ClientError, match="arn:aws:sagemaker:ap-northeast-1:999999999999:model/missing"):
        aws.client("sagemaker", access_key=key).describe_model(ModelName="missing")


def test_regions_are_apart(aws: AwsProcess) -> None:
    with pytest.raises(ClientError, match="arn:aws-cn:sagemaker:cn-north-1:123456789012:model/missing"):
        aws.client("sagemaker", region="cn-north-1").describe_model(ModelName="missing")
