"""The documents of bucket and execution role: what the serving containers may do, on what, and why they need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from infra import names
from infra.aws import metrics
from infra.policies.document import Policy, allow, policy, size

if TYPE_CHECKING:
    from infra.settings.stack import Settings

METRIC_NAMESPACES = [names.LOG_GROUPS, metrics.INVOCATIONS.namespace, "Triton"]
"""CloudWatch namespaces that the containers may write to: SageMaker's own, and `Triton` for metrics of a model's
own."""


def protect_bucket(bucket_arn: str, released: str) -> Policy:
    """The bucket's policy: no request without TLS, and no released artifact is overwritten.

    The second statement follows S3's guide, "Enforce conditional writes on Amazon S3 buckets": it denies what creates
    an object without If-None-Match, and spares the operations of a multipart upload that accept no such header. A copy
    under it has to be a multipart upload, because not every page of that guide lets CopyObject carry the header.

    Args:
        released: the prefix of the released artifacts.
    """
    return policy(
        {
            "Sid": "RefusePlainHttp",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
        {
            "Sid": "WriteReleasedArtifactsOnce",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"{bucket_arn}/{released}*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        },
    )


def trust(partition: str, region: str, account_id: str) -> Policy:
    """Who may assume the execution role: SageMaker, and only on behalf of resources of this account and region
    (SageMaker guide, "Cross-service confused deputy prevention")."""
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account_id},
                "ArnLike": {"aws:SourceArn": f"arn:{partition}:sagemaker:{region}:{account_id}:*"},
            },
        }
    )


def read_models(bucket_arn: str, prefix: str) -> Policy:
    """Read the released artifacts below `prefix`, and nothing else of the bucket."""
    return policy(
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
    return policy(
        {
            "Sid": "PullImage",
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": repository_arn,
        },
        {"Sid": "LogInToEcr", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    )


MAX_LOG_GROUPS = 2_500
"""Characters that the log groups' ARNs may have in the role's inline policies, which have 10,240 together (IAM quotas).
The rest is for the other documents, and a release that changes one has two of it for a while."""


def fit_in_role(endpoint_names: Sequence[str], region: str) -> bool:
    """Whether the role's policies have room for the names of so many log groups: about 25."""
    return size(_log_groups("aws-us-gov", region, "0" * 12, endpoint_names)) <= MAX_LOG_GROUPS


def write_logs_and_metrics(partition: str, region: str, account_id: str, endpoint_names: Sequence[str]) -> Policy:
    """Write the endpoints' own log groups and metrics; read the alarms that may roll a release back.

    Where the endpoints are too many for that (`fit_in_role`), the log groups are those of every endpoint of the account
    in the region.
    """
    if not fit_in_role(endpoint_names, region):
        endpoint_names = ["*"]
    return policy(
        {
            "Sid": "WriteOwnLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": _log_groups(partition, region, account_id, endpoint_names),
        },
        {
            "Sid": "WriteMetrics",  # the action accepts no resource; the namespace is what narrows it
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACES}},
        },
        {
            "Sid": "ReadRollbackAlarms",  # a narrower scope hides composite alarms (API DescribeAlarms)
            "Effect": "Allow",
            "Action": "cloudwatch:DescribeAlarms",
            "Resource": "*",
        },
    )


def _log_groups(partition: str, region: str, account_id: str, endpoint_names: Sequence[str]) -> list[str]:
    """The ARNs of the endpoints' log groups with `:*`, as "in IAM policies for all other API actions" than tagging
    (CloudWatch Logs API LogGroup)."""
    arn = f"arn:{partition}:logs:{region}:{account_id}:log-group:"
    return [f"{arn}{names.log_group(each)}:*" for each in endpoint_names]


def join_vpc(
    partition: str, region: str, account_id: str, subnet_ids: Sequence[str], security_group_ids: Sequence[str]
) -> Policy:
    """Put network interfaces of the containers into the VPC's subnets (SageMaker guide, "Give SageMaker AI Hosted
    Endpoints Access to Resources in Your Amazon VPC"). The Describe actions accept no resource. A shared subnet or
    security group belongs to another account."""
    ec2 = f"arn:{partition}:ec2:{region}"
    interfaces = f"{ec2}:{account_id}:network-interface/*"
    subnets = [f"{ec2}:*:subnet/{each}" for each in subnet_ids]
    groups = [f"{ec2}:*:security-group/{each}" for each in security_group_ids]
    of_interfaces = ["CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission"]
    return policy(
        allow(
            "DescribeVpc",
            "ec2",
            [
                *("DescribeDhcpOptions", "DescribeNetworkInterfaces", "DescribeSecurityGroups"),
                *("DescribeSubnets", "DescribeVpcs"),
            ],
            "*",
        ),
        allow("CreateNetworkInterfaces", "ec2", ["CreateNetworkInterface"], [interfaces, *subnets, *groups]),
        allow("UseNetworkInterfaces", "ec2", of_interfaces, interfaces, {"ArnEquals": {"ec2:Subnet": subnets}}),
    )


def decrypt_models(key_arn: str) -> Policy:
    """Decrypt artifacts in a bucket with a KMS key of its own, through S3 alone."""
    region = key_arn.split(":")[3]
    via_s3 = {"StringLike": {"kms:ViaService": f"s3.{region}.*"}}
    return policy(allow("DecryptArtifacts", "kms", ["Decrypt"], key_arn, via_s3))


def encrypt_volumes(key_arns: Sequence[str]) -> Policy:
    """Let SageMaker use the keys of the instances' volumes, by grants for AWS's own services alone (SageMaker API
    CreateEndpointConfig, `KmsKeyId`: the key's users include the role)."""
    grants = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return policy(
        allow("GrantVolumeKeys", "kms", ["CreateGrant"], key_arns, grants),
        allow("DescribeVolumeKeys", "kms", ["DescribeKey"], key_arns),
    )


def documents(
    settings: Settings, partition: str, account_id: str, bucket_arn: str, repository_arn: str
) -> Mapping[str, Policy]:
    """The inline policies of the execution role by their purpose."""
    where = (partition, settings.region, account_id)
    made = {
        "models": read_models(bucket_arn, names.RELEASED),
        "image": pull_image(repository_arn),
        "logs-and-metrics": write_logs_and_metrics(*where, list(settings.endpoints)),
    }
    if vpc := settings.vpc:
        made["vpc"] = join_vpc(*where, vpc.subnet_ids, vpc.security_group_ids)
    if key := settings.bucket.kms_key_arn:
        made["kms"] = decrypt_models(key)
    if keys := settings.volume_key_arns:
        made["volumes"] = encrypt_volumes(keys)
    if statements := settings.role.statements:
        made["statements"] = policy(*(each.document for each in statements))
    return made


def purposes(settings: Settings) -> list[str]:
    """The purposes of the execution role's inline policies."""
    return [*documents(settings, *[""] * 4)]
