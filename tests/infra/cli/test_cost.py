"""`python -m infra cost`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.__main__ import main
from infra.cost import price_file
from tests.infra.cli.test_stack_file import BASE, project
from tests.infra.cost.products import PRODUCTS, PUBLISHED, REGION, product
from tests.infra.cost.test_account import Aws as Stored
from tests.infra.cost.test_live import FLEET, Aws
from tests.infra.cost.test_load import CloudWatch
from tests.infra.cost.test_price_file import OTHERS, Pricing

DEPLOYED = Aws({**FLEET, "InstanceType": "ml.c5.xlarge"})
METRICS = CloudWatch()


@pytest.fixture
def pricing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pricing:
    api = Pricing([*PRODUCTS, *OTHERS])

    class Session:
        region = REGION

        def client(self, service: str, region: str | None = None) -> Any:
            assert (service == "pricing") == (region == "us-east-1")
            stored = {"s3": Stored(), "ecr": Stored()}
            return {"pricing": api, "cloudwatch": METRICS, **stored}.get(service, DEPLOYED)

    METRICS.values = {"Invocations": [0]}
    monkeypatch.setattr("infra.cli.cost.aws_session", lambda *_: Session())
    monkeypatch.chdir(project(tmp_path, BASE))
    return api


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["cost", *arguments])
    return int(ended.value.code or 0)


def test_a_price_file_has_the_same_prices_as_the_api(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-s", "dev", "--json") == 0
    of_api = json.loads(capsys.readouterr().out)
    assert run("update-prices", "-s", "dev") == 0
    assert price_file.path(Path(), REGION).exists()
    capsys.readouterr()
    pricing.refuse = "AmazonSageMaker"
    assert run("-s", "dev", "--json") == 0
    assert json.loads(capsys.readouterr().out) == of_api
    assert of_api["perMonth"] == {"smallest": 187.61, "initial": 187.61, "largest": 187.61}
    endpoint = of_api["endpoints"]["iris"]
    hours = [of_api["perHour"], endpoint["perHour"], endpoint["items"][0]["perHour"]]
    assert [hour["initial"] for hour in hours] == [0.257] * 3
    assert of_api["stack"]["perHour"]["initial"] == 0


def test_the_table_has_a_row_for_each_item_and_what_has_no_price(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-s", "dev", "--requests-per-second", "10") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "iris (real time) $188.42 $188.42 $188.42 an hour $0.26",
        "instances ml.c5.xlarge 730 hours $187.61",
        "volumes of iris: SageMaker chooses their size",
        "2026-11-20",
    ):
        assert part in shown, shown


def test_without_access_there_is_no_price_and_the_command_that_fetches_it(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    pricing.refuse = "AmazonSageMaker"
    assert run("-s", "dev", "--json") == 1
    facts = json.loads(capsys.readouterr().out)
    endpoint = facts["endpoints"]["iris"]
    unknown = facts["perMonth"], facts["perHour"], endpoint["perMonth"], endpoint["perHour"], endpoint["perRelease"]
    assert {*unknown} == {None}
    assert "GetProducts was refused" in endpoint["notPriced"]["instances ml.c5.xlarge"]
    assert run("-s", "dev", "--diff", "--json") == 1
    assert "GetProducts was refused" in json.loads(capsys.readouterr().out)["noPrice"]["iris"]
    assert run("-s", "dev") == 1
    shown = capsys.readouterr()
    assert "$0.00" not in shown.out
    assert "no price" in shown.out
    assert "has no product" not in shown.out
    for text, out, err in (
        ("GetProducts was refused", 0, 1),
        ("cost update-prices -s dev", 0, 1),
        ("no prices could be fetched; see the warning.", 1, 0),
    ):
        assert (shown.out.count(text), shown.err.count(text)) == (out, err), text
    for arguments in (["--diff"], ["--idle", "14"], ["compare", "iris"]):
        run(*arguments, "-s", "dev")
        shown = capsys.readouterr()
        assert "see the warning." in shown.out and "GetProducts" not in shown.out
        assert shown.err.count("GetProducts was refused") == 1


def test_compare_shows_each_reason_for_which_a_type_has_no_price(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    pricing.products = [product("APN1-Host:ml.r5.xlarge", sku="YUAN")]
    assert run("compare", "-s", "dev", "iris", "ml.r5.xlarge") == 0
    shown = capsys.readouterr().out
    assert "product YUAN has no on-demand price in USD" in shown
    assert "no product AmazonSageMaker Host:ml.c5.xlarge in" in shown
    pricing.products = []
    assert run("compare", "-s", "dev", "iris") == 0
    assert "no product AmazonSageMaker Host:ml.c5.xlarge in" in capsys.readouterr().out


def test_without_prices_the_dashboard_is_in_the_table_too(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    pricing.refuse = "AmazonSageMaker"
    project(Path(), BASE + "  p:monitoring: {dashboard: true}\n")
    assert run("-s", "dev") == 1
    assert re.search(r"all endpoints\s+dashboard of \d+ metrics\s+no price", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-s", "nowhere"],
        *(["-s", "dev", "--requests-per-second", rate] for rate in ("-1", "inf", "nan")),
        ["-s", "dev", "--request-seconds", "inf"],
        ["-s", "dev", "--diff", "--idle", "3"],
        ["-s", "dev", "--idle", "61"],
        ["-s", "dev", "--idle", "3", "--from-metrics", "3"],
        ["-s", "dev", "--idle", "3", "--requests-per-second", "3"],
        ["compare", "-s", "dev", "iris", "--requests-per-second", "inf"],
        ["compare", "-s", "dev", "iris", "--bench", "nowhere.json"],
        ["compare", "-s", "dev", "iris", "ml.c6g.xlarge"],
        ["update-prices"],
    ],
)
def test_bad_input_is_a_message(pricing: Pricing, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_compare_lists_the_family_of_the_endpoint(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "-s", "dev", "iris", "ml.r5.xlarge", "--requests-per-second", "100") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "ml.c5.xlarge (current) 4 8 GiB $0.2570 $0.71 ml.r5.xlarge 4 32 GiB $0.3650" in shown
    assert run("compare", "-s", "dev", "iris", "ml.r5.xlarge", "--requests-per-second", "100", "--json") == 0
    current, other, *_, without = json.loads(capsys.readouterr().out)["types"]
    facts = {"instanceType": "ml.c5.xlarge", "current": True, "perHour": 0.257, "vcpus": 4, "gpus": 0, "memoryGib": 8}
    assert {**facts, "perMillionRequests": pytest.approx(0.257 / 0.36)} == current
    assert (other["current"], other["perMillionRequests"], without["perHour"]) == (False, None, None)


@pytest.mark.parametrize("arguments", [[], ["ml.c6i.2xlarge"], ["ml.c6i.2xlarge", "ml.c5.xlarge"], ["jobs"]])
def test_compare_without_an_endpoint_names_those_of_the_stack(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    project(Path(), BASE + "    jobs:\n      model: {artifact: artifacts/a.tar.gz}\n      batch: {}\n")
    assert run("compare", "-s", "dev", *arguments) == 2
    shown = capsys.readouterr().err
    assert f"{arguments[0]} is not an endpoint" in shown if arguments else "give an endpoint" in shown
    assert "one of: iris." in shown


MODEL = "      model: {path: models}\n"
VARIANTS = """      variants:
        blue: {model: {path: models}, instanceType: ml.r5.xlarge, initialVariantWeight: 9}
        green: {model: {path: models}, instanceType: ml.c5.xlarge, initialVariantWeight: 1, volumeSizeGb: 50}
"""


def test_each_variant_is_named(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    project(Path(), BASE.replace(MODEL, VARIANTS))
    assert run("-s", "dev", "--json") == 0
    iris = json.loads(capsys.readouterr().out)["endpoints"]["iris"]
    fleet = ["instances ml.r5.xlarge (blue)", "instances ml.c5.xlarge (green)", "volumes (green)"]
    assert [item["what"] for item in iris["items"]] == fleet
    assert "volumes (blue)" in iris["notPriced"]
    assert run("compare", "-s", "dev", "iris") == 0
    shown = capsys.readouterr().out
    assert re.findall(r"(\S+) \(current\)", shown) == ["ml.c5.xlarge", "ml.r5.xlarge"]
    assert "ml.c5.9xlarge" in shown
    assert "ml.r5.4xlarge" in shown
    assert run("compare", "-s", "dev", "iris", "--requests-per-second", "9") == 2
    assert "the variants of iris have" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nowhere"], ["iris", "ml.x9.large"]])
def test_compare_refuses_what_it_does_not_know(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run("compare", "-s", "dev", *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_diff_names_the_setting_that_causes_a_change(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-s", "dev", "--diff", "--json") == 0
    change = json.loads(capsys.readouterr().out)["endpoints"]["iris"]
    assert (change["before"]["initial"], change["after"]["initial"]) == (375.22, 187.61)
    assert change["settings"] == ["initialInstanceCount"]
    assert run("-s", "dev", "--diff") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "iris $375.22 $187.61 -$187.61 -$187.61 -$187.61 initialInstanceCount" in shown


def test_diff_does_not_offer_prices_for_a_fleet_that_is_not_known(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEPLOYED, "config", {})
    assert run("-s", "dev", "--diff") == 1
    shown = capsys.readouterr().out
    assert "iris: its configuration c was deleted" in shown
    assert "update-prices" not in shown


def test_diff_shows_an_endpoint_that_the_settings_no_longer_have(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEPLOYED, "owned", ["iris", "former"])
    assert run("-s", "dev", "--diff", "--json") == 0
    changes = json.loads(capsys.readouterr().out)["endpoints"]
    assert (changes["former"]["before"]["initial"], changes["former"]["after"]["initial"]) == (375.22, 0)
    assert changes["former"]["settings"] == ["endpoints.former (removed)"]
    assert run("-s", "dev", "--diff") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "former $375.22 $0.00 -$375.22 -$375.22 -$375.22 endpoints.former (removed)" in shown
    project(Path(), BASE + "    former:\n      model: {path: models}\n      batch: {}\n")
    assert run("-s", "dev", "--diff", "--json") == 0
    assert json.loads(capsys.readouterr().out)["endpoints"]["former"]["settings"] == ["batch"]


@pytest.mark.parametrize(("refused", "code"), [("GetResources", 0), ("former", 1)])
def test_what_cannot_be_read_of_removed_endpoints_does_not_hide_the_others(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, refused: str, code: int
) -> None:
    monkeypatch.setattr(DEPLOYED, "owned", ["iris", "former"])
    monkeypatch.setattr(DEPLOYED, "refused", {refused})
    assert run("-s", "dev", "--diff", "--json") == code
    shown = capsys.readouterr()
    facts = json.loads(shown.out)
    assert [*facts["endpoints"]] == ["iris"]
    assert [*facts["noPrice"]] == ["former"] * code
    not_listed = facts["notListed"] or ""
    assert ("GetResources was refused" in not_listed) == (refused == "GetResources")
    assert ("warning: removed endpoints are not shown" in shown.err) == bool(not_listed)


def test_diff_has_no_row_for_what_the_tagging_api_still_lists(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEPLOYED, "owned", ["iris", "e-deleted"])
    assert run("-s", "dev", "--diff", "--json") == 0
    assert [*json.loads(capsys.readouterr().out)["endpoints"]] == ["iris"]


def test_idle_names_the_edit_that_ends_the_cost(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-s", "dev", "--idle", "14") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "iris 0 $187.61" in shown
    assert "remove endpoints.iris" in shown


def test_the_requests_can_be_measured(pricing: Pricing, capsys: pytest.CaptureFixture[str]) -> None:
    METRICS.values = {"Invocations": [5], "IncomingBytes": [9]}
    assert run("-s", "dev", "--from-metrics", "14", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    iris = facts["endpoints"]["iris"]
    assert [item["what"] for item in iris["items"]] == ["instances ml.c5.xlarge", "data in", "data out", "logs"]
    assert [*iris["notPriced"]] == ["volumes"]
    assert [item["what"] for item in facts["stack"]["items"]] == [
        "objects in the bucket",
        "images in the ECR repository",
    ]


def test_what_is_measured_is_listed_with_its_cost_or_the_reason(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    METRICS.values = {"IncomingBytes": [0]}
    assert run("-s", "dev", "--from-metrics", "14") == 0
    table, others = " ".join(capsys.readouterr().out.split()).split("Not in the total: ")
    assert "logs 0 GB $0.00" in table
    assert "data of requests and responses of iris: CloudWatch has no requests of the last 14 days." in others
    METRICS.values |= {"Invocations": [0]}
    assert run("-s", "dev", "--from-metrics", "14") == 0
    assert "data in 0 GB $0.00" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments",
    [["-s", "dev"], ["-s", "dev", "--diff"], ["-s", "dev", "--idle", "14"], ["compare", "-s", "dev", "iris"]],
)
def test_every_screen_says_when_its_prices_were_published(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """The sandbox's prices have a date that says that they are made up."""
    assert run(*arguments) == 0
    assert PUBLISHED in capsys.readouterr().out
    assert run(*arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["published"] == PUBLISHED


def test_a_release_of_which_a_part_has_no_price_is_not_cheaper(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    pricing.products = [one for one in pricing.products if "Host:ml.c5.xlarge" not in json.dumps(one)]
    project(Path(), BASE + "      volumeSizeGb: 500\n")
    assert run("-s", "dev") == 0
    assert "each release adds" not in capsys.readouterr().out
    assert run("-s", "dev", "--json") == 0
    assert json.loads(capsys.readouterr().out)["endpoints"]["iris"]["perRelease"] is None


def test_an_alarm_without_a_price_does_not_hide_that_of_a_release(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    pricing.products = [one for one in pricing.products if "AlarmMonitor" not in json.dumps(one)]
    project(Path(), BASE + "      alarms: {errorRatePercent: 5}\n")
    assert run("-s", "dev") == 0
    (usd,) = re.findall(r"each release adds up to +\$(\S+)", capsys.readouterr().out)
    assert run("-s", "dev", "--json") == 0
    iris = json.loads(capsys.readouterr().out)["endpoints"]["iris"]
    assert "alarms" in iris["notPriced"]
    assert f"{iris['perRelease']['smallest']:.2f}" == usd


@pytest.mark.parametrize("file", [False, True])
def test_a_fleet_without_a_price_is_not_free(pricing: Pricing, capsys: pytest.CaptureFixture[str], file: bool) -> None:
    """Newer prices may exist than those of a file."""
    pricing.products = [one for one in pricing.products if "Host:ml.c5.xlarge" not in json.dumps(one)]
    if file:
        assert run("update-prices", "-s", "dev") == 0
    commands = (["-s", "dev", "--idle", "14"], 0), (["-s", "dev", "--diff"], 1), (["-s", "dev"], 1)
    for arguments, code in (*commands, (["compare", "-s", "dev", "iris"], 0)):
        assert run(*arguments) == code
        shown = capsys.readouterr().out
        assert "no price" in shown
        assert "has no product" in shown
        assert ("cost update-prices -s dev" in shown) is file


def test_a_measurement_of_another_type_is_compared(
    pricing: Pricing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for type_, rate, count in (("ml.c5.xlarge", 200, 2), ("ml.r5.xlarge", 150, 1)):
        files.append(tmp_path / f"{type_}.json")
        files[-1].write_text(
            json.dumps({"responsesPerSecond": rate, "fleet": {"instanceType": type_, "instances": count}})
        )
    assert run("compare", "-s", "dev", "iris", "--bench", str(files[0]), "--bench", str(files[1])) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "ml.c5.xlarge (current) 4 8 GiB $0.2570 $0.71 ml.r5.xlarge 4 32 GiB $0.3650 $0.68" in shown


@pytest.mark.parametrize("type_", ["ml.banana", "ml.c6g.xlarge"])
def test_a_measurement_of_a_type_that_cannot_be_used_is_refused(
    pricing: Pricing, tmp_path: Path, capsys: pytest.CaptureFixture[str], type_: str
) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"responsesPerSecond": 9, "fleet": {"instanceType": type_, "instances": 1}}))
    assert run("compare", "-s", "dev", "iris", "--bench", str(file)) == 2
    assert type_ in capsys.readouterr().err


TO_ZERO = {"asynchronous": {}, "autoscaling": {"min": 0, "max": 4, "backlogPerInstance": 5}}
IDLE_FLEETS: list[tuple[int, dict[str, Any], float, str]] = [
    (0, {}, 187.61, "remove endpoints.iris"),
    (5, {}, 187.61, "use a smaller endpoints.iris.instanceType"),
    (5, {"initialInstanceCount": 2}, 375.22, "lower endpoints.iris.initialInstanceCount"),
    (0, TO_ZERO, 0.3, "remove endpoints.iris"),
]


@pytest.mark.parametrize(("requests", "fleet", "usd", "edit"), IDLE_FLEETS)
def test_idle_shows_the_cost_and_the_edit_that_ends_it(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], requests: int, fleet: dict[str, Any], usd: float, edit: str
) -> None:
    counted = {"Invocations": [requests], "InvocationsProcessed": [requests]}
    METRICS.values = {**counted, "CPUUtilization": [4], "MemoryUtilization": [9]}
    project(Path(), BASE + "".join(f"      {key}: {json.dumps(value)}\n" for key, value in fleet.items()))
    assert run("-s", "dev", "--idle", "14") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"iris {requests} 1 % 9 % ${usd:.2f}" in shown
    assert edit in shown
    assert run("-s", "dev", "--idle", "14", "--json") == 0
    iris = json.loads(capsys.readouterr().out)["endpoints"]["iris"]
    assert round(iris["perMonth"]["smallest"], 2) == usd
    assert edit in "".join(iris["advice"])
    assert iris["variants"] == {"AllTraffic": {"busiestPercent": 1, "memoryPercent": 9}}


def test_idle_does_not_judge_an_endpoint_that_is_new(
    pricing: Pricing, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DEPLOYED, "created", datetime.now(UTC))
    assert run("-s", "dev", "--idle", "14") == 0
    shown = capsys.readouterr().out
    assert "iris: not listed" in shown
    assert "busiest hour" not in shown
    assert "remove" not in shown
    assert run("-s", "dev", "--idle", "14", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["endpoints"], [*facts["notJudged"]]) == ({}, ["iris"])
