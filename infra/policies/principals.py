"""The policies of the principals that work on a stack: they allow work on this stack and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra import names
from infra.aws.metrics import NAMESPACE
from infra.policies import execution, metric_stream
from infra.policies.document import Policy, Statement, allow, managed_policies
from infra.policies.execution import via_s3
from infra.policies.stack_names import StackNames

AUTOSCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
AUTOSCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
"""The service-linked role that scales variants (Application Auto Scaling guide, "Service-linked roles")."""


def deployer(stack: StackNames) -> list[Policy]:
    """For `pulumi up`, `refresh` and `destroy`. The `aws` provider reads more of a bucket, a repository and a role than
    the stack sets. GetCallerIdentity requires no permission (STS API)."""
    statements = [*_storage(stack), *_role(stack), *_serving(stack), *_autoscaling(stack), *_metric_stream(stack)]
    return managed_policies(statements)


def release_operator(stack: StackNames) -> list[Policy]:
    """For `python -m infra status`, `release`, `logs` and `dashboard`: to read, and to force the alarms that stop a
    release.

    DescribeModel shows the environment of a container, including secrets. It is granted only if nothing else names the
    bucket with the history of releases.
    """
    below = {"StringLike": {"s3:prefix": f"{names.HISTORY}*"}}
    statements = [
        # the tags name the owner of an endpoint that is not in the stack file
        allow("Endpoints", "sagemaker", "DescribeEndpoint ListTags", stack.endpoint_arns),
        read_configurations(stack),
        allow("ReadAutoscaling", "application-autoscaling", "DescribeScalableTargets", "*"),  # accepts no resource
        allow("ReadAlarms", "cloudwatch", "DescribeAlarms", "*"),  # hides composite alarms on a narrower scope
        allow("ReadMetrics", "cloudwatch", "GetMetricData GetMetricStatistics", "*"),  # accept no resource
        allow("Dashboard", "cloudwatch", "GetDashboard", stack.dashboard_arn),
        allow("Stop", "cloudwatch", "SetAlarmState", stack.stop_alarm_arns),
        allow("ContainersLog", "logs", "FilterLogEvents", stack.log_group_arns),
        allow("FindHistory", "s3", "ListBucket", stack.bucket_arn, below),
        allow("ReadHistory", "s3", "GetObject", f"{stack.bucket_arn}/{names.HISTORY}*"),
    ]
    if stack.settings.bucket.name is None:
        statements.append(allow("Models", "sagemaker", "DescribeModel", stack.model_arns))
    if key := stack.settings.bucket.kms_key_arn:
        statements.append(allow("HistoryKey", "kms", "Decrypt", key, via_s3(stack.settings.region)))
    return managed_policies(statements)


def uploader(stack: StackNames) -> list[Policy]:
    """For the upload of artifacts; released ones are out of its reach."""
    statements = [allow("Upload", "s3", "PutObject", f"{stack.bucket_arn}/{names.UPLOADED}*")]
    return managed_policies([*statements, *_artifact_key(stack)])


def execution_role(stack: StackNames) -> list[Policy]:
    """For the serving containers: the policies of a role that is created outside the stack (`role.arn`), and the least
    that a permissions boundary must allow."""
    documents = execution.documents(
        stack.settings, stack.partition, stack.account_id, stack.bucket_arn, stack.pulled_arns
    )
    return managed_policies(statement for document in documents.values() for statement in document["Statement"])


def _storage(stack: StackNames) -> Iterator[Statement]:
    """Bucket, artifacts and image."""
    bucket = stack.bucket_arn
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
    if stack.settings.image.mirror:
        yield allow("Repository", "ecr", keep_repository, stack.repository_arn)
        yield allow("RegistryToken", "ecr", "GetAuthorizationToken", "*")  # it accepts no resource
    if stack.image_arns:
        yield allow("PublishedImage", "ecr", "BatchGetImage GetDownloadUrlForLayer", stack.image_arns)


def _artifact_key(stack: StackNames) -> Iterator[Statement]:
    """A multipart upload decrypts its parts too (S3 guide, Multipart upload and permissions)."""
    if key := stack.settings.bucket.kms_key_arn:
        yield allow("ArtifactKey", "kms", "Decrypt GenerateDataKey", key, via_s3(stack.settings.region))


def _role(stack: StackNames) -> Iterator[Statement]:
    """The execution role: created, changed and passed, or only passed."""
    to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    yield allow("PassRole", "iam", "PassRole", stack.role_arns, to_sagemaker)
    if stack.settings.role.arn:
        return
    yield from _keep_roles(stack, "Role", stack.role_arns)


def _keep_roles(stack: StackNames, sid: str, role_arns: Sequence[str]) -> Iterator[Statement]:
    """Create, change and delete roles with inline policies, within the permissions boundary of the settings."""
    read_and_tag = (
        "GetRole GetRolePolicy ListRolePolicies ListAttachedRolePolicies ListInstanceProfilesForRole TagRole UntagRole"
    )
    yield allow(f"ReadAndTag{sid}", "iam", read_and_tag, role_arns)
    # the actions that the condition key iam:PermissionsBoundary applies to (Service Authorization Reference, IAM)
    change = (
        "CreateRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole PutRolePolicy DeleteRolePolicy"
    )
    if boundary := stack.settings.role.permissions_boundary:
        # never DeleteRolePermissionsBoundary, which would remove the limit
        bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
        yield allow(f"Bounded{sid}", "iam", f"{change} PutRolePermissionsBoundary", role_arns, bounded)
    else:
        yield allow(sid, "iam", change, role_arns)


def _serving(stack: StackNames) -> Iterator[Statement]:
    """Models, configurations, endpoints, alarms, and the topic of release notifications."""
    tag = "AddTags DeleteTags ListTags"
    # IAM checks CreateEndpoint and UpdateEndpoint for the configuration too (Service Authorization Reference)
    deploy = f"CreateEndpoint UpdateEndpoint {tag}"
    endpoint = f"{deploy} DescribeEndpoint DeleteEndpoint UpdateEndpointWeightsAndCapacities"
    yield allow("Endpoints", "sagemaker", endpoint, stack.endpoint_arns)
    configuration = f"{deploy} CreateEndpointConfig DeleteEndpointConfig"
    yield allow("Configurations", "sagemaker", configuration, stack.configuration_arns)
    yield read_configurations(stack)
    yield allow("Models", "sagemaker", f"CreateModel DescribeModel DeleteModel {tag}", stack.model_arns)
    yield allow("FindModels", "sagemaker", "ListModels", "*")  # accepts no resource
    yield find_endpoints()
    if stack.settings.adopt.endpoints:  # their models have names of any form
        yield allow("Adopted", "sagemaker", "DescribeModel", stack.arn("sagemaker", "model/*"))
    if keys := stack.settings.volume_key_arns:  # CreateEndpoint (SageMaker guide, "API Permissions Reference")
        yield from execution.encrypt_volumes(keys)["Statement"]
    logs = "DescribeLogStreams FilterLogEvents"
    if stack.settings.monitoring.log_retention_days:
        logs += " CreateLogGroup PutRetentionPolicy"
        yield allow("TagLogGroups", "logs", "TagResource UntagResource", stack.tagged_log_group_arns)
        yield allow("FindLogGroups", "logs", "DescribeLogGroups", stack.arn("logs", "log-group:*"))
    yield allow("ContainersLog", "logs", logs, stack.log_group_arns)
    alarm = "PutMetricAlarm DeleteAlarms ListTagsForResource TagResource UntagResource"
    yield allow("Alarms", "cloudwatch", alarm, stack.alarm_arns)
    # also to delete the dashboard of settings that have none any more
    yield allow("Dashboard", "cloudwatch", "PutDashboard GetDashboard DeleteDashboards", stack.dashboard_arn)
    # hide composite alarms on a narrower scope
    yield allow("ReadAlarms", "cloudwatch", "DescribeAlarms DescribeAlarmHistory", "*")
    yield allow("ReadMetrics", "cloudwatch", "GetMetricStatistics", "*")  # accepts no resource
    of_project = {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}
    yield allow("ReleaseMetrics", "cloudwatch", "PutMetricData", "*", of_project)  # accepts no resource
    yield from _notifications(stack)


def _notifications(stack: StackNames) -> Iterator[Statement]:
    """The composite alarms, their silence, and the topics."""
    keep_topic = (
        "CreateTopic DeleteTopic GetTopicAttributes SetTopicAttributes ListTagsForResource TagResource UntagResource"
    )
    topics = stack.topic_arns
    if topic := stack.notification_topic_arn:
        yield allow("CompositeAlarms", "cloudwatch", "PutCompositeAlarm", "*")  # must be scoped to * (its API page)
        yield allow("Notifications", "sns", "Publish", topic)
        if topic != stack.settings.notification_topic_arn:
            topics = [*topics, topic]
            yield allow("Subscribe", "sns", "Subscribe", topic)
            of_subscriptions = "GetSubscriptionAttributes SetSubscriptionAttributes Unsubscribe"
            yield allow("Subscriptions", "sns", of_subscriptions, "*")  # accept no resource
    yield allow("Topics", "sns", keep_topic, topics)
    mute = "PutAlarmMuteRule GetAlarmMuteRule DeleteAlarmMuteRule ListTagsForResource TagResource UntagResource"
    yield allow("MuteRules", "cloudwatch", mute, stack.mute_rule_arns)
    yield allow("Mute", "cloudwatch", "PutAlarmMuteRule", stack.composite_alarm_arns)
    if stack.settings.cost.budget:  # CreateNotification and the like are ModifyBudget (Service Authorization Reference)
        keep_budget = "ViewBudget ModifyBudget ListTagsForResource TagResource UntagResource"
        yield allow("Budget", "budgets", keep_budget, stack.budget_arn)


def read_configurations(stack: StackNames) -> Statement:
    """Of any name, because others may have updated the endpoint."""
    configurations = stack.arn("sagemaker", "endpoint-config/*")
    return allow("ReadConfigurations", "sagemaker", "DescribeEndpointConfig", configurations)


def find_endpoints() -> Statement:
    """For the cost of endpoints that the settings no longer have; it shows names and tags of others."""
    return allow("FindEndpoints", "tag", "GetResources", "*")  # accepts no resource


def _metric_stream(stack: StackNames) -> Iterator[Statement]:
    """The metric stream to Datadog, its delivery stream and their roles."""
    if (datadog := stack.settings.metric_stream) is None:
        return
    name = names.metric_stream(stack.stack) + names.AUTONAMED
    tag = "ListTagsForResource TagResource UntagResource"
    put = f"PutMetricStream GetMetricStream DeleteMetricStream {tag}"
    yield allow("MetricStream", "cloudwatch", put, stack.arn("cloudwatch", f"metric-stream/{name}"))
    tag = "ListTagsForDeliveryStream TagDeliveryStream UntagDeliveryStream"
    keep = f"CreateDeliveryStream DescribeDeliveryStream UpdateDestination DeleteDeliveryStream {tag}"
    yield allow("DeliveryStream", "firehose", keep, stack.arn("firehose", f"deliverystream/{name}"))
    roles = {
        metric_stream.CLOUDWATCH: stack.role_arn(names.metric_stream_role(stack.stack)),
        metric_stream.FIREHOSE: stack.role_arn(names.delivery_role(stack.stack)),
    }
    yield from _keep_roles(stack, "StreamRoles", [*roles.values()])
    for number, (service, arn) in enumerate(roles.items(), 1):
        only_to = {"StringEquals": {"iam:PassedToService": service}}
        yield allow(f"PassStreamRole{number}", "iam", "PassRole", arn, only_to)
    if secret := datadog.api_key_secret_arn:
        yield allow("FindApiKey", "secretsmanager", "DescribeSecret", secret)


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
