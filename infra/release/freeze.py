"""Freeze windows: times in which no live endpoint is released anew or deleted, unless somebody says why it must be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from infra.release.gates import ReleaseRefused
from infra.release.live import EndpointDescription

OVERRIDE_VARIABLE = "TRITON_SAGEMAKER_OVERRIDE_FREEZE"
"""Environment variable with the reason why one `pulumi up` goes through a window. It is none of the settings: what is
in a stack file stays there."""

_FORESEEN = timedelta(days=366)
"""How far the end of windows that follow each other without a gap is looked for."""


class ReleaseFrozen(ReleaseRefused):
    """A release, or the deletion of a live endpoint, was asked for in a freeze window."""


@dataclass(frozen=True)
class FreezeWindow:
    """A window that opens by a schedule, for a length of time as a stopwatch measures it."""

    schedule: str
    """cron's five fields: minute, hour, day of the month, month, day of the week."""
    duration: timedelta
    time_zone: str
    """The IANA time zone that the schedule is in."""
    reason: str

    @classmethod
    def of(cls, setting: Mapping[str, Any]) -> FreezeWindow:
        """From the keys of the setting `freezeWindows`."""
        duration = timedelta(minutes=setting["durationMinutes"])
        return cls(setting["schedule"], duration, setting["timeZone"], setting["reason"])

    def starts(self, after: datetime) -> Iterator[datetime]:
        """When it opens, in UTC. As in Debian's cron, a time that the clock skips in spring comes right after the gap,
        and one that it shows twice in autumn comes the first time only."""
        for start in CronSim(self.schedule, after.astimezone(ZoneInfo(self.time_zone))):
            yield start.astimezone(UTC)

    def covers_until(self, at: datetime) -> datetime | None:
        """When it closes if it is open at `at`."""
        too_early = at - self.duration
        starts = takewhile(lambda start: start <= at, self.starts(too_early))
        # in the hour that comes twice cronsim counts from the first one
        return max((start + self.duration for start in starts if start > too_early), default=None)


@dataclass(frozen=True)
class OpenWindow:
    """A window that is open, and when releases are possible again."""

    window: FreezeWindow
    ends: datetime

    def __str__(self) -> str:
        ends = f"{self.ends.astimezone(ZoneInfo(self.window.time_zone)):%a %Y-%m-%d %H:%M} {self.window.time_zone}"
        return f"a freeze window is open until {ends}: {self.window.reason} ({self.window.schedule})"


def open_window(windows: Sequence[FreezeWindow], at: datetime) -> OpenWindow | None:
    """The window that is open at `at`, of several the one that closes last. It ends when no window is open any more:
    others may follow without a gap."""
    found = _closing_last(windows, at)
    following = found
    while found and following and following.ends < at + _FORESEEN:
        found = replace(found, ends=following.ends)
        following = _closing_last(windows, following.ends)
    return found


def windows_in(config: Mapping[str, Any], project: str) -> list[FreezeWindow]:
    """The windows in a stack's configuration as it is now: a deletion has no settings of its own.

    Args:
        config: by `namespace:name`; what is structured is JSON.

    Raises:
        ValueError: they are not what the setting `freezeWindows` accepts.
    """
    text = config.get(f"{project}:freezeWindows") or "[]"
    try:
        return [FreezeWindow.of(each) for each in json.loads(text)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{project}:freezeWindows cannot be read, so that nobody knows whether an endpoint may be deleted now "
            f"({error!r}). `python -m infra validate` says what is wrong with it."
        ) from None


def override(environment: Mapping[str, str]) -> str | None:
    """The reason given for going through a window, on one line."""
    return " ".join(environment.get(OVERRIDE_VARIABLE, "").split()) or None


def require_none_open(
    endpoint: str, windows: Sequence[FreezeWindow], at: datetime, override: str | None
) -> OpenWindow | None:
    """See that no window is open, or is overridden; the one that is overridden is returned.

    Raises:
        ReleaseFrozen: with the window, its end and the way through.
    """
    found = open_window(windows, at)
    if found and not override:
        raise ReleaseFrozen(endpoint, [f"{found}. {_WAY_OUT}"])
    return found


def require_deletable(
    endpoint: EndpointDescription | None, windows: Sequence[FreezeWindow], at: datetime, override: str | None
) -> OpenWindow | None:
    """As `require_none_open`, of the deletion of an endpoint; one that does not serve may go at any time.

    Raises:
        ReleaseFrozen: with the window, its end and the ways out.
    """
    found = open_window(windows, at) if endpoint is not None and endpoint.is_live else None
    if endpoint is not None and found and not override:
        kept = f"{endpoint.config_name} is live. To keep it, put its key back into the stack file. {_WAY_OUT}"
        raise ReleaseFrozen(endpoint.name, [f"{found}. {kept}"], "it was not deleted")
    return found


def warning(windows: Sequence[FreezeWindow], at: datetime, override: str | None) -> str | None:
    """What a person is told before anything is released; None when no window is open."""
    found = open_window(windows, at)
    if found is None:
        return None
    if override:
        return f"{found}. It is overridden for this run, and this reason is recorded: {override}"
    return f"{found}. Updates and deletions of live endpoints are refused. {_WAY_OUT}"


def _closing_last(windows: Sequence[FreezeWindow], at: datetime) -> OpenWindow | None:
    found = [OpenWindow(each, ends) for each in windows if (ends := each.covers_until(at))]
    return max(found, key=lambda each: each.ends, default=None)


_WAY_OUT = (
    "Run `pulumi up` again when it has ended. If this cannot wait, say why for this one run, and the reason is "
    f'recorded: {OVERRIDE_VARIABLE}="INC-42: revert broken model" pulumi up'
)
