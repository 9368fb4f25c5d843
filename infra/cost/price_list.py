"""AWS's price list: products, and the on-demand price of each.

Its form: AWS Billing guide, "Finding services and products using AWS Price List Query API": a list of texts, each the
JSON of one product with its terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from infra.errors import UserError

NOT_FETCHED = "no prices could be fetched"
"""The beginning of `PriceList.missing`; the reason follows."""


class NoPrice(UserError):
    """The price list has no product, or several, for what is billed."""


@dataclass(frozen=True)
class UsageType:
    """What AWS bills, as the price list and Cost Explorer name it without the prefix of a region.

    Attributes:
        service: the service code, such as `AmazonSageMaker`.
        name: such as `Host:ml.c5.xlarge`.
        unit: that of the quantity, in words: `hour`, `GB-month`.
        group: the attribute `group` of its product, where it distinguishes two products.
        regional: whether each region has its own product.
    """

    service: str
    name: str
    unit: str
    group: str = ""
    regional: bool = True

    def is_of(self, attributes: Mapping[str, str], region: str) -> bool:
        """Whether a product's attributes are those of this usage type in a region.

        Regional usage types begin with an abbreviation of the region (`APN1-Host:ml.c5.xlarge`), except some of
        us-east-1. The products of global ones have no region.
        """
        usage_type, code = attributes.get("usagetype", ""), attributes.get("regionCode", "")
        if self.group and attributes.get("group") != self.group:
            return False
        if not self.regional:
            return usage_type == self.name and not code
        return code == region and bool(re.fullmatch(rf"([A-Z0-9]{{2,6}}-)?{re.escape(self.name)}", usage_type))

    def __str__(self) -> str:
        return f"{self.service} {self.name}"


@dataclass(frozen=True)
class Tier:
    """A price per unit in USD from a quantity on, in the unit of the price list."""

    begin: Decimal
    end: Decimal | None
    usd: Decimal


@dataclass(frozen=True)
class Price:
    """
    Attributes:
        unit: as AWS writes it: `Hrs`, `GB-Mo`, `seconds`.
        tiers: by quantity in a month, from 0 on.
        description: AWS's words.
    """

    sku: str
    unit: str
    tiers: tuple[Tier, ...]
    description: str

    def usd(self, quantity: Decimal) -> Decimal:
        """The price of a month's quantity."""
        total = Decimal(0)
        for tier in self.tiers:
            if quantity > tier.begin:
                end = quantity if tier.end is None else min(quantity, tier.end)
                total += (end - tier.begin) * tier.usd
        return total


@dataclass(frozen=True)
class Product:
    """
    Attributes:
        published: when AWS published its prices, as it writes it.
        price: on demand; None if it has not exactly one for each quantity, in USD and not negative.
    """

    sku: str
    service: str
    published: str
    attributes: Mapping[str, str]
    price: Price | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Product:
        """Read a product and its terms, as GetProducts returns them.

        Raises:
            LookupError, TypeError, ArithmeticError: it has another form.
        """
        sku = str(entry["product"]["sku"])
        attributes = {key: str(value) for key, value in entry["product"]["attributes"].items()}
        offers = entry["terms"].get("OnDemand", {}).values()
        dimensions = [dimension for offer in offers for dimension in offer["priceDimensions"].values()]
        price = None
        if dimensions and all("USD" in dimension["pricePerUnit"] for dimension in dimensions):
            tiers = sorted(map(_tier, dimensions), key=lambda tier: tier.begin)
            if _is_complete(tiers):
                price = Price(sku, dimensions[0]["unit"], _without_free(tiers), dimensions[0]["description"])
        return cls(sku, entry["serviceCode"], str(entry["publicationDate"]), attributes, price)


@dataclass(frozen=True)
class PriceList:
    """
    Attributes:
        missing: why no prices were fetched; empty if they were.
    """

    products: tuple[Product, ...]
    missing: str = ""

    @classmethod
    def of_answers(cls, entries: Iterable[Mapping[str, Any]]) -> PriceList:
        """The products that GetProducts returned, each as decoded JSON."""
        return cls(tuple(map(Product.of, entries)))

    @property
    def published(self) -> str | None:
        """The publication date of the oldest price; None without prices."""
        return min((product.published for product in self.products), default=None)

    def price(self, usage: UsageType, region: str) -> Price:
        """The on-demand price of a usage type.

        Raises:
            NoPrice: no prices were fetched, no product or several have this usage type in the region, or its price is
                not in USD.
        """
        if self.missing:
            raise NoPrice(self.missing)
        products = {  # by SKU: the answers to two questions may have the same product
            product.sku: product
            for product in self.products
            if product.service == usage.service and usage.is_of(product.attributes, region)
        }
        if not products:
            published = f" published {self.published}" if self.published else ""
            raise NoPrice(f"the price list{published} has no product {usage} in {region}.")
        if len(products) > 1:
            raise NoPrice(f"the price list has several products {usage} in {region}: {', '.join(sorted(products))}.")
        (product,) = products.values()
        if product.price is None:
            raise NoPrice(f"{usage}: product {product.sku} has no on-demand price in USD.")
        return product.price


def _tier(dimension: Mapping[str, Any]) -> Tier:
    end = dimension.get("endRange", "Inf")
    return Tier(
        Decimal(dimension.get("beginRange") or 0),
        None if end == "Inf" else Decimal(end),
        Decimal(dimension["pricePerUnit"]["USD"]),
    )


def _is_complete(tiers: Sequence[Tier]) -> bool:
    begins, ends = [tier.begin for tier in tiers], [tier.end for tier in tiers]
    valid = all(tier.usd.is_finite() and tier.usd >= 0 for tier in tiers)
    return valid and begins == [0, *ends[:-1]] and ends[-1] is None


def _without_free(tiers: Sequence[Tier]) -> tuple[Tier, ...]:
    """A free tier is the account's, and other stacks may have used it."""
    paid = next((number for number, tier in enumerate(tiers) if tier.usd), 0)
    return replace(tiers[paid], begin=Decimal(0)), *tiers[paid + 1 :]
