from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from infra.release.freeze import FreezeWindow
from tests.infra.settings.config import VALID, broken, problems, settings

WEEKEND = {"schedule": "0 18 * * FRI", "durationMinutes": 3720, "timeZone": "Asia/Tokyo", "reason": "weekend"}


def with_window(**changes: Any) -> dict[str, Any]:
    return {**VALID, "triton-sagemaker:freezeWindows": [WEEKEND, {**WEEKEND, **changes}]}


def test_a_window_of_the_stack_file_is_one_of_the_release() -> None:
    (window, _) = settings(with_window()).freeze_windows
    assert window.window == FreezeWindow("0 18 * * FRI", timedelta(hours=62), "Asia/Tokyo", "weekend")
    assert settings(VALID).freeze_windows == []


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("schedule", "0 18 * * FRI 2026", "cron-fields"),
        ("schedule", "@weekly", "cron-fields"),
        ("schedule", "0 25 * * FRI", "cron-syntax"),
        ("schedule", "0 0 30 2 *", "cron-syntax"),
        ("schedule", "0 0 */30 * MON#2", "cron-never"),
        ("durationMinutes", 10080, "window-never-closes"),
        *(("timeZone", name, "time-zone") for name in ("Asia/Tokio", "Europe", "JST", "UTC+9", "/etc/localtime")),
    ],
)
def test_a_wrong_window_is_refused_at_its_key(key: str, value: Any, rule: str) -> None:
    assert broken(with_window(**{key: value})) == [(f"freezeWindows[1].{key}", rule)]


@pytest.mark.parametrize(
    ("name", "near"),
    [("Asia/Tokio", "Asia/Tokyo"), ("tokyo", "Asia/Tokyo"), ("New York", "America/New_York"), ("UTC+9", None)],
)
def test_a_misspelt_time_zone_is_answered_with_the_nearest(name: str, near: str | None) -> None:
    (problem,) = problems(with_window(timeZone=name))
    assert (f"Did you mean {near}?" in problem.message) == (near is not None)


def test_a_day_of_25_hours_does_not_close_a_window() -> None:
    always = {"schedule": "0 0 * * *", "durationMinutes": 1440, "timeZone": "Europe/Berlin"}
    assert broken(with_window(**always)) == [("freezeWindows[1].durationMinutes", "window-never-closes")]


def test_days_in_a_row_are_one_window_that_closes_after_the_last() -> None:
    days = {"schedule": "0 0 24-31 12 *", "durationMinutes": 1440}
    assert settings(with_window(**days)).freeze_windows[1].duration_minutes == 1440
