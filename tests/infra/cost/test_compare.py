"""Instance types by their price, and the price of requests at a measured throughput."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from infra.aws import instance_types
from infra.cost import usage
from infra.cost.compare import InvalidMeasurement, candidates, measurement, types
from tests.infra.cost.products import REGION
from tests.infra.cost.test_estimate import PRICES


def test_the_types_are_those_of_the_family_and_the_given_ones_for_amd64() -> None:
    names = types(["ml.c5.xlarge"], ["ml.r5.xlarge", "ml.c6g.xlarge"])
    assert {"ml.c5.xlarge", "ml.c5.18xlarge", "ml.r5.xlarge"} <= {*names}
    assert not [name for name in names if instance_types.is_arm(name)]
    assert {instance_types.family(name) for name in names} == {"c5", "r5"}


def test_the_cheapest_is_first_and_what_has_no_price_last() -> None:
    listed = candidates(PRICES, REGION, types(["ml.c5.xlarge"], ["ml.r5.xlarge"]), usage.HOSTING, {})
    assert [one.instance_type for one in listed[:3]] == ["ml.c5.xlarge", "ml.r5.xlarge", "ml.c5.18xlarge"]
    assert (listed[0].usd, listed[0].vcpus, listed[0].memory_gib) == (Decimal("0.2570000000"), 4, 8)
    assert [bool(one.no_price) for one in listed] == [one.usd is None for one in listed]
    assert listed[-1].usd is None
    assert f"Host:{listed[-1].instance_type} " in listed[-1].no_price


def test_a_million_requests_cost_the_hours_that_they_take() -> None:
    rates = {"ml.c5.xlarge": Decimal(100)}
    measured, other = candidates(PRICES, REGION, ["ml.c5.xlarge", "ml.r5.xlarge"], usage.HOSTING, rates)
    assert measured.usd_per_million is not None
    assert round(measured.usd_per_million, 4) == Decimal("0.7139")
    assert other.usd_per_million is None


FACTS = {"responsesPerSecond": 300.0, "fleet": {"instanceType": "ml.c5.xlarge", "instances": 2}}


def test_a_measurement_is_of_one_instance(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(FACTS))
    assert measurement(file) == ("ml.c5.xlarge", Decimal(150))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps(FACTS | {"fleet": None}),
        json.dumps(FACTS | {"responsesPerSecond": 0}),
        json.dumps(FACTS | {"responsesPerSecond": "many"}),
        json.dumps(FACTS | {"fleet": {"instanceType": "ml.c5.xlarge", "instances": 0}}),
    ],
)
def test_another_file_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(content)
    with pytest.raises(InvalidMeasurement, match=r"bench\.json"):
        measurement(file)
    with pytest.raises(InvalidMeasurement, match=r"other\.json"):
        measurement(tmp_path / "other.json")
