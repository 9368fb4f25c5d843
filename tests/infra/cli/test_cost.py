"""`python -m infra cost`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.__main__ import main
from infra.cost import price_file
from tests.infra.cli.test_stack_file import BASE, project
from tests.infra.cost.products import PRODUCTS, REGION
from tests.infra.cost.test_price_file import OTHERS, Pricing


@pytest.fixture
def pricing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pricing:
    api = Pricing([*PRODUCTS, *OTHERS])

    class Session:
        region = REGION

        def client(self, service: str, region: str) -> Any:
            assert (service, region) == ("pricing", "us-east-1")
            return api

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


def test_the_table_has_a_row_for_each_item_and_what_has_no_price(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-s", "dev", "--requests-per-second", "10") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "iris (real time) $188.48",
        "instances ml.c5.xlarge 730 hour $187.61",
        "volumes no price",
        "2026-11-20",
    ):
        assert part in shown, shown


def test_without_access_there_is_no_price_and_the_command_that_fetches_it(
    pricing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    pricing.refuse = "AmazonSageMaker"
    assert run("-s", "dev") == 1
    shown = capsys.readouterr()
    assert "GetProducts was refused" in shown.err
    assert "cost update-prices -s dev" in shown.out


@pytest.mark.parametrize(
    "arguments", [[], ["-s", "nowhere"], ["-s", "dev", "--requests-per-second", "-1"], ["update-prices"]]
)
def test_bad_input_is_a_message(pricing: Pricing, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
