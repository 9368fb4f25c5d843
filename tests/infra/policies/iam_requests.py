"""The IAM requests of a stack's life: those of the real `aws` provider, and those of a call that the sandbox logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from infra.policies.metric_stream import CLOUDWATCH, FIREHOSE
from infra.policies.principals import AUTOSCALING_ROLE, AUTOSCALING_SERVICE

ACCOUNT, REGION = "123456789012", "ap-northeast-1"

SAGEMAKER = {"iam:PassedToService": "sagemaker.amazonaws.com"}
SCALING = {"application-autoscaling:service-namespace": "sagemaker"}


class Request(NamedTuple):
    """What IAM is asked."""

    action: str
    resource: str
    context: Mapping[str, str] = MappingProxyType({})


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


AUTOSCALING_ROLE_ARN = role_arn(f"aws-service-role/{AUTOSCALING_SERVICE}/{AUTOSCALING_ROLE}")
SCALABLE_TARGET = arn("application-autoscaling", "scalable-target/0ec51a2b3c4d5e6f")


def of_provider(bucket: str, repository: str, role: str, endpoint: str, boundary: str | None = None) -> list[Request]:
    """What terraform-provider-aws 6 asks on create, read, update and delete of the stack's resource types, by the
    functions that do so. Names of models, configurations and alarms end as Pulumi ends them."""
    named = f"{endpoint}-1a2b3c4"
    bounded = {"iam:PermissionsBoundary": boundary} if boundary else {}
    table: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
        # service/s3/bucket.go: the read fails where one of these is denied
        (f"arn:aws:s3:::{bucket}", "s3"): (
            "CreateBucket ListBucket GetBucketPolicy GetBucketAcl GetBucketCORS GetBucketWebsite GetBucketVersioning "
            "GetAccelerateConfiguration GetBucketRequestPayment GetBucketLogging GetLifecycleConfiguration "
            "GetReplicationConfiguration GetEncryptionConfiguration GetBucketObjectLockConfiguration GetBucketLocation "
            "GetBucketTagging ListTagsForResource PutBucketTagging TagResource UntagResource PutBucketVersioning "
            "PutEncryptionConfiguration PutBucketPublicAccessBlock GetBucketPublicAccessBlock PutBucketPolicy "
            "PutLifecycleConfiguration",
            {},
        ),
        # service/ecr/repository.go, lifecycle_policy.go
        (arn("ecr", f"repository/{repository}"), "ecr"): (
            "CreateRepository DescribeRepositories DeleteRepository ListTagsForResource TagResource UntagResource "
            "PutImageTagMutability PutImageScanningConfiguration PutLifecyclePolicy GetLifecyclePolicy "
            "DeleteLifecyclePolicy",
            {},
        ),
        # service/iam/role.go, role_policy.go
        (role_arn(role), "iam"): (
            "CreateRole GetRole ListRolePolicies GetRolePolicy ListAttachedRolePolicies UpdateAssumeRolePolicy "
            "UpdateRoleDescription UpdateRole TagRole UntagRole ListInstanceProfilesForRole DeleteRole PutRolePolicy "
            "DeleteRolePolicy PassRole" + (" PutRolePermissionsBoundary" if boundary else ""),
            SAGEMAKER | bounded,
        ),
        # service/sagemaker/model.go, endpoint_configuration.go
        (arn("sagemaker", f"model/{named}"), "sagemaker"): (
            "CreateModel DescribeModel DeleteModel ListTags AddTags DeleteTags",
            {},
        ),
        (arn("sagemaker", f"endpoint-config/{named}"), "sagemaker"): (
            "CreateEndpointConfig DescribeEndpointConfig DeleteEndpointConfig ListTags AddTags DeleteTags",
            {},
        ),
        # service/cloudwatch/metric_alarm.go
        (arn("cloudwatch", f"alarm:{endpoint}/error-rate"), "cloudwatch"): (
            "PutMetricAlarm DeleteAlarms ListTagsForResource TagResource UntagResource",
            {},
        ),
        ("*", "cloudwatch"): ("DescribeAlarms", {}),
        # service/appautoscaling/target.go, policy.go
        (SCALABLE_TARGET, "application-autoscaling"): (
            "RegisterScalableTarget DeregisterScalableTarget PutScalingPolicy DeleteScalingPolicy ListTagsForResource "
            "TagResource UntagResource",
            SCALING,
        ),
        ("*", "application-autoscaling"): ("DescribeScalableTargets DescribeScalingPolicies", {}),
        # target.go: an update sends the computed role_arn
        (AUTOSCALING_ROLE_ARN, "iam"): (
            "PassRole CreateServiceLinkedRole",
            {"iam:AWSServiceName": AUTOSCALING_SERVICE},
        ),
        # Application Auto Scaling, in the caller's name (its guide, "Permissions validation")
        (arn("sagemaker", f"endpoint/{endpoint}"), "sagemaker"): (
            "DescribeEndpoint UpdateEndpointWeightsAndCapacities",
            {},
        ),
        (
            arn("cloudwatch", f"alarm:TargetTracking-endpoint/{endpoint}/variant/AllTraffic-AlarmHigh-1"),
            "cloudwatch",
        ): ("PutMetricAlarm DeleteAlarms", {}),
    }
    return [
        Request(f"{service}:{action}", resource, context)
        for (resource, service), (actions, context) in table.items()
        for action in actions.split()
    ]


def of_call(service: str, operation: str, params: dict[str, Any], boundary: str | None = None) -> Iterator[Request]:
    """What IAM is asked for a call of the API (Service Authorization Reference).

    Args:
        boundary: the permissions boundary that the execution role has.

    Raises:
        KeyError: no request is known for the call.
    """
    if service in ("sts", "sagemaker-runtime"):
        return
    make = {"s3": _s3, "ecr": _ecr, "iam": _iam, "sagemaker": _sagemaker, "cloudwatch": _cloudwatch, "logs": _logs}
    make |= {"budgets": _budgets, "application-autoscaling": _autoscaling, "sns": _sns, "s3control": _s3control}
    make |= {"firehose": _firehose, "secretsmanager": _secretsmanager, "resourcegroupstaggingapi": _tag}
    for request in make[service](operation, params):
        request = request if ":" in request.action else request._replace(action=f"{service}:{request.action}")
        keys = {"iam:PermissionsBoundary": boundary} if boundary and request.action.startswith("iam:") else {}
        yield request._replace(context={**keys, **request.context})


_OF_BUCKET = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketCors": "GetBucketCORS",
}
_OF_OBJECT = {
    "HeadObject": ("GetObject",),
    "CreateMultipartUpload": ("PutObject", "PutObjectTagging"),
    "UploadPart": ("PutObject",),
    "UploadPartCopy": ("PutObject",),
    "CompleteMultipartUpload": ("PutObject",),
}


def _s3(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """An object of a version is read by another action; a copy reads its source too."""
    bucket = f"arn:aws:s3:::{params['Bucket']}"
    if operation == "DeleteObjects":
        yield Request("DeleteObject", f"{bucket}/models/x")
        return
    if "Key" not in params:
        yield Request(_OF_BUCKET.get(operation, operation), bucket)
        return
    for action in _OF_OBJECT.get(operation, (operation,)):
        yield Request(action, f"{bucket}/{params['Key']}")
    if source := params.get("CopySource"):
        path, _, version = str(source).partition("?versionId=")
        yield Request("GetObjectVersion" if version else "GetObject", f"arn:aws:s3:::{path.lstrip('/')}")


def _s3control(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    yield Request(f"s3:{operation}", params.get("ResourceArn") or params["resourceArn"])


def _ecr(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    names = [params["repositoryName"]] if "repositoryName" in params else params.get("repositoryNames", [])
    account = params.get("registryId", ACCOUNT)
    for name in names:
        yield Request(operation, f"arn:aws:ecr:{REGION}:{account}:repository/{name}")
    if not names:
        yield Request(operation, params.get("resourceArn", "*"))


def _iam(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    context = {"iam:PermissionsBoundary": params["PermissionsBoundary"]} if "PermissionsBoundary" in params else {}
    yield Request(operation, role_arn(params["RoleName"]), context)


def _sagemaker(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """SageMaker has the names in lower case in its ARNs, and so has what is asked of a resource that exists."""
    kinds = {"ModelName": "model", "EndpointConfigName": "endpoint-config", "EndpointName": "endpoint"}
    if "ResourceArn" in params:
        yield Request(operation, params["ResourceArn"])
    if operation.startswith("List") and operation != "ListTags":
        yield Request(operation, "*")
    for key, kind in kinds.items():
        if key in params:
            yield Request(operation, arn("sagemaker", f"{kind}/{params[key].lower()}"))
    if operation == "CreateModel":
        yield Request("iam:PassRole", params["ExecutionRoleArn"], SAGEMAKER)
    if params.get("Tags") and operation.startswith("Create"):
        yield from _sagemaker("AddTags", {key: params[key] for key in kinds if key in params})


def _cloudwatch(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    if "ResourceARN" in params:
        yield Request(operation, params["ResourceARN"])
    elif operation in ("PutMetricAlarm", "SetAlarmState"):
        yield Request(operation, arn("cloudwatch", f"alarm:{params['AlarmName']}"))
    elif operation.endswith("MetricStream"):
        yield Request(operation, arn("cloudwatch", f"metric-stream/{params['Name']}"))
        if operation == "PutMetricStream":
            yield Request("iam:PassRole", params["RoleArn"], {"iam:PassedToService": CLOUDWATCH})
    elif operation in ("PutDashboard", "GetDashboard", "DeleteDashboards"):
        for name in params.get("DashboardNames") or [params["DashboardName"]]:
            yield Request(operation, f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{name}")
    elif operation == "DeleteAlarms":
        for name in params["AlarmNames"]:
            yield Request(operation, arn("cloudwatch", f"alarm:{name}"))
    elif operation.endswith("AlarmMuteRule"):
        rule = params.get("Name") or params["AlarmMuteRuleName"]
        yield Request(operation, arn("cloudwatch", f"alarm-mute-rule:{rule}"))
        for name in params.get("MuteTargets", {}).get("AlarmNames", ()):
            yield Request(operation, arn("cloudwatch", f"alarm:{name}"))
    elif operation == "PutMetricData":
        yield Request(operation, "*", {"cloudwatch:namespace": params["Namespace"]})
    else:
        yield Request(operation, "*")


def _logs(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """CreateLogGroup with tags requires TagResource too. Tags are authorized by an ARN without `:*` (API LogGroup)."""
    if operation == "TagResource":
        yield Request(operation, params["resourceArn"])
        return
    group = params.get("logGroupName") or params.get("logGroupNamePrefix")
    yield Request(operation, arn("logs", f"log-group:{group}:*"))
    if params.get("tags"):
        yield Request("TagResource", arn("logs", f"log-group:{group}"))


def _autoscaling(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    if operation.startswith("Describe"):
        yield Request(operation, "*")
    else:
        yield Request(operation, params.get("ResourceARN") or SCALABLE_TARGET, SCALING)
    if role := params.get("RoleARN"):
        yield Request("iam:PassRole", role)


def _budgets(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """One action reads, one changes (Service Authorization Reference, AWS Budget Service)."""
    if budget := params.get("ResourceARN"):
        yield Request(operation, budget)
        return
    name = params.get("BudgetName") or (params.get("Budget") or params["NewBudget"])["BudgetName"]
    budget = f"arn:aws:budgets::{ACCOUNT}:budget/{name}"
    yield Request("ViewBudget" if operation.startswith("Describe") else "ModifyBudget", budget)
    if params.get("ResourceTags"):
        yield Request("TagResource", budget)


def _sns(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """CreateTopic with tags requires TagResource too."""
    topic = arn("sns", params["Name"]) if operation == "CreateTopic" else ""
    topic = params.get("TopicArn") or params.get("ResourceArn") or topic
    yield Request(operation, topic)
    if operation == "CreateTopic" and any(key.startswith("Tags.") for key in params):
        yield Request("TagResource", topic)


def _firehose(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """CreateDeliveryStream with tags requires TagDeliveryStream too; it and UpdateDestination pass the roles."""
    stream = arn("firehose", f"deliverystream/{params['DeliveryStreamName']}")
    yield Request(operation, stream)
    if params.get("Tags") and operation == "CreateDeliveryStream":
        yield Request("TagDeliveryStream", stream)
    for key in ("HttpEndpointDestinationConfiguration", "HttpEndpointDestinationUpdate"):
        if role := params.get(key, {}).get("RoleARN"):
            yield Request("iam:PassRole", role, {"iam:PassedToService": FIREHOSE})


def _secretsmanager(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    yield Request(operation, params["SecretId"])


def _tag(operation: str, params: dict[str, Any]) -> Iterator[Request]:
    """It accepts no resource (Service Authorization Reference, Resource Group Tagging API)."""
    yield Request(f"tag:{operation}", "*")
