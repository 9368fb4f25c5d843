"""A price is that of exactly one product of the usage type and the region."""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost import usage
from infra.cost.price_list import NoPrice, PriceList, UsageType
from tests.infra.cost.products import PRODUCTS, PUBLISHED, REGION, flat, product, serverless

PRICES = PriceList.of_answers(PRODUCTS)


@pytest.mark.parametrize(
    ("billed", "usd"),
    [
        (usage.instances(usage.HOSTING, "ml.c5.xlarge"), "0.2570000000"),
        (usage.instances(usage.BATCH, "ml.c5.xlarge"), "0.2580000000"),
        (usage.volume(usage.HOSTING), "0.1680000000"),
        (usage.serverless(4096), "0.0000960000"),
        (usage.provisioned(4096), "0.0000120000"),
        (usage.on_provisioned(4096), "0.0000480000"),
        (usage.DATA_IN, "0.0160000000"),
        (usage.DATA_OUT, "0.0170000000"),
        (usage.ALARM, "0.1000000000"),
        (usage.COMPOSITE_ALARM, "0.5000000000"),
        (usage.METRIC_STREAM, "0.0000030000"),
        (usage.LOGS, "0.7600000000"),
        (usage.DASHBOARD, "3.0000000000"),
        (usage.BASIC_DASHBOARD, "2.0000000000"),
        (usage.STORAGE_ECR, "0.1000000000"),
    ],
)
def test_a_usage_type_has_its_own_price(billed: UsageType, usd: str) -> None:
    assert PRICES.price(billed, REGION).usd(Decimal(1)) == Decimal(usd)
    assert PRICES.published == PUBLISHED


def test_a_region_without_prefix_is_found_too() -> None:
    prices = PriceList.of_answers([flat("Host:ml.c5.xlarge", "0.2", region="us-east-1")])
    assert prices.price(usage.instances(usage.HOSTING, "ml.c5.xlarge"), "us-east-1").tiers[0].usd == Decimal("0.2")


@pytest.mark.parametrize(
    ("quantity", "usd"), [(0, "0"), (1, "0.025"), (51_200, "1280"), (51_300, "1282.4"), (512_001, "12339.223")]
)
def test_a_tier_applies_to_its_part_of_the_quantity(quantity: int, usd: str) -> None:
    assert PRICES.price(usage.STORAGE_S3, REGION).usd(Decimal(quantity)) == Decimal(usd)


def test_several_products_are_an_error_that_names_them() -> None:
    twice = [flat("APN1-Host:ml.c5.xlarge", "1", sku="A"), flat("APN1-Host:ml.c5.xlarge", "2", sku="B")]
    with pytest.raises(NoPrice, match="A, B"):
        PriceList.of_answers(twice).price(usage.instances(usage.HOSTING, "ml.c5.xlarge"), REGION)


@pytest.mark.parametrize(
    "billed", [usage.instances(usage.HOSTING, "ml.c5.2xlarge"), usage.instances(usage.ASYNCHRONOUS, "ml.r5.xlarge")]
)
def test_no_product_is_an_error(billed: UsageType) -> None:
    with pytest.raises(NoPrice, match=f"published {PUBLISHED} has no product"):
        PRICES.price(billed, REGION)


def test_a_product_of_another_group_is_not_it() -> None:
    """Two usage types of provisioned concurrency differ in one word only."""
    swapped = serverless("APN1-ProvisionedConcurrency:Usage-4GB", "1", "ServerlessProvisionedConcurrency-Duration")
    with pytest.raises(NoPrice, match="no product"):
        PriceList.of_answers([swapped]).price(usage.provisioned(4096), REGION)


def test_a_price_in_another_currency_is_an_error() -> None:
    foreign = flat("CNN1-Host:ml.c5.xlarge", "1", region="cn-north-1")
    for offer in foreign["terms"]["OnDemand"].values():
        for dimension in offer["priceDimensions"].values():
            dimension["pricePerUnit"] = {"CNY": "1"}
    with pytest.raises(NoPrice, match="USD"):
        PriceList.of_answers([foreign]).price(usage.instances(usage.HOSTING, "ml.c5.xlarge"), "cn-north-1")


@pytest.mark.parametrize("usd", ["NaN", "Infinity", "-1"])
def test_what_is_not_an_amount_is_no_price(usd: str) -> None:
    prices = PriceList.of_answers([flat("APN1-Host:ml.c5.xlarge", usd)])
    with pytest.raises(NoPrice, match="USD"):
        prices.price(usage.instances(usage.HOSTING, "ml.c5.xlarge"), REGION)


@pytest.mark.parametrize(
    "tiers",
    [
        [("0", "10", "1"), ("20", "Inf", "1")],
        [("0", "Inf", "1"), ("0", "Inf", "1")],
        [("5", "Inf", "1")],
        [("0", "10", "1")],
    ],
)
def test_each_quantity_has_one_price(tiers: list[tuple[str, str, str]]) -> None:
    prices = PriceList.of_answers([product("APN1-Host:ml.c5.xlarge", *tiers)])
    with pytest.raises(NoPrice, match="USD"):
        prices.price(usage.instances(usage.HOSTING, "ml.c5.xlarge"), REGION)


def test_the_free_tier_of_the_account_is_not_subtracted() -> None:
    tiers = ("0", "3", "0"), ("3", "10", "2"), ("10", "Inf", "1")
    prices = PriceList.of_answers([product("APN1-CW:AlarmMonitorUsage", *tiers, service="AmazonCloudWatch")])
    assert prices.price(usage.ALARM, REGION).usd(Decimal(12)) == 22
