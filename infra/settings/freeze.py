"""The settings of the times when nothing is released."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator

from infra.release.freeze import FreezeWindow
from infra.settings.section import Section, rule, setting, violation

_REFERENCE = datetime(2026, 1, 1, tzinfo=UTC)
"""The date from which starts are checked: no clock changes in the two months after it."""

_FIELDS = "minute, hour, day of the month, month, day of the week"


def _schedule(schedule: str) -> str:
    if (count := len(schedule.split())) != 5:
        raise violation(
            "cron-fields", f"{schedule!r} has {count} fields; cron has five ({_FIELDS}), as in 0 18 * * FRI."
        )
    try:
        never = next(CronSim(schedule, _REFERENCE), None) is None
    except CronSimError as error:
        raise violation(
            "cron-syntax", f"{schedule!r}: {str(error).lower()}; the fields are {_FIELDS}, as in 0 18 * * FRI."
        ) from None
    if never:
        raise violation("cron-never", f"{schedule!r} has no date in the next 50 years; the fields are {_FIELDS}.")
    return schedule


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a directory of zones, such as Asia
        near = _nearest_time_zone(name)
        hint = f"Did you mean {near}?" if near else "Use a name such as Asia/Tokyo."
        raise violation("time-zone", f"{name!r} is not a valid IANA time zone. {hint}") from None
    return name


def _nearest_time_zone(name: str) -> str | None:
    """By the full name or the city alone, ignoring case."""
    if any(sign in name for sign in "+-0123456789"):  # an offset does not identify a place: UTC is not near UTC+9
        return None
    zones = {text.casefold(): zone for zone in available_timezones() for text in (zone.rpartition("/")[2], zone)}
    near = difflib.get_close_matches(name.casefold(), zones, n=1, cutoff=0.7)
    return zones[near[0]] if near else None


class FreezeWindowSettings(Section):
    """A time when live endpoints are neither released nor deleted."""

    schedule: Annotated[str, AfterValidator(_schedule)] = setting(
        "When the window opens: the five fields of cron, in timeZone. `0 18 * * FRI` is Fridays at 18:00.",
        example="0 18 * * FRI",
        source="crontab(5), without names such as @daily",
    )
    duration_minutes: int = setting(
        "Minutes that the window stays open. 3720 is Friday 18:00 to Monday 8:00.",
        ge=1,
        le=525_600,
        example=3720,
        source="this project: at most a year, because a window that never closes would block all releases",
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = setting(
        "IANA time zone.", example="Asia/Tokyo", source="IANA Time Zone Database"
    )
    reason: str = setting(
        "Why nothing is released; shown when a release is refused.",
        min_length=1,
        max_length=200,
        example="weekend",
        source="this project: a refusal must say why, in one line",
    )

    @property
    def window(self) -> FreezeWindow:
        """The window as a release checks it."""
        return FreezeWindow.of(self.model_dump(by_alias=True))

    @rule("durationMinutes")
    def window_never_closes(self) -> str | None:
        window = self.window
        starts = islice(window.starts(_REFERENCE), 50)
        if any(start + window.duration < following for start, following in pairwise(starts)):
            return None
        return (
            f"{self.duration_minutes} must be less than the time until the window opens again ({self.schedule}), or it "
            "never closes. Use fewer minutes, or a schedule with fewer starts."
        )
