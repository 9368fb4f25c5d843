"""Other instance types for an endpoint, with the price of each, and of a million requests where it was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from infra.aws import hardware, instance_types
from infra.cost import usage
from infra.cost.price_list import NoPrice, PriceList
from infra.errors import UserError


class InvalidMeasurement(UserError):
    """A file that is not the result of `python -m infra invoke --bench` on one fleet of instances."""

    exit_code = 2


@dataclass(frozen=True)
class Candidate:
    """An instance type.

    Attributes:
        usd: per hour; None without a price.
        no_price: why it has none; empty with a price.
        memory_gib: None if it is not known.
        usd_per_million: of requests; None if the type was not measured, or has no price.
    """

    instance_type: str
    usd: Decimal | None
    no_price: str
    vcpus: int
    gpus: int
    memory_gib: float | None
    usd_per_million: Decimal | None


def measurement(file: Path) -> tuple[str, Decimal]:
    """The instance type of a measurement, and the requests that one instance answers in a second.

    Raises:
        InvalidMeasurement: the file is not one.
    """
    try:
        facts = json.loads(file.read_bytes())
        rate, fleet = Decimal(str(facts["responsesPerSecond"])), facts["fleet"]
        if fleet is None:
            raise InvalidMeasurement(
                f"{file} does not measure a single fleet: several variants or a serverless one answered. Measure one "
                "variant on instances with --variant."
            )
        if rate > 0 and rate.is_finite():
            return str(fleet["instanceType"]), rate / int(fleet["instances"])
        raise InvalidMeasurement(f"{file}: no request was answered. Measure again.")
    except OSError as error:
        raise InvalidMeasurement(f"cannot read {file}: {error.strerror}.") from None
    except (ValueError, TypeError, LookupError, InvalidOperation, ArithmeticError):
        raise InvalidMeasurement(
            f"{file} is not the result of `python -m infra invoke --bench SECONDS --json`. Write it with that command."
        ) from None


def types(current: Iterable[str], others: Iterable[str]) -> list[str]:
    """The current types, the other amd64 types of their families, and the amd64 types among `others`."""
    current = [*current]
    families = {instance_types.family(name) for name in current}
    known = instance_types.hosting_instance_types()
    of_families = [name for name in known if instance_types.family(name) in families]
    return sorted(name for name in {*current, *of_families, *others} if not instance_types.is_arm(name))


def candidates(
    prices: PriceList, region: str, names: Iterable[str], purpose: str, rates: Mapping[str, Decimal]
) -> list[Candidate]:
    """Instance types, cheapest first; those without a price last.

    Args:
        purpose: `HOSTING` or `ASYNCHRONOUS` of `usage`.
        rates: the requests that one instance answers in a second, by type, where they were measured.
    """
    listed = [_candidate(prices, region, name, purpose, rates.get(name)) for name in names]
    return sorted(listed, key=lambda one: (one.usd is None, one.usd or Decimal(0), one.instance_type))


def _candidate(prices: PriceList, region: str, name: str, purpose: str, rate: Decimal | None) -> Candidate:
    usd, no_price = None, ""
    try:
        usd = prices.price(usage.instances(purpose, name), region).tiers[0].usd
    except NoPrice as error:
        no_price = str(error)
    per_million = usd / (rate * 3600) * 10**6 if usd is not None and rate else None
    facts = hardware.vcpus(name), hardware.gpus(name), hardware.memory_gib(name)
    return Candidate(name, usd, no_price, *facts, per_million)
