"""What an endpoint of each mode is billed for, at each end of its scaling range."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from infra.cost.estimate import Estimate, estimate
from infra.cost.limit import CostLimitExceeded, check, summary
from infra.cost.line_items import BUCKET, IMAGES, LOGS, Sizes, Traffic
from infra.cost.price_list import PriceList
from infra.settings.stack import Settings
from tests.infra.cost.products import PRODUCTS
from tests.infra.settings.config import VALID, settings

PRICES = PriceList.of_answers(PRODUCTS)
MODEL = {"artifact": "artifacts/a.tar.gz"}
TRAFFIC = Traffic(requests=Decimal(2**20), seconds=Decimal("0.125"), bytes_in=Decimal(2048), bytes_out=Decimal(512))


SIZES = {"e": "xlarge", "f": "2xlarge"}
"""The second type has no price."""

ALWAYS = {BUCKET, IMAGES, LOGS, "stored logs", "metrics of releases"}
"""What the settings do not determine."""


def stack(*, monthly_limit: float | None = None, **endpoint: Any) -> Settings:
    cost = {} if monthly_limit is None else {"triton-sagemaker:cost": {"monthlyLimit": monthly_limit}}
    model = {} if "variants" in endpoint else {"model": MODEL}
    return settings({**VALID, "triton-sagemaker:endpoints": {"e": {**model, **endpoint}}, **cost})


def priced(of: Settings, traffic: Traffic | None = None) -> Estimate:
    return estimate(of, PRICES, {"e": traffic} if traffic else {})


def items(result: Estimate) -> dict[str, Sizes]:
    return {entry.item.what: entry.usd for entry in result.items}


def same(usd: str) -> Sizes:
    return Sizes.of(usd, usd, usd)


def test_a_fleet_is_billed_by_the_hour_at_each_size() -> None:
    result = priced(
        stack(
            instanceType="ml.r5.xlarge",
            initialInstanceCount=3,
            autoscaling={"min": 2, "max": 10},
            volumeSizeGb=50,
            alarms={"errorRatePercent": 5, "p99ModelLatencyMilliseconds": 500},
        )
    )
    assert items(result) == {
        "instances ml.r5.xlarge": Sizes.of("532.90", "799.35", "2664.50"),
        "volumes": Sizes.of("16.80", "25.20", "84.00"),
        "alarms": same("0.80"),
    }
    assert result.total == Sizes.of("550.50", "825.35", "2749.30")
    assert {entry.what for entry in result.unpriced} == {"data of requests and responses", *ALWAYS}


def test_an_asynchronous_fleet_has_its_own_price_and_may_be_empty() -> None:
    result = priced(stack(instanceType="ml.c5.xlarge", asynchronous={}))
    assert items(result) == {"instances ml.c5.xlarge": same("186.88")}
    assert "results in S3" not in [entry.what for entry in result.unpriced]
    elsewhere = priced(stack(instanceType="ml.c5.xlarge", asynchronous={"outputLocation": "s3://results/answers"}))
    (entry,) = [entry for entry in elsewhere.unpriced if entry.what == "results in S3"]
    assert "s3://results/answers" in entry.reason
    scaled: dict[str, Any] = {"autoscaling": {"min": 0, "max": 5, "backlogPerInstance": 5}, "initialInstanceCount": 1}
    result = priced(stack(instanceType="ml.c5.xlarge", asynchronous={}, **scaled))
    assert items(result)["instances ml.c5.xlarge"] == Sizes.of("0", "186.88", "934.40")
    assert items(result)["alarms"] == same("0.30")
    assert result.releases[0].usd.smallest == 0


def test_serverless_is_billed_by_provisioned_concurrency_and_by_duration() -> None:
    serverless = {"memoryMb": 4096, "maxConcurrency": 10}
    on_demand = priced(stack(serverless=serverless), TRAFFIC)
    assert items(on_demand)["duration of requests"] == same("12.582912")
    warm = priced(stack(serverless=serverless | {"autoscaling": {"min": 1, "max": 5}}), TRAFFIC)
    assert items(warm)["provisioned concurrency"] == Sizes.of("31.536", "31.536", "157.68")
    assert items(warm)["duration of requests"] == same("6.291456")
    assert items(warm)["alarms"] == same("0.20")
    beyond = "requests beyond the provisioned concurrency"
    assert [beyond in {entry.what for entry in one.unpriced} for one in (on_demand, warm)] == [False, True]
    both = "a release: provisioned concurrency of both configurations"
    assert both in {entry.what for entry in warm.unpriced} - {entry.what for entry in on_demand.unpriced}


def test_requests_are_billed_by_their_bytes() -> None:
    result = priced(stack(instanceType="ml.c5.xlarge"), TRAFFIC)
    assert {what: usd.initial for what, usd in items(result).items() if "data" in what} == {
        "data in": Decimal("0.032"),
        "data out": Decimal("0.0085"),
    }


def test_batch_is_billed_by_its_jobs_only() -> None:
    result = priced(stack(batch={}))
    assert items(result) == {}
    assert {entry.what for entry in result.unpriced} == {"jobs on ml.c5.xlarge", *ALWAYS} - {LOGS}
    assert result.without_price == []


@pytest.mark.parametrize(("endpoints", "usd"), [(1, "2"), (6, "3")])
def test_a_dashboard_is_billed_by_the_number_of_its_metrics(endpoints: int, usd: str) -> None:
    fleets = {f"e{number}": {"model": MODEL, "instanceType": "ml.c5.xlarge"} for number in range(endpoints)}
    sections = {"triton-sagemaker:endpoints": fleets, "triton-sagemaker:monitoring": {"dashboard": True}}
    (dashboard,) = [entry for entry in priced(settings(VALID | sections)).items if "dashboard" in entry.item.what]
    assert dashboard.usd == same(usd)


def test_a_fleet_without_a_price_is_listed() -> None:
    result = priced(stack(instanceType="ml.c5.2xlarge"))
    assert [entry.what for entry in result.without_price] == ["instances ml.c5.2xlarge"]


@pytest.mark.parametrize(("limit", "warns"), [(2664.70, True), (2665, True), (3331, False), (10_000, False)])
def test_a_limit_is_compared_with_the_largest_fleets(limit: float, warns: bool) -> None:
    of = stack(monthly_limit=limit, instanceType="ml.r5.xlarge", autoscaling={"min": 2, "max": 10})
    assert bool(check(of, priced(of), "x")) == warns


@pytest.mark.parametrize("fleet", range(1, 8))
def test_exactly_the_limit_is_within_it(fleet: int) -> None:
    """The nearest float is less than 532.90 and more than 799.35."""
    of = stack(monthly_limit=fleet * 26645 / 100, instanceType="ml.r5.xlarge", initialInstanceCount=fleet)
    assert "100 %" in str(check(of, priced(of), "x"))


def test_more_than_the_limit_is_refused_with_the_endpoints_by_cost() -> None:
    of = stack(monthly_limit=2664, instanceType="ml.r5.xlarge", autoscaling={"min": 2, "max": 10})
    with pytest.raises(CostLimitExceeded) as refused:
        check(of, priced(of), "x")
    assert "$2,664.70" in str(refused.value)
    assert "endpoints.e.autoscaling.max" in str(refused.value)


def test_the_list_of_the_limit_adds_up() -> None:
    fleets = {name: {"model": MODEL, "instanceType": "ml.c5.xlarge"} for name in "ef"}
    sections = {"endpoints": fleets, "monitoring": {"dashboard": True}, "cost": {"monthlyLimit": 300}}
    of = settings(VALID | {f"triton-sagemaker:{key}": value for key, value in sections.items()})
    with pytest.raises(CostLimitExceeded) as refused:
        check(of, priced(of), "x")
    total, _, *parts = [Decimal(usd) for usd in re.findall(r"\$(\d+\.\d\d)", str(refused.value))]
    assert (total, parts) == (Decimal("377.22"), [Decimal("187.61"), Decimal("187.61"), Decimal("2.00")])
    assert total == sum(parts)
    assert "mostly dashboard of 18 metrics (monitoring.dashboard)" in str(refused.value)


def test_more_than_the_limit_is_refused_with_the_path_of_the_variant() -> None:
    model = {"model": MODEL, "instanceType": "ml.r5.xlarge"}
    of = stack(monthly_limit=900, variants={"blue": {**model, "initialInstanceCount": 3}, "green": model})
    with pytest.raises(CostLimitExceeded, match=r"\(endpoints\.e\.variants\.blue\.initialInstanceCount\)"):
        check(of, priced(of), "x")


def test_a_limit_without_prices_is_refused() -> None:
    of = stack(monthly_limit=10_000, instanceType="ml.c5.2xlarge")
    with pytest.raises(CostLimitExceeded, match=r"instances ml\.c5\.2xlarge"):
        check(of, priced(of), "x")


def test_the_preview_has_a_line_for_each_endpoint_and_one_for_all() -> None:
    of = stack(instanceType="ml.r5.xlarge", autoscaling={"min": 2, "max": 10})
    lines = [*summary(of, priced(of), "x")]
    assert lines[0] == "e: $533.10 ($533.10 to $2,664.70) a month, $0.73 ($0.73 to $3.65) an hour"
    assert "$0.73 ($0.73 to $3.65) an hour" in lines[1]
    assert "2026-11-20" in lines[1]
    listed = lines[2].partition("not priced: ")[2].partition(" (")[0].split(", ")
    assert sorted(listed) == sorted(["volumes", "data of requests and responses", *ALWAYS])
    assert len(lines) == 3
    (line,) = summary(of, estimate(of, PriceList(()), {}), "x")
    assert "cost update-prices -s x" in line


def test_what_has_no_price_is_not_shown_as_free() -> None:
    fleets = {name: {"model": MODEL, "instanceType": f"ml.c5.{size}"} for name, size in SIZES.items()}
    of = settings({**VALID, "triton-sagemaker:endpoints": fleets})
    lines = [*summary(of, priced(of), "x")]
    assert lines[:2] == ["e: $187.61 a month, $0.26 an hour", "f: no price"]
    assert "without what has no price" in lines[2]
    assert "instances ml.c5.2xlarge" in lines[3]


@pytest.mark.parametrize(
    ("endpoint", "billed", "unpriced"),
    [
        ({"batch": {}}, "jobs", "jobs on ml.c5.xlarge"),
        ({"serverless": {"memoryMb": 4096, "maxConcurrency": 10}}, "requests", "duration of requests"),
    ],
)
def test_an_endpoint_without_a_fleet_is_in_the_preview_and_does_not_ask_for_prices(
    endpoint: dict[str, Any], billed: str, unpriced: str
) -> None:
    of = stack(**endpoint)
    line, others = summary(of, priced(of), "x")
    assert line == f"e: billed by its {billed} alone"
    assert unpriced in others
    assert priced(of).is_known()


@pytest.mark.parametrize(
    ("release", "seconds"),
    [
        ({"strategy": "canary", "percent": 10, "bakeSeconds": 600}, [2 * 2280, 10 * 2280]),
        ({"strategy": "rolling", "percent": 50, "intervalSeconds": 300}, [1 * 2640, 5 * 2640]),
    ],
)
def test_a_release_adds_a_second_fleet_or_a_batch(release: dict[str, Any], seconds: list[int]) -> None:
    """Instances answer after at most 960 s. A canary then has two bakes of 600 s and two shifts of 60 s; a rolling
    update has two batches, each with its own start, shift and interval."""
    of = stack(instanceType="ml.c5.xlarge", autoscaling={"min": 2, "max": 10}, release=release)
    (added,) = priced(of).releases
    quantity = added.item.quantity
    assert [round(hours * 3600) for hours in (quantity.smallest, quantity.largest)] == seconds


def test_a_release_adds_the_volumes_of_its_instances() -> None:
    of = stack(instanceType="ml.c5.xlarge", initialInstanceCount=3, volumeSizeGb=500)
    instances, volumes = (added.item.quantity.initial for added in priced(of).releases)
    assert volumes == pytest.approx(instances * 500 / 730)
