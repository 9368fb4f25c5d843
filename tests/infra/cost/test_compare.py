"""Instance types by their price, and the price of requests at a measured throughput."""

from __future__ import annotations

from decimal import Decimal

from infra.aws import instance_types
from infra.cost import usage
from infra.cost.compare import candidates, types
from tests.infra.cost.products import REGION
from tests.infra.cost.test_estimate import PRICES


def test_the_types_are_those_of_the_family_and_the_given_ones_for_amd64() -> None:
    names = types("ml.c5.xlarge", ["ml.r5.xlarge", "ml.c6g.xlarge"])
    assert {"ml.c5.xlarge", "ml.c5.18xlarge", "ml.r5.xlarge"} <= {*names}
    assert not [name for name in names if instance_types.is_arm(name)]
    assert {instance_types.family(name) for name in names} == {"c5", "r5"}


def test_the_cheapest_is_first_and_what_has_no_price_last() -> None:
    listed = candidates(PRICES, REGION, types("ml.c5.xlarge", ["ml.r5.xlarge"]), usage.HOSTING)
    assert [one.instance_type for one in listed[:3]] == ["ml.c5.xlarge", "ml.r5.xlarge", "ml.c5.18xlarge"]
    assert (listed[0].usd, listed[0].vcpus, listed[0].memory_gib) == (Decimal("0.2570000000"), "4", 8)
    assert listed[-1].usd is None


def test_a_million_requests_cost_the_hours_that_they_take() -> None:
    first, *_ = candidates(PRICES, REGION, ["ml.c5.xlarge"], usage.HOSTING)
    per_million = first.usd_per_million(Decimal(100))
    assert per_million is not None
    assert round(per_million, 4) == Decimal("0.7139")
    assert first.usd_per_million(Decimal(0)) is None
