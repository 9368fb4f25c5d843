"""Every rule of the freeze windows: what is refused, under which key, and with which way out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from infra.release.freeze import FreezeWindow
from infra.settings.freeze import FreezeWindowSettings
from tests.infra.test_settings import VALID, problems, settings

WEEKEND = {"schedule": "0 18 * * FRI", "durationMinutes": 3720, "timeZone": "Asia/Tokyo", "reason": "weekend"}


def with_window(**changes: Any) -> dict[str, Any]:
    return {**VALID, "triton-sagemaker:freezeWindows": [WEEKEND, {**WEEKEND, **changes}]}


def test_a_window_of_the_stack_file_is_one_of_the_release() -> None:
    (window, _) = settings(with_window()).freeze_windows
    assert window.window == FreezeWindow("0 18 * * FRI", timedelta(hours=62), "Asia/Tokyo", "weekend")
    assert window.inputs == WEEKEND
    assert settings(VALID).freeze_windows == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schedule", "0 18 * * FRI 2026", "has five fields (minute, hour, day of the month, month, day of the"),
        ("schedule", "@weekly", "and here are 1"),
        ("schedule", "0 25 * * FRI", "'0 25 * * FRI': bad hour; the fields are minute, hour"),
        ("schedule", "0 18 * * FRIDAY", "bad day-of-week"),
        ("schedule", "0 0 30 2 *", "bad day-of-month"),
        ("schedule", "0 0 */30 * MON#2", "names a day that does not come in 50 years"),
        ("durationMinutes", 0, "greater than or equal to 1"),
        ("durationMinutes", 10080, "10080 is not less than the time until the schedule opens the window again"),
        ("timeZone", "Asia/Tokio", "'Asia/Tokio' is no IANA time zone. Did you mean Asia/Tokyo?"),
        ("timeZone", "tokyo", "Did you mean Asia/Tokyo?"),
        ("timeZone", "New York", "Did you mean America/New_York?"),
        ("timeZone", "Europe", "is no IANA time zone."),
        ("timeZone", "JST", "Give one such as Asia/Tokyo."),
        ("timeZone", "/etc/localtime", "is no IANA time zone."),
        ("reason", "", "at least 1 character"),
        ("reason", "x" * 201, "at most 200 characters"),
        ("duration", 5, "did you mean durationMinutes?"),
    ],
)
def test_a_wrong_window_is_refused_at_its_key_with_the_rule(key: str, value: Any, words: str) -> None:
    ((found, message),) = problems(with_window(**{key: value})).items()
    assert found == f"triton-sagemaker:freezeWindows[1].{key}"
    assert words in message


def test_a_day_that_is_an_hour_longer_makes_no_window_close() -> None:
    always = {"schedule": "0 0 * * *", "durationMinutes": 1440, "timeZone": "Europe/Berlin"}
    ((key, _),) = problems(with_window(**always)).items()
    assert key == "triton-sagemaker:freezeWindows[1].durationMinutes"


def test_days_in_a_row_are_one_window_that_closes_after_the_last() -> None:
    days = {"schedule": "0 0 24-31 12 *", "durationMinutes": 1440}
    assert FreezeWindowSettings.model_validate({**WEEKEND, **days}).duration_minutes == 1440
