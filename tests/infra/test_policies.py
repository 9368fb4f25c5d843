"""The policy documents, word for word: what is not here is not granted. And what the principal that deploys may do:
every call that the program makes, and on this stack only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from infra import policies, program
from infra.mirror import MAX_REPLACED, lifecycle_policy
from infra.settings.load import load
from infra.settings.stack import Settings
from tests.infra.mock_runtime import ACCOUNT, ROOT, run, stack_file

TOPIC = f"arn:aws:sns:ap-northeast-1:{ACCOUNT}:releases"

FIXED = {"sagemaker-endpoint": {"model": {"artifact": "artifacts/model_7.tar.gz"}}}

NOT_ACTIONS_OF_THEIR_OWN = {
    "s3:HeadObject": ["s3:GetObject"],
    "s3:UploadFile": ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"],
    "s3:Copy": ["s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectTagging"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:DeleteObjects": ["s3:DeleteObject"],
    "sts:GetCallerIdentity": [],
}
"""Calls of boto3 that IAM knows by other names, or allows everybody (Service Authorization Reference of S3 and STS)."""


def settings(**sections: Any) -> Settings:
    config = stack_file("prod") | {f"triton-sagemaker:{key}": value for key, value in sections.items()}
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return load(text, "triton-sagemaker")


def statements(**sections: Any) -> list[dict[str, Any]]:
    told = settings(**{"notifications": {"topicArn": TOPIC}, **sections})
    deployed = program.deployed(told, "prod", "aws", ACCOUNT)
    return [statement for document in policies.deployer(deployed) for statement in document["Statement"]]


def resources(statement: dict[str, Any]) -> list[str]:
    resource = statement["Resource"]
    return [resource] if isinstance(resource, str) else resource


def allows(action: str, resource: str) -> bool:
    return any(
        any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in resources(statement))
        for statement in statements()
    )


OF_COMMANDS = {ROOT / "infra" / "release" / f"{name}.py" for name in ("observer", "readings", "status", "stop")}
"""What `python -m infra release` has for itself."""


def calls() -> set[str]:
    """The AWS operations that our own resources ask for, as `service:Operation`, read from their source."""
    files = {path for name in ("release", "resources", "ecr") for path in (ROOT / "infra" / name).glob("*.py")}
    return calls_in(files - OF_COMMANDS)


def calls_in(files: Iterable[Path]) -> set[str]:
    source = "\n".join(path.read_text() for path in files)
    methods = set(re.findall(rf"\b_?({CLIENTS})\.(?!get_paginator)(\w+)\(", source))
    methods |= set(re.findall(rf"\b_?({CLIENTS})\.get_paginator\(\"(\w+)\"\)", source))
    found = {f"{service}:{_operation(service, method)}" for service, method in methods}
    scaling = "application-autoscaling"
    found |= {f"{scaling}:{each}" for each in _operations(scaling) if re.search(rf"\b{xform_name(each)}\b", source)}
    # the copy engine names its operations as the API does
    return found | {f"ecr:{each}" for each in _operations("ecr") if f'"{each}"' in source}


CLIENTS = "cloudwatch|logs|s3|sagemaker|sns|sts"


def _operations(service: str) -> list[str]:
    return list(botocore.session.get_session().get_service_model(service).operation_names)


def _operation(service: str, method: str) -> str:
    """boto3's method by the operation's name; those that boto3 adds to S3 in the same manner."""
    of_api = {xform_name(each): each for each in _operations(service)}
    return of_api.get(method, method.title().replace("_", ""))


def test_the_deployer_may_do_every_call_of_our_own_resources() -> None:
    allowed = {action for statement in statements() for action in statement["Action"]}
    made = calls()
    assert {"sagemaker:UpdateEndpoint", "cloudwatch:DescribeAlarms", "ecr:PutImage", "s3:Copy"} <= made
    assert {"application-autoscaling:DescribeScheduledActions", "sts:GetCallerIdentity", "sns:Publish"} <= made
    needed = {action for call in made for action in NOT_ACTIONS_OF_THEIR_OWN.get(call, [call])}
    assert needed - allowed == set()


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sagemaker:UpdateEndpoint", "sagemaker:ap-northeast-1:123456789012:endpoint/sagemaker-endpoint"),
        (
            "sagemaker:UpdateEndpoint",
            "sagemaker:ap-northeast-1:123456789012:endpoint-config/sagemaker-endpoint-1a2b3c4",
        ),
        ("sagemaker:DescribeEndpointConfig", "sagemaker:ap-northeast-1:123456789012:endpoint-config/made-by-hand"),
        ("sagemaker:CreateModel", "sagemaker:ap-northeast-1:123456789012:model/sagemaker-endpoint-1a2b3c4"),
        ("cloudwatch:DescribeAlarms", "cloudwatch:ap-northeast-1:123456789012:alarm:of-somebody-else"),
        ("cloudwatch:DescribeAlarmHistory", "cloudwatch:ap-northeast-1:123456789012:alarm:of-somebody-else"),
        ("s3:PutObject", "s3:::sagemaker-models/models/sagemaker-endpoint/model_7/v1.tar.gz"),
        ("s3:PutObject", "s3:::sagemaker-models/releases/sagemaker-endpoint/20261122T061500Z-x.json"),
        ("sns:Publish", "sns:ap-northeast-1:123456789012:releases"),
        ("s3:CreateBucket", "s3:::sagemaker-models"),
        ("ecr:PutImage", "ecr:ap-northeast-1:123456789012:repository/sagemaker-tritonserver"),
        ("ecr:BatchGetImage", "ecr:ap-northeast-1:123456789012:repository/sagemaker-tritonserver"),
        ("ecr:BatchGetImage", "ecr:ap-northeast-1:941853720454:repository/sagemaker-tritonserver"),
        ("iam:PassRole", "iam::123456789012:role/execution-role-prod-1a2b3c4"),
        (
            "logs:FilterLogEvents",
            "logs:ap-northeast-1:123456789012:log-group:/aws/sagemaker/Endpoints/sagemaker-endpoint:*",
        ),
        (
            "cloudwatch:PutMetricAlarm",
            "cloudwatch:ap-northeast-1:123456789012:alarm:TargetTracking-endpoint/sagemaker-endpoint/variant/AllTraffic-"
            "AlarmHigh-1",
        ),
    ],
)
def test_the_deployer_may_work_on_what_is_the_stacks(action: str, resource: str) -> None:
    assert allows(action, f"arn:aws:{resource}")


def test_the_deployer_may_make_the_alarms_that_the_program_names() -> None:
    for alarm in run("prod").all(":MetricAlarm"):
        assert allows(
            "cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:ap-northeast-1:{ACCOUNT}:alarm:{alarm.inputs['name']}"
        )


def test_the_release_operator_reads_and_stops_this_stacks_releases_and_changes_nothing_else() -> None:
    document = policies.release_operator(program.deployed(settings(), "prod", "aws", ACCOUNT))
    allowed = {action: statement for statement in document["Statement"] for action in statement["Action"]}
    read = {"sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig", "cloudwatch:DescribeAlarms"}
    read |= {"sagemaker:ListTags"}
    read |= {"sagemaker:DescribeModel", "cloudwatch:GetMetricStatistics", "s3:ListBucket", "s3:GetObject"}
    assert allowed.keys() == calls_in(OF_COMMANDS) | read
    assert {action for action in allowed if re.search(r":(?!Get|Describe|List)", action)} == {
        "cloudwatch:SetAlarmState"
    }
    (alarms,) = allowed["cloudwatch:SetAlarmState"]["Resource"]
    assert fnmatchcase(f"arn:aws:cloudwatch:ap-northeast-1:{ACCOUNT}:alarm:sagemaker-endpoint-1a2b3c4-stop", alarms)
    assert not fnmatchcase(f"arn:aws:cloudwatch:ap-northeast-1:{ACCOUNT}:alarm:sagemaker-endpoint-error-rate", alarms)
    assert allowed["s3:GetObject"]["Resource"] == "arn:aws:s3:::sagemaker-models/releases/*"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sagemaker:UpdateEndpoint", "sagemaker:ap-northeast-1:123456789012:endpoint/other"),
        ("sagemaker:DeleteEndpoint", "sagemaker:us-east-1:123456789012:endpoint/sagemaker-endpoint"),
        ("cloudwatch:PutMetricAlarm", "cloudwatch:ap-northeast-1:123456789012:alarm:of-somebody-else"),
        ("s3:PutObject", "s3:::other/models/x"),
        ("sns:Publish", "sns:ap-northeast-1:123456789012:other"),
        ("s3:DeleteBucket", "s3:::sagemaker-models"),
        ("s3:DeleteObject", "s3:::sagemaker-models/artifacts/x"),
        ("ecr:PutImage", "ecr:ap-northeast-1:941853720454:repository/sagemaker-tritonserver"),
        ("sagemaker:DeleteEndpointConfig", "sagemaker:ap-northeast-1:123456789012:endpoint-config/made-by-hand"),
        ("iam:PassRole", "iam::123456789012:role/admin"),
        ("iam:AttachRolePolicy", "iam::123456789012:role/execution-role-prod-1a2b3c4"),
    ],
)
def test_the_deployer_may_not_work_on_anything_else(action: str, resource: str) -> None:
    assert not allows(action, f"arn:aws:{resource}")


def test_only_what_takes_no_resource_is_allowed_on_all() -> None:
    on_all = {each["Sid"] for each in statements() if "*" in resources(each)}
    assert on_all == {"FindModels", "ReadAlarms", "ReadMetrics", "ReadAutoscaling"}


def test_the_role_is_passed_to_sagemaker_only() -> None:
    (statement,) = [each for each in statements() if "iam:PassRole" in each["Action"]]
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_no_statement_allows_a_whole_service() -> None:
    assert not [action for each in statements() for action in each["Action"] if action.endswith(":*")]


def test_a_kms_key_and_an_image_from_elsewhere_change_the_permissions() -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/abc"
    with_key = statements(bucket={"kmsKeyArn": key}, image={"source": "nvcr.io/nvidia/tritonserver:23.10-py3"})
    assert [resources(each) for each in with_key if each["Sid"] == "ArtifactKey"] == [[key]]
    assert "MirroredImage" not in {each["Sid"] for each in with_key}
    assert "ArtifactKey" not in {each["Sid"] for each in statements()}


def test_nothing_may_be_published_without_a_topic() -> None:
    documents = policies.deployer(program.deployed(settings(), "prod", "aws", ACCOUNT))
    assert "sns:" not in json.dumps(documents)


def test_each_document_has_room_in_a_managed_policy_for_several_endpoints() -> None:
    endpoint = stack_file("prod")["triton-sagemaker:endpoints"]["sagemaker-endpoint"]
    several = settings(endpoints={f"sagemaker-endpoint-{n}": endpoint for n in range(10)})
    documents = policies.deployer(program.deployed(several, "prod", "aws", ACCOUNT))
    assert len(documents) > 1
    for document in documents:
        assert len(re.sub(r"\s", "", json.dumps(document))) <= policies.MAX_MANAGED_POLICY


BUCKET = "arn:aws:s3:::models"


def test_plain_http_is_refused_on_the_bucket_and_everything_in_it() -> None:
    assert policies.refuse_plain_http(BUCKET)["Statement"] == [
        {
            "Sid": "RefusePlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [BUCKET, f"{BUCKET}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_only_released_artifacts_may_be_read_and_listed() -> None:
    read, listing = policies.read_models(BUCKET, "models/")["Statement"]
    assert (read["Action"], read["Resource"]) == ("s3:GetObject", f"{BUCKET}/models/*")
    assert (listing["Action"], listing["Resource"]) == ("s3:ListBucket", BUCKET)
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "models/*"}}


def test_metrics_may_be_written_to_three_namespaces_only() -> None:
    statements = policies.write_logs_and_metrics("aws", "eu-west-1", "1", ["e"])["Statement"]
    (metrics,) = [each for each in statements if each["Sid"] == "WriteMetrics"]
    namespaces = ["/aws/sagemaker/Endpoints", "AWS/SageMaker", "Triton"]
    assert metrics["Condition"] == {"StringEquals": {"cloudwatch:namespace": namespaces}}


def test_the_vpc_actions_are_those_of_awss_guide() -> None:
    describe, use = policies.join_vpc("aws", "eu-west-1", "1")["Statement"]
    assert describe["Action"] == [
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ]
    assert use["Action"] == [
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
    ]
    assert use["Resource"] == [
        "arn:aws:ec2:eu-west-1:1:network-interface/*",
        "arn:aws:ec2:eu-west-1:*:subnet/*",
        "arn:aws:ec2:eu-west-1:*:security-group/*",
    ]


def test_only_untagged_images_and_the_oldest_of_those_replaced_expire() -> None:
    policy: Any = lifecycle_policy(14)
    untagged, replaced = policy["rules"]
    assert replaced["selection"] == {
        "tagStatus": "tagged",
        "tagPrefixList": ["replaced-"],
        "countType": "imageCountMoreThan",
        "countNumber": MAX_REPLACED,
    }
    assert untagged["selection"] == {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 14,
    }


def test_only_who_adopts_an_endpoint_reads_models_of_any_name() -> None:
    arn = f"arn:aws:sagemaker:ap-northeast-1:{ACCOUNT}:model/made-by-cloudformation"

    def actions(**sections: Any) -> set[str]:
        found = [each for each in statements(**sections) if any(fnmatchcase(arn, one) for one in resources(each))]
        return {action for each in found for action in each["Action"] if action.startswith("sagemaker:")}

    assert actions() == {"sagemaker:ListModels"}
    adopting = actions(adopt={"endpoints": ["sagemaker-endpoint"]}, endpoints=FIXED, environment="staging")
    assert adopting == {"sagemaker:ListModels", "sagemaker:DescribeModel"}
