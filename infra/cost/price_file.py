"""The prices of a region in a file of the project, so that `pulumi preview` and CI need no access to the price list.

The file has AWS's own products, of the usage types that a stack may have and without attributes that nothing reads. It
is written with a line for each product, sorted, so that a new version shows what has changed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.aws.errors import aws_calls
from infra.cost.price_list import PriceList, UsageType
from infra.cost.usage import GLOBAL, PRICED
from infra.errors import UserError

ENDPOINTS = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}
"""The region of the price list's API by partition (AWS General Reference, AWS Price List endpoints)."""

UPDATE_PRICES = "python -m infra cost update-prices -s {}"

_ATTRIBUTES = ("regionCode", "usagetype", "group")
_DIMENSION = ("unit", "beginRange", "endRange", "pricePerUnit", "description")


class PriceFileError(UserError):
    """A price file that cannot be read or written, or a price list without products."""

    exit_code = 2


def path(root: Path, region: str) -> Path:
    """The file of a region."""
    return root / f"prices.{region}.json"


def read(root: Path, region: str) -> PriceList | None:
    """The prices in the file of a region; None if it does not exist.

    Raises:
        PriceFileError: it cannot be read, or is not a price file.
    """
    file = path(root, region)
    try:
        return PriceList.of_answers(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PriceFileError(f"cannot read {file.name}: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        raise PriceFileError(
            f"{file.name} is not a price file. Delete it, and run `{UPDATE_PRICES.format('STACK')}`."
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
        found = [product for beginning in beginnings for product in _regional(client, service, region, beginning)]
        found += [product for usage in GLOBAL if usage.service == service for product in _global(client, usage)]
        priced = {product["product"]["sku"]: product for product in found if _is_priced(product, region)}
        if not priced:
            raise PriceFileError(f"the price list of {service} has no product for {region} that a stack may use.")
        report(f"{service}: {len(priced)} products")
        yield from priced.values()


def fetch_needed(client: Any, region: str, needed: Iterable[UsageType]) -> PriceList:
    """The products of some usage types from the price list's API.

    Raises:
        AwsRequestRefused: AWS refused a call; `pricing:GetProducts` is required.
    """
    products: list[Mapping[str, Any]] = []
    for usage in sorted(set(needed), key=str):
        products += _regional(client, usage.service, region, usage.name) if usage.regional else _global(client, usage)
    return PriceList.of_answers(products)


def _regional(client: Any, service: str, region: str, usage_type: str) -> list[Mapping[str, Any]]:
    """The products of a region whose usage types contain a text: filters match whole values, or parts of them, and
    the abbreviations of the regions are nowhere in the API."""
    return _products(
        client, service, _filter("TERM_MATCH", "regionCode", region), _filter("CONTAINS", "usagetype", usage_type)
    )


def _global(client: Any, usage: UsageType) -> list[Mapping[str, Any]]:
    return _products(client, usage.service, _filter("TERM_MATCH", "usagetype", usage.name))


def _filter(type_: str, field: str, value: str) -> dict[str, str]:
    return {"Type": type_, "Field": field, "Value": value}


def _products(client: Any, service: str, *filters: Mapping[str, str]) -> list[Mapping[str, Any]]:
    with aws_calls(f"price list of {service}"):
        pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
        return [json.loads(product) for page in pages for product in page["PriceList"]]


def write(file: Path, products: Iterator[Mapping[str, Any]]) -> None:
    """Write the whole file or nothing.

    Raises:
        PriceFileError: it cannot be written.
    """
    lines = sorted(json.dumps(_only_used(product), sort_keys=True) for product in products)
    partial = file.with_name(f"{file.name}.partial")
    try:
        partial.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise PriceFileError(f"cannot write {file}: {error.strerror}.") from None


def _is_priced(product: Mapping[str, Any], region: str) -> bool:
    """Whether a usage type is one that a stack may have, and not one that only contains its name."""
    attributes, service = product["product"]["attributes"], product["serviceCode"]
    usage_type = str(attributes.get("usagetype", ""))
    _, _, without_region = usage_type.partition("-")
    beginnings = PRICED[service]
    regional = usage_type.startswith(beginnings) or without_region.startswith(beginnings)
    return regional or any(usage.is_of(attributes, region) for usage in GLOBAL)


def _only_used(product: Mapping[str, Any]) -> Mapping[str, Any]:
    offers = product["terms"].get("OnDemand", {})
    return {
        "serviceCode": product["serviceCode"],
        "publicationDate": product["publicationDate"],
        "product": {
            "sku": product["product"]["sku"],
            "attributes": _some(product["product"]["attributes"], _ATTRIBUTES),
        },
        "terms": {"OnDemand": {offer: _dimensions(terms) for offer, terms in offers.items()}},
    }


def _dimensions(terms: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"priceDimensions": {key: _some(value, _DIMENSION) for key, value in terms["priceDimensions"].items()}}


def _some(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
