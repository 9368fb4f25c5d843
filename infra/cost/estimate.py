"""What a stack costs in a month: its line items, with their prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.cost.line_items import NOTHING, Item, Sizes, Traffic, Unpriced, items, release_items, unmeasured
from infra.cost.price_list import NoPrice, Price, PriceList

if TYPE_CHECKING:
    from infra.settings.stack import Settings


@dataclass(frozen=True)
class PricedItem:
    item: Item
    price: Price

    @property
    def usd(self) -> Sizes:
        """In a month."""
        quantity = self.item.quantity
        return Sizes(*(self.price.usd(size) for size in (quantity.smallest, quantity.initial, quantity.largest)))


@dataclass(frozen=True)
class Estimate:
    """
    Attributes:
        releases: what one release of each variant adds.
        releases_without_price: the endpoints whose release has a part without a price.
        published: the publication date of the oldest price; None without prices.
    """

    items: tuple[PricedItem, ...]
    releases: tuple[PricedItem, ...]
    releases_without_price: frozenset[str]
    unpriced: tuple[Unpriced, ...]
    published: str | None

    def of(self, endpoint: str) -> Sizes:
        """The price of an endpoint, or of what the endpoints share, in USD a month."""
        return sum((item.usd for item in self.items if item.item.endpoint == endpoint), NOTHING)

    def of_release(self, endpoint: str) -> Sizes | None:
        """What one release of an endpoint adds at most, in USD; None if a part of it has no price."""
        if endpoint in self.releases_without_price:
            return None
        return sum((item.usd for item in self.releases if item.item.endpoint == endpoint), NOTHING)

    @property
    def without_price(self) -> list[Unpriced]:
        """What has a known quantity and no price."""
        return [entry for entry in self.unpriced if entry.no_price]

    def is_known(self, endpoint: str | None = None) -> bool:
        """Whether anything of an endpoint, or of the stack, has a price, or needs none."""
        priced = any(endpoint in (None, entry.item.endpoint) for entry in self.items)
        return priced or not any(endpoint in (None, entry.endpoint) for entry in self.without_price)

    @property
    def total(self) -> Sizes:
        """The price of the stack in USD a month."""
        return sum((item.usd for item in self.items), NOTHING)


def priced(items: Iterable[Item], prices: PriceList, region: str) -> list[PricedItem]:
    """
    Raises:
        NoPrice: an item has no price.
    """
    return [PricedItem(item, prices.price(item.usage, region)) for item in items]


def estimate(
    settings: Settings,
    prices: PriceList,
    traffic: Mapping[str, Traffic | str],
    measured: Iterable[Item | Unpriced] | None = None,
) -> Estimate:
    """The price of a stack.

    Args:
        traffic: by endpoint, or why it is not known; the requests of another endpoint are not priced.
        measured: what the account stores and logs; None if it was not read.
    """
    billed, unpriced = list[PricedItem](), list[Unpriced]()
    releases, releases_without_price = list[PricedItem](), set[str]()
    for entry in (*items(settings, traffic), *(unmeasured(settings) if measured is None else measured)):
        if isinstance(entry, Unpriced):
            unpriced.append(entry)
            continue
        try:
            billed += priced([entry], prices, settings.region)
        except NoPrice as error:
            unpriced.append(Unpriced(entry.endpoint, entry.what, str(error), no_price=True))
    for name, endpoint in settings.endpoints.items():
        try:
            releases += priced(release_items(name, endpoint), prices, settings.region)
        except NoPrice:  # that of its fleet is reported
            releases_without_price.add(name)
    without = frozenset(releases_without_price)
    return Estimate(tuple(billed), tuple(releases), without, tuple(unpriced), prices.published)
