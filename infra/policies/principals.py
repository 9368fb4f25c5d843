"""The policies of the principals that work on a stack: they allow work on this stack and on nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra import names
from infra.policies import execution
from infra.policies.document import Policy, Statement, allow, managed_policies
from infra.policies.execution import via_s3

if TYPE_CHECKING:
    from infra.settings.stack import Settings

AUTOSCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
AUTOSCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
"""The service-linked role that scales variants (Application Auto Scaling guide, "Service-linked roles")."""


@dataclass(frozen=True)
class StackNames:
    """The names of a stack's resources, to which permissions are restricted; some with IAM's `?` and `*`.

    Attributes:
        bucket_is_known: whether the settings name the bucket.
        endpoints: the names of the variants by that of their endpoint.
        creates_role: whether the stack creates the execution role; otherwise it only passes it.
        image_arns: the ECR repositories that the image is mirrored from; empty for a registry other than ECR.
        adopts_endpoints: whether endpoints are adopted, whose models have names of any form.
    """

    partition: str
    region: str
    account_id: str
    bucket: str
    bucket_is_known: bool
    repository: str
    endpoints: Mapping[str, Sequence[str]]
    role_arns: Sequence[str]
    creates_role: bool
    permissions_boundary: str | None = None
    image_arns: Sequence[str] = ()
    kms_key_arn: str | None = None
    volume_key_arns: Sequence[str] = ()
    notification_topic_arn: str | None = None
    adopts_endpoints: bool = False

    @classmethod
    def of(
        cls, settings: Settings, stack: str, partition: str, account_id: str, also: Sequence[str] = ()
    ) -> StackNames:
        """
        Args:
            also: endpoints that the settings do not contain any more, or not yet; `ENDPOINT.VARIANT` for one variant.
        """
        endpoints = {name: [*endpoint.variants] for name, endpoint in settings.endpoints.items()}
        for endpoint, _, variant in (name.partition(".") for name in also):
            known = endpoints.setdefault(endpoint, [])
            known += {variant or names.ONLY_VARIANT} - {*known}
        role, arn = settings.role, f"arn:{partition}:iam::{account_id}:role/"
        # an adopted role may have a path, and names are unique in an account whatever the path
        named = [f"{arn}{role.name}", f"{arn}*/{role.name}"]
        created = named if role.name else [f"{arn}{names.execution_role(stack)}{names.AUTONAMED}"]
        return cls(
            partition=partition,
            region=settings.region,
            account_id=account_id,
            bucket=settings.bucket.name or names.bucket(stack) + names.AUTONAMED,
            bucket_is_known=settings.bucket.name is not None,
            repository=settings.image.repository or names.repository(stack, settings.production),
            endpoints=endpoints,
            role_arns=[role.arn] if role.arn else created,
            creates_role=role.arn is None,
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
        """The ARN of a resource in the stack's account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def endpoint_arns(self) -> list[str]:
        return self._sagemaker("endpoint", self.endpoints)

    @property
    def configuration_arns(self) -> list[str]:
        return self._sagemaker("endpoint-config", [name + names.AUTONAMED for name in self.endpoints])

    @property
    def model_arns(self) -> list[str]:
        return self._sagemaker("model", [resource + names.AUTONAMED for resource in self._variant_resources])

    @property
    def alarm_arns(self) -> list[str]:
        """The alarms on whole endpoints, those on the fleet of one configuration, and those that Application Auto
        Scaling creates in the caller's name."""
        # by full names: `iris-*` for endpoint iris would match the alarms of endpoint iris-eu
        alarms = [names.alarm(watched, end) for watched in self._variant_resources for end in names.ALARM_PURPOSES]
        for endpoint in self.endpoints:
            configuration = endpoint + names.AUTONAMED
            # `*` matches a variant, or the beginning of `server-error-rate`
            alarms += (names.alarm(configuration, f"*{end}") for end in (names.ERROR_RATE, names.P99_MODEL_LATENCY))
            alarms += [names.stop_alarm(configuration), f"TargetTracking-endpoint/{endpoint}/*"]
        return [self.arn("cloudwatch", f"alarm:{alarm}") for alarm in alarms]

    @property
    def stop_alarm_arns(self) -> list[str]:
        alarms = (names.stop_alarm(endpoint + names.AUTONAMED) for endpoint in self.endpoints)
        return [self.arn("cloudwatch", f"alarm:{alarm}") for alarm in alarms]

    @property
    def log_group_arns(self) -> list[str]:
        """They end in `:*` (CloudWatch Logs guide, "CloudWatch Logs resources and operations")."""
        return [self.arn("logs", f"log-group:{names.log_group(name)}:*") for name in self.endpoints]

    @property
    def _variant_resources(self) -> list[str]:
        return [names.variant_resource(name, each) for name, variants in self.endpoints.items() for each in variants]

    def _sagemaker(self, kind: str, resources: Iterable[str]) -> list[str]:
        """SageMaker writes names in ARNs in lower case and checks some calls by the name as given, and IAM compares
        case-sensitively: both forms."""
        forms = (form for resource in resources for form in dict.fromkeys([resource, resource.lower()]))
        return [self.arn("sagemaker", f"{kind}/{form}") for form in forms]


def deployer(stack: StackNames) -> list[Policy]:
    """For `pulumi up`, `refresh` and `destroy`. The `aws` provider reads more of a bucket, a repository and a role than
    the stack sets. GetCallerIdentity requires no permission (STS API)."""
    return managed_policies([*_storage(stack), *_role(stack), *_serving(stack), *_autoscaling(stack)])


def release_operator(stack: StackNames) -> list[Policy]:
    """For `python -m infra release`: to read, and to force the alarms that stop a release.

    DescribeModel shows the environment of a container, including secrets. It is granted only if nothing else names the
    bucket with the history of releases.
    """
    below = {"StringLike": {"s3:prefix": f"{names.HISTORY}*"}}
    statements = [
        # the tags name the owner of an endpoint that is not in the stack file
        allow("Endpoints", "sagemaker", "DescribeEndpoint ListTags", stack.endpoint_arns),
        allow("ReadAlarms", "cloudwatch", "DescribeAlarms", "*"),  # hides composite alarms on a narrower scope
        allow("ReadMetrics", "cloudwatch", "GetMetricData GetMetricStatistics", "*"),  # accept no resource
        allow("Stop", "cloudwatch", "SetAlarmState", stack.stop_alarm_arns),
        allow("FindHistory", "s3", "ListBucket", stack.bucket_arn, below),
        allow("ReadHistory", "s3", "GetObject", f"{stack.bucket_arn}/{names.HISTORY}*"),
    ]
    if not stack.bucket_is_known:
        statements += [
            _read_configurations(stack),
            allow("Models", "sagemaker", "DescribeModel", stack.model_arns),
        ]
    if stack.kms_key_arn:
        statements.append(allow("HistoryKey", "kms", "Decrypt", stack.kms_key_arn, via_s3(stack.region)))
    return managed_policies(statements)


def uploader(stack: StackNames) -> list[Policy]:
    """For the upload of artifacts; released ones are out of its reach."""
    statements = [allow("Upload", "s3", "PutObject", f"{stack.bucket_arn}/{names.UPLOADED}*")]
    return managed_policies([*statements, *_artifact_key(stack)])


def execution_role(settings: Settings, stack: StackNames) -> list[Policy]:
    """For the serving containers: the policies of a role that is created outside the stack (`role.arn`), and the least
    that a permissions boundary must allow."""
    repository = stack.arn("ecr", f"repository/{stack.repository}")
    documents = execution.documents(settings, stack.partition, stack.account_id, stack.bucket_arn, repository)
    return managed_policies(statement for document in documents.values() for statement in document["Statement"])


def _storage(stack: StackNames) -> Iterator[Statement]:
    """Bucket, artifacts and image."""
    bucket, repository = stack.bucket_arn, stack.arn("ecr", f"repository/{stack.repository}")
    keep_bucket = (  # never delete it: the stack retains it
        "CreateBucket ListBucket ListBucketVersions GetBucket* PutBucketPolicy PutBucketTagging PutBucketVersioning "
        "PutBucketPublicAccessBlock GetAccelerateConfiguration GetEncryptionConfiguration PutEncryptionConfiguration "
        "GetLifecycleConfiguration PutLifecycleConfiguration GetReplicationConfiguration "
        "ListTagsForResource TagResource UntagResource"
    )
    yield allow("Bucket", "s3", keep_bucket, bucket)
    read = "GetObject GetObjectVersion GetObjectTagging GetObjectVersionTagging"
    yield allow("ReadObjects", "s3", read, f"{bucket}/*")
    release = "PutObject PutObjectTagging AbortMultipartUpload"
    yield allow("ReleaseArtifacts", "s3", release, f"{bucket}/{names.RELEASED}*")
    yield allow("WriteRecords", "s3", "PutObject", [f"{bucket}/{names.HISTORY}*", f"{bucket}/{names.AUTOSCALING}*"])
    # the record of restored autoscaling, and expired artifacts
    yield allow("Removed", "s3", "DeleteObject", [f"{bucket}/{names.AUTOSCALING}*", f"{bucket}/{names.RELEASED}*"])
    yield from _artifact_key(stack)
    keep_repository = (
        "CreateRepository DescribeRepositories DeleteRepository PutImageTagMutability PutImageScanningConfiguration "
        "GetLifecyclePolicy PutLifecyclePolicy DeleteLifecyclePolicy ListTagsForResource TagResource UntagResource "
        "BatchCheckLayerAvailability BatchGetImage InitiateLayerUpload UploadLayerPart CompleteLayerUpload PutImage"
    )
    yield allow("Repository", "ecr", keep_repository, repository)
    if stack.image_arns:
        yield allow("MirroredImage", "ecr", "BatchGetImage GetDownloadUrlForLayer", stack.image_arns)


def _artifact_key(stack: StackNames) -> Iterator[Statement]:
    """A multipart upload decrypts its parts too (S3 guide, Multipart upload and permissions)."""
    if stack.kms_key_arn:
        yield allow("ArtifactKey", "kms", "Decrypt GenerateDataKey", stack.kms_key_arn, via_s3(stack.region))


def _role(stack: StackNames) -> Iterator[Statement]:
    """The execution role: created, changed and passed, or only passed."""
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    yield allow("PassRole", "iam", "PassRole", stack.role_arns, to_sagemaker)
    if not stack.creates_role:
        return
    read_and_tag = (
        "GetRole GetRolePolicy ListRolePolicies ListAttachedRolePolicies ListInstanceProfilesForRole TagRole UntagRole"
    )
    yield allow("ReadAndTagRole", "iam", read_and_tag, stack.role_arns)
    # the actions that the condition key iam:PermissionsBoundary applies to (Service Authorization Reference, IAM)
    change = (
        "CreateRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole PutRolePolicy DeleteRolePolicy"
    )
    if boundary := stack.permissions_boundary:
        # never DeleteRolePermissionsBoundary, which would remove the limit
        bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
        yield allow("BoundedRole", "iam", f"{change} PutRolePermissionsBoundary", stack.role_arns, bounded)
    else:
        yield allow("Role", "iam", change, stack.role_arns)


def _serving(stack: StackNames) -> Iterator[Statement]:
    """Models, configurations, endpoints, alarms, and the topic of release notifications."""
    tag = "AddTags DeleteTags ListTags"
    # IAM checks CreateEndpoint and UpdateEndpoint for the configuration too (Service Authorization Reference)
    deploy = f"CreateEndpoint UpdateEndpoint {tag}"
    endpoint = f"{deploy} DescribeEndpoint DeleteEndpoint UpdateEndpointWeightsAndCapacities"
    yield allow("Endpoints", "sagemaker", endpoint, stack.endpoint_arns)
    configuration = f"{deploy} CreateEndpointConfig DeleteEndpointConfig"
    yield allow("Configurations", "sagemaker", configuration, stack.configuration_arns)
    yield _read_configurations(stack)
    yield allow("Models", "sagemaker", f"CreateModel DescribeModel DeleteModel {tag}", stack.model_arns)
    yield allow("FindModels", "sagemaker", "ListModels", "*")  # accepts no resource
    if stack.adopts_endpoints:
        yield allow("Adopted", "sagemaker", "DescribeModel", stack.arn("sagemaker", "model/*"))
    if stack.volume_key_arns:  # SageMaker guide, "API Permissions Reference": CreateEndpoint with an encrypted volume
        yield from execution.encrypt_volumes(stack.volume_key_arns)["Statement"]
    yield allow("ContainersLog", "logs", "DescribeLogStreams FilterLogEvents", stack.log_group_arns)
    alarm = "PutMetricAlarm DeleteAlarms ListTagsForResource TagResource UntagResource"
    yield allow("Alarms", "cloudwatch", alarm, stack.alarm_arns)
    # hide composite alarms on a narrower scope
    yield allow("ReadAlarms", "cloudwatch", "DescribeAlarms DescribeAlarmHistory", "*")
    yield allow("ReadMetrics", "cloudwatch", "GetMetricStatistics", "*")  # accepts no resource
    if stack.notification_topic_arn:
        yield allow("Notifications", "sns", "Publish", stack.notification_topic_arn)


def _read_configurations(stack: StackNames) -> Statement:
    """Of any name, because others may have updated the endpoint."""
    configurations = stack.arn("sagemaker", "endpoint-config/*")
    return allow("ReadConfigurations", "sagemaker", "DescribeEndpointConfig", configurations)


def _autoscaling(stack: StackNames) -> Iterator[Statement]:
    """The IDs of scalable targets do not contain the endpoint: all those of SageMaker in the account and region."""
    service, targets = "application-autoscaling", stack.arn("application-autoscaling", "scalable-target/*")
    # IfExists: the API always sends the key (Service Authorization Reference), but policy simulators may not
    of_sagemaker = {"StringEqualsIfExists": {"application-autoscaling:service-namespace": "sagemaker"}}
    scale = "RegisterScalableTarget DeregisterScalableTarget PutScalingPolicy DeleteScalingPolicy PutScheduledAction"
    yield allow("Autoscaling", service, scale, targets, of_sagemaker)
    yield allow("TagTargets", service, "ListTagsForResource TagResource UntagResource", targets)
    read = "DescribeScalableTargets DescribeScalingPolicies DescribeScheduledActions"
    yield allow("ReadAutoscaling", service, read, "*")  # accept no resource
    path = f"aws-service-role/{AUTOSCALING_SERVICE}/{AUTOSCALING_ROLE}"
    role = f"arn:{stack.partition}:iam::{stack.account_id}:role/{path}"
    for_service = {"StringLike": {"iam:AWSServiceName": AUTOSCALING_SERVICE}}
    yield allow("CreateAutoscalingRole", "iam", "CreateServiceLinkedRole", role, for_service)
    # an update of a scalable target passes the role; only the service can assume it (ACK guide, SageMaker)
    yield allow("PassAutoscalingRole", "iam", "PassRole", role)
