"""AWS's price list (service `pricing`) with products in the real form and made-up prices.

`publicationDate` says that they are made up, and so does every screen that shows it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from sandbox.aws.protocol import AwsError, RequestContext, not_in_sandbox

PUBLISHED: Final = "2000-01-01T00:00:00Z (made up)"
LARGEST_PAGE: Final = 100

ABBREVIATIONS: Final = {"ap-northeast-1": "APN1", "eu-west-1": "EU", "us-east-1": "USE1"}
"""What usage types begin with (Cost and Usage Report guide, Region codes)."""

_PRODUCTS = Path(__file__).with_name("prices.json")


class Pricing:
    """GetProducts, by the filters TERM_MATCH, EQUALS and CONTAINS (Price List API, `Filter`)."""

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        if operation != "GetProducts":
            raise not_in_sandbox(f"{operation} of the price list")
        filters = params.get("Filters", [])
        region = next((each["Value"] for each in filters if each["Field"] == "regionCode"), context.region)
        found = [
            product
            for product in products(region)
            if product["serviceCode"] == params["ServiceCode"] and all(_passes(product, each) for each in filters)
        ]
        size = min(params.get("MaxResults", LARGEST_PAGE), LARGEST_PAGE)
        start = _start(params.get("NextToken", "0"), len(found))
        answer: dict[str, Any] = {
            "FormatVersion": "aws_v1",
            "PriceList": [json.dumps(product) for product in found[start : start + size]],
        }
        if start + size < len(found):
            answer["NextToken"] = str(start + size)
        return answer


def _start(token: str, count: int) -> int:
    if not token.isdigit() or int(token) > count:
        raise AwsError("InvalidNextTokenException", "The pagination token is invalid. Try again without one.")
    return int(token)


def _passes(product: dict[str, Any], wanted: dict[str, str]) -> bool:
    value = product["product"]["attributes"].get(wanted["Field"], "")
    match wanted["Type"]:
        case "TERM_MATCH" | "EQUALS":
            return bool(value == wanted["Value"])
        case "CONTAINS":
            return wanted["Value"] in value
    raise not_in_sandbox(f"the filter type {wanted['Type']} of the price list")


@cache
def products(region: str) -> list[dict[str, Any]]:
    """The products of a region as GetProducts returns them, each before it is written as JSON; those of all regions
    have no `regionCode`, and no abbreviation of a region in their usage type."""
    prefix = ABBREVIATIONS.get(region, region.replace("-", "").upper()[:6])
    return [_product(region, prefix, *entry) for entry in json.loads(_PRODUCTS.read_text(encoding="utf-8"))]


def _product(
    region: str, prefix: str, service: str, usage_type: str, unit: str, usd: str, attributes: dict[str, str]
) -> dict[str, Any]:
    place = {"location": "Any", "regionCode": ""}
    if attributes.get("location") != "Any":
        place, usage_type = {"regionCode": region}, f"{prefix}-{usage_type}"
    sku = hashlib.sha256(f"{service} {usage_type}".encode()).hexdigest()[:16].upper()
    term = f"{sku}.JRTCKXETXF"
    dimension = {
        "rateCode": f"{term}.6YS6EN2CT7",
        "unit": unit,
        "beginRange": "0",
        "endRange": "Inf",
        "description": f"${usd} per {unit} of {usage_type} (made up)",
        "appliesTo": [],
        "pricePerUnit": {"USD": usd},
    }
    terms = {
        "sku": sku,
        "offerTermCode": "JRTCKXETXF",
        "effectiveDate": "2000-01-01T00:00:00Z",
        "termAttributes": {},
        "priceDimensions": {dimension["rateCode"]: dimension},
    }
    return {
        "serviceCode": service,
        "version": "20000101000000",
        "publicationDate": PUBLISHED,
        "product": {
            "sku": sku,
            "productFamily": "ML Instance" if "instanceName" in attributes else "Usage",
            "attributes": {"servicecode": service, **place, "usagetype": usage_type, **attributes},
        },
        "terms": {"OnDemand": {term: terms}},
    }
