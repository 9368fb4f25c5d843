"""What the principals that work on a stack may do: on this stack, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra import names
from infra.names import ONLY_VARIANT, variant_resource
from infra.policies import execution
from infra.policies.document import Policy, Statement, allow, managed_policies

if TYPE_CHECKING:
    from infra.settings.stack import Settings

AUTOSCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
AUTOSCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
"""The service-linked role that scales variants (Application Auto Scaling guide, "Service-linked roles")."""

_CHANGE_ROLE = (
    *("CreateRole", "UpdateRole", "UpdateRoleDescription", "UpdateAssumeRolePolicy", "DeleteRole"),
    *("PutRolePolicy", "DeleteRolePolicy"),
)
"""The role's calls that the condition key `iam:PermissionsBoundary` narrows (Service Authorization Reference, IAM)."""


@dataclass(frozen=True)
class StackNames:
    """What a stack deploys, by the names that permissions are narrowed to; `?` and `*` in them as in IAM's patterns."""

    partition: str
    region: str
    account_id: str
    bucket: str
    bucket_is_known: bool
    """Whether the settings name the bucket."""
    repository: str
    endpoints: Mapping[str, Sequence[str]]
    """The names of the variants by that of their endpoint."""
    role_arns: Sequence[str]
    makes_role: bool
    """Whether the stack makes the execution role; otherwise it only passes it."""
    permissions_boundary: str | None = None
    image_arns: Sequence[str] = ()
    """ECR repositories that the image is mirrored from; none for a registry that is not ECR."""
    kms_key_arn: str | None = None
    volume_key_arns: Sequence[str] = ()
    notification_topic_arn: str | None = None
    adopts_endpoints: bool = False
    """Whether endpoints are adopted, whose models have names of any form."""

    @classmethod
    def of(
        cls, settings: Settings, stack: str, partition: str, account_id: str, also: Sequence[str] = ()
    ) -> StackNames:
        """
        Args:
            also: endpoints that the settings do not have any more, or not yet; `ENDPOINT.VARIANT` for one variant.
        """
        endpoints = {name: [*each.production_variants] for name, each in settings.endpoints.items()}
        for each in also:
            endpoint, _, variant = each.partition(".")
            endpoints[endpoint] = [*dict.fromkeys([*endpoints.get(endpoint, ()), variant or ONLY_VARIANT])]
        role = settings.role
        arn = f"arn:{partition}:iam::{account_id}:role/"
        named = [f"{arn}{role.name}", f"{arn}*/{role.name}"]  # an adopted role may have a path, and names are unique
        made = named if role.name else [f"{arn}{names.execution_role(stack)}{names.AUTONAMED}"]
        return cls(
            partition=partition,
            region=settings.region,
            account_id=account_id,
            bucket=settings.bucket.name or names.bucket(stack) + names.AUTONAMED,
            bucket_is_known=settings.bucket.name is not None,
            repository=settings.image.repository or names.repository(stack, settings.production),
            endpoints=endpoints,
            role_arns=[role.arn] if role.arn else made,
            makes_role=role.arn is None,
            permissions_boundary=role.permissions_boundary,
            image_arns=[
                f"arn:{partition}:ecr:{image.ecr.region}:{image.ecr.account}:repository/{image.repository}"
                for image in settings.image_sources
                if image.ecr
            ],
            kms_key_arn=settings.bucket.kms_key_arn,
            volume_key_arns=settings.volume_key_arns,
            notification_topic_arn=settings.notification_topic_arn,
            adopts_endpoints=bool(settings.adopt.endpoints),
        )

    def arn(self, service: str, resource: str) -> str:
        """The ARN of something in the stack's account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def endpoint_arns(self) -> list[str]:
        return self._sagemaker("endpoint", self.endpoints)

    @property
    def configuration_arns(self) -> list[str]:
        return self._sagemaker("endpoint-config", [each + names.AUTONAMED for each in self.endpoints])

    @property
    def model_arns(self) -> list[str]:
        resources = (variant_resource(name, each) for name, variants in self.endpoints.items() for each in variants)
        return self._sagemaker("model", [each + names.AUTONAMED for each in resources])

    @property
    def alarm_arns(self) -> list[str]:
        """Those on whole endpoints, those on the fleet of one configuration, and those that Application Auto Scaling
        makes in the caller's name."""
        return [self.arn("cloudwatch", f"alarm:{alarm}") for alarm in self._alarms()]

    @property
    def stop_alarm_arns(self) -> list[str]:
        return [self.arn("cloudwatch", f"alarm:{names.stop_alarm(each + names.AUTONAMED)}") for each in self.endpoints]

    @property
    def log_group_arns(self) -> list[str]:
        """They end in `:*` (CloudWatch Logs guide, "CloudWatch Logs resources and operations")."""
        return [self.arn("logs", f"log-group:{names.log_group(each)}:*") for each in self.endpoints]

    def _sagemaker(self, kind: str, resources: Sequence[str] | Mapping[str, object]) -> list[str]:
        """SageMaker writes names in ARNs in lower case and checks some calls by the name as it was given; IAM compares
        case-sensitively."""
        forms = (form for each in resources for form in dict.fromkeys([each, each.lower()]))
        return [self.arn("sagemaker", f"{kind}/{form}") for form in forms]

    def _alarms(self) -> Iterator[str]:
        for endpoint, variants in self.endpoints.items():
            # by whole names: endpoint iris with `iris-*` would reach the alarms of endpoint iris-eu
            for variant in variants:
                yield from (names.alarm(variant_resource(endpoint, variant), each) for each in names.ALARM_PURPOSES)
            configuration = endpoint + names.AUTONAMED  # `*` before a purpose is a variant, or the purpose's beginning
            yield from (names.alarm(configuration, f"*{each}") for each in (names.ERROR_RATE, names.P99_MODEL_LATENCY))
            yield names.stop_alarm(configuration)
            yield f"TargetTracking-endpoint/{endpoint}/*"


def deployer(stack: StackNames) -> list[Policy]:
    """What runs `pulumi up`, `refresh` and `destroy` needs. The `aws` provider reads more of a bucket, a repository and
    a role than the stack sets. Everybody may ask who they are (STS, GetCallerIdentity)."""
    return managed_policies([*_storage(stack), *_role(stack), *_serving(stack)])


def release_operator(stack: StackNames) -> list[Policy]:
    """What runs `python -m infra release` needs: to read, and to force the alarms that stop a release.

    DescribeModel shows the environment of a container, secrets among it. It is granted only where nothing else says
    which bucket has the history of releases.
    """
    find_history = {"StringLike": {"s3:prefix": f"{names.HISTORY}*"}}
    statements = [
        # tags say whose an endpoint is that the stack file does not vouch for
        allow("Endpoints", "sagemaker", ["DescribeEndpoint", "ListTags"], stack.endpoint_arns),
        allow("ReadAlarms", "cloudwatch", ["DescribeAlarms"], "*"),  # a narrower scope hides composite alarms
        allow("ReadMetrics", "cloudwatch", ["GetMetricData", "GetMetricStatistics"], "*"),  # accept no resource
        allow("Stop", "cloudwatch", ["SetAlarmState"], stack.stop_alarm_arns),
        allow("FindHistory", "s3", ["ListBucket"], stack.bucket_arn, find_history),
        allow("ReadHistory", "s3", ["GetObject"], f"{stack.bucket_arn}/{names.HISTORY}*"),
    ]
    if not stack.bucket_is_known:
        statements += [
            # of any name: somebody else may have updated the endpoint
            allow("Configurations", "sagemaker", ["DescribeEndpointConfig"], _any_configuration(stack)),
            allow("Models", "sagemaker", ["DescribeModel"], stack.model_arns),
        ]
    if stack.kms_key_arn:
        statements.append(allow("HistoryKey", "kms", ["Decrypt"], stack.kms_key_arn, _via_s3(stack)))
    return managed_policies(statements)


def uploader(stack: StackNames) -> list[Policy]:
    """What uploads artifacts needs; what `models/` holds is out of its reach."""
    statements = [allow("Upload", "s3", ["PutObject"], f"{stack.bucket_arn}/{names.UPLOADED}*")]
    if stack.kms_key_arn:  # the parts of a multipart upload are decrypted (S3 guide, Multipart upload and permissions)
        statements.append(
            allow("ArtifactKey", "kms", ["Decrypt", "GenerateDataKey"], stack.kms_key_arn, _via_s3(stack))
        )
    return managed_policies(statements)


def _storage(stack: StackNames) -> Iterator[Statement]:
    """Bucket, artifacts and image."""
    bucket = stack.bucket_arn
    yield allow(
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
    )
    read = ["GetObject", "GetObjectVersion", "GetObjectTagging", "GetObjectVersionTagging"]
    yield allow("ReadObjects", "s3", read, f"{bucket}/*")
    release = ["PutObject", "PutObjectTagging", "AbortMultipartUpload"]
    yield allow("ReleaseArtifacts", "s3", release, f"{bucket}/{names.RELEASED}*")
    records = [f"{bucket}/{prefix}*" for prefix in (names.HISTORY, names.AUTOSCALING)]
    yield allow("WriteRecords", "s3", ["PutObject"], records)
    # the record of autoscaling that is on again, and released artifacts that nothing needs
    removed = [f"{bucket}/{prefix}*" for prefix in (names.AUTOSCALING, names.RELEASED)]
    yield allow("Removed", "s3", ["DeleteObject"], removed)
    if stack.kms_key_arn:
        yield allow("ArtifactKey", "kms", ["Decrypt", "GenerateDataKey"], stack.kms_key_arn, _via_s3(stack))
    yield allow(
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
        stack.arn("ecr", f"repository/{stack.repository}"),
    )
    if stack.image_arns:
        yield allow("MirroredImage", "ecr", ["BatchGetImage", "GetDownloadUrlForLayer"], stack.image_arns)


def _role(stack: StackNames) -> Iterator[Statement]:
    """The execution role: made, changed and passed, or only passed."""
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    yield allow("PassRole", "iam", ["PassRole"], stack.role_arns, to_sagemaker)
    if not stack.makes_role:
        return
    read = [
        *("GetRole", "GetRolePolicy", "ListRolePolicies", "ListAttachedRolePolicies", "ListInstanceProfilesForRole"),
        *("TagRole", "UntagRole"),
    ]
    yield allow("ReadAndTagRole", "iam", read, stack.role_arns)
    if boundary := stack.permissions_boundary:
        # never DeleteRolePermissionsBoundary, which would open what the boundary closes
        bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
        yield allow("BoundedRole", "iam", [*_CHANGE_ROLE, "PutRolePermissionsBoundary"], stack.role_arns, bounded)
    else:
        yield allow("Role", "iam", _CHANGE_ROLE, stack.role_arns)


def _serving(stack: StackNames) -> Iterator[Statement]:
    """Models, configurations, endpoints, autoscaling, alarms, and the topic that hears of releases."""
    tags = ("AddTags", "DeleteTags", "ListTags")
    # CreateEndpoint and UpdateEndpoint are checked for the configuration too (Service Authorization Reference)
    deploy = ("CreateEndpoint", "UpdateEndpoint")
    describe = ("DescribeEndpoint", "DeleteEndpoint", "UpdateEndpointWeightsAndCapacities")
    yield allow("Endpoints", "sagemaker", [*deploy, *describe, *tags], stack.endpoint_arns)
    configure = ("CreateEndpointConfig", "DeleteEndpointConfig")
    yield allow("Configurations", "sagemaker", [*deploy, *configure, *tags], stack.configuration_arns)
    # of any name: somebody else may have updated the endpoint
    yield allow("ReadConfigurations", "sagemaker", ["DescribeEndpointConfig"], _any_configuration(stack))
    yield allow("Models", "sagemaker", ["CreateModel", "DescribeModel", "DeleteModel", *tags], stack.model_arns)
    yield allow("FindModels", "sagemaker", ["ListModels"], "*")  # accepts no resource
    if stack.adopts_endpoints:
        yield allow("Adopted", "sagemaker", ["DescribeModel"], stack.arn("sagemaker", "model/*"))
    if stack.volume_key_arns:  # SageMaker guide, "API Permissions Reference": CreateEndpoint of an encrypted volume
        grants = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        yield allow("GrantVolumeKeys", "kms", ["CreateGrant"], stack.volume_key_arns, grants)
        yield allow("DescribeVolumeKeys", "kms", ["DescribeKey"], stack.volume_key_arns)
    yield allow("ContainersLog", "logs", ["DescribeLogStreams", "FilterLogEvents"], stack.log_group_arns)
    alarm = ["PutMetricAlarm", "DeleteAlarms", "ListTagsForResource", "TagResource", "UntagResource"]
    yield allow("Alarms", "cloudwatch", alarm, stack.alarm_arns)
    # a narrower scope hides composite alarms
    yield allow("ReadAlarms", "cloudwatch", ["DescribeAlarms", "DescribeAlarmHistory"], "*")
    yield allow("ReadMetrics", "cloudwatch", ["GetMetricStatistics"], "*")  # accepts no resource
    yield from _autoscaling(stack)
    if stack.notification_topic_arn:
        yield allow("Notifications", "sns", ["Publish"], stack.notification_topic_arn)


def _autoscaling(stack: StackNames) -> Iterator[Statement]:
    """The IDs of scalable targets name no endpoint: all those of SageMaker in the account and region are covered."""
    service, targets = "application-autoscaling", stack.arn("application-autoscaling", "scalable-target/*")
    # IfExists: the API always has the key (Service Authorization Reference), and simulators of policies may not
    of_sagemaker = {"StringEqualsIfExists": {"application-autoscaling:service-namespace": "sagemaker"}}
    scale = [
        *("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy", "DeleteScalingPolicy"),
        "PutScheduledAction",
    ]
    yield allow("Autoscaling", service, scale, targets, of_sagemaker)
    yield allow("TagTargets", service, ["ListTagsForResource", "TagResource", "UntagResource"], targets)
    read = ["DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScheduledActions"]
    yield allow("ReadAutoscaling", service, read, "*")  # accept no resource
    path = f"aws-service-role/{AUTOSCALING_SERVICE}/{AUTOSCALING_ROLE}"
    role = f"arn:{stack.partition}:iam::{stack.account_id}:role/{path}"
    for_it = {"StringLike": {"iam:AWSServiceName": AUTOSCALING_SERVICE}}
    yield allow("CreateAutoscalingRole", "iam", ["CreateServiceLinkedRole"], role, for_it)
    # an update of a scalable target names the role; nothing but the service can assume it (ACK guide, SageMaker)
    yield allow("PassAutoscalingRole", "iam", ["PassRole"], role)


def _any_configuration(stack: StackNames) -> str:
    return stack.arn("sagemaker", "endpoint-config/*")


def _via_s3(stack: StackNames) -> dict[str, dict[str, str]]:
    return {"StringLike": {"kms:ViaService": f"s3.{stack.region}.*"}}


def execution_role(settings: Settings, stack: StackNames) -> list[Policy]:
    """What the serving containers need: the policies of a role that is made outside the stack (`role.arn`), and the
    least that a permissions boundary must leave."""
    repository = stack.arn("ecr", f"repository/{stack.repository}")
    documents = execution.documents(settings, stack.partition, stack.account_id, stack.bucket_arn, repository)
    return managed_policies(statement for document in documents.values() for statement in document["Statement"])
