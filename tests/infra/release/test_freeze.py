"""When a freeze window is open, on clocks that change too."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.errors import UserError
from infra.release import freeze
from infra.release.failure import ReleaseRefused
from infra.release.freeze import FreezeWindow, open_window

DAYS = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
WEEKEND = FreezeWindow("0 18 * * FRI", timedelta(minutes=3720), "Asia/Tokyo", "weekend")
HOLIDAY = FreezeWindow("0 8 23 11 *", timedelta(minutes=1440), "Asia/Tokyo", "Labour Thanksgiving Day")
SATURDAY = datetime(2026, 11, 21, 12, tzinfo=ZoneInfo("Asia/Tokyo"))


def tokyo(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (tokyo(11, 20, 17, 59), False),
        (tokyo(11, 20, 18), True),
        (tokyo(11, 23, 7, 59), True),
        (tokyo(11, 23, 8), False),
    ],
)
def test_a_window_is_open_from_its_start_until_its_end(at: datetime, is_open: bool) -> None:
    opened = open_window([WEEKEND], at)
    assert (opened is not None) == is_open
    if opened:
        assert opened.ends == tokyo(11, 23, 8)


def test_a_window_that_follows_without_a_gap_moves_the_end() -> None:
    opened = open_window([HOLIDAY, WEEKEND], SATURDAY)
    assert opened is not None
    assert (opened.window, opened.ends) == (WEEKEND, tokyo(11, 24, 8))


def test_of_two_open_windows_the_one_that_closes_last_is_named() -> None:
    evening = FreezeWindow("0 0 * * SAT", timedelta(days=1), "Asia/Tokyo", "Saturday")
    opened = open_window([evening, WEEKEND], SATURDAY)
    assert opened is not None
    assert opened.window == WEEKEND


def test_windows_that_leave_no_gap_at_all_are_followed_for_a_year_only() -> None:
    week = [FreezeWindow(f"0 0 * * {day}", timedelta(days=1), "UTC", day) for day in DAYS]
    opened = open_window(week, SATURDAY)
    assert opened is not None
    assert opened.ends - SATURDAY < timedelta(days=368)


def _wall_clock_start(day: date, hour: int, minute: int, zone: ZoneInfo) -> datetime:
    """When a clock on the wall first shows this time, or the first one after it that it shows at all."""
    local = datetime(day.year, day.month, day.day, hour, minute)
    while local.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        local += timedelta(minutes=1)
    return local.replace(tzinfo=zone).astimezone(UTC)


@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    days=st.sets(st.integers(0, 6), min_size=1),
    minutes=st.integers(1, 3 * 24 * 60),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "UTC"]),
)
@example(datetime(2026, 3, 29, 1, 30), 2, 30, {6}, 60, "Europe/Berlin")  # that half past two does not come
@example(datetime(2026, 10, 25, 2, 20), 2, 45, {6}, 60, "Europe/Berlin")  # this quarter to three comes twice
def test_a_window_is_open_for_its_duration_from_each_time_the_wall_clock_shows_its_start(
    at: datetime, hour: int, minute: int, days: set[int], minutes: int, zone: str
) -> None:
    at, duration = at.replace(tzinfo=UTC), timedelta(minutes=minutes)
    window = FreezeWindow(f"{minute} {hour} * * {','.join(DAYS[day] for day in days)}", duration, zone, "test")
    local_days = [at.astimezone(ZoneInfo(zone)).date() - timedelta(days=back) for back in range(-1, 5)]
    starts = [_wall_clock_start(day, hour, minute, ZoneInfo(zone)) for day in local_days if day.weekday() in days]
    expected = max((start + duration for start in starts if start <= at < start + duration), default=None)
    assert window.covers_until(at) == expected


def test_numbers_of_a_setting_may_be_floats_as_pulumi_hands_them_over() -> None:
    setting = {"schedule": "0 18 * * FRI", "durationMinutes": 3720.0, "timeZone": "Asia/Tokyo", "reason": "weekend"}
    assert FreezeWindow.of(setting) == WEEKEND


def test_a_refusal_names_window_end_reason_and_the_way_through() -> None:
    with pytest.raises(ReleaseRefused) as caught:
        freeze.require_none_open("e", [WEEKEND], SATURDAY, None)
    message = str(caught.value)
    assert "endpoint e: the release did not start; the live endpoint is unchanged." in message
    assert "open until Mon 2026-11-23 08:00 Asia/Tokyo: weekend (0 18 * * FRI)" in message
    assert 'TRITON_SAGEMAKER_OVERRIDE_FREEZE="INC-42: revert broken model" pulumi up' in message


def test_an_overridden_window_is_gone_through_and_told() -> None:
    window = freeze.require_none_open("e", [WEEKEND], SATURDAY, "INC-42")
    assert window is not None
    assert window.window == WEEKEND
    assert freeze.require_none_open("e", [WEEKEND], tokyo(11, 18, 12), "INC-42") is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [("INC-42: revert", "INC-42: revert"), (" two\n lines ", "two lines"), (" ", None), ("", None)],
)
def test_an_override_needs_a_reason_and_is_kept_on_one_line(value: str, reason: str | None) -> None:
    assert freeze.override({"TRITON_SAGEMAKER_OVERRIDE_FREEZE": value}) == reason
    assert freeze.override({}) is None


def test_a_warning_comes_while_a_window_is_open_and_says_whether_it_is_overridden() -> None:
    assert freeze.warning([WEEKEND], tokyo(11, 18, 12), None) is None
    refused = freeze.warning([WEEKEND], SATURDAY, None) or ""
    assert "Updates and deletions of serving endpoints are refused." in refused
    assert "OVERRIDE_FREEZE" in refused
    overridden = freeze.warning([WEEKEND], SATURDAY, "INC-42") or ""
    assert overridden.endswith("It is overridden for this run, and this reason is recorded: INC-42")


VALID = {"schedule": "0 18 * * FRI", "durationMinutes": 3720, "timeZone": "Asia/Tokyo", "reason": "weekend"}


@pytest.mark.parametrize(
    "invalid",
    [{"schedule": "0 18 * *"}, {"durationMinutes": 10**15}, {"timeZone": "Asia/Tokio"}, {"schedule": 1}],
)
def test_windows_in_the_configuration_that_cannot_be_evaluated_are_reported_as_invalid(invalid: dict[str, Any]) -> None:
    assert freeze.windows_in({"p:freezeWindows": json.dumps([VALID])}, "p") == [FreezeWindow.of(VALID)]
    with pytest.raises(UserError, match="p:freezeWindows is not valid"):
        freeze.windows_in({"p:freezeWindows": json.dumps([VALID | invalid])}, "p")
