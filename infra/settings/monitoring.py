"""The settings of what operators look at: logs, the dashboard, and the notifications of alarms."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from infra.settings.section import Effect, Section, setting, violation

RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096),
    *(1827, 2192, 2557, 2922, 3288, 3653),
)

MAX_RUNBOOK_URL = 250


def _retention(days: int) -> int:
    if days not in RETENTION_DAYS:
        longer = next((value for value in RETENTION_DAYS if value > days), RETENTION_DAYS[-1])
        raise violation(
            "retention-days",
            f"CloudWatch Logs does not accept {days} days (CloudWatch Logs API PutRetentionPolicy). Use {longer}, or "
            f"another of {', '.join(map(str, RETENTION_DAYS))}.",
        )
    return days


def _runbook_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+\S*", url) or len(url) > MAX_RUNBOOK_URL:
        raise violation(
            "runbook-url",
            f"{url!r} is not an address of at most {MAX_RUNBOOK_URL} characters that begins with https:// or http://.",
        )
    return url


class MonitoringSettings(Section):
    """The logs of the endpoints, the dashboard of the stack, and the notifications of alarms."""

    log_retention_days: Annotated[int, AfterValidator(_retention)] | None = setting(
        "Days for which CloudWatch keeps the log of each endpoint's containers, applied before they first write. "
        "Default: CloudWatch's, which is forever. Without the key, a retention that was set remains.",
        default=None,
        example=90,
        source="CloudWatch Logs API Days",
        schema={"enum": [*RETENTION_DAYS, None]},
    )
    dashboard: bool | None = setting(
        "A CloudWatch dashboard of all endpoints of the stack, `triton-STACK` (docs/monitoring.md). Default: true in "
        "production, false elsewhere.",
        default=None,
        example=True,
        source="CloudWatch API PutDashboardInput; this project: AWS bills a dashboard, and stacks for trying out need "
        "none",
        effect=Effect.NOTHING,
    )
    runbook_url: Annotated[str, AfterValidator(_runbook_url)] | None = setting(
        "Address of your runbook, which the description of every alarm for operators shows. Descriptions of single "
        "alarms append # and the end of the alarm's name, such as #error-rate, unless the address has a #.",
        default=None,
        example="https://wiki.example.com/runbooks/triton",
        source=f"CloudWatch API AlarmDescription; this project: {MAX_RUNBOOK_URL} of its 1024 characters",
    )
    mute_in_freeze_windows: bool = setting(
        "Silence the notifications of alarms while a freeze window is open. CloudWatch still evaluates the alarms, and "
        "notifies at the end of the window if one still fires.",
        default=False,
        example=True,
        source="CloudWatch API PutAlarmMuteRuleInput",
    )
