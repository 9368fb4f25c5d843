"""The prices of a region in a file of the project, so that `pulumi preview` and CI need no access to the price list.

The file has AWS's own products, of the usage types that a stack may have and without attributes that nothing reads. It
is written with a line for each product, sorted, so that a new version shows what has changed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.aws.errors import aws_calls
from infra.cost.price_list import PriceList, UsageType
from infra.cost.usage import PRICED
from infra.errors import UserError

ENDPOINTS = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""The region of the price list's API by partition (AWS General Reference, AWS Price List endpoints)."""

_ATTRIBUTES = ("servicecode", "regionCode", "usagetype", "instanceName", "component", "vCpu", "memory", "gpu")


class PriceFileError(UserError):
    """A price file that cannot be read, or a price list without products."""

    exit_code = 2


def path(root: Path, region: str) -> Path:
    """The file of a region."""
    return root / f"prices.{region}.json"


def read(root: Path, region: str) -> PriceList | None:
    """The prices in the file of a region; None if it does not exist.

    Raises:
        PriceFileError: it is not a price file.
    """
    file = path(root, region)
    try:
        return PriceList.of_answers(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise PriceFileError(
            f"{file.name} is not a valid price file ({error!r}). Delete it, and run `python -m infra cost "
            "update-prices`."
        ) from None


def fetch(client: Any, region: str, report: Callable[[str], None]) -> Iterator[Mapping[str, Any]]:
    """The products of a region from the price list's API.

    Args:
        client: boto3's `pricing` client.
        report: called with a line of progress for each service.

    Raises:
        AwsRequestRefused: AWS refused a call; `pricing:GetProducts` is required.
        PriceFileError: a service has no product in the region.
    """
    for service, beginnings in PRICED.items():
        products = _products(client, service, region, service)
        priced = [product for product in products if _is_priced(product, beginnings)]
        if not priced:
            raise PriceFileError(f"the price list of {service} has no product for {region} that a stack may use.")
        report(f"{service}: {len(priced)} of {len(products)} products in {region}")
        yield from priced


def fetch_needed(client: Any, region: str, needed: Iterable[UsageType]) -> PriceList:
    """The products of some usage types from the price list's API.

    Raises:
        AwsRequestRefused: AWS refused a call; `pricing:GetProducts` is required.
    """
    products: list[Mapping[str, Any]] = []
    for usage in sorted(set(needed), key=str):
        of_type = {"Type": "CONTAINS", "Field": "usagetype", "Value": usage.name}
        products += _products(client, usage.service, region, str(usage), of_type)
    return PriceList.of_answers(products)


def _products(
    client: Any, service: str, region: str, what: str, *filters: Mapping[str, str]
) -> list[Mapping[str, Any]]:
    in_region = {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}
    with aws_calls(f"price list of {what}"):
        pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=[in_region, *filters])
        return [json.loads(product) for page in pages for product in page["PriceList"]]


def write(file: Path, products: Iterator[Mapping[str, Any]]) -> None:
    """Write the whole file or nothing."""
    lines = sorted(json.dumps(_only_used(product), sort_keys=True) for product in products)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, delete=False) as partial:
        try:
            partial.write("[\n" + ",\n".join(lines) + "\n]\n")
        except BaseException:
            os.unlink(partial.name)
            raise
    Path(partial.name).chmod(0o644)
    Path(partial.name).replace(file)


def _is_priced(product: Mapping[str, Any], beginnings: tuple[str, ...]) -> bool:
    usage_type = str(product["product"]["attributes"].get("usagetype", ""))
    _, _, without_region = usage_type.partition("-")
    return usage_type.startswith(beginnings) or without_region.startswith(beginnings)


def _only_used(product: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = product["product"]["attributes"]
    return {
        "serviceCode": product["serviceCode"],
        "publicationDate": product["publicationDate"],
        "product": {
            "sku": product["product"]["sku"],
            "attributes": {key: attributes[key] for key in _ATTRIBUTES if key in attributes},
        },
        "terms": {"OnDemand": product["terms"].get("OnDemand", {})},
    }
