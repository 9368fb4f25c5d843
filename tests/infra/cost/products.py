"""Products in the form of AWS's price list, with made-up prices and SKUs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

REGION = "ap-northeast-1"
PUBLISHED = "2026-11-20T00:00:00Z"


def product(
    usage_type: str,
    *prices: tuple[str, str, str],
    service: str = "AmazonSageMaker",
    unit: str = "Hrs",
    family: str = "ML Instance",
    region: str = REGION,
    sku: str = "",
    **attributes: str,
) -> dict[str, Any]:
    """A product.

    Args:
        prices: each as `beginRange`, `endRange` and USD.
    """
    sku = sku or hashlib.sha256(f"{service} {usage_type}".encode()).hexdigest()[:16].upper()
    return {
        "product": {
            "sku": sku,
            "productFamily": family,
            "attributes": {"servicecode": service, "regionCode": region, "usagetype": usage_type, **attributes},
        },
        "serviceCode": service,
        "terms": {
            "OnDemand": {
                f"{sku}.JRTCKXETXF": {
                    "priceDimensions": {
                        f"{sku}.JRTCKXETXF.{number}": {
                            "unit": unit,
                            "beginRange": begin,
                            "endRange": end,
                            "pricePerUnit": {"USD": usd},
                            "description": f"${usd} per {unit} for {usage_type}",
                            "appliesTo": [],
                            "rateCode": f"{sku}.JRTCKXETXF.{number}",
                        }
                        for number, (begin, end, usd) in enumerate(prices)
                    },
                    "sku": sku,
                    "effectiveDate": "2026-11-01T00:00:00Z",
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
            }
        },
        "version": "20261120000000",
        "publicationDate": PUBLISHED,
    }


def flat(usage_type: str, usd: str, **more: Any) -> dict[str, Any]:
    """A product with one price for every quantity."""
    return product(usage_type, ("0", "Inf", usd), **more)


VOLUME = {"volumeType": "General Purpose-Hosting", "platoclassificationtype": "Host:VolumeUsage"}


def instance(usage_type: str, usd: str, component: str, **more: Any) -> dict[str, Any]:
    """A product of the family `ML Instance`; its `instanceType` names the component too."""
    name = usage_type.partition(":")[2]
    return flat(usage_type, usd, instanceName=name, instanceType=f"{name}-{component}", component=component, **more)


def dashboard(usage_type: str, usd: str) -> dict[str, Any]:
    """A product of all regions."""
    place = {"location": "Any", "region": ""}
    return flat(usage_type, usd, service="AmazonCloudWatch", unit="Dashboards", family="Dashboard", **place)


def serverless(usage_type: str, usd: str, group: str) -> dict[str, Any]:
    """A product of the family `ML Serverless`."""
    named = {"group": group, "operation": "Serverless", "memorygb": usage_type[-3]}
    return flat(usage_type, usd, unit="seconds", family="ML Serverless", **named)


def data(usage_type: str, usd: str, group: str) -> dict[str, Any]:
    """What InvokeEndpoint carries."""
    return flat(usage_type, usd, unit="GB", family="Data Transfer", group=group, operation="Invoke-Endpoint")


CLOUDWATCH = {"service": "AmazonCloudWatch"}

PRODUCTS = [
    instance("APN1-Host:ml.r5.xlarge", "0.3650000000", "Hosting"),
    flat("APN1-Host:VolumeUsage.gp2", "0.1680000000", unit="GB-Mo", family="Storage", **VOLUME),
    instance("APN1-AsyncInf:ml.c5.xlarge", "0.2560000000", "AsyncInf"),
    instance("APN1-Host:ml.c5.xlarge", "0.2570000000", "Hosting"),
    instance("APN1-Host:ml.c5.18xlarge", "4.6260000000", "Hosting"),
    instance("APN1-Tsform:ml.c5.xlarge", "0.2580000000", "Batch Transform"),
    instance("USE1-Host:ml.c5.xlarge", "0.2040000000", "Hosting", region="us-east-1"),
    serverless("APN1-ServerlessInf:Mem-4GB", "0.0000960000", "ServerlessInf"),
    serverless("APN1-ProvisionedConcurrency:Usage-4GB", "0.0000120000", "ServerlessProvisionedConcurrency-Usage"),
    serverless("APN1-ProvisionedConcurrency:Mem-4GB", "0.0000480000", "ServerlessProvisionedConcurrency-Duration"),
    data("APN1-Hst:Data-Bytes-In", "0.0160000000", "Hosting:IN"),
    data("APN1-Hst:Data-Bytes-Out", "0.0170000000", "Hosting:OUT"),
    flat("APN1-CW:AlarmMonitorUsage", "0.1000000000", unit="Alarms", family="Alarm", **CLOUDWATCH),
    flat("APN1-CW:CompositeAlarmMonitorUsage", "0.5000000000", unit="Alarms", family="Alarm", **CLOUDWATCH),
    flat("APN1-CW:HighResAlarmMonitorUsage", "0.3000000000", unit="Alarms", family="Alarm", **CLOUDWATCH),
    flat("APN1-CW:MetricStreamUsage", "0.0000030000", unit="Metric Update", family="Metric Streams", **CLOUDWATCH),
    flat("APN1-DataProcessing-Bytes", "0.7600000000", unit="GB", family="Data Payload", **CLOUDWATCH),
    flat("APN1-DataProcessingIA-Bytes", "0.3800000000", unit="GB", family="Data Payload", **CLOUDWATCH),
    dashboard("DashboardsUsageHour", "3.0000000000"),
    dashboard("DashboardsUsageHour-Basic", "2.0000000000"),
    dashboard("Global-DashboardsUsageHour", "0.0000000000"),
    product(
        "APN1-TimedStorage-ByteHrs",
        ("0", "51200", "0.0250000000"),
        ("51200", "512000", "0.0240000000"),
        ("512000", "Inf", "0.0230000000"),
        service="AmazonS3",
        unit="GB-Mo",
        family="Storage",
        volumeType="Standard",
    ),
    flat("APN1-TimedStorage-INT-FA-ByteHrs", "0.0250000000", service="AmazonS3", unit="GB-Mo", family="Storage"),
    flat("APN1-TimedStorage-ByteHrs", "0.1000000000", service="AmazonECR", unit="GB-Mo", sku="ECR"),
]
"""The usage types, groups, units and families that docs/cost.md has the sources of."""


def answers(products: list[dict[str, Any]]) -> list[str]:
    """The `PriceList` of GetProducts."""
    return [json.dumps(entry) for entry in products]
