"""The documents of bucket and execution role, evaluated by the rules of IAM."""

from __future__ import annotations

import pytest

from infra.policies import execution
from infra.policies.document import size
from sandbox.aws.policy import Verdict, evaluate
from tests.infra.mock_runtime import ACCOUNT, stack_file
from tests.infra.policies.iam_requests import arn
from tests.infra.policies.stack_settings import KEY, settings

SECRET = arn("secretsmanager", "secret:ranking-??????")

BUCKET = "arn:aws:s3:::models"


SUBNETS, GROUPS = ["subnet-1", "subnet-2"], ["sg-1"]
INTERFACE = "arn:aws:ec2:eu-west-1:1:network-interface/eni-1"
OF_SUBNET, OF_OTHER = ({"ec2:Subnet": f"arn:aws:ec2:eu-west-1:1:subnet/subnet-{each}"} for each in (1, 3))


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:CreateNetworkInterface", INTERFACE, {}),
        ("ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:1:subnet/subnet-2", {}),
        ("ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:999999999999:subnet/subnet-2", {}),  # shared
        ("ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:1:security-group/sg-1", {}),
        ("ec2:CreateNetworkInterfacePermission", INTERFACE, OF_SUBNET),
        ("ec2:DeleteNetworkInterface", INTERFACE, OF_SUBNET),
        ("ec2:DeleteNetworkInterfacePermission", INTERFACE, OF_SUBNET),
        ("ec2:DescribeNetworkInterfaces", "*", {}),
        ("ec2:DescribeVpcs", "*", {}),
        ("ec2:DescribeSubnets", "*", {}),
        ("ec2:DescribeDhcpOptions", "*", {}),
        ("ec2:DescribeSecurityGroups", "*", {}),
    ],
)
def test_the_containers_join_the_vpc_as_awss_guide_says(action: str, resource: str, context: dict[str, str]) -> None:
    document = execution.join_vpc("aws", "eu-west-1", "1", SUBNETS, GROUPS)
    assert evaluate([document], action, resource, context) is Verdict.ALLOWED


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:1:subnet/subnet-3", {}),
        ("ec2:CreateNetworkInterface", "arn:aws:ec2:eu-west-1:1:security-group/sg-2", {}),
        ("ec2:CreateNetworkInterfacePermission", INTERFACE, OF_OTHER),
        ("ec2:DeleteNetworkInterface", INTERFACE, OF_OTHER),
        ("ec2:DeleteNetworkInterface", INTERFACE, {}),
    ],
)
def test_they_reach_no_other_subnet(action: str, resource: str, context: dict[str, str]) -> None:
    document = execution.join_vpc("aws", "eu-west-1", "1", SUBNETS, GROUPS)
    assert evaluate([document], action, resource, context) is not Verdict.ALLOWED


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"s3:ObjectCreationOperation": "true"}, Verdict.DENIED),
        ({"s3:ObjectCreationOperation": "true", "s3:if-none-match": "*"}, Verdict.NOT_ALLOWED),
        ({"s3:ObjectCreationOperation": "false"}, Verdict.NOT_ALLOWED),  # a part of a multipart upload
    ],
)
def test_a_released_artifact_is_written_once(context: dict[str, str], expected: Verdict) -> None:
    keys = {"aws:SecureTransport": "true", **context}
    documents = [execution.protect_bucket(BUCKET)]
    assert evaluate(documents, "s3:PutObject", f"{BUCKET}/models/e/m.tar.gz", keys) is expected
    assert evaluate(documents, "s3:PutObject", f"{BUCKET}/artifacts/m.tar.gz", keys) is Verdict.NOT_ALLOWED


@pytest.mark.parametrize(("count", "named"), [(1, True), (20, True), (100, False)])
def test_the_roles_policies_fit_in_a_role_however_many_endpoints_there_are(count: int, named: bool) -> None:
    endpoint = stack_file("prod")["triton-sagemaker:endpoints"]["sagemaker-endpoint"]
    endpoints = {f"sagemaker-endpoint-{n}": endpoint for n in range(count)}
    vpc = {"subnetIds": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"], "securityGroupIds": ["sg-0a1b2c3d"]}
    role = {"statements": [{"actions": ["secretsmanager:GetSecretValue"], "resources": [SECRET]}]}
    loaded = settings(endpoints=endpoints, vpc=vpc, role=role, bucket={"kmsKeyArn": KEY})
    documents = execution.documents(loaded, "aws", ACCOUNT, BUCKET, arn("ecr", "repository/triton"))
    changing = size(documents["logs-and-metrics"]) + size(documents["statements"])
    assert sum(map(size, documents.values())) + changing <= 10_240, "IAM and AWS STS quotas"

    def writes(endpoint: str) -> bool:
        stream = arn("logs", f"log-group:/aws/sagemaker/Endpoints/{endpoint}:log-stream:AllTraffic/i-1")
        return evaluate(documents.values(), "logs:PutLogEvents", stream) is Verdict.ALLOWED

    assert writes(f"sagemaker-endpoint-{count - 1}")
    assert writes("of-somebody-else") is not named
    assert bool([*loaded.broken_rules("warning")]) is not named


def test_a_key_of_the_bucket_is_used_through_s3_only() -> None:
    documents = [execution.decrypt_models(KEY)]
    by = {service: {"kms:ViaService": f"{service}.ap-northeast-1.amazonaws.com"} for service in ("s3", "ec2")}
    assert evaluate(documents, "kms:Decrypt", KEY, by["s3"]) is Verdict.ALLOWED
    assert evaluate(documents, "kms:Decrypt", KEY, by["ec2"]) is Verdict.NOT_ALLOWED
    assert evaluate(documents, "kms:Decrypt", KEY) is Verdict.NOT_ALLOWED


def test_a_model_may_read_its_secret_and_no_other() -> None:
    role = {"statements": [{"actions": ["secretsmanager:GetSecretValue"], "resources": [SECRET]}]}
    documents = execution.documents(settings(role=role), "aws", ACCOUNT, BUCKET, arn("ecr", "repository/triton"))
    read = "secretsmanager:GetSecretValue"
    assert evaluate(documents.values(), read, f"{SECRET[:-7]}-a1b2c3") is Verdict.ALLOWED
    assert evaluate(documents.values(), read, arn("secretsmanager", "secret:other-a1b2c3")) is Verdict.NOT_ALLOWED


MODES = {
    "queue": {
        "model": {"artifact": "artifacts/a.tar.gz"},
        "asynchronous": {
            "notify": True,
            "errorTopicArn": arn("sns", "failures"),
            "outputLocation": "s3://results/answers/",
            "inputLocations": ["s3://documents/scans", "s3://whole"],
            "kmsKeyArn": KEY,
        },
    },
    "nightly": {
        "model": {"artifact": "artifacts/a.tar.gz"},
        "batch": {"inputLocations": ["s3://records/in"], "outputLocations": ["s3://records/out"]},
    },
}
BY_S3 = {"kms:ViaService": "s3.ap-northeast-1.amazonaws.com"}


def verdict(action: str, resource: str, context: dict[str, str], **sections: object) -> Verdict:
    given = settings("dev", **sections)
    documents = execution.documents(given, "aws", ACCOUNT, BUCKET, arn("ecr", "repository/r"))
    return evaluate([*documents.values()], action, resource, context)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("s3:GetObject", f"{BUCKET}/async/queue/input/1.json", {}),
        ("s3:GetObject", "arn:aws:s3:::documents/scans/1.json", {}),
        ("s3:GetObject", "arn:aws:s3:::whole/1.json", {}),
        ("s3:PutObject", "arn:aws:s3:::results/answers/1.out", {}),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::results/answers/1.out", {}),
        ("s3:PutObject", f"{BUCKET}/async/queue/failure/1-error.out", {}),
        ("s3:ListBucket", "arn:aws:s3:::results", {}),
        ("sns:Publish", arn("sns", "queue-success-1a2b3c4"), {}),
        ("sns:Publish", arn("sns", "failures"), {}),
        ("kms:GenerateDataKey", KEY, BY_S3),
        ("s3:GetObject", "arn:aws:s3:::records/in/1.jsonl", {}),
        ("s3:PutObject", "arn:aws:s3:::records/out/1.jsonl.out", {}),
        ("s3:ListBucket", "arn:aws:s3:::records", {}),
    ],
)
def test_the_role_has_what_its_modes_need_and_only_with_them(
    action: str, resource: str, context: dict[str, str]
) -> None:
    assert verdict(action, resource, context, endpoints=MODES) is Verdict.ALLOWED
    assert verdict(action, resource, context) is Verdict.NOT_ALLOWED


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("s3:GetObject", f"{BUCKET}/batch/iris/iris-1/input/a.jsonl", {}),
        ("s3:PutObject", f"{BUCKET}/batch/iris/iris-1/output/a.jsonl.out", {}),
        ("s3:ListBucket", BUCKET, {}),
        ("logs:PutLogEvents", arn("logs", "log-group:/aws/sagemaker/TransformJobs:log-stream:j/i-1"), {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "/aws/sagemaker/TransformJobs"}),
    ],
)
def test_transform_jobs_run_with_the_model_of_any_endpoint(action: str, resource: str, context: dict[str, str]) -> None:
    assert verdict(action, resource, context) is Verdict.ALLOWED


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("s3:PutObject", f"{BUCKET}/async/queue/input/1.json", {}),
        ("s3:PutObject", "arn:aws:s3:::results/others/1.out", {}),
        ("s3:PutObject", f"{BUCKET}/models/queue/1.tar.gz", {}),
        ("s3:GetObject", "arn:aws:s3:::documents/scans-of-others/1.json", {}),
        ("s3:GetObject", "arn:aws:s3:::records/out/1.jsonl.out", {}),
        ("s3:PutObject", "arn:aws:s3:::records/in/1.jsonl", {}),
        ("sns:Publish", arn("sns", "queue-error-1a2b3c4"), {}),  # another topic replaces it
        ("sns:Publish", arn("sns", "releases"), {}),
        ("kms:GenerateDataKey", KEY, {}),
    ],
)
def test_its_modes_need_nothing_else(action: str, resource: str, context: dict[str, str]) -> None:
    assert verdict(action, resource, context, endpoints=MODES) is not Verdict.ALLOWED


@pytest.mark.parametrize("mode", ["queue", "nightly"])
def test_answers_are_encrypted_with_the_key_of_the_bucket(mode: str) -> None:
    endpoint = MODES[mode] | ({"asynchronous": {}} if mode == "queue" else {"batch": {}})
    own = KEY.replace("1234abcd", "ffffabcd")
    sections = {"endpoints": {mode: endpoint}, "bucket": {"kmsKeyArn": own}}
    assert verdict("kms:GenerateDataKey", own, BY_S3, **sections) is Verdict.ALLOWED
