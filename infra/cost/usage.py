"""What AWS bills for a stack, by the usage types of its price list.

The names are those that AWS's price list and cost reports show (Cost and Usage Report guide, `lineItem/UsageType`);
docs/cost.md lists which of them were seen where. A name that AWS does not use has no product, which `cost` reports.
"""

from __future__ import annotations

from decimal import Decimal

from infra.cost.price_list import UsageType

HOURS_PER_MONTH = Decimal(730)
"""365 days of 24 hours, divided by 12: AWS's own convention (AWS Pricing Calculator)."""

SAGEMAKER, S3, ECR, CLOUDWATCH = "AmazonSageMaker", "AmazonS3", "AmazonECR", "AmazonCloudWatch"

HOSTING, ASYNCHRONOUS, BATCH = "Host", "AsyncInf", "Tsform"
"""The beginnings of the usage types of instances by what they do."""

STORAGE_S3 = UsageType(S3, "TimedStorage-ByteHrs", "GB-month")
STORAGE_ECR = UsageType(ECR, "TimedStorage-ByteHrs", "GB-month")
DATA_IN = UsageType(SAGEMAKER, "Hst:Data-Bytes-In", "GB")
DATA_OUT = UsageType(SAGEMAKER, "Hst:Data-Bytes-Out", "GB")
ALARM = UsageType(CLOUDWATCH, "CW:AlarmMonitorUsage", "alarm metric-month")
"""Billed by the metrics that an alarm evaluates."""
LOGS_IN = UsageType(CLOUDWATCH, "DataProcessing-Bytes", "GB")
LOGS_KEPT = UsageType(CLOUDWATCH, "TimedStorage-ByteHrs", "GB-month")

PRICED = {
    SAGEMAKER: ("Host:", "AsyncInf:", "Tsform:", "ServerlessInf:", "ProvisionedConcurrency:", "Hst:Data-Bytes-"),
    S3: (STORAGE_S3.name,),
    ECR: (STORAGE_ECR.name,),
    CLOUDWATCH: (ALARM.name, LOGS_IN.name, LOGS_KEPT.name),
}
"""The beginnings of all usage types that a stack may have, by service."""


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
    return UsageType(SAGEMAKER, f"ServerlessInf:Mem-{memory_mb // 1024}GB", "second")


def provisioned(memory_mb: int) -> UsageType:
    """Provisioned concurrency, whether it is used or not."""
    return UsageType(SAGEMAKER, f"ProvisionedConcurrency:Mem-{memory_mb // 1024}GB", "second")


def provisioned_use(memory_mb: int) -> UsageType:
    """The duration of requests on provisioned concurrency."""
    return UsageType(SAGEMAKER, f"ProvisionedConcurrency:Usage-{memory_mb // 1024}GB", "second")
