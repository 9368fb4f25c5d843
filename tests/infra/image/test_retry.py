"""Requests that are repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.image.errors import TransferFailed
from infra.image.http import check_busy
from infra.image.retry import Broken, Busy, Retry


def failing(*errors: Broken) -> Callable[[], str]:
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def test_the_result_of_the_first_try_that_succeeds() -> None:
    pauses: list[float] = []
    assert Retry(sleep=pauses.append).call(failing(Broken("a"), Broken("b")), "x") == "done"
    assert 0.25 <= pauses[0] <= 0.5 and 0.5 <= pauses[1] <= 1.0


def test_the_last_error_is_of_what_was_tried() -> None:
    pauses: list[float] = []
    with pytest.raises(TransferFailed, match=r"layer: b\. Tried 2 times"):
        Retry(tries=2, sleep=pauses.append).call(failing(Broken("a."), Broken("b."), Broken("c.")), "layer")


def test_an_error_may_allow_fewer_tries() -> None:
    with pytest.raises(TransferFailed, match=r"^layer: gone\.$"):
        Retry().call(failing(Broken("gone.", tries=1)), "layer")


@pytest.mark.parametrize(("asked", "pause"), [("7", 7.0), ("9999", 30.0), ("soon", None), (None, None)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_given_the_time_that_it_asks_for(status: int, asked: str | None, pause: float | None) -> None:
    pauses: list[float] = []
    busy: list[str] = []
    retry = Retry(sleep=pauses.append, on_busy=lambda: busy.append("busy"))
    with pytest.raises(Busy) as raised:
        check_busy(status, {"Retry-After": asked} if asked else {}, "https://registry.test/v2/")
    assert retry.call(failing(raised.value), "x") == "done"
    assert pauses == [pause] if pause else pauses[0] <= 0.5
    assert busy == ["busy"]


def test_other_statuses_are_not_busy() -> None:
    for status in (200, 401, 403, 404):
        check_busy(status, {}, "https://registry.test/v2/")
    with pytest.raises(Broken):
        check_busy(500, {}, "https://registry.test/v2/")
