"""The price file has AWS's products, and is written completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.cost import price_file, usage
from infra.cost.price_file import PriceFileError
from tests.infra.cost.products import PRODUCTS, REGION, answers, flat

OTHERS = [flat("APN1-Notebk:ml.c5.xlarge", "0.2", sku="NOTEBOOK"), flat("APN1-Host:x-Host:y", "0.2", sku="CONTAINS")]


def passes(product: dict[str, Any], wanted: dict[str, str]) -> bool:
    value = product["product"]["attributes"].get(wanted["Field"], "")
    return wanted["Value"] in value if wanted["Type"] == "CONTAINS" else wanted["Value"] == value


class Pricing:
    """The price list's API, two products a page."""

    def __init__(self, products: list[dict[str, Any]], refuse: str = "") -> None:
        self.products, self.refuse = products, refuse

    def get_paginator(self, _operation: str) -> Pricing:
        return self

    def paginate(self, ServiceCode: str, Filters: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
        if self.refuse == ServiceCode:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetProducts")
        chosen = [
            product
            for product in self.products
            if product["serviceCode"] == ServiceCode and all(passes(product, wanted) for wanted in Filters)
        ]
        for start in range(0, len(chosen), 2):
            yield {"PriceList": answers(chosen[start : start + 2])}


def update(root: Path, pricing: Pricing) -> list[str]:
    lines: list[str] = []
    price_file.write(price_file.path(root, REGION), price_file.fetch(pricing, REGION, lines.append))
    return lines


def test_a_fetched_file_has_the_prices_of_the_region(tmp_path: Path) -> None:
    lines = update(tmp_path, Pricing([*PRODUCTS, *OTHERS]))
    prices = price_file.read(tmp_path, REGION)
    assert prices is not None
    assert prices.price(usage.instances(usage.HOSTING, "ml.c5.xlarge"), REGION).tiers[0].usd == Decimal("0.257")
    assert prices.price(usage.STORAGE_ECR, REGION).sku == "ECR"
    assert prices.price(usage.BASIC_DASHBOARD, REGION).tiers[0].usd == 2
    assert lines[0] == "AmazonSageMaker: 12 products"
    text = price_file.path(tmp_path, REGION).read_text()
    assert not [name for name in ("NOTEBOOK", "HighRes", "DataProcessingIA", "Global-") if name in text]
    assert len(text.splitlines()) == len(json.loads(text)) + 2


def test_an_edited_file_cannot_fail_later(tmp_path: Path) -> None:
    edited = flat("APN1-Host:ml.c5.xlarge", "0.2")
    edited["publicationDate"], edited["product"]["attributes"]["usagetype"] = 20261120, 5
    price_file.path(tmp_path, REGION).write_text(json.dumps([edited, flat("APN1-Host:ml.c5.2xlarge", "0.4")]))
    prices = price_file.read(tmp_path, REGION)
    assert prices and prices.published
    assert prices.price(usage.instances(usage.HOSTING, "ml.c5.2xlarge"), REGION).usd(Decimal(1)) == Decimal("0.4")


def test_without_a_file_there_are_no_prices(tmp_path: Path) -> None:
    assert price_file.read(tmp_path, REGION) is None


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"a": 1}]', "1", "[" * 100_000])
def test_another_file_is_an_error(tmp_path: Path, content: str) -> None:
    price_file.path(tmp_path, REGION).write_text(content)
    with pytest.raises(PriceFileError, match=r"prices\.ap-northeast-1\.json"):
        price_file.read(tmp_path, REGION)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    price_file.path(tmp_path, REGION).mkdir()
    with pytest.raises(PriceFileError, match=r"cannot read prices\.ap-northeast-1\.json: "):
        price_file.read(tmp_path, REGION)


@pytest.mark.parametrize(
    ("pricing", "error"),
    [
        (Pricing([*PRODUCTS, *OTHERS], refuse="AmazonCloudWatch"), AwsRequestRefused),
        (Pricing([one for one in PRODUCTS if one["serviceCode"] != "AmazonECR"]), PriceFileError),
    ],
)
def test_a_failure_keeps_the_file(tmp_path: Path, pricing: Pricing, error: type[Exception]) -> None:
    update(tmp_path, Pricing([*PRODUCTS, *OTHERS]))
    before = price_file.path(tmp_path, REGION).read_text()
    with pytest.raises(error):
        update(tmp_path, pricing)
    assert price_file.path(tmp_path, REGION).read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["prices.ap-northeast-1.json"]


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    price_file.path(tmp_path, REGION).mkdir()
    with pytest.raises(PriceFileError, match="Is a directory"):
        update(tmp_path, Pricing([*PRODUCTS, *OTHERS]))
    assert [file.name for file in tmp_path.iterdir()] == ["prices.ap-northeast-1.json"]
