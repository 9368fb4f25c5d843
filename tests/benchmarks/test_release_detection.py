"""The benchmark of how a finished rollout is noticed: it releases for real, and its table says what was measured."""

from __future__ import annotations

import threading
from pathlib import Path

from rich.console import Console

from benchmarks.release_detection import Account, Wait, driver, summary


def test_the_driver_releases_in_the_benchmarks_account(tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert driver(account, account.endpoint("e"), 0, threading.Event()) > 4
    described = account.client("sagemaker").describe_endpoint(EndpointName="e")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "new")
    account.close()


def test_the_peer_is_told_in_proportion() -> None:
    console = Console(record=True, width=120)
    console.print(summary([Wait("driver", 60, 2.0, 10), Wait("driver", 60, 4.0, 20), Wait("waiter", 60, 9.0, 3)] * 3))
    rows = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    numbers = [row[-3:] for row in rows if row and row[-1].replace(".", "").isdigit()]
    assert numbers == [["3.0", "4.0", "15.0"], ["9.0", "9.0", "1.5"], ["3.00", "2.25", "0.10"]]
