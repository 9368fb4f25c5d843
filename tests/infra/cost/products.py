"""Products in the form of AWS's price list, with made-up prices and SKUs."""

from __future__ import annotations

import json
from typing import Any

REGION = "ap-northeast-1"
PUBLISHED = "2026-11-20T00:00:00Z"


def product(
    usage_type: str,
    *prices: tuple[str, str, str],
    service: str = "AmazonSageMaker",
    unit: str = "Hrs",
    region: str = REGION,
    sku: str | None = None,
    **attributes: str,
) -> dict[str, Any]:
    """A product.

    Args:
        prices: each as `beginRange`, `endRange` and USD.
    """
    sku = sku or f"SKU{abs(hash(usage_type)) % 10**6}"
    return {
        "product": {
            "sku": sku,
            "productFamily": "ML Instance",
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


PRODUCTS = [
    flat("APN1-Host:ml.r5.xlarge", "0.3650000000", instanceName="ml.r5.xlarge", component="Hosting", vCpu="4"),
    flat("APN1-Host:VolumeUsage.gp2", "0.1680000000", unit="GB-Mo"),
    flat("APN1-AsyncInf:ml.c5.xlarge", "0.2560000000", instanceName="ml.c5.xlarge", component="AsyncInf"),
    flat("APN1-ProvisionedConcurrency:Mem-4GB", "0.0000120000", unit="Seconds"),
    flat("APN1-ProvisionedConcurrency:Usage-4GB", "0.0000480000", unit="Seconds"),
    flat("APN1-Hst:Data-Bytes-In", "0.0160000000", unit="GB"),
    flat("APN1-Hst:Data-Bytes-Out", "0.0170000000", unit="GB"),
    flat("APN1-CW:AlarmMonitorUsage", "0.1000000000", service="AmazonCloudWatch", unit="Alarms"),
    flat("APN1-Host:ml.c5.xlarge", "0.2570000000", instanceName="ml.c5.xlarge", component="Hosting", vCpu="4"),
    flat("APN1-Host:ml.c5.18xlarge", "4.6260000000", instanceName="ml.c5.18xlarge", component="Hosting", vCpu="72"),
    flat("APN1-Tsform:ml.c5.xlarge", "0.2580000000", instanceName="ml.c5.xlarge", component="Batch Transform"),
    flat("USE1-Host:ml.c5.xlarge", "0.2040000000", region="us-east-1", instanceName="ml.c5.xlarge"),
    flat("APN1-ServerlessInf:Mem-4GB", "0.0000960000", unit="Seconds"),
    product(
        "APN1-TimedStorage-ByteHrs",
        ("0", "51200", "0.0250000000"),
        ("51200", "512000", "0.0240000000"),
        ("512000", "Inf", "0.0230000000"),
        service="AmazonS3",
        unit="GB-Mo",
    ),
    flat("APN1-TimedStorage-INT-FA-ByteHrs", "0.0250000000", service="AmazonS3", unit="GB-Mo"),
]


def answers(products: list[dict[str, Any]]) -> list[str]:
    """The `PriceList` of GetProducts."""
    return [json.dumps(entry) for entry in products]
