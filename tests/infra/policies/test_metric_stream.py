"""What the roles of a metric stream may do, and what its deployer may."""

from __future__ import annotations

from typing import Any

import pytest

from infra.policies import metric_stream, principals
from sandbox.aws.policy import Verdict, evaluate
from tests.infra.policies.iam_requests import ACCOUNT, REGION, arn, role_arn
from tests.infra.policies.stack_settings import KEY, names

SECRET = arn("secretsmanager", "secret:datadog-api-key-a1b2c3")
BUCKET = "arn:aws:s3:::models"
DELIVERY = metric_stream.deliver(BUCKET, SECRET, KEY)
DATADOG = {"site": "datadoghq.com", "apiKeySecretArn": SECRET}


def through(service: str, **context: str) -> dict[str, str]:
    return {"kms:ViaService": f"{service}.{REGION}.amazonaws.com", **context}


OF_SECRET = {"kms:EncryptionContext:SecretARN": SECRET}


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("secretsmanager:GetSecretValue", SECRET, {}, True),
        ("secretsmanager:GetSecretValue", SECRET.replace("a1b2c3", "a1b2c4"), {}, False),
        ("secretsmanager:DescribeSecret", SECRET, {}, False),
        ("kms:Decrypt", arn("kms", "key/of-the-secret"), through("secretsmanager") | OF_SECRET, True),
        ("kms:Decrypt", arn("kms", "key/of-the-secret"), through("secretsmanager"), False),
        ("kms:Decrypt", arn("kms", "key/of-the-secret"), through("s3") | OF_SECRET, False),
        ("kms:GenerateDataKey", KEY, through("s3"), True),
        ("kms:GenerateDataKey", KEY, {}, False),
        ("s3:PutObject", f"{BUCKET}/datadog/http-endpoint-failed/2026/11/28/05/x", {}, True),
        ("s3:PutObject", f"{BUCKET}/models/ranking/x.tar.gz", {}, False),
        ("s3:GetObject", f"{BUCKET}/async/ranking/output/x", {}, False),
        ("s3:ListBucket", BUCKET, {}, True),
        ("s3:DeleteObject", f"{BUCKET}/datadog/x", {}, False),
    ],
)
def test_firehose_reads_one_key_and_writes_below_one_prefix(
    action: str, resource: str, context: dict[str, str], allowed: bool
) -> None:
    assert (evaluate([DELIVERY], action, resource, context) is Verdict.ALLOWED) == allowed


def test_cloudwatch_sends_to_one_delivery_stream() -> None:
    stream = arn("firehose", "deliverystream/datadog-prod-1a2b3c4")
    document = metric_stream.put_records(stream)
    assert evaluate([document], "firehose:PutRecordBatch", stream) is Verdict.ALLOWED
    assert evaluate([document], "firehose:PutRecordBatch", f"{stream}0") is Verdict.NOT_ALLOWED
    assert evaluate([document], "firehose:UpdateDestination", stream) is Verdict.NOT_ALLOWED


@pytest.mark.parametrize(
    ("trust", "context", "trusted"),
    [
        (metric_stream.delivery_trust(ACCOUNT), {"sts:ExternalId": ACCOUNT}, True),
        (metric_stream.delivery_trust(ACCOUNT), {"sts:ExternalId": "210987654321"}, False),
        (metric_stream.delivery_trust(ACCOUNT), {}, False),
        (metric_stream.stream_trust(ACCOUNT), {"aws:SourceAccount": ACCOUNT}, True),
        (metric_stream.stream_trust(ACCOUNT), {"aws:SourceAccount": "210987654321"}, False),
        (metric_stream.stream_trust(ACCOUNT), {}, True),
    ],
)
def test_a_role_is_assumed_for_its_own_account(trust: Any, context: dict[str, str], trusted: bool) -> None:
    document = {"Statement": [statement | {"Resource": "*"} for statement in trust["Statement"]]}
    assert (evaluate([document], "sts:AssumeRole", "*", context) is Verdict.ALLOWED) == trusted


STREAM, DELIVERED = arn("cloudwatch", "metric-stream/datadog-prod-1a2b3c4"), arn("firehose", "deliverystream/{}")
ROLES = {
    "firehose.amazonaws.com": role_arn("firehose-prod-1a2b3c4"),
    "streams.metrics.cloudwatch.amazonaws.com": role_arn("metric-stream-prod-1a2b3c4"),
}


def test_the_deployer_may_keep_the_stream_and_no_other() -> None:
    documents = principals.deployer(names("prod", datadog=DATADOG))

    def allowed(action: str, resource: str, context: dict[str, str] | None = None) -> bool:
        return evaluate(documents, action, resource, context) is Verdict.ALLOWED

    # terraform-provider-aws, service/cloudwatch/metric_stream.go and service/firehose/delivery_stream.go
    for action in ["PutMetricStream", "GetMetricStream", "DeleteMetricStream", "ListTagsForResource", "TagResource"]:
        assert allowed(f"cloudwatch:{action}", STREAM)
        assert not allowed(f"cloudwatch:{action}", STREAM.replace("prod", "dev"))
    for action in [
        *("CreateDeliveryStream", "DescribeDeliveryStream", "UpdateDestination", "DeleteDeliveryStream"),
        *("ListTagsForDeliveryStream", "TagDeliveryStream", "UntagDeliveryStream"),
    ]:
        assert allowed(f"firehose:{action}", DELIVERED.format("datadog-prod-1a2b3c4"))
        assert not allowed(f"firehose:{action}", DELIVERED.format("datadog-dev-1a2b3c4"))
    assert allowed("secretsmanager:DescribeSecret", SECRET)
    assert not allowed("secretsmanager:GetSecretValue", SECRET)
    for service, role in ROLES.items():
        assert allowed("iam:CreateRole", role)
        for passed_to in (*ROLES, "sagemaker.amazonaws.com"):
            assert allowed("iam:PassRole", role, {"iam:PassedToService": passed_to}) == (passed_to == service)


def test_the_roles_require_the_boundary_of_the_stack() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    documents = principals.deployer(names("prod", datadog=DATADOG, role={"permissionsBoundary": boundary}))
    for role in ROLES.values():
        for given, verdict in ((boundary, Verdict.ALLOWED), (f"{boundary}2", Verdict.NOT_ALLOWED)):
            assert evaluate(documents, "iam:CreateRole", role, {"iam:PermissionsBoundary": given}) is verdict


@pytest.mark.parametrize("datadog", [None, {"integration": "existing"}, DATADOG | {"integration": "existing"}])
def test_without_a_metric_stream_the_deployer_may_nothing_of_it(datadog: Any) -> None:
    documents = principals.deployer(names("prod", datadog=datadog) if datadog else names("prod"))
    for action, resource in [
        ("cloudwatch:PutMetricStream", STREAM),
        ("firehose:CreateDeliveryStream", DELIVERED.format("datadog-prod-1a2b3c4")),
        ("iam:CreateRole", role_arn("firehose-prod-1a2b3c4")),
        ("secretsmanager:DescribeSecret", SECRET),
    ]:
        assert evaluate(documents, action, resource) is Verdict.NOT_ALLOWED
