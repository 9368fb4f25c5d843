"""IAM and S3 policy documents as plain data: what may be done, on what, and why it is needed."""

from __future__ import annotations

from typing import Any

Policy = dict[str, Any]

METRIC_NAMESPACES = ["/aws/sagemaker/Endpoints", "AWS/SageMaker", "Triton"]
"""CloudWatch namespaces that the containers may write to: SageMaker's own, and `Triton` for metrics of a model's
own."""


def refuse_plain_http(bucket_arn: str) -> Policy:
    """A bucket policy: no request without TLS."""
    return _policy(
        {
            "Sid": "RefusePlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def sagemaker_trust(account_id: str) -> Policy:
    """Who may assume the execution role: SageMaker, and only on behalf of this account (against the confused
    deputy)."""
    return _policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
        }
    )


def read_models(bucket_arn: str, prefix: str) -> Policy:
    """Read the released artifacts below `prefix`, and nothing else of the bucket."""
    return _policy(
        {
            "Sid": "ReadReleasedArtifacts",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"{bucket_arn}/{prefix}*",
        },
        {
            "Sid": "ListReleasedArtifacts",  # without it a missing artifact looks like a forbidden one
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}*"}},
        },
    )


def pull_image(repository_arn: str) -> Policy:
    """Pull from the one repository. The token is not bound to a repository, so IAM takes only `*` for it."""
    return _policy(
        {
            "Sid": "PullImage",
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": repository_arn,
        },
        {"Sid": "LogInToEcr", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    )


def write_logs_and_metrics(partition: str, region: str, account_id: str, endpoint_names: list[str]) -> Policy:
    """Write the endpoints' own log groups and metrics; read the alarms that may roll a release back."""
    groups = [
        f"arn:{partition}:logs:{region}:{account_id}:log-group:/aws/sagemaker/Endpoints/{name}"
        for name in endpoint_names
    ]
    return _policy(
        {
            "Sid": "WriteOwnLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": [*groups, *(f"{group}:*" for group in groups)],
        },
        {
            "Sid": "WriteMetrics",  # the action takes no resource; the namespace is what narrows it
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACES}},
        },
        {
            "Sid": "ReadRollbackAlarms",
            "Effect": "Allow",
            "Action": "cloudwatch:DescribeAlarms",
            "Resource": f"arn:{partition}:cloudwatch:{region}:{account_id}:alarm:*",
        },
    )


def join_vpc(partition: str, region: str, account_id: str) -> Policy:
    """Put network interfaces of the containers into the VPC (SageMaker guide, "Give SageMaker AI Hosted Endpoints
    Access to Resources in Your Amazon VPC"). The Describe actions take no resource."""
    ec2 = f"arn:{partition}:ec2:{region}"
    return _policy(
        {
            "Sid": "DescribeVpc",
            "Effect": "Allow",
            "Action": [
                *("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"),
                *("ec2:DescribeSubnets", "ec2:DescribeVpcs"),
            ],
            "Resource": "*",
        },
        {
            "Sid": "UseNetworkInterfaces",
            "Effect": "Allow",
            "Action": [
                *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission"),
                *("ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"),
            ],
            # a shared subnet or security group belongs to another account
            "Resource": [f"{ec2}:{account_id}:network-interface/*", f"{ec2}:*:subnet/*", f"{ec2}:*:security-group/*"],
        },
    )


def decrypt_models(key_arn: str) -> Policy:
    """Decrypt artifacts in a bucket with a KMS key of its own."""
    return _policy({"Sid": "DecryptArtifacts", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": key_arn})


def _policy(*statements: dict[str, Any]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
