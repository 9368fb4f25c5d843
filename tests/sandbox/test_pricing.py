"""The sandbox's price list has products in the real form, and says that they are made up."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.cost import price_file, usage
from tests.sandbox.conftest import REGION, RunningAws


@pytest.fixture
def pricing(aws: RunningAws) -> Any:
    return aws.client("pricing", "us-east-1")


def test_the_price_file_is_written_from_it(pricing: Any, tmp_path: Path) -> None:
    lines: list[str] = []
    price_file.write(price_file.path(tmp_path, REGION), price_file.fetch(pricing, REGION, lines.append))
    prices = price_file.read(tmp_path, REGION)
    assert prices is not None
    assert prices.price(usage.instances(usage.HOSTING, "ml.r5.xlarge"), REGION).tiers[0].usd == Decimal("0.30")
    assert "made up" in str(prices.published)
    assert len(lines) == 4


def test_the_products_of_a_usage_type_are_found(pricing: Any) -> None:
    needed = [usage.instances(usage.HOSTING, "ml.c5.xlarge"), usage.ALARM]
    prices = price_file.fetch_needed(pricing, REGION, needed)
    assert [prices.price(one, REGION).tiers[0].usd for one in needed] == [Decimal("0.22"), Decimal("0.10")]


def test_pages_and_filters_are_those_of_the_api(pricing: Any) -> None:
    filters = [{"Type": "TERM_MATCH", "Field": "component", "Value": "Hosting"}]
    pages = [*pricing.get_paginator("get_products").paginate(
        ServiceCode="AmazonSageMaker", Filters=filters, PaginationConfig={"PageSize": 3}
    )]  # fmt: skip
    assert [len(page["PriceList"]) for page in pages] == [3, 3, 1]
    products = [json.loads(text)["product"] for page in pages for text in page["PriceList"]]
    assert {product["attributes"]["component"] for product in products} == {"Hosting"}
    with pytest.raises(ClientError, match="InvalidNextTokenException"):
        pricing.get_products(ServiceCode="AmazonSageMaker", NextToken="x")
