"""The policy documents, word for word: what is not here is not granted."""

from __future__ import annotations

from typing import Any

from infra import policies
from infra.mirror import expire_untagged

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


def test_only_untagged_images_expire() -> None:
    policy: Any = expire_untagged(14)
    (rule,) = policy["rules"]
    assert rule["selection"] == {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 14,
    }
