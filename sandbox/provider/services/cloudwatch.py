"""CloudWatch's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls


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


def _last_update(work: Work, found: dict[str, Any]) -> dict[str, Any]:
    """terraform-provider-aws gives it the date of the creation (internal/service/cloudwatch/metric_stream.go)."""
    return {"lastUpdateDate": found["creationDate"]}


TYPES = (
    ResourceType(
        token="aws:cloudwatch/metricAlarm:MetricAlarm",
        service="cloudwatch",
        inputs="name actionsEnabled alarmActions alarmDescription comparisonOperator datapointsToAlarm dimensions "
        "evaluateLowSampleCountPercentiles evaluationPeriods extendedStatistic insufficientDataActions metricName "
        "metricQueries namespace okActions period statistic threshold thresholdMetricId treatMissingData unit "
        "warmUpConfiguration",
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
        token="aws:cloudwatch/dashboard:Dashboard",
        service="cloudwatch",
        inputs="dashboardName dashboardBody",
        outputs="dashboardArn",
        identity="dashboardName",
        id="{dashboardName}",
        names={"dashboardName": ("DashboardName", "DashboardNames")},
        create="PutDashboard",
        reads=(Read("GetDashboard"),),
        updates=("PutDashboard",),
        delete="DeleteDashboards",
        replaces="dashboardName",
        json="dashboardBody",
    ),
    ResourceType(
        token="aws:cloudwatch/compositeAlarm:CompositeAlarm",
        service="cloudwatch",
        inputs="actionsEnabled alarmActions alarmDescription alarmName alarmRule insufficientDataActions okActions",
        outputs="arn",
        identity="alarmName",
        id="{alarmName}",
        names={"alarmName": ("AlarmName", "AlarmNames"), "arn": "AlarmArn", "tagsAll": "Tags"},
        create="PutCompositeAlarm",
        reads=(Read("DescribeAlarms", "CompositeAlarms", parameters={"AlarmTypes": ["CompositeAlarm"]}),),
        updates=("PutCompositeAlarm",),
        delete="DeleteAlarms",
        replaces="alarmName actionsEnabled",
        defaults={"actionsEnabled": True},
        sets="alarmActions insufficientDataActions okActions",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource"),
    ),
    ResourceType(
        token="aws:cloudwatch/alarmMuteRule:AlarmMuteRule",
        service="cloudwatch",
        inputs="description expireDate muteTargets name rule startDate",
        outputs="arn lastUpdatedTimestamp muteType status",
        identity="name",
        names={"name": ("Name", "AlarmMuteRuleName"), "arn": "AlarmMuteRuleArn", "tagsAll": "Tags"},
        create="PutAlarmMuteRule",
        reads=(Read("GetAlarmMuteRule"),),
        updates=("PutAlarmMuteRule",),
        delete="DeleteAlarmMuteRule",
        replaces="name",
        sets="alarmNames",
        renewed="lastUpdatedTimestamp status",
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
        delete="DeleteLogGroup",
        replaces="name logGroupClass",
        defaults={"retentionInDays": 0, "skipDestroy": False},
        computed="logGroupClass",
        write_only="skipDestroy",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource", result="tags"),
    ),
    ResourceType(
        token="aws:cloudwatch/metricStream:MetricStream",
        service="cloudwatch",
        inputs="name excludeFilters firehoseArn includeFilters includeLinkedAccountsMetrics outputFormat roleArn "
        "statisticsConfigurations",
        outputs="arn creationDate lastUpdateDate state",
        identity="name",
        autoname=AutoName(longest=255),
        names={"tagsAll": "Tags"},
        create="PutMetricStream",
        reads=(Read("GetMetricStream"),),
        complete=_last_update,
        updates=("PutMetricStream",),
        delete="DeleteMetricStream",
        replaces="name",
        sets="additionalStatistics excludeFilters includeFilters includeMetrics metricNames statisticsConfigurations",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource"),
    ),
)
