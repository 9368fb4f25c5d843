"""The settings of the times in which nothing is released."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from infra.release.freeze import FreezeWindow
from infra.settings.section import Section, rule, violation
from infra.settings.source import according_to

_SOME_WINTER = datetime(2026, 1, 1, tzinfo=UTC)
"""From here the starts are looked at: no change of the clock follows for two months."""


def _schedule(schedule: str) -> str:
    fields = "minute, hour, day of the month, month, day of the week"
    if (count := len(schedule.split())) != 5:
        example = "as in 0 18 * * FRI"
        raise violation(
            "cron-fields", f"{schedule!r}: cron has five fields ({fields}), {example}, and here are {count}."
        )
    try:
        never = next(CronSim(schedule, _SOME_WINTER), None) is None
    except CronSimError as error:
        raise violation(
            "cron-schedule", f"{schedule!r}: {str(error).lower()}; the fields are {fields}, such as 0 18 * * FRI."
        ) from None
    if never:
        raise violation(
            "cron-never", f"{schedule!r} names a day that does not come in 50 years; the fields are {fields}."
        )
    return schedule


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a directory of zones, such as Asia
        nearest = _nearest_time_zone(name)
        hint = f" Did you mean {nearest}?" if nearest else " Give one such as Asia/Tokyo."
        raise violation("time-zone", f"{name!r} is no IANA time zone.{hint}") from None
    return name


def _nearest_time_zone(name: str) -> str | None:
    """By the whole name or by its city alone, whatever the case."""
    known = {written.casefold(): zone for zone in available_timezones() for written in (zone.rpartition("/")[2], zone)}
    if any(sign in name for sign in "+-0123456789"):  # an offset, which is no place: UTC is not near UTC+9
        return None
    found = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.7)
    return known[found[0]] if found else None


class FreezeWindowSettings(Section):
    """A time in which no live endpoint is released anew or deleted."""

    schedule: Annotated[str, AfterValidator(_schedule)] = Field(
        description="When it opens: cron's five fields, in timeZone; `0 18 * * FRI` is Fridays at 18:00.",
        examples=["0 18 * * FRI", "0 0 24 12 *"],
        json_schema_extra=according_to("crontab(5), without names such as @daily"),
    )
    duration_minutes: int = Field(
        ge=1,
        le=525_600,
        description="How long it stays open, in minutes (1 to 525600, a year); 3720 is from Friday 18:00 to Monday "
        "8:00.",
        examples=[3720],
        json_schema_extra=according_to(
            "this project: a year at most, for a window that never closes would stop all releases"
        ),
    )
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(
        description="IANA time zone, such as Asia/Tokyo.",
        examples=["Asia/Tokyo"],
        json_schema_extra=according_to("IANA Time Zone Database"),
    )
    reason: str = Field(
        min_length=1,
        max_length=200,
        description="Why nothing is released then; whoever is refused reads it.",
        examples=["weekend"],
        json_schema_extra=according_to("this project: whoever is refused has to be told why, in a line"),
    )

    @property
    def window(self) -> FreezeWindow:
        """The same as the release takes it."""
        return FreezeWindow.of(self.inputs)

    @property
    def inputs(self) -> dict[str, str | int]:
        """The same by the keys of the stack file."""
        return self.model_dump(by_alias=True)

    @rule("durationMinutes")
    def it_closes_before_it_opens_again(self) -> str | None:
        window = self.window
        starts = islice(window.starts(_SOME_WINTER), 50)
        if any(start + window.duration < following for start, following in pairwise(starts)):
            return None
        return (
            f"{self.duration_minutes} is not less than the time until the schedule opens the window again "
            f"({self.schedule}), so it would never close. Give fewer minutes, or a schedule with fewer starts."
        )
