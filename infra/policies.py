"""IAM and S3 policy documents as plain data: what may be done, on what, and why it is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra import prefixes
from infra.release.alarms import stop_alarm_name

Policy = dict[str, Any]

MAX_MANAGED_POLICY = 6144
"""Characters of a managed policy without white space (IAM quotas)."""

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
        f"arn:{partition}:logs:{region}:{account_id}:log-group:/aws/sagemaker/Endpoints/{name}:*"
        for name in endpoint_names
    ]
    return _policy(
        {
            "Sid": "WriteOwnLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            # with `:*`, as "in IAM policies for all other API actions" than tagging (CloudWatch Logs API LogGroup)
            "Resource": groups,
        },
        {
            "Sid": "WriteMetrics",  # the action takes no resource; the namespace is what narrows it
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


@dataclass(frozen=True)
class Deployed:
    """What a stack deploys, by the names that its permissions are narrowed to."""

    partition: str
    region: str
    account_id: str
    bucket: str
    """The bucket's name, or a pattern of it: `models-*` where Pulumi chooses the name."""
    repository: str
    role: str
    """The execution role's name, or a pattern of it."""
    endpoint_names: Sequence[str]
    image_arns: Sequence[str] = ()
    """ECR repositories that the image is mirrored from; none for a registry that is not ECR."""
    kms_key_arn: str | None = None
    notification_topic_arn: str | None = None
    adopts_endpoints: bool = False
    """Whether endpoints are taken over, whose models have names of any kind."""

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def of_endpoints(self, service: str, resource: str) -> list[str]:
        """An ARN for each endpoint; `{}` in `resource` is its name."""
        return [self.arn(service, resource.format(name)) for name in self.endpoint_names]


def deployer(deployed: Deployed) -> list[Policy]:
    """What the principal that runs `pulumi up`, `refresh` and `destroy` may do, in documents that managed policies have
    room for. The `aws` provider reads more of a bucket, a repository and a role than the stack sets. Who it is, anybody
    may ask (STS, GetCallerIdentity)."""
    return _managed_policies([*_deploy_storage(deployed), *_deploy_serving(deployed)])


def release_operator(deployed: Deployed) -> Policy:
    """What the principal that runs `python -m infra release` may do: read, and force the alarms that stop a release."""
    bucket = f"arn:{deployed.partition}:s3:::{deployed.bucket}"
    statements = [
        _allow(
            "Endpoints",
            "sagemaker",
            ["DescribeEndpoint", "ListTags"],  # tags say whose an endpoint is that the stack file does not vouch for
            deployed.of_endpoints("sagemaker", "endpoint/{}"),
        ),
        # which bucket the live model was loaded from, whoever made the configuration
        _allow(
            "Configurations", "sagemaker", ["DescribeEndpointConfig"], deployed.arn("sagemaker", "endpoint-config/*")
        ),
        _allow("Models", "sagemaker", ["DescribeModel"], deployed.of_endpoints("sagemaker", "model/{}-*")),
        _allow("ReadAlarms", "cloudwatch", ["DescribeAlarms"], "*"),  # a narrower scope hides composite alarms
        _allow("ReadMetrics", "cloudwatch", ["GetMetricData", "GetMetricStatistics"], "*"),  # take no resource
        _allow(
            "Stop",
            "cloudwatch",
            ["SetAlarmState"],
            deployed.of_endpoints("cloudwatch", f"alarm:{stop_alarm_name('{}-*')}"),
        ),
        _allow("FindHistory", "s3", ["ListBucket"], bucket),
        _allow("ReadHistory", "s3", ["GetObject"], f"{bucket}/{prefixes.HISTORY}*"),
    ]
    if deployed.kms_key_arn:
        statements.append(_allow("HistoryKey", "kms", ["Decrypt"], deployed.kms_key_arn))
    return _policy(*statements)


def _deploy_storage(deployed: Deployed) -> list[dict[str, Any]]:
    """Bucket, artifacts, image and role."""
    bucket = f"arn:{deployed.partition}:s3:::{deployed.bucket}"
    role = f"arn:{deployed.partition}:iam::{deployed.account_id}:role/{deployed.role}"
    statements = [
        _allow(
            "Bucket",  # never deleted: the stack retains it
            "s3",
            [
                *("CreateBucket", "ListBucket", "ListBucketVersions", "GetBucket*", "PutBucketPolicy"),
                *("PutBucketTagging", "PutBucketVersioning", "PutBucketPublicAccessBlock"),
                *("GetAccelerateConfiguration", "GetEncryptionConfiguration", "PutEncryptionConfiguration"),
                *("GetLifecycleConfiguration", "PutLifecycleConfiguration", "GetReplicationConfiguration"),
                *("ListTagsForResource", "TagResource", "UntagResource"),
            ],
            bucket,
        ),
        _allow(
            "Artifacts",
            "s3",
            [
                *("GetObject", "GetObjectVersion", "GetObjectTagging", "GetObjectVersionTagging"),
                *("PutObject", "PutObjectTagging", "AbortMultipartUpload"),
            ],
            f"{bucket}/*",
        ),
        _allow(
            "Removed",  # the record of autoscaling that is on again, and released artifacts that nothing needs
            "s3",
            ["DeleteObject"],
            [f"{bucket}/{prefixes.AUTOSCALING}*", f"{bucket}/{prefixes.RELEASED}*"],
        ),
        _allow(
            "Repository",
            "ecr",
            [
                *("CreateRepository", "DescribeRepositories", "DeleteRepository"),
                *("PutImageTagMutability", "PutImageScanningConfiguration"),
                *("GetLifecyclePolicy", "PutLifecyclePolicy", "DeleteLifecyclePolicy"),
                *("ListTagsForResource", "TagResource", "UntagResource"),
                *("BatchCheckLayerAvailability", "BatchGetImage", "InitiateLayerUpload", "UploadLayerPart"),
                *("CompleteLayerUpload", "PutImage"),
            ],
            deployed.arn("ecr", f"repository/{deployed.repository}"),
        ),
        _allow(
            "Role",
            "iam",
            [
                *("CreateRole", "GetRole", "UpdateRole", "UpdateRoleDescription", "UpdateAssumeRolePolicy"),
                *("DeleteRole", "TagRole", "UntagRole", "ListRolePolicies", "ListAttachedRolePolicies"),
                *("ListInstanceProfilesForRole", "GetRolePolicy", "PutRolePolicy", "DeleteRolePolicy"),
            ],
            role,
        ),
        {
            **_allow("PassRole", "iam", ["PassRole"], role),
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
    ]
    if deployed.image_arns:
        pull = ["BatchGetImage", "GetDownloadUrlForLayer"]
        statements.append(_allow("MirroredImage", "ecr", pull, list(deployed.image_arns)))
    if deployed.kms_key_arn:
        statements.append(_allow("ArtifactKey", "kms", ["Decrypt", "GenerateDataKey"], deployed.kms_key_arn))
    return statements


def _deploy_serving(deployed: Deployed) -> list[dict[str, Any]]:
    """Models, endpoints, their autoscaling, their alarms, and who is told of their releases."""
    endpoints = deployed.of_endpoints("sagemaker", "endpoint/{}")
    configurations = deployed.of_endpoints("sagemaker", "endpoint-config/{}-*")
    models = deployed.of_endpoints("sagemaker", "model/{}-*")
    service = "sagemaker.application-autoscaling.amazonaws.com"
    statements = [
        _allow("Models", "sagemaker", ["CreateModel", "DescribeModel", "DeleteModel"], models),
        _allow("FindModels", "sagemaker", ["ListModels"], "*"),  # takes no resource
        _allow("Configurations", "sagemaker", ["CreateEndpointConfig", "DeleteEndpointConfig"], configurations),
        # of any name: somebody else may have updated the endpoint
        _allow(
            "ReadConfigurations",
            "sagemaker",
            ["DescribeEndpointConfig"],
            deployed.arn("sagemaker", "endpoint-config/*"),
        ),
        # CreateEndpoint and UpdateEndpoint are checked for the configuration too (Service Authorization Reference)
        _allow("Endpoints", "sagemaker", ["CreateEndpoint", "UpdateEndpoint"], [*endpoints, *configurations]),
        _allow(
            "EndpointsOnly",
            "sagemaker",
            ["DescribeEndpoint", "DeleteEndpoint", "UpdateEndpointWeightsAndCapacities"],
            endpoints,
        ),
        _allow("Tags", "sagemaker", ["AddTags", "DeleteTags", "ListTags"], [*endpoints, *configurations, *models]),
        _allow("ContainersLog", "logs", ["DescribeLogStreams", "FilterLogEvents"], _log_groups(deployed)),
        _allow(
            "Alarms",
            "cloudwatch",
            [
                *("PutMetricAlarm", "DeleteAlarms"),
                *("ListTagsForResource", "TagResource", "UntagResource"),
            ],
            [
                *deployed.of_endpoints("cloudwatch", "alarm:{}-*"),
                # those that Application Auto Scaling makes in the caller's name
                *deployed.of_endpoints("cloudwatch", "alarm:TargetTracking-endpoint/{}/*"),
            ],
        ),
        # a narrower scope hides composite alarms
        _allow("ReadAlarms", "cloudwatch", ["DescribeAlarms", "DescribeAlarmHistory"], "*"),
        _allow("ReadMetrics", "cloudwatch", ["GetMetricStatistics"], "*"),  # takes no resource
        _allow(
            "Autoscaling",
            "application-autoscaling",
            [
                *("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy", "DeleteScalingPolicy"),
                *("PutScheduledAction", "ListTagsForResource", "TagResource", "UntagResource"),
            ],
            deployed.arn("application-autoscaling", "scalable-target/*"),  # its IDs name no endpoint
        ),
        _allow(
            "ReadAutoscaling",
            "application-autoscaling",
            ["DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScheduledActions"],
            "*",  # take no resource
        ),
        {
            **_allow(
                "AutoscalingsRole",
                "iam",
                ["CreateServiceLinkedRole"],
                f"arn:{deployed.partition}:iam::{deployed.account_id}:role/aws-service-role/{service}/*",
            ),
            "Condition": {"StringLike": {"iam:AWSServiceName": service}},
        },
    ]
    if deployed.adopts_endpoints:
        statements.append(_allow("Adopted", "sagemaker", ["DescribeModel"], deployed.arn("sagemaker", "model/*")))
    if deployed.notification_topic_arn:
        statements.append(_allow("Notifications", "sns", ["Publish"], deployed.notification_topic_arn))
    return statements


def _log_groups(deployed: Deployed) -> list[str]:
    """The ARNs of these end in the log group's name and `:*`."""
    return deployed.of_endpoints("logs", "log-group:/aws/sagemaker/Endpoints/{}:*")


def _allow(sid: str, service: str, actions: Sequence[str], resource: str | list[str]) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{action}" for action in actions],
        "Resource": resource,
    }


def _managed_policies(statements: Sequence[dict[str, Any]]) -> list[Policy]:
    """The statements in as few documents as have room for them."""
    documents: list[list[dict[str, Any]]] = [[]]
    for statement in statements:
        if _size(_policy(*documents[-1], statement)) > MAX_MANAGED_POLICY and documents[-1]:
            documents.append([])
        documents[-1].append(statement)
    return [_policy(*each) for each in documents]


def _size(policy: Policy) -> int:
    """Its characters, of which IAM does not count white space."""
    return len("".join(json.dumps(policy).split()))


def _policy(*statements: dict[str, Any]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
