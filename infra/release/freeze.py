"""Freeze windows: times in which a serving endpoint is neither updated nor deleted, except with a recorded reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from infra.errors import UserError
from infra.release.failure import ReleaseRefused
from infra.release.live import EndpointDescription

OVERRIDE_VARIABLE = "TRITON_SAGEMAKER_OVERRIDE_FREEZE"
"""Environment variable with the reason why one `pulumi up` ignores an open window. It is not a setting: a stack file
would keep it."""

_FORESEEN = timedelta(days=366)
"""How far ahead windows that follow each other without a gap are joined."""


@dataclass(frozen=True)
class FreezeWindow:
    """A window that opens on a schedule, for a length of elapsed time."""

    schedule: str
    """The five fields of cron: minute, hour, day of the month, month, day of the week."""
    duration: timedelta
    time_zone: str
    """The IANA time zone of the schedule."""
    reason: str

    @classmethod
    def of(cls, setting: Mapping[str, Any]) -> FreezeWindow:
        """From the keys of the setting `freezeWindows`."""
        duration = timedelta(minutes=setting["durationMinutes"])
        return cls(setting["schedule"], duration, setting["timeZone"], setting["reason"])

    def starts(self, after: datetime) -> Iterator[datetime]:
        """When it opens, in UTC. As in Debian's cron, a time that the clock skips in spring moves to the end of the
        gap, and one that occurs twice in autumn counts the first time only."""
        for start in CronSim(self.schedule, after.astimezone(ZoneInfo(self.time_zone))):
            yield start.astimezone(UTC)

    def covers_until(self, at: datetime) -> datetime | None:
        """When it closes; None if it is not open at `at`."""
        too_early = at - self.duration
        starts = takewhile(lambda start: start <= at, self.starts(too_early))
        # in the repeated hour cronsim counts from the first one
        return max((start + self.duration for start in starts if start > too_early), default=None)


@dataclass(frozen=True)
class OpenWindow:
    """An open window, and when releases are possible again."""

    window: FreezeWindow
    ends: datetime

    def __str__(self) -> str:
        ends = f"{self.ends.astimezone(ZoneInfo(self.window.time_zone)):%a %Y-%m-%d %H:%M} {self.window.time_zone}"
        return f"a freeze window is open until {ends}: {self.window.reason} ({self.window.schedule})"


def open_window(windows: Sequence[FreezeWindow], at: datetime) -> OpenWindow | None:
    """The window that is open at `at`, of several the one that closes last. It ends when no window is open any more:
    others may follow without a gap."""
    window = _closing_last(windows, at)
    following = window
    while window and following and following.ends < at + _FORESEEN:
        window = replace(window, ends=following.ends)
        following = _closing_last(windows, following.ends)
    return window


def windows_in(config: Mapping[str, Any], project: str) -> list[FreezeWindow]:
    """The windows in a stack's present configuration: a deletion has no settings of its own.

    Args:
        config: by `namespace:name`; structured values are JSON.

    Raises:
        UserError: `freezeWindows` is not valid.
    """
    text = config.get(f"{project}:freezeWindows") or "[]"
    try:
        windows = [FreezeWindow.of(window) for window in json.loads(text)]
        open_window(windows, datetime.now(UTC))  # an invalid schedule fails only here
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, CronSimError):
        raise UserError(
            f"{project}:freezeWindows is not valid, so a freeze window may be open. Run "
            "`python -m infra validate`, which shows the problem, and fix it."
        ) from None
    return windows


def override(environment: Mapping[str, str]) -> str | None:
    """The reason given for ignoring an open window, on one line."""
    return " ".join(environment.get(OVERRIDE_VARIABLE, "").split()) or None


def require_none_open(
    endpoint: str, windows: Sequence[FreezeWindow], at: datetime, override: str | None
) -> OpenWindow | None:
    """Require that no window is open, unless it is overridden; return the overridden window.

    Raises:
        ReleaseRefused: with the window, its end and the way out.
    """
    window = open_window(windows, at)
    if window and not override:
        raise ReleaseRefused(endpoint, [f"{window}. {_WAY_OUT}"])
    return window


def require_deletable(
    endpoint: EndpointDescription | None, windows: Sequence[FreezeWindow], at: datetime, override: str | None
) -> OpenWindow | None:
    """As `require_none_open`, for the deletion of an endpoint; one that does not serve can always be deleted.

    Raises:
        ReleaseRefused: with the window, its end and the ways out.
    """
    window = open_window(windows, at) if endpoint is not None and endpoint.is_serving else None
    if endpoint is not None and window and not override:
        keep = f"{endpoint.config_name} is live. To keep it, restore its key in the stack file. {_WAY_OUT}"
        raise ReleaseRefused(endpoint.name, [f"{window}. {keep}"], "it was not deleted")
    return window


def warning(windows: Sequence[FreezeWindow], at: datetime, override: str | None) -> str | None:
    """The warning before a deployment; None if no window is open."""
    window = open_window(windows, at)
    if window is None:
        return None
    if override:
        return f"{window}. It is overridden for this run, and this reason is recorded: {override}"
    return f"{window}. Updates and deletions of serving endpoints are refused. {_WAY_OUT}"


def _closing_last(windows: Sequence[FreezeWindow], at: datetime) -> OpenWindow | None:
    open_windows = [OpenWindow(window, ends) for window in windows if (ends := window.covers_until(at))]
    return max(open_windows, key=lambda window: window.ends, default=None)


_WAY_OUT = (
    "Run `pulumi up` again when it has ended. If this cannot wait, give the reason for this one run, which is "
    f'recorded: {OVERRIDE_VARIABLE}="INC-42: revert broken model" pulumi up'
)
