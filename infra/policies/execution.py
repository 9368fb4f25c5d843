"""The policies of the bucket and of the execution role: what the serving containers may do, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from infra import names
from infra.aws import metrics
from infra.aws.s3_location import S3Location
from infra.policies.document import Policy, allow, policy, size

if TYPE_CHECKING:
    from infra.settings.asynchronous import AsynchronousSettings
    from infra.settings.sections import StackSections

METRIC_NAMESPACES = [names.LOG_GROUPS, names.TRANSFORM_JOBS, metrics.INVOCATIONS.namespace, "Triton"]
"""CloudWatch namespaces that the containers may write to: SageMaker's three, and `Triton` for metrics of a model."""

MAX_LOG_GROUPS = 2_500
"""Characters of the log groups' ARNs in the role's inline policies, which have 10,240 together (IAM quotas). The other
documents need the rest, and a release that changes a document keeps both versions of it for a while."""


def protect_bucket(bucket_arn: str) -> Policy:
    """The bucket's policy: it denies requests without TLS, and overwriting a released artifact.

    The second statement follows S3's guide, "Enforce conditional writes on Amazon S3 buckets": it denies the operations
    that create an object without If-None-Match, except those of a multipart upload, which accept no such header. A copy
    to a released artifact must be a multipart upload, because not every page of that guide lets CopyObject send it.
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
            "Resource": f"{bucket_arn}/{names.RELEASED}*",
            "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
        },
    )


def trust(partition: str, region: str, account_id: str) -> Policy:
    """The execution role's trust policy: SageMaker, on behalf of resources of this account and region only (SageMaker
    guide, "Cross-service confused deputy prevention")."""
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


def read_models(bucket_arn: str) -> Policy:
    """Read the released artifacts. Without ListBucket a missing artifact looks like a forbidden one."""
    below = {"StringLike": {"s3:prefix": f"{names.RELEASED}*"}}
    return policy(
        allow("ReadReleasedArtifacts", "s3", "GetObject", f"{bucket_arn}/{names.RELEASED}*"),
        allow("ListReleasedArtifacts", "s3", "ListBucket", bucket_arn, below),
    )


def pull_image(repository_arns: str | Sequence[str]) -> Policy:
    """Pull from the stack's repository, or from those of the publisher. GetAuthorizationToken accepts no resource."""
    pull = "BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer"
    return policy(
        allow("PullImage", "ecr", pull, repository_arns), allow("LogInToEcr", "ecr", "GetAuthorizationToken", "*")
    )


def fit_in_role(endpoint_names: Sequence[str], region: str) -> bool:
    """Whether the role's policies have room for the log groups of these endpoints: of about 25."""
    return size(_log_groups("aws-us-gov", region, "0" * 12, map(names.log_group, endpoint_names))) <= MAX_LOG_GROUPS


def write_logs_and_metrics(partition: str, region: str, account_id: str, endpoint_names: Sequence[str]) -> Policy:
    """Write the log groups and metrics of the endpoints and of transform jobs; read the alarms that may roll a release
    back.

    If the log groups do not fit (`fit_in_role`), those of every endpoint of the account in the region are allowed.
    """
    own = map(names.log_group, endpoint_names if fit_in_role(endpoint_names, region) else ["*"])
    groups = _log_groups(partition, region, account_id, [*own, names.TRANSFORM_JOBS])
    in_namespaces = {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACES}}
    write = "CreateLogGroup CreateLogStream DescribeLogStreams PutLogEvents"
    return policy(
        allow("WriteOwnLogs", "logs", write, groups),
        allow("WriteMetrics", "cloudwatch", "PutMetricData", "*", in_namespaces),  # accepts no resource
        allow("ReadRollbackAlarms", "cloudwatch", "DescribeAlarms", "*"),  # hides composite alarms on a narrower scope
    )


def _log_groups(partition: str, region: str, account_id: str, groups: Iterable[str]) -> list[str]:
    """The ARNs of log groups, with `:*` as "in IAM policies for all other API actions" than tagging
    (CloudWatch Logs API LogGroup)."""
    prefix = f"arn:{partition}:logs:{region}:{account_id}:log-group:"
    return [f"{prefix}{group}:*" for group in groups]


def join_vpc(
    partition: str, region: str, account_id: str, subnet_ids: Sequence[str], security_group_ids: Sequence[str]
) -> Policy:
    """Attach the containers' network interfaces to the VPC's subnets (SageMaker guide, "Give SageMaker AI Hosted
    Endpoints Access to Resources in Your Amazon VPC"). Another account may share a subnet or security group."""
    ec2 = f"arn:{partition}:ec2:{region}"
    interfaces = f"{ec2}:{account_id}:network-interface/*"
    subnets = [f"{ec2}:*:subnet/{subnet}" for subnet in subnet_ids]
    groups = [f"{ec2}:*:security-group/{group}" for group in security_group_ids]
    describe = "DescribeDhcpOptions DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets DescribeVpcs"
    use = "CreateNetworkInterfacePermission DeleteNetworkInterface DeleteNetworkInterfacePermission"
    return policy(
        allow("DescribeVpc", "ec2", describe, "*"),  # accept no resource
        allow("CreateNetworkInterfaces", "ec2", "CreateNetworkInterface", [interfaces, *subnets, *groups]),
        allow("UseNetworkInterfaces", "ec2", use, interfaces, {"ArnEquals": {"ec2:Subnet": subnets}}),
    )


def transfer(kind: str, inputs: Sequence[str], outputs: Sequence[str]) -> Policy:
    """Read requests and write answers (SageMaker guide, Asynchronous inference, Prerequisites; SageMaker roles,
    CreateTransformJob). The buckets may be listed without a prefix, because that guide shows no condition.

    Args:
        kind: begins the ids of the statements.
        inputs: the ARNs of the objects to read, with wildcards.
        outputs: the ARNs of the objects to write, with wildcards.
    """
    buckets = sorted({arn.partition("/")[0] for arn in (*inputs, *outputs)})
    return policy(
        allow(f"{kind}Inputs", "s3", "GetObject", inputs),
        allow(f"{kind}Outputs", "s3", "PutObject AbortMultipartUpload", outputs),
        allow(f"{kind}Buckets", "s3", "ListBucket", buckets),
    )


def objects(partition: str, locations: Iterable[str]) -> list[str]:
    """The ARNs of the objects below S3 URI prefixes, with wildcards."""
    return [S3Location.parse(location).directory.objects_arn(partition) for location in locations]


def answer_asynchronously(settings: StackSections, partition: str, account_id: str, bucket_arn: str) -> Policy:
    """Read requests to asynchronous endpoints, write their answers and failures, and send messages about them."""
    queues = settings.asynchronous
    inputs = [location for queue in queues.values() for location in queue.input_locations]
    given = [(queue.output_location, queue.failure_location) for queue in queues.values()]
    outputs = [location for locations in given for location in locations if location]
    defaults = [f"{bucket_arn}/{names.async_output('*')}*", f"{bucket_arn}/{names.async_failure('*')}*"]
    document = transfer(
        "Async",
        [f"{bucket_arn}/{names.async_input('*')}*", *objects(partition, inputs)],
        [*defaults, *objects(partition, outputs)],
    )
    prefix = f"arn:{partition}:sns:{settings.region}:{account_id}:"
    if topics := [topic for name, queue in queues.items() for topic in topic_arns(name, queue, prefix)]:
        document["Statement"].append(allow("AsyncTopics", "sns", "Publish", topics))
    return document


def topic_arns(endpoint: str, settings: AsynchronousSettings, prefix: str) -> list[str]:
    """The topics of an asynchronous endpoint: the given ones, and patterns of those that the stack creates.

    Args:
        prefix: of the ARNs of the stack's own topics.
    """
    created = {
        names.success_topic(endpoint): settings.success_topic_arn,
        names.error_topic(endpoint): settings.error_topic_arn,
    }
    own = [f"{prefix}{name}{names.AUTONAMED}" for name, given in created.items() if settings.notify and not given]
    return [*own, *(given for given in created.values() if given)]


def transform(settings: StackSections, partition: str, bucket_arn: str) -> Policy:
    """Read the records of transform jobs and write their answers. `python -m infra batch` starts jobs with the Model of
    any endpoint."""
    jobs = settings.batch.values()
    own = f"{bucket_arn}/{names.BATCH}*"
    inputs = objects(partition, (location for job in jobs for location in job.input_locations))
    outputs = objects(partition, (location for job in jobs for location in job.output_locations))
    return transfer("Batch", [own, *inputs], [own, *outputs])


def encrypt_answers(key_arns: Sequence[str], region: str) -> Policy:
    """Encrypt answers with the keys of asynchronous endpoints, transform jobs and the bucket, through S3 alone. A
    multipart upload decrypts its parts too (S3 guide, Multipart upload and permissions)."""
    return policy(allow("EncryptAnswers", "kms", "Decrypt GenerateDataKey", key_arns, via_s3(region)))


def decrypt_models(key_arn: str) -> Policy:
    """Decrypt artifacts in a bucket with its own KMS key, through S3 alone."""
    region = key_arn.split(":")[3]
    return policy(allow("DecryptArtifacts", "kms", "Decrypt", key_arn, via_s3(region)))


def encrypt_volumes(key_arns: Sequence[str]) -> Policy:
    """Let SageMaker use the keys of the instances' volumes, through grants to AWS services alone (SageMaker API
    CreateEndpointConfig, `KmsKeyId`: the key's users include the role)."""
    for_aws = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return policy(
        allow("GrantVolumeKeys", "kms", "CreateGrant", key_arns, for_aws),
        allow("DescribeVolumeKeys", "kms", "DescribeKey", key_arns),
    )


def via_s3(region: str) -> dict[str, dict[str, str]]:
    """The condition that a KMS key is used through S3."""
    return {"StringLike": {"kms:ViaService": f"s3.{region}.*"}}


OF_ENDPOINTS = ("logs-and-metrics", "batch", "asynchronous", "answers")
"""The purposes of the documents that may change with the endpoints. An update keeps the previous version of a changed
document until the endpoints are released."""


def documents(
    settings: StackSections, partition: str, account_id: str, bucket_arn: str, repository_arns: str | Sequence[str]
) -> Mapping[str, Policy]:
    """The inline policies of the execution role by their purpose."""
    region = settings.region
    by_purpose = {
        "models": read_models(bucket_arn),
        "image": pull_image(repository_arns),
        "logs-and-metrics": write_logs_and_metrics(partition, region, account_id, settings.served_endpoints),
        "batch": transform(settings, partition, bucket_arn),
    }
    if settings.asynchronous:
        by_purpose["asynchronous"] = answer_asynchronously(settings, partition, account_id, bucket_arn)
    if keys := settings.answer_key_arns:
        by_purpose["answers"] = encrypt_answers(keys, region)
    if vpc := settings.vpc:
        by_purpose["vpc"] = join_vpc(partition, region, account_id, vpc.subnet_ids, vpc.security_group_ids)
    if key := settings.bucket.kms_key_arn:
        by_purpose["kms"] = decrypt_models(key)
    if keys := settings.volume_key_arns:
        by_purpose["volumes"] = encrypt_volumes(keys)
    if statements := settings.role.statements:
        by_purpose["statements"] = policy(*(statement.document for statement in statements))
    return by_purpose


def purposes(settings: StackSections) -> list[str]:
    """The purposes of the execution role's inline policies."""
    return [*documents(settings, "", "", "", "")]
