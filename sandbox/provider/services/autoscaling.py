"""Application Auto Scaling's types."""

from __future__ import annotations

from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, TagCalls


def _alarm_arns(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    return {"alarmArns": [alarm["alarmArn"] for alarm in found.get("alarms", [])]}


_PART_OF_ID = r"(?P<serviceNamespace>[^/]+)/(?P<resourceId>.+)/(?P<scalableDimension>[^/]+)"

TYPES = (
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
        defaults={
            "policyType": "StepScaling",
            "targetTrackingScalingPolicyConfiguration.disableScaleIn": False,
        },
        sets="dimensions metrics stepAdjustments",
    ),
)
