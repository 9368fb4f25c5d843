"""What the principals that work on a stack may do: every call that the program and the real provider make, and nothing
of other stacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from infra.policies import principals
from infra.policies.document import ATTACHED_AT_MOST, MAX_MANAGED_POLICY, Policy, allow, managed_policies, size
from infra.policies.stack_names import StackNames
from sandbox.aws.policy import Verdict, evaluate
from tests.infra.mock_runtime import ACCOUNT, ROOT, changed, run, stack_file
from tests.infra.policies.iam_requests import (
    AUTOSCALING_ROLE_ARN,
    SAGEMAKER,
    SCALABLE_TARGET,
    Request,
    arn,
    of_provider,
    role_arn,
)
from tests.infra.policies.stack_settings import KEY, TOPIC, names, settings

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/triton-serving-boundary"
BOUNDED = {"iam:PermissionsBoundary": BOUNDARY}
ENDPOINT = stack_file("prod")["triton-sagemaker:endpoints"]["sagemaker-endpoint"]
FIXED = {"model": {"artifact": "artifacts/model_7.tar.gz"}}

NOT_ACTIONS_OF_THEIR_OWN = {
    "s3:HeadObject": ["s3:GetObject"],
    "s3:UploadFile": ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"],
    "s3:Copy": ["s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectTagging"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:DeleteObjects": ["s3:DeleteObject"],
    "sts:GetCallerIdentity": [],
}
"""Calls of boto3 that IAM knows by other names, or allows everybody (Service Authorization Reference of S3 and STS)."""

OF_COMMANDS = {ROOT / "infra" / "release" / f"{name}.py" for name in ("observer", "status", "stop")}
"""What `python -m infra release` has for itself."""

OF_STATUS = {"cloudwatch:GetMetricData"}
"""Calls in other modules that `python -m infra release status` alone makes."""

CLIENTS = "cloudwatch|logs|s3|sagemaker|sns|sts"


def denied(documents: Iterable[Policy], requests: Iterable[Request]) -> list[Request]:
    documents = list(documents)
    return [request for request in requests if evaluate(documents, *request) is not Verdict.ALLOWED]


@cache
def deployer() -> list[Policy]:
    """The deployer's documents for Pulumi.prod.yaml."""
    return principals.deployer(names())


@cache
def release_operator() -> list[Policy]:
    """The release operator's documents for Pulumi.prod.yaml."""
    return principals.release_operator(names())


def may(documents: Iterable[Policy], action: str, resource: str, **context: str) -> bool:
    keys = {key.replace("_", ":", 1).replace("_", "-"): value for key, value in context.items()}
    return denied(documents, [Request(action, resource, keys)]) == []


def actions(documents: Iterable[Policy]) -> set[str]:
    return {action for document in documents for each in document["Statement"] for action in each["Action"]}


def calls() -> set[str]:
    """The AWS operations that our own resources ask for, as `service:Operation`, read from their source."""
    files = {path for name in ("release", "dynamic", "image") for path in (ROOT / "infra" / name).glob("*.py")}
    return calls_in(files - OF_COMMANDS) - OF_STATUS


def calls_in(files: Iterable[Path]) -> set[str]:
    source = "\n".join(path.read_text() for path in files)
    methods = set(re.findall(rf"\b_?({CLIENTS})\.(?!get_paginator|meta\b)(\w+)\(", source))
    methods |= set(re.findall(rf"\b_?({CLIENTS})\.get_paginator\(\"(\w+)\"\)", source))
    methods |= {("s3", method) for method in re.findall(r"\bwrite_once\(s3\)\.(\w+)\(", source)}
    result = {f"{service}:{_operation(service, method)}" for service, method in methods}
    scaling = "application-autoscaling"
    result |= {f"{scaling}:{each}" for each in _operations(scaling) if re.search(rf"\b{xform_name(each)}\b", source)}
    # the copy engine names its operations as the API does
    return result | {f"ecr:{each}" for each in _operations("ecr") if f'"{each}"' in source}


@cache
def _operations(service: str) -> list[str]:
    return list(botocore.session.get_session().get_service_model(service).operation_names)


def _operation(service: str, method: str) -> str:
    """boto3's method by the operation's name; those that boto3 adds to S3 in the same manner."""
    of_api = {xform_name(each): each for each in _operations(service)}
    return of_api.get(method, method.title().replace("_", ""))


def test_the_deployer_may_do_every_call_of_our_own_resources() -> None:
    made = calls()
    assert {"sagemaker:UpdateEndpoint", "cloudwatch:DescribeAlarms", "ecr:PutImage", "s3:Copy", "s3:UploadFile"} <= made
    assert {"application-autoscaling:DescribeScheduledActions", "sts:GetCallerIdentity", "sns:Publish"} <= made
    needed = {action for call in made for action in NOT_ACTIONS_OF_THEIR_OWN.get(call, [call])}
    assert needed - actions(deployer()) == set()


@pytest.mark.parametrize(
    ("stack", "bucket", "repository", "role"),
    [
        ("prod", "sagemaker-models", "sagemaker-tritonserver", "execution-role-prod-1a2b3c4"),
        ("dev", "models-dev-1a2b3c4", "sagemaker-tritonserver-dev", "execution-role-dev-1a2b3c4"),
    ],
)
def test_the_deployer_may_do_every_call_of_the_provider(stack: str, bucket: str, repository: str, role: str) -> None:
    (endpoint,) = stack_file(stack)["triton-sagemaker:endpoints"]
    requests = of_provider(bucket, repository, role, endpoint)
    assert len(requests) > 80
    assert denied(principals.deployer(names(stack)), requests) == []


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_the_deployer_may_make_the_alarms_that_the_program_names(stack: str) -> None:
    alarms = [arn("cloudwatch", f"alarm:{each.inputs['name']}") for each in run(stack).all(":MetricAlarm")]
    requests = [Request("cloudwatch:PutMetricAlarm", each) for each in alarms]
    assert denied(principals.deployer(names(stack)), requests) == []


def test_the_deployer_may_notify_and_silence_through_what_the_stack_creates() -> None:
    window = {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "weekend"}
    sections: dict[str, Any] = {
        "notifications": {"subscriptions": [{"protocol": "email", "endpoint": "a@example.com"}]},
        "monitoring": {"muteInFreezeWindows": True},
        "freezeWindows": [window],
    }
    documents, deployment = principals.deployer(names(**sections)), changed("prod", None, None, **sections)
    (composite,) = (each.inputs["alarmName"] for each in deployment.all(":CompositeAlarm"))
    topic = arn("sns", f"{deployment.one(':Topic').name}-1a2b3c4")
    rule = arn("cloudwatch", f"alarm-mute-rule:{deployment.one(':AlarmMuteRule').name}")
    alarm = arn("cloudwatch", f"alarm:{composite}")
    requests = [
        Request("cloudwatch:PutCompositeAlarm", "*"),
        *(Request(f"cloudwatch:{action}", alarm) for action in ("DeleteAlarms", "TagResource", "PutAlarmMuteRule")),
        *(Request(f"cloudwatch:{action}AlarmMuteRule", rule) for action in ("Put", "Get", "Delete")),
        *(Request(f"sns:{action}", topic) for action in ("CreateTopic", "Subscribe", "Publish")),
        Request("sns:Unsubscribe", "*"),
        Request("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "triton-sagemaker"}),
    ]
    assert denied(documents, requests) == []
    others = [
        Request("cloudwatch:PutAlarmMuteRule", arn("cloudwatch", "alarm:of-somebody-else")),
        Request("cloudwatch:DeleteAlarmMuteRule", rule.replace("-prod-", "-prod-eu-")),
        Request("sns:Subscribe", arn("sns", "of-somebody-else")),
        Request("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/SageMaker"}),
    ]
    assert denied(documents, others) == others


def test_variants_have_models_and_alarms_of_their_own() -> None:
    variants = {"a": FIXED | {"initialInstanceCount": 2}, "b": FIXED | {"initialInstanceCount": 2}}
    documents = principals.deployer(names(endpoints={"e": {"variants": variants, "alarms": {"errorRatePercent": 5}}}))
    for resource in ("e-a-1a2b3c4", "e-b-1a2b3c4"):
        assert may(documents, "sagemaker:CreateModel", arn("sagemaker", f"model/{resource}"))
    for alarm in ("e-a/error-rate", "e-1a2b3c4-b-server-error-rate", "e-1a2b3c4-b-p99-model-latency", "e-1a2b3c4-stop"):
        assert may(documents, "cloudwatch:PutMetricAlarm", arn("cloudwatch", f"alarm:{alarm}"))
    assert not may(documents, "sagemaker:CreateModel", arn("sagemaker", "model/e-c-1a2b3c4"))


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/sagemaker-endpoint")),
        ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint-config/sagemaker-endpoint-1a2b3c4")),
        ("sagemaker:DescribeEndpointConfig", arn("sagemaker", "endpoint-config/made-by-hand")),
        ("cloudwatch:DescribeAlarmHistory", arn("cloudwatch", "alarm:of-somebody-else")),
        ("s3:PutObject", "arn:aws:s3:::sagemaker-models/models/sagemaker-endpoint/model_7/v1.tar.gz"),
        ("s3:PutObject", "arn:aws:s3:::sagemaker-models/releases/sagemaker-endpoint/20261122T061500Z-x.json"),
        ("s3:GetObjectVersion", "arn:aws:s3:::sagemaker-models/artifacts/model_7.tar.gz"),
        ("sns:Publish", TOPIC),
        ("ecr:PutImage", arn("ecr", "repository/sagemaker-tritonserver")),
        ("ecr:GetAuthorizationToken", "*"),
        ("ecr:BatchGetImage", "arn:aws:ecr:ap-northeast-1:941853720454:repository/sagemaker-tritonserver"),
        ("logs:FilterLogEvents", arn("logs", "log-group:/aws/sagemaker/Endpoints/sagemaker-endpoint:*")),
    ],
)
def test_the_deployer_may_work_on_what_is_the_stacks(action: str, resource: str) -> None:
    assert may(deployer(), action, resource)


OTHERS = [
    # of another stack, or of nobody
    ("iam:PutRolePolicy", role_arn("execution-role-dev-1a2b3c4")),
    ("iam:UpdateAssumeRolePolicy", role_arn("execution-role-1a2b3c4")),
    ("iam:CreateRole", role_arn("execution-role-prod-eu-1a2b3c4")),
    ("iam:CreateRole", role_arn("execution-role-prod")),
    ("iam:PutRolePolicy", role_arn("admin")),
    ("iam:DeleteRole", AUTOSCALING_ROLE_ARN),
    ("s3:PutBucketPolicy", "arn:aws:s3:::models-dev-1a2b3c4"),
    ("s3:PutObject", "arn:aws:s3:::other/models/x"),
    ("s3:GetObject", "arn:aws:s3:::sagemaker-models-of-others/x"),
    ("sagemaker:UpdateEndpoint", arn("sagemaker", "endpoint/other")),
    ("sagemaker:DeleteEndpoint", arn("sagemaker", "endpoint/sagemaker-endpoint-eu")),
    ("sagemaker:DeleteEndpoint", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/sagemaker-endpoint"),
    ("sagemaker:DeleteModel", arn("sagemaker", "model/sagemaker-endpoint-eu-1a2b3c4")),
    ("sagemaker:DescribeModel", arn("sagemaker", "model/sagemaker-endpoint-eu-1a2b3c4")),
    ("sagemaker:DescribeModel", arn("sagemaker", "model/made-by-cloudformation")),
    ("sagemaker:DeleteEndpointConfig", arn("sagemaker", "endpoint-config/sagemaker-endpoint-eu-1a2b3c4")),
    ("sagemaker:DeleteEndpointConfig", arn("sagemaker", "endpoint-config/made-by-hand")),
    ("sagemaker:AddTags", arn("sagemaker", "notebook-instance/sagemaker-endpoint")),
    ("cloudwatch:DeleteAlarms", arn("cloudwatch", "alarm:sagemaker-endpoint-eu/error-rate")),
    ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:sagemaker-endpoint-eu-1a2b3c4-error-rate")),
    ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:sagemaker-endpoint-1/error-rate")),
    ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:of-somebody-else")),
    ("cloudwatch:DeleteAlarms", arn("cloudwatch", "alarm:TargetTracking-endpoint/other/variant/AllTraffic-AlarmHigh")),
    ("logs:FilterLogEvents", arn("logs", "log-group:/aws/sagemaker/Endpoints/other:*")),
    ("ecr:PutImage", arn("ecr", "repository/sagemaker-tritonserver-dev")),
    ("ecr:PutImage", "arn:aws:ecr:ap-northeast-1:941853720454:repository/sagemaker-tritonserver"),
    ("sns:Publish", arn("sns", "other")),
    # of the stack's own: what loses data, or opens more
    ("s3:DeleteBucket", "arn:aws:s3:::sagemaker-models"),
    ("s3:DeleteBucketPolicy", "arn:aws:s3:::sagemaker-models"),
    ("s3:PutBucketAcl", "arn:aws:s3:::sagemaker-models"),
    ("s3:DeleteObject", "arn:aws:s3:::sagemaker-models/artifacts/x"),
    ("s3:DeleteObject", "arn:aws:s3:::sagemaker-models/releases/x"),
    ("s3:DeleteObjectVersion", "arn:aws:s3:::sagemaker-models/models/x"),
    ("s3:PutObject", "arn:aws:s3:::sagemaker-models/artifacts/model_7.tar.gz"),
    ("ecr:SetRepositoryPolicy", arn("ecr", "repository/sagemaker-tritonserver")),
    ("ecr:BatchDeleteImage", arn("ecr", "repository/sagemaker-tritonserver")),
    ("iam:AttachRolePolicy", role_arn("execution-role-prod-1a2b3c4")),
    ("iam:DeleteRolePermissionsBoundary", role_arn("execution-role-prod-1a2b3c4")),
    ("iam:CreateRole", role_arn("sub/execution-role-prod-1a2b3c4")),
    ("sagemaker:InvokeEndpoint", arn("sagemaker", "endpoint/sagemaker-endpoint")),
    ("sagemaker:CreateTrainingJob", arn("sagemaker", "training-job/sagemaker-endpoint-1a2b3c4")),
    ("sagemaker:ListEndpoints", "*"),
    ("cloudwatch:PutMetricData", "*"),
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x"),
    ("iam:CreatePolicy", f"arn:aws:iam::{ACCOUNT}:policy/x"),
    ("sts:AssumeRole", role_arn("execution-role-prod-1a2b3c4")),
    ("kms:Decrypt", KEY),
    ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:x")),
]


@pytest.mark.parametrize(("action", "resource"), OTHERS)
def test_the_deployer_may_not_work_on_anything_else(action: str, resource: str) -> None:
    assert not may(deployer(), action, resource)


@pytest.mark.parametrize(
    "request_",
    [
        Request("iam:PassRole", role_arn("execution-role-prod-1a2b3c4")),
        Request("iam:PassRole", role_arn("execution-role-prod-1a2b3c4"), {"iam:PassedToService": "ec2.amazonaws.com"}),
        Request("iam:PassRole", role_arn("admin"), SAGEMAKER),
        Request("iam:CreateServiceLinkedRole", AUTOSCALING_ROLE_ARN, {"iam:AWSServiceName": "ecs.amazonaws.com"}),
        Request(
            "application-autoscaling:RegisterScalableTarget",
            SCALABLE_TARGET,
            {"application-autoscaling:service-namespace": "rds"},
        ),
        Request(
            "application-autoscaling:PutScalingPolicy",
            SCALABLE_TARGET,
            {"application-autoscaling:service-namespace": "ecs"},
        ),
    ],
    ids=str,
)
def test_the_deployer_passes_and_scales_for_sagemaker_only(request_: Request) -> None:
    assert denied(deployer(), [request_]) == [request_]


def test_only_what_takes_no_resource_is_allowed_on_all() -> None:
    for documents in (deployer(), release_operator()):
        on_all = {each["Sid"] for one in documents for each in one["Statement"] if each["Resource"] == "*"}
        assert on_all <= {
            *("FindModels", "FindEndpoints", "ReadAlarms", "ReadMetrics", "ReadAutoscaling", "RegistryToken"),
            *("ReleaseMetrics", "CompositeAlarms"),
        }
        assert not [action for action in actions(documents) if action.endswith(":*")]


def test_with_a_boundary_no_role_is_made_or_changed_without_it() -> None:
    documents = principals.deployer(names(role={"permissionsBoundary": BOUNDARY}))
    role = role_arn("execution-role-prod-1a2b3c4")
    of_role = [each for each in of_provider("b", "r", role.split("/")[1], "e", BOUNDARY) if each.resource == role]
    assert len(of_role) > 10
    assert denied(documents, of_role) == []
    for action in ("CreateRole", "PutRolePolicy", "UpdateAssumeRolePolicy", "PutRolePermissionsBoundary", "UpdateRole"):
        other = {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}
        for keys in ({}, other):
            assert denied(documents, [Request(f"iam:{action}", role, keys)]), (action, keys)
    assert denied(documents, [Request("iam:DeleteRolePermissionsBoundary", role, BOUNDED)])
    assert "iam:PutRolePermissionsBoundary" not in actions(deployer())


BUDGET_SETTINGS = {"budget": {"monthlyLimit": 2500, "emailAddresses": ["ops@example.com"]}}


def test_the_deployer_keeps_the_budget_of_the_stack_only() -> None:
    documents = principals.deployer(names(cost=BUDGET_SETTINGS))
    budget = f"arn:aws:budgets::{ACCOUNT}:budget/"
    for action in ("ViewBudget", "ModifyBudget", "ListTagsForResource", "TagResource", "UntagResource"):
        assert may(documents, f"budgets:{action}", f"{budget}budget-prod-1a2b3c4")
        assert not may(documents, f"budgets:{action}", f"{budget}budget-prod-eu-1a2b3c4")
        assert not may(documents, f"budgets:{action}", f"{budget}budget-dev-1a2b3c4")
    assert not [action for action in actions(deployer()) if action.startswith("budgets:")]


def test_a_role_that_exists_is_passed_and_nothing_else() -> None:
    existing = role_arn("platform/triton-serving")
    documents = principals.deployer(names(role={"arn": existing}))
    of_iam = {each for each in actions(documents) if each.startswith("iam:")}
    assert of_iam == {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    assert may(documents, "iam:PassRole", existing, iam_PassedToService="sagemaker.amazonaws.com")
    assert not may(documents, "iam:PassRole", role_arn("triton-serving"), iam_PassedToService="sagemaker.amazonaws.com")


def test_an_adopted_role_may_have_a_path() -> None:
    documents = principals.deployer(names(role={"name": "AmazonSageMaker-Role"}, adopt={"role": True}))
    for role in ("AmazonSageMaker-Role", "service-role/AmazonSageMaker-Role"):
        assert may(documents, "iam:PutRolePolicy", role_arn(role))
        assert may(documents, "iam:PassRole", role_arn(role), iam_PassedToService="sagemaker.amazonaws.com")
    assert not may(documents, "iam:PutRolePolicy", role_arn("service-role/Other"))


@pytest.mark.parametrize("form", ["Ranking-V2", "ranking-v2"])
def test_capital_letters_are_granted_as_they_are_written_and_in_lower_case(form: str) -> None:
    stack = names(endpoints={"Ranking-V2": ENDPOINT})
    deploying, operating = principals.deployer(stack), principals.release_operator(stack)
    for action, resource in [
        ("ListTags", f"endpoint/{form}"),
        ("UpdateEndpoint", f"endpoint/{form}"),
        ("UpdateEndpoint", f"endpoint-config/{form}-1a2b3c4"),
        ("DeleteModel", f"model/{form}-1a2b3c4"),
    ]:
        assert may(deploying, f"sagemaker:{action}", arn("sagemaker", resource))
    assert may(operating, "sagemaker:DescribeEndpoint", arn("sagemaker", f"endpoint/{form}"))
    assert may(deploying, "cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:Ranking-V2/error-rate"))


REMOVAL = [
    *(("sagemaker", action, "endpoint/old") for action in ("DescribeEndpoint", "ListTags", "DeleteEndpoint")),
    ("sagemaker", "DeleteEndpointConfig", "endpoint-config/old-1a2b3c4"),
    ("sagemaker", "DeleteModel", "model/old-1a2b3c4"),
    ("cloudwatch", "DeleteAlarms", "alarm:old/error-rate"),
    ("cloudwatch", "DeleteAlarms", "alarm:old-1a2b3c4-stop"),
    ("cloudwatch", "DeleteAlarms", "alarm:TargetTracking-endpoint/old/variant/AllTraffic-AlarmLow-1"),
]


@pytest.mark.parametrize(("service", "action", "resource"), REMOVAL)
def test_removing_an_endpoint_needs_permissions_on_it(service: str, action: str, resource: str) -> None:
    request = Request(f"{service}:{action}", arn(service, resource))
    assert denied(deployer(), [request])
    assert denied(principals.deployer(names(also=("old",))), [request]) == []


def test_a_variant_that_is_removed_can_be_named() -> None:
    documents = principals.deployer(names(also=("sagemaker-endpoint.canary",)))
    assert may(documents, "sagemaker:DeleteModel", arn("sagemaker", "model/sagemaker-endpoint-canary-1a2b3c4"))
    assert may(documents, "sagemaker:DeleteModel", arn("sagemaker", "model/sagemaker-endpoint-1a2b3c4"))


def test_a_kms_key_and_an_image_from_elsewhere_change_the_permissions() -> None:
    documents = principals.deployer(
        names(bucket={"kmsKeyArn": KEY}, image={"source": "nvcr.io/nvidia/tritonserver:23.10-py3"})
    )
    assert may(documents, "kms:GenerateDataKey", KEY, kms_ViaService="s3.ap-northeast-1.amazonaws.com")
    assert not may(documents, "kms:GenerateDataKey", KEY)
    assert "ecr:GetDownloadUrlForLayer" not in actions(documents)
    assert "kms:Decrypt" not in actions(deployer())


def test_a_key_of_volumes_is_granted_to_awss_services_only() -> None:
    encrypted = names(endpoints={"e": ENDPOINT | {"volumeKmsKeyArn": KEY}})
    documents = principals.deployer(encrypted)
    assert may(documents, "kms:CreateGrant", KEY, kms_GrantIsForAWSResource="true")
    assert not may(documents, "kms:CreateGrant", KEY)
    assert not may(documents, "kms:Decrypt", KEY, kms_ViaService="s3.ap-northeast-1.amazonaws.com")


def test_nothing_may_be_published_without_a_topic() -> None:
    documents = principals.deployer(StackNames(settings(), "prod", "aws", ACCOUNT))
    assert "sns:" not in json.dumps(documents)


def test_only_who_adopts_an_endpoint_reads_models_of_any_name() -> None:
    model = arn("sagemaker", "model/made-by-cloudformation")
    adopting = names(adopt={"endpoints": ["e"]}, endpoints={"e": FIXED}, environment="staging")
    assert may(principals.deployer(adopting), "sagemaker:DescribeModel", model)
    assert not may(principals.deployer(adopting), "sagemaker:DeleteModel", model)


@pytest.mark.parametrize("count", [1, 23, 95])
def test_documents_for_many_endpoints_are_such_that_iam_accepts_them(count: int) -> None:
    stack = names(endpoints={f"sagemaker-endpoint-{n}": ENDPOINT for n in range(count)})
    deploying = principals.deployer(stack)
    for documents in (deploying, principals.release_operator(stack)):
        assert len(documents) <= ATTACHED_AT_MOST
        for document in documents:
            assert size(document) <= MAX_MANAGED_POLICY
            sids = [statement["Sid"] for statement in document["Statement"]]
            assert len(sids) == len({*sids})
            assert all(statement["Resource"] for statement in document["Statement"])
    for n in {0, count // 2, count - 1}:
        endpoint = f"sagemaker-endpoint-{n}"
        requests = of_provider("sagemaker-models", "sagemaker-tritonserver", "execution-role-prod-1a2b3c4", endpoint)
        assert denied(deploying, requests[-20:]) == []


def test_dividing_statements_loses_none() -> None:
    resources = [arn("sagemaker", f"endpoint/sagemaker-endpoint-{n}") for n in range(300)]
    statements = [allow("One", "s3", "GetObject", "*"), allow("Many", "sagemaker", "AddTags ListTags", resources)]
    documents = managed_policies(statements)
    assert len(documents) > 1
    divided = [each for document in documents for each in document["Statement"] if each["Sid"] == "Many"]
    assert [resource for each in divided for resource in each["Resource"]] == resources
    assert statements[0] in documents[0]["Statement"]


@pytest.mark.parametrize("named", [True, False])
def test_the_release_operator_reads_and_stops_this_stacks_releases_and_changes_nothing_else(named: bool) -> None:
    stack = names() if named else names(bucket={})
    documents = principals.release_operator(stack)
    read = {"sagemaker:DescribeEndpoint", "cloudwatch:DescribeAlarms", "cloudwatch:GetMetricStatistics"}
    read |= {"sagemaker:ListTags", "s3:ListBucket", "s3:GetObject", "logs:FilterLogEvents", "cloudwatch:GetDashboard"}
    read |= {"sagemaker:DescribeEndpointConfig", "application-autoscaling:DescribeScalableTargets"}  # of `status`
    if not named:  # the live model says which bucket it was loaded from
        read.add("sagemaker:DescribeModel")
    assert actions(documents) == calls_in(OF_COMMANDS) | OF_STATUS | read
    changing = {action for action in actions(documents) if re.search(r":(?!Get|Describe|List|Filter)", action)}
    assert changing == {"cloudwatch:SetAlarmState"}


@pytest.mark.parametrize("action", ["PutDashboard", "GetDashboard", "DeleteDashboards"])
def test_the_deployer_keeps_the_dashboard_of_this_stack_alone(action: str) -> None:
    """The ARN has no region (Service Authorization Reference, CloudWatch)."""
    documents = principals.deployer(names())
    assert may(documents, f"cloudwatch:{action}", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/triton-prod")
    assert not may(documents, f"cloudwatch:{action}", f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/triton-prod-eu")


def test_the_release_operator_reads_the_history_alone() -> None:
    documents = release_operator()
    bucket = "arn:aws:s3:::sagemaker-models"
    assert may(documents, "s3:GetObject", f"{bucket}/releases/sagemaker-endpoint/x.json")
    assert not may(documents, "s3:GetObject", f"{bucket}/models/sagemaker-endpoint/x.tar.gz")
    assert may(documents, "s3:ListBucket", bucket, s3_prefix="releases/sagemaker-endpoint/")
    assert not may(documents, "s3:ListBucket", bucket, s3_prefix="artifacts/")
    assert not may(documents, "s3:ListBucket", bucket)


@pytest.mark.parametrize(
    ("alarm", "allowed"),
    [
        ("sagemaker-endpoint-1a2b3c4-stop", True),
        ("sagemaker-endpoint/error-rate", False),
        ("sagemaker-endpoint-1a2b3c4-error-rate", False),
        ("sagemaker-endpoint-eu-1a2b3c4-stop", False),
    ],
)
def test_the_release_operator_forces_alarms_that_stop_releases_only(alarm: str, allowed: bool) -> None:
    documents = release_operator()
    assert may(documents, "cloudwatch:SetAlarmState", arn("cloudwatch", f"alarm:{alarm}")) is allowed


def test_the_uploader_writes_artifacts_and_nothing_else() -> None:
    documents = principals.uploader(names())
    assert actions(documents) == {"s3:PutObject"}
    bucket = "arn:aws:s3:::sagemaker-models"
    assert may(documents, "s3:PutObject", f"{bucket}/artifacts/model_7.tar.gz")
    for key in ("models/e/x.tar.gz", "releases/e/x.json", "autoscaling/e.json", "x"):
        assert not may(documents, "s3:PutObject", f"{bucket}/{key}")
    encrypted = principals.uploader(names(bucket={"kmsKeyArn": KEY}))
    assert may(encrypted, "kms:GenerateDataKey", KEY, kms_ViaService="s3.ap-northeast-1.amazonaws.com")


def test_the_execution_roles_documents_are_for_a_role_outside_the_stack() -> None:
    stack = names()
    documents = principals.execution_role(stack)
    bucket = "arn:aws:s3:::sagemaker-models"
    assert may(documents, "s3:GetObject", f"{bucket}/models/sagemaker-endpoint/x.tar.gz")
    assert not may(documents, "s3:GetObject", f"{bucket}/artifacts/x.tar.gz")
    assert not may(documents, "sagemaker:DescribeModel", arn("sagemaker", "model/sagemaker-endpoint-1a2b3c4"))


def test_an_image_in_place_requires_no_repository() -> None:
    documents = principals.deployer(names(image={"version": "23.10-py3", "mirror": False}))
    repository = arn("ecr", "repository/sagemaker-tritonserver")
    publisher = "arn:aws:ecr:ap-northeast-1:941853720454:repository/sagemaker-tritonserver"
    assert not may(documents, "ecr:PutImage", repository)
    assert not may(documents, "ecr:GetAuthorizationToken", "*")
    assert may(documents, "ecr:BatchGetImage", publisher) and may(documents, "ecr:GetDownloadUrlForLayer", publisher)


def test_the_topics_of_a_removed_endpoint_can_be_deleted() -> None:
    topic = [Request("sns:DeleteTopic", arn("sns", "queue-error-1a2b3c4"))]
    assert denied(principals.deployer(names("modes")), topic) == topic
    assert denied(principals.deployer(names("modes", also=("queue",))), topic) == []


@pytest.mark.parametrize("also", ["iris-real-time", "iris-serverless"])
def test_the_topics_of_an_endpoint_that_has_none_any_more_can_be_deleted(also: str) -> None:
    topic = [Request("sns:DeleteTopic", arn("sns", f"{also}-success-1a2b3c4"))]
    assert denied(principals.deployer(names("modes")), topic) == topic
    assert denied(principals.deployer(names("modes", also=(also,))), topic) == []


@pytest.mark.parametrize(("days", "allowed"), [(90, True), (None, False)])
def test_tags_of_a_log_group_are_authorized_by_its_arn_without_a_wildcard(days: int | None, allowed: bool) -> None:
    """CloudWatch Logs API LogGroup, arn and logGroupArn."""
    monitoring = {"logRetentionDays": days} if days else {}
    documents = principals.deployer(names(monitoring=monitoring))
    group = arn("logs", "log-group:/aws/sagemaker/Endpoints/sagemaker-endpoint")
    assert may(documents, "logs:TagResource", group) is allowed
    assert may(documents, "logs:UntagResource", group) is allowed
    assert may(documents, "logs:PutRetentionPolicy", f"{group}:*") is allowed
    assert may(documents, "logs:CreateLogGroup", f"{group}:*") is allowed


MODES_TOPIC = arn("sns", "iris-asynchronous-success-1a2b3c4")


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        *(
            (f"sns:{action}", MODES_TOPIC, True)
            for action in (
                *("CreateTopic", "DeleteTopic", "GetTopicAttributes", "SetTopicAttributes", "ListTagsForResource"),
                *("TagResource", "UntagResource"),
            )
        ),
        ("sns:Publish", MODES_TOPIC, False),
        ("sns:CreateTopic", arn("sns", "iris-serverless-success-1a2b3c4"), False),
        ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:iris-asynchronous-backlog-without-capacity"), True),
        ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:iris-asynchronous/backlog"), True),
        ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:iris-real-time-backlog-without-capacity"), False),
        ("cloudwatch:PutMetricAlarm", arn("cloudwatch", "alarm:iris-serverless/p99-model-setup-time"), True),
        ("sagemaker:CreateModel", arn("sagemaker", "model/iris-batch-1a2b3c4"), True),
        ("sagemaker:CreateEndpoint", arn("sagemaker", "endpoint/iris-batch"), False),
        ("sagemaker:CreateEndpoint", arn("sagemaker", "endpoint/iris-serverless"), True),
    ],
)
def test_the_deployer_may_do_what_each_mode_needs(action: str, resource: str, allowed: bool) -> None:
    refused = denied(principals.deployer(names("modes")), [Request(action, resource)])
    assert (refused == []) is allowed
