"""Freeze windows as schedules of mute rules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infra.aws import mute_rules


@pytest.mark.parametrize(
    ("schedule", "expression"),
    [
        ("0 18 * * FRI", "cron(0 18 * * FRI)"),
        ("0 18 * * 5", "cron(0 18 * * FRI)"),
        ("0 0 * * 5-7", "cron(0 0 * * FRI,SAT,SUN)"),
        ("0 0 * * 0,mon-3", "cron(0 0 * * SUN,MON,TUE,WED)"),
        ("30 9 1-7,15 dec *", "cron(30 9 1-7,15 DEC *)"),
        ("0 0 1 jul *", "cron(0 0 1 JUL *)"),
    ],
)
def test_days_of_the_week_are_named(schedule: str, expression: str) -> None:
    assert mute_rules.schedule_problem(schedule) is None
    assert mute_rules.expression(schedule) == expression


@pytest.mark.parametrize(
    "schedule",
    [
        *("*/5 * * * *", "0 0 L * *", "0 0 LW * *", "0 0 * * FRI#2", "0 0 * * 5L", "0 0 * * 5L,1", "0 0 1 * FRI"),
        *("0 0 * * *,1", "0 0 * * 1,*"),
    ],
)
def test_what_the_api_does_not_document_is_refused(schedule: str) -> None:
    assert mute_rules.schedule_problem(schedule)


@pytest.mark.parametrize(
    ("minutes", "duration"), [(1, "PT1M"), (60, "PT1H"), (3720, "P2DT14H"), (21_600, "P15D"), (90, "PT1H30M")]
)
def test_durations_are_iso_8601(minutes: int, duration: str) -> None:
    assert mute_rules.duration(timedelta(minutes=minutes)) == duration
    assert mute_rules.duration_problem(timedelta(minutes=minutes)) is None


def test_a_rule_mutes_for_15_days_at_most() -> None:
    assert mute_rules.duration_problem(timedelta(days=15, minutes=1))
