"""The table of types: what a program may use on the sandbox, and how AWS is asked for it.

To add a type, add an entry: its properties as pulumi-aws names them, boto3's operations, and what terraform-provider-aws says
about defaults and replacement. Names and values follow botocore's shapes; a function is needed only where one call does not do.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from sandbox.provider.naming import AutoName
from sandbox.provider.resource import Read, ResourceType, Step, TagCalls, Work

# S3


def _create_bucket(work: Work) -> None:
    region = work.client.meta.region_name
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    work.send("CreateBucket", **location)


def _bucket_addresses(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    bucket, meta = work.state["bucket"], work.client.meta
    suffix = "amazonaws.com.cn" if meta.partition == "aws-cn" else "amazonaws.com"
    region = found.get("bucketRegion") or meta.region_name
    return {
        "bucket": bucket,
        "arn": f"arn:{meta.partition}:s3:::{bucket}",
        "bucketRegion": region,
        "bucketDomainName": f"{bucket}.s3.{suffix}",
        "bucketRegionalDomainName": f"{bucket}.s3.{region}.{suffix}",
    }


def _delete_bucket(work: Work) -> None:
    if work.state.get("forceDestroy"):
        _delete_versions(work, Bucket=work.state["bucket"])
    work.call("DeleteBucket")


def _delete_versions(work: Work, key: str | None = None, **parameters: str) -> None:
    """Deletes every version and delete marker in the bucket, or those of one key."""
    if key is not None:
        parameters["Prefix"] = key
    for page in work.client.get_paginator("list_object_versions").paginate(**parameters):
        versions = [
            {"Key": version["Key"], "VersionId": version["VersionId"]}
            for version in (*page.get("Versions", []), *page.get("DeleteMarkers", []))
            if key is None or version["Key"] == key
        ]
        if versions:
            work.client.delete_objects(Bucket=parameters["Bucket"], Delete={"Objects": versions, "Quiet": True})


def _read_versioning(work: Work) -> dict[str, Any] | None:
    status = work.call("GetBucketVersioning")
    if "Status" not in status:  # never switched on: the resource exists only as one that says so
        disabled = (work.state.get("versioningConfiguration") or {}).get("status") == "Disabled"
        return {"versioningConfiguration": {"status": "Disabled"}} if disabled else None
    mfa = {"mfaDelete": status["MFADelete"]} if "MFADelete" in status else {}
    return {"versioningConfiguration": {"status": status["Status"], **mfa}}


def _put_versioning(work: Work) -> None:
    if work.state["versioningConfiguration"].get("status") != "Disabled":
        work.send("PutBucketVersioning")


def _suspend_versioning(work: Work) -> None:
    """Versioning cannot be switched off again, only suspended."""
    if work.state["versioningConfiguration"].get("status") == "Enabled":
        work.call("PutBucketVersioning", VersioningConfiguration={"Status": "Suspended"})


def _delete_unless_skipped(operation: str) -> Step:
    def delete(work: Work) -> None:
        if not work.state.get("skipDestroy"):
            work.call(operation)

    return Step(operation, run=delete)


def _put_object(work: Work) -> dict[str, Any]:
    tags = (
        {} if work.created else work.state.get("tagsAll") or {}
    )  # a new version starts without the tags of the old one
    return work.send("PutObject", Body=_content(work.given), **({"Tagging": urlencode(tags)} if tags else {}))


def _content(given: Mapping[str, Any]) -> bytes:
    """The object's bytes: of an asset, a text, or a text in base 64."""
    if "contentBase64" in given:
        return base64.b64decode(given["contentBase64"])
    if "content" in given:
        return str(given["content"]).encode()
    source = given.get("source") or {}
    if "path" in source:
        with open(source["path"], "rb") as file:
            return file.read()
    return str(source.get("text", "")).encode()


def _complete_object(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    bucket, key = work.state["bucket"], work.state["key"]
    return {
        "bucket": bucket,
        "key": key,
        "arn": f"arn:{work.client.meta.partition}:s3:::{bucket}/{key}",
        "etag": str(found.get("etag", "")).strip('"'),
        "storageClass": found.get("storageClass") or "STANDARD",
    }


def _delete_object(work: Work) -> None:
    if work.state.get("versionId"):
        _delete_versions(work, work.state["key"], Bucket=work.state["bucket"])
    else:
        work.call("DeleteObject")


S3 = (
    ResourceType(
        token="aws:s3/bucket:Bucket",
        service="s3",
        inputs="bucket forceDestroy objectLockEnabled",
        outputs="arn bucketDomainName bucketRegion bucketRegionalDomainName",
        identity="bucket",
        id="{bucket}",
        autoname=AutoName("bucket", 63, lower=True),
        names={"objectLockEnabled": "ObjectLockEnabledForBucket", "tagsAll": "Tagging.TagSet"},
        create=Step("CreateBucket", run=_create_bucket),
        reads=(Read("HeadBucket"),),
        complete=_bucket_addresses,
        delete=Step("DeleteBucket", run=_delete_bucket),
        replaces="bucket objectLockEnabled",
        defaults={"forceDestroy": False},
        computed="objectLockEnabled",
        write_only="forceDestroy objectLockEnabled",
        tags=TagCalls("GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging", result="TagSet", all_at_once=True),
    ),
    ResourceType(
        token="aws:s3/bucketVersioning:BucketVersioning",
        service="s3",
        inputs="bucket versioningConfiguration expectedBucketOwner mfa",
        identity="bucket expectedBucketOwner",
        id="{bucket}",
        create=Step("PutBucketVersioning", run=_put_versioning),
        reads=(Read("GetBucketVersioning", run=_read_versioning),),
        updates=("PutBucketVersioning",),
        delete=Step("PutBucketVersioning", run=_suspend_versioning),
        replaces="bucket expectedBucketOwner",
        computed="mfaDelete",
        write_only="mfa",
    ),
    ResourceType(
        token="aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        service="s3",
        inputs="bucket rules expectedBucketOwner",
        identity="bucket expectedBucketOwner",
        id="{bucket}",
        within="ServerSideEncryptionConfiguration",
        create="PutBucketEncryption",
        reads=(Read("GetBucketEncryption", result="ServerSideEncryptionConfiguration"),),
        updates=("PutBucketEncryption",),
        delete="DeleteBucketEncryption",
        replaces="bucket expectedBucketOwner",
        sets="rules",
        computed="blockedEncryptionTypes",
    ),
    ResourceType(
        token="aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        service="s3",
        inputs="bucket blockPublicAcls blockPublicPolicy ignorePublicAcls restrictPublicBuckets skipDestroy",
        identity="bucket",
        id="{bucket}",
        within="PublicAccessBlockConfiguration",
        create="PutPublicAccessBlock",
        reads=(Read("GetPublicAccessBlock", result="PublicAccessBlockConfiguration"),),
        updates=("PutPublicAccessBlock",),
        delete=_delete_unless_skipped("DeletePublicAccessBlock"),
        replaces="bucket",
        defaults=dict.fromkeys(
            ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), False
        ),
        write_only="skipDestroy",
    ),
    ResourceType(
        token="aws:s3/bucketPolicy:BucketPolicy",
        service="s3",
        inputs="bucket policy",
        identity="bucket",
        id="{bucket}",
        create="PutBucketPolicy",
        reads=(Read("GetBucketPolicy"),),
        updates=("PutBucketPolicy",),
        delete="DeleteBucketPolicy",
        replaces="bucket",
        documents="policy",
    ),
    ResourceType(
        token="aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        service="s3",
        inputs="bucket rules expectedBucketOwner transitionDefaultMinimumObjectSize",
        identity="bucket expectedBucketOwner",
        id="{bucket}",
        within="LifecycleConfiguration",
        create="PutBucketLifecycleConfiguration",
        reads=(Read("GetBucketLifecycleConfiguration"),),
        updates=("PutBucketLifecycleConfiguration",),
        delete="DeleteBucketLifecycle",
        maps="tags",
        replaces="bucket expectedBucketOwner",
        sets="transitions noncurrentVersionTransitions",
        computed="prefix days expiredObjectDeleteMarker filter newerNoncurrentVersions transitionDefaultMinimumObjectSize",
    ),
    ResourceType(
        token="aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        service="s3",
        inputs="bucket rule",
        identity="bucket",
        id="{bucket}",
        names={"rule": "Rules"},
        within="OwnershipControls",
        create="PutBucketOwnershipControls",
        reads=(Read("GetBucketOwnershipControls", result="OwnershipControls"),),
        updates=("PutBucketOwnershipControls",),
        delete="DeleteBucketOwnershipControls",
        replaces="bucket",
    ),
    ResourceType(
        token="aws:s3/bucketObjectv2:BucketObjectv2",
        service="s3",
        inputs="bucket key source content contentBase64 sourceHash acl bucketKeyEnabled cacheControl contentDisposition "
        "contentEncoding contentLanguage contentType forceDestroy kmsKeyId metadata serverSideEncryption storageClass",
        outputs="arn etag versionId",
        identity="bucket key",
        id="{bucket}/{key}",
        import_id=r"(?:s3://)?(?P<bucket>[^/]+)/(?P<key>.+)",
        autoname=AutoName("key", 1024, bare=True),
        names={"kmsKeyId": "SSEKMSKeyId", "etag": "ETag", "tagsAll": "Tagging.TagSet"},
        create=Step("PutObject", run=_put_object),
        reads=(Read("HeadObject"),),
        complete=_complete_object,
        updates=(
            Step(
                "PutObject",
                run=_put_object,
                on="source content contentBase64 sourceHash acl bucketKeyEnabled cacheControl contentDisposition contentEncoding "
                "contentLanguage contentType kmsKeyId metadata serverSideEncryption storageClass",
            ),
        ),
        delete=Step("DeleteObject", run=_delete_object),
        replaces="bucket key",
        defaults={"forceDestroy": False},
        computed="acl bucketKeyEnabled contentType kmsKeyId serverSideEncryption storageClass",
        write_only="source content contentBase64 sourceHash acl forceDestroy",
        renewed="etag versionId",
        tags=TagCalls("GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging", result="TagSet", all_at_once=True),
    ),
)

# ECR

ECR = (
    ResourceType(
        token="aws:ecr/repository:Repository",
        service="ecr",
        inputs="name encryptionConfigurations forceDelete imageScanningConfiguration imageTagMutability "
        "imageTagMutabilityExclusionFilters",
        outputs="arn registryId repositoryUrl",
        identity="name",
        autoname=AutoName(longest=255),
        names={
            "name": ("repositoryName", "repositoryNames"),
            "arn": "repositoryArn",
            "repositoryUrl": "repositoryUri",
            "encryptionConfigurations": "encryptionConfiguration",
            "forceDelete": "force",
            "tagsAll": "tags",
        },
        create="CreateRepository",
        reads=(Read("DescribeRepositories", result="repositories"),),
        updates=("PutImageTagMutability", "PutImageScanningConfiguration"),
        delete="DeleteRepository",
        replaces="name encryptionConfigurations",
        defaults={"imageTagMutability": "MUTABLE"},
        computed="encryptionConfigurations kmsKey",
        write_only="forceDelete",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource", result="tags"),
    ),
    ResourceType(
        token="aws:ecr/lifecyclePolicy:LifecyclePolicy",
        service="ecr",
        inputs="repository policy",
        outputs="registryId",
        identity="repository",
        id="{repository}",
        names={"repository": "repositoryName", "policy": "lifecyclePolicyText"},
        create="PutLifecyclePolicy",
        reads=(Read("GetLifecyclePolicy"),),
        delete="DeleteLifecyclePolicy",
        replaces="repository policy",
        delete_before_replace=True,
        documents="policy",
    ),
)

# IAM


def _flat_permissions_boundary(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    boundary = found.get("permissionsBoundary")
    return {"permissionsBoundary": boundary["permissionsBoundaryArn"]} if isinstance(boundary, dict) else {}


def _delete_role(work: Work) -> None:
    """`forceDetachPolicies` is the way to delete a role that still has policies; otherwise AWS refuses."""
    if work.state.get("forceDetachPolicies"):
        for policy in work.call("ListAttachedRolePolicies")["AttachedPolicies"]:
            work.call("DetachRolePolicy", PolicyArn=policy["PolicyArn"])
        for name in work.call("ListRolePolicies")["PolicyNames"]:
            work.call("DeleteRolePolicy", PolicyName=name)
    work.call("DeleteRole")


def _read_policy_document(work: Work) -> dict[str, Any] | None:
    version = work.call("GetPolicyVersion", VersionId=work.state["defaultVersionId"])["PolicyVersion"]
    return {"policy": json.dumps(version["Document"])}


def _put_policy_version(work: Work) -> None:
    """AWS keeps five versions (IAM quotas): the oldest makes room."""
    versions = [each for each in work.call("ListPolicyVersions")["Versions"] if not each["IsDefaultVersion"]]
    if len(versions) >= 4:
        oldest = min(versions, key=lambda version: version["CreateDate"])
        work.call("DeletePolicyVersion", VersionId=oldest["VersionId"])
    work.call("CreatePolicyVersion", PolicyDocument=work.given["policy"], SetAsDefault=True)


def _delete_policy(work: Work) -> None:
    for version in work.call("ListPolicyVersions")["Versions"]:
        if not version["IsDefaultVersion"]:
            work.call("DeletePolicyVersion", VersionId=version["VersionId"])
    work.call("DeletePolicy")


def _read_attachment(work: Work) -> dict[str, Any] | None:
    pages = work.client.get_paginator("list_attached_role_policies").paginate(RoleName=work.state["role"])
    attached = {policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]}
    return {name: work.state[name] for name in ("role", "policyArn")} if work.state["policyArn"] in attached else None


IAM = (
    ResourceType(
        token="aws:iam/role:Role",
        service="iam",
        regional=False,
        inputs="name assumeRolePolicy description forceDetachPolicies maxSessionDuration path permissionsBoundary",
        outputs="arn createDate uniqueId",
        identity="name",
        autoname=AutoName(longest=64),
        names={
            "name": "RoleName",
            "assumeRolePolicy": ("AssumeRolePolicyDocument", "PolicyDocument"),
            "uniqueId": "RoleId",
            "arn": "Arn",
            "tagsAll": "Tags",
        },
        create="CreateRole",
        reads=(Read("GetRole", result="Role"),),
        complete=_flat_permissions_boundary,
        updates=("UpdateAssumeRolePolicy", "UpdateRole", "PutRolePermissionsBoundary"),
        unset={"permissionsBoundary": "DeleteRolePermissionsBoundary"},
        delete=Step("DeleteRole", run=_delete_role),
        replaces="name path",
        defaults={"forceDetachPolicies": False, "maxSessionDuration": 3600, "path": "/"},
        documents="assumeRolePolicy",
        write_only="forceDetachPolicies",
        tags=TagCalls("ListRoleTags", "TagRole", "UntagRole"),
    ),
    ResourceType(
        token="aws:iam/rolePolicy:RolePolicy",
        service="iam",
        regional=False,
        inputs="name policy role",
        identity="role name",
        id="{role}:{name}",
        autoname=AutoName(longest=255),
        names={"name": "PolicyName", "policy": "PolicyDocument", "role": "RoleName"},
        create="PutRolePolicy",
        reads=(Read("GetRolePolicy"),),
        updates=("PutRolePolicy",),
        delete="DeleteRolePolicy",
        replaces="name role",
        documents="policy",
    ),
    ResourceType(
        token="aws:iam/policy:Policy",
        service="iam",
        regional=False,
        inputs="name policy description path",
        outputs="arn attachmentCount policyId",
        identity="arn",
        id="{arn}",
        autoname=AutoName(longest=255),
        names={"name": "PolicyName", "policy": "PolicyDocument", "arn": ("PolicyArn", "Arn"), "tagsAll": "Tags"},
        create="CreatePolicy",
        reads=(Read("GetPolicy", result="Policy"), Read("GetPolicyVersion", run=_read_policy_document)),
        updates=(Step("CreatePolicyVersion", run=_put_policy_version, on="policy"),),
        delete=Step("DeletePolicy", run=_delete_policy),
        replaces="name description path",
        defaults={"path": "/"},
        documents="policy",
        tags=TagCalls("ListPolicyTags", "TagPolicy", "UntagPolicy"),
    ),
    ResourceType(
        token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        service="iam",
        regional=False,
        inputs="role policyArn",
        identity="role policyArn",
        id="{role}/{policyArn}",
        names={"role": "RoleName"},
        create="AttachRolePolicy",
        reads=(Read("ListAttachedRolePolicies", run=_read_attachment),),
        delete="DetachRolePolicy",
        replaces="role policyArn",
        delete_before_replace=True,
    ),
)

# SageMaker


def _name_variants(work: Work) -> dict[str, Any]:
    """AWS wants a name for every variant; Terraform makes one up."""
    for variants in ("productionVariants", "shadowProductionVariants"):
        for variant in work.state.get(variants) or []:
            variant.setdefault("variantName", f"terraform-{uuid.uuid4().hex}")
    return work.send("CreateEndpointConfig")


_SAGEMAKER_TAGS = TagCalls("ListTags", "AddTags", "DeleteTags")

SAGEMAKER = (
    ResourceType(
        token="aws:sagemaker/model:Model",
        service="sagemaker",
        inputs="name executionRoleArn primaryContainer containers enableNetworkIsolation inferenceExecutionConfig vpcConfig",
        outputs="arn",
        identity="name",
        autoname=AutoName(longest=63),
        names={"name": "ModelName", "arn": "ModelArn", "tagsAll": "Tags"},
        nested_names={"s3DataSources": "S3DataSource"},
        create="CreateModel",
        reads=(Read("DescribeModel"),),
        delete="DeleteModel",
        replaces="*",
        defaults={"primaryContainer.mode": "SingleModel", "containers.mode": "SingleModel"},
        sets="subnets securityGroupIds",
        computed="inferenceExecutionConfig modelDataSource additionalModelDataSources",
        tags=_SAGEMAKER_TAGS,
        gone="Could not find",
    ),
    ResourceType(
        token="aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        service="sagemaker",
        inputs="name productionVariants shadowProductionVariants asyncInferenceConfig dataCaptureConfig executionRoleArn kmsKeyArn",
        outputs="arn",
        identity="name",
        autoname=AutoName(longest=63),
        names={
            "name": "EndpointConfigName",
            "arn": "EndpointConfigArn",
            "kmsKeyArn": "KmsKeyId",
            "tagsAll": "Tags",
        },
        nested_names={"routingConfigs": "RoutingConfig", "includeInferenceResponseIns": "IncludeInferenceResponseIn"},
        create=Step("CreateEndpointConfig", run=_name_variants),
        reads=(Read("DescribeEndpointConfig"),),
        delete="DeleteEndpointConfig",
        replaces="*",
        defaults={"productionVariants.initialVariantWeight": 1, "shadowProductionVariants.initialVariantWeight": 1},
        sets="includeInferenceResponseIns csvContentTypes jsonContentTypes",
        computed="variantName volumeSizeInGb executionRoleArn",
        tags=_SAGEMAKER_TAGS,
        gone="Could not find",
    ),
)

# Application Auto Scaling


def _alarm_arns(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    return {"alarmArns": [alarm["alarmArn"] for alarm in found.get("alarms", [])]}


_PART_OF_ID = r"(?P<serviceNamespace>[^/]+)/(?P<resourceId>.+)/(?P<scalableDimension>[^/]+)"

AUTOSCALING = (
    ResourceType(
        token="aws:appautoscaling/target:Target",
        service="application-autoscaling",
        inputs="serviceNamespace resourceId scalableDimension minCapacity maxCapacity roleArn suspendedState",
        outputs="arn",
        identity="serviceNamespace resourceId scalableDimension",
        id="{resourceId}",
        import_id=_PART_OF_ID,
        names={"resourceId": ("ResourceId", "ResourceIds"), "arn": "ScalableTargetARN", "tagsAll": "Tags"},
        create="RegisterScalableTarget",
        reads=(Read("DescribeScalableTargets", result="ScalableTargets"),),
        updates=("RegisterScalableTarget",),
        delete="DeregisterScalableTarget",
        replaces="serviceNamespace resourceId scalableDimension",
        computed="roleArn suspendedState",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource"),
    ),
    ResourceType(
        token="aws:appautoscaling/policy:Policy",
        service="application-autoscaling",
        inputs="name policyType serviceNamespace resourceId scalableDimension stepScalingPolicyConfiguration "
        "targetTrackingScalingPolicyConfiguration predictiveScalingPolicyConfiguration",
        outputs="alarmArns arn",
        identity="serviceNamespace resourceId scalableDimension name",
        import_id=_PART_OF_ID + "/(?P<name>[^/]+)",
        autoname=AutoName(longest=255),
        names={"name": ("PolicyName", "PolicyNames"), "arn": "PolicyARN"},
        strings="metricIntervalLowerBound metricIntervalUpperBound",
        create="PutScalingPolicy",
        reads=(Read("DescribeScalingPolicies", result="ScalingPolicies"),),
        complete=_alarm_arns,
        updates=("PutScalingPolicy",),
        delete="DeleteScalingPolicy",
        replaces="name serviceNamespace resourceId scalableDimension",
        defaults={"policyType": "StepScaling"},
        sets="dimensions metrics stepAdjustments",
    ),
)

# CloudWatch


def _with_metric_stats(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    queries = properties.get("metricQueries")
    return (
        {**properties, "metricQueries": [_with_metric_stat(query) for query in queries]}
        if isinstance(queries, list)
        else properties
    )


def _with_metric_stat(query: Mapping[str, Any]) -> dict[str, Any]:
    """Terraform's one `metric` block, as AWS's metric and its statistic."""
    if not isinstance(query.get("metric"), dict):
        return dict(query)
    metric = query["metric"]
    identity = {name: metric[name] for name in ("metricName", "namespace", "dimensions") if name in metric}
    statistic = {name: metric[name] for name in ("period", "stat", "unit") if name in metric}
    return {
        **{key: value for key, value in query.items() if key != "metric"},
        "metricStat": {"metric": identity, **statistic},
    }


def _with_metric(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    def flat(query: dict[str, Any]) -> dict[str, Any]:
        statistic = dict(query.pop("metricStat", None) or {})
        return {**query, "metric": {**statistic.pop("metric"), **statistic}} if statistic else query

    queries = found.get("metricQueries")
    return {"metricQueries": [flat(query) for query in queries]} if queries else {}


def _set_retention(work: Work) -> None:
    if days := work.given.get("retentionInDays"):
        work.call("PutRetentionPolicy", retentionInDays=days)
    else:
        work.call("DeleteRetentionPolicy")


def _log_group_arn(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    return {"arn": found["arn"].removesuffix(":*")}


CLOUDWATCH = (
    ResourceType(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        service="cloudwatch",
        inputs="name actionsEnabled alarmActions alarmDescription comparisonOperator datapointsToAlarm dimensions "
        "evaluateLowSampleCountPercentiles evaluationPeriods extendedStatistic insufficientDataActions metricName metricQueries "
        "namespace okActions period statistic threshold thresholdMetricId treatMissingData unit",
        outputs="arn",
        identity="name",
        autoname=AutoName(longest=255),
        names={
            "name": ("AlarmName", "AlarmNames"),
            "arn": "AlarmArn",
            "metricQueries": "Metrics",
            "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
            "tagsAll": "Tags",
        },
        maps="dimensions",
        prepare=_with_metric_stats,
        create="PutMetricAlarm",
        reads=(Read("DescribeAlarms", result="MetricAlarms"),),
        complete=_with_metric,
        updates=("PutMetricAlarm",),
        delete="DeleteAlarms",
        replaces="name",
        defaults={"actionsEnabled": True, "treatMissingData": "missing"},
        sets="alarmActions insufficientDataActions metricQueries okActions",
        computed="evaluateLowSampleCountPercentiles returnData",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource"),
    ),
    ResourceType(
        token="aws:cloudwatch/logGroup:LogGroup",
        service="logs",
        inputs="name kmsKeyId logGroupClass retentionInDays skipDestroy",
        outputs="arn",
        identity="name",
        autoname=AutoName(longest=255),
        names={"name": ("logGroupName", "logGroupNamePrefix"), "tagsAll": "tags"},
        create="CreateLogGroup",
        reads=(Read("DescribeLogGroups", result="logGroups"),),
        complete=_log_group_arn,
        updates=(Step("PutRetentionPolicy", run=_set_retention, on="retentionInDays"), "AssociateKmsKey"),
        unset={"kmsKeyId": "DisassociateKmsKey"},
        delete=_delete_unless_skipped("DeleteLogGroup"),
        replaces="name logGroupClass",
        defaults={"retentionInDays": 0, "skipDestroy": False},
        computed="logGroupClass",
        write_only="skipDestroy",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource", result="tags"),
    ),
)

# SNS

_TOPIC_ATTRIBUTES = "contentBasedDeduplication deliveryPolicy displayName fifoThroughputScope kmsMasterKeyId policy signatureVersion tracingConfig"
_SUBSCRIPTION_ATTRIBUTES = (
    "deliveryPolicy filterPolicy filterPolicyScope rawMessageDelivery redrivePolicy subscriptionRoleArn"
)


def _set_attributes(operation: str, attributes: str) -> Step:
    """SNS sets one attribute a call, and takes an empty text for "none"."""

    def set_attributes(work: Work) -> None:
        for name in sorted(work.changed & set(attributes.split())):
            value = work.given.get(name, "")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            work.call(operation, AttributeName=name[0].upper() + name[1:], AttributeValue=text)

    return Step(operation, run=set_attributes, on=attributes)


def _typed(attributes: Mapping[str, str]) -> dict[str, Any]:
    """SNS answers in texts; properties are booleans and numbers too."""
    values: dict[str, Any] = {key[0].lower() + key[1:]: value for key, value in attributes.items()}
    values |= {name: value == "true" for name, value in values.items() if value in ("true", "false")}
    return values | {name: int(values[name]) for name in ("signatureVersion",) if values.get(name)}


def _complete_topic(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    values = _typed(found["attributes"])
    return {**values, "arn": values["topicArn"], "name": values["topicArn"].split(":")[-1]}


def _complete_subscription(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    values = _typed(found["attributes"])
    return {**values, "arn": values["subscriptionArn"], "topic": values["topicArn"], "ownerId": values["owner"]}


def _unsubscribe(work: Work) -> None:
    if work.state.get("arn", "").startswith(
        "arn:"
    ):  # one that waits for its confirmation has no ARN, and ends by itself
        work.call("Unsubscribe")


SNS = (
    ResourceType(
        token="aws:sns/topic:Topic",
        service="sns",
        inputs=f"name fifoTopic {_TOPIC_ATTRIBUTES}",
        outputs="arn owner",
        identity="arn",
        id="{arn}",
        autoname=AutoName(longest=80, suffix_if=("fifoTopic", ".fifo")),
        names={"arn": "TopicArn", "tagsAll": "Tags"},
        within="Attributes",
        create="CreateTopic",
        reads=(Read("GetTopicAttributes"),),
        complete=_complete_topic,
        updates=(_set_attributes("SetTopicAttributes", _TOPIC_ATTRIBUTES),),
        delete="DeleteTopic",
        replaces="name fifoTopic",
        documents="policy deliveryPolicy",
        computed="policy signatureVersion fifoThroughputScope tracingConfig",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource"),
    ),
    ResourceType(
        token="aws:sns/topicSubscription:TopicSubscription",
        service="sns",
        inputs=f"topic protocol endpoint {_SUBSCRIPTION_ATTRIBUTES}",
        outputs="arn confirmationWasAuthenticated ownerId pendingConfirmation",
        identity="arn",
        id="{arn}",
        names={"topic": "TopicArn", "arn": "SubscriptionArn"},
        within="Attributes",
        create=Step("Subscribe", run=lambda work: work.send("Subscribe", ReturnSubscriptionArn=True)),
        reads=(Read("GetSubscriptionAttributes"),),
        complete=_complete_subscription,
        updates=(_set_attributes("SetSubscriptionAttributes", _SUBSCRIPTION_ATTRIBUTES),),
        delete=Step("Unsubscribe", run=_unsubscribe),
        replaces="topic protocol endpoint",
        defaults={"rawMessageDelivery": False},
        documents="deliveryPolicy filterPolicy redrivePolicy",
        computed="filterPolicyScope",
    ),
)

# KMS


def _switch_key(work: Work) -> None:
    work.call("EnableKey" if work.given.get("isEnabled", True) else "DisableKey")


def _switch_rotation(work: Work) -> None:
    if not work.given.get("enableKeyRotation"):
        work.call("DisableKeyRotation")
        return
    period = work.given.get("rotationPeriodInDays")
    work.call("EnableKeyRotation", **({"RotationPeriodInDays": period} if period else {}))


def _read_key(work: Work) -> dict[str, Any] | None:
    key = work.call("DescribeKey")["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        return None
    return {
        "arn": key["Arn"],
        "keyId": key["KeyId"],
        "description": key.get("Description"),
        "isEnabled": key["Enabled"],
        "keyUsage": key["KeyUsage"],
        "customerMasterKeySpec": key.get("KeySpec") or key["CustomerMasterKeySpec"],
        "multiRegion": key.get("MultiRegion", False),
    }


KMS = (
    ResourceType(
        token="aws:kms/key:Key",
        service="kms",
        inputs="bypassPolicyLockoutSafetyCheck customerMasterKeySpec deletionWindowInDays description enableKeyRotation isEnabled "
        "keyUsage multiRegion policy rotationPeriodInDays",
        outputs="arn keyId",
        identity="keyId",
        id="{keyId}",
        names={
            "customerMasterKeySpec": "KeySpec",
            "deletionWindowInDays": "PendingWindowInDays",
            "enableKeyRotation": "KeyRotationEnabled",
            "arn": "Arn",
            "tagsAll": "Tags",
        },
        create="CreateKey",
        reads=(Read("DescribeKey", run=_read_key), Read("GetKeyPolicy"), Read("GetKeyRotationStatus")),
        updates=(
            "UpdateKeyDescription",
            "PutKeyPolicy",
            Step("EnableKeyRotation", run=_switch_rotation, on="enableKeyRotation rotationPeriodInDays"),
            Step("EnableKey", run=_switch_key, on="isEnabled"),
        ),
        delete="ScheduleKeyDeletion",
        replaces="customerMasterKeySpec keyUsage multiRegion",
        defaults={
            "bypassPolicyLockoutSafetyCheck": False,
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "enableKeyRotation": False,
            "isEnabled": True,
            "keyUsage": "ENCRYPT_DECRYPT",
        },
        documents="policy",
        computed="description multiRegion policy rotationPeriodInDays",
        write_only="bypassPolicyLockoutSafetyCheck deletionWindowInDays",
        tags=TagCalls("ListResourceTags", "TagResource", "UntagResource"),
    ),
)

TYPES: Mapping[str, ResourceType] = {
    entry.token: entry for entry in (*S3, *ECR, *IAM, *SAGEMAKER, *AUTOSCALING, *CLOUDWATCH, *SNS, *KMS)
}


class UnknownType(Exception):
    """A program uses a type that the table does not hold."""


def find(token: str) -> ResourceType:
    """The table's entry for a Pulumi type.

    Raises:
        UnknownType: there is none.
    """
    if token not in TYPES:
        raise UnknownType(
            f"{token} is not among the types of the sandbox's stand-in for pulumi-aws. Add it to the table in "
            f"sandbox/provider/table.py, which holds {', '.join(sorted(TYPES))}."
        )
    return TYPES[token]
