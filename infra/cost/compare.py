"""Other instance types for an endpoint, with the price of each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from infra.aws import hardware, instance_types
from infra.cost import usage
from infra.cost.price_list import NoPrice, PriceList


@dataclass(frozen=True)
class Candidate:
    """An instance type.

    Attributes:
        usd: per hour; None without a price.
        vcpus: as the price list has them; empty without a price.
        memory_gib: None if it is not known.
    """

    instance_type: str
    usd: Decimal | None
    vcpus: str
    gpus: int
    memory_gib: float | None

    def usd_per_million(self, requests_per_second: Decimal) -> Decimal | None:
        """The price of a million requests at a measured throughput of one instance."""
        if self.usd is None or not requests_per_second:
            return None
        return self.usd / (requests_per_second * 3600) * 10**6


def types(current: str, others: Iterable[str]) -> list[str]:
    """The current type, the other amd64 types of its family, and the amd64 types among `others`."""
    family = instance_types.family(current)
    of_family = (name for name in instance_types.hosting_instance_types() if instance_types.family(name) == family)
    return sorted(name for name in {current, *of_family, *others} if not instance_types.is_arm(name))


def candidates(prices: PriceList, region: str, names: Iterable[str], purpose: str) -> list[Candidate]:
    """Instance types, cheapest first; those without a price last.

    Args:
        purpose: `HOSTING` or `ASYNCHRONOUS` of `usage`.
    """
    listed = [_candidate(prices, region, name, purpose) for name in names]
    return sorted(listed, key=lambda one: (one.usd is None, one.usd or Decimal(0), one.instance_type))


def _candidate(prices: PriceList, region: str, name: str, purpose: str) -> Candidate:
    usd, vcpus, billed = None, "", usage.instances(purpose, name)
    with contextlib.suppress(NoPrice):
        usd = prices.price(billed, region).tiers[0].usd
        vcpus = prices.product(billed, region).attributes.get("vCpu", "")
    return Candidate(name, usd, vcpus, hardware.gpus(name), hardware.memory_gib(name))
