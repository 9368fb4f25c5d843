"""Freeze windows as the schedules of CloudWatch's alarm mute rules, which accept less than cron does."""

from __future__ import annotations

import re
from datetime import timedelta

MAX_DURATION = timedelta(days=15)
"""CloudWatch API Schedule, Duration."""

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


def schedule_problem(schedule: str) -> str | None:
    """The part of a schedule of cron that a mute rule does not accept."""
    *fields, weekdays = schedule.upper().split()
    for text in (*fields, weekdays):
        # the L of cron, not that of JUL; every one of a list with an asterisk
        if unsupported := re.search(r"[^A-Z0-9*,-]|(?<![A-Z])L|\*(?=.)|(?<=.)\*", text):
            return f"{unsupported[0]!r} in {text} is not supported"
    both = fields[2] != "*" and weekdays != "*"
    return "a day of the month together with a day of the week is not documented" if both else None


def duration_problem(length: timedelta) -> str | None:
    """Why a mute rule does not accept a length."""
    return f"it lasts more than {MAX_DURATION.days} days" if length > MAX_DURATION else None


def expression(schedule: str) -> str:
    """A schedule as an `Expression`. Days of the week become names, because AWS does not document how it counts
    them."""
    *fields, weekdays = schedule.upper().split()
    return f"cron({' '.join(fields)} {_named(weekdays)})"


def duration(length: timedelta) -> str:
    """A length as a `Duration`, in ISO 8601."""
    hours, minutes = divmod(length.seconds // 60, 60)
    time = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    return f"P{f'{length.days}D' * bool(length.days)}{f'T{time}' * bool(time)}"


def _named(weekdays: str) -> str:
    """The days of the week by name; a range of numbers becomes a list, because it may pass Saturday."""
    if not re.search(r"\d", weekdays):
        return weekdays
    named: dict[str, None] = {}
    for part in weekdays.split(","):
        first, _, last = part.partition("-")
        start, end = _number(first), _number(last or first)
        named |= dict.fromkeys(_DAYS[day % 7] for day in range(start, end + 1))
    return ",".join(named)


def _number(day: str) -> int:
    return int(day) if day.isdigit() else _DAYS.index(day)
