"""What AWS bills for a stack, by the usage types of its price list.

docs/cost.md lists where each name was seen. A name that AWS does not use has no product, which `cost` reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from infra.aws.mode import Mode
from infra.cost.price_list import UsageType

HOURS_PER_MONTH = Decimal(730)
"""365 days of 24 hours, divided by 12: AWS's own convention (AWS Pricing Calculator)."""

SAGEMAKER, S3, ECR, CLOUDWATCH = "AmazonSageMaker", "AmazonS3", "AmazonECR", "AmazonCloudWatch"

HOSTING, ASYNCHRONOUS, BATCH = "Host", "AsyncInf", "Tsform"
"""The beginnings of the usage types of instances by what they do."""

SERVERLESS, PROVISIONED = "ServerlessInf", "ProvisionedConcurrency"
"""The beginnings of those of serverless endpoints."""

STORAGE_S3 = UsageType(S3, "TimedStorage-ByteHrs", "GB-month")
STORAGE_ECR = UsageType(ECR, "TimedStorage-ByteHrs", "GB-month")
DATA_IN = UsageType(SAGEMAKER, "Hst:Data-Bytes-In", "GB", "Hosting:IN")
DATA_OUT = UsageType(SAGEMAKER, "Hst:Data-Bytes-Out", "GB", "Hosting:OUT")
ALARM = UsageType(CLOUDWATCH, "CW:AlarmMonitorUsage", "alarm metric-month")
"""Billed by the metrics that an alarm evaluates."""
COMPOSITE_ALARM = UsageType(CLOUDWATCH, "CW:CompositeAlarmMonitorUsage", "alarm-month")
DASHBOARD = UsageType(CLOUDWATCH, "DashboardsUsageHour", "dashboard-month", regional=False)
"""A dashboard with more than `BASIC_DASHBOARD_METRICS` metrics."""
BASIC_DASHBOARD = UsageType(CLOUDWATCH, "DashboardsUsageHour-Basic", "dashboard-month", regional=False)
METRIC_STREAM = UsageType(CLOUDWATCH, "CW:MetricStreamUsage", "metric update")
LOGS = UsageType(CLOUDWATCH, "DataProcessing-Bytes", "GB")
"""Containers write their logs as the execution role, so they are custom logs, not vended ones."""

BASIC_DASHBOARD_METRICS = 50
"""CloudWatch guide, Analyzing, optimizing, and reducing CloudWatch costs."""

PRICED: Mapping[str, tuple[str, ...]] = {
    SAGEMAKER: (
        *(f"{beginning}:" for beginning in (HOSTING, ASYNCHRONOUS, BATCH, SERVERLESS, PROVISIONED)),
        DATA_IN.name,
        DATA_OUT.name,
    ),
    S3: (STORAGE_S3.name,),
    ECR: (STORAGE_ECR.name,),
    CLOUDWATCH: (ALARM.name, COMPOSITE_ALARM.name, METRIC_STREAM.name, LOGS.name),
}
"""The beginnings of all regional usage types that a stack may have, by service."""

GLOBAL = (DASHBOARD, BASIC_DASHBOARD)


def purpose(mode: Mode) -> str:
    """What the instances of an endpoint do."""
    return ASYNCHRONOUS if mode is Mode.ASYNCHRONOUS else HOSTING


def instances(purpose: str, instance_type: str) -> UsageType:
    """The hours of an instance.

    Args:
        purpose: `HOSTING`, `ASYNCHRONOUS` or `BATCH`.
    """
    return UsageType(SAGEMAKER, f"{purpose}:{instance_type}", "hour")


def volume(purpose: str) -> UsageType:
    """The storage volumes of the instances."""
    return UsageType(SAGEMAKER, f"{purpose}:VolumeUsage.gp2", "GB-month")


def serverless(memory_mb: int) -> UsageType:
    """The duration of requests on demand."""
    return UsageType(SAGEMAKER, f"{SERVERLESS}:Mem-{memory_mb // 1024}GB", "second")


def provisioned(memory_mb: int) -> UsageType:
    """Provisioned concurrency, whether it is used or not."""
    name = f"{PROVISIONED}:Usage-{memory_mb // 1024}GB"
    return UsageType(SAGEMAKER, name, "second", "ServerlessProvisionedConcurrency-Usage")


def on_provisioned(memory_mb: int) -> UsageType:
    """The duration of requests on provisioned concurrency."""
    name = f"{PROVISIONED}:Mem-{memory_mb // 1024}GB"
    return UsageType(SAGEMAKER, name, "second", "ServerlessProvisionedConcurrency-Duration")
