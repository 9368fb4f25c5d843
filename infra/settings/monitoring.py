"""The settings of what operators look at: the logs of the endpoints, and the dashboard."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from infra.settings.section import Effect, Section, setting, violation

RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096),
    *(1827, 2192, 2557, 2922, 3288, 3653),
)


def _retention(days: int) -> int:
    if days not in RETENTION_DAYS:
        longer = next((value for value in RETENTION_DAYS if value > days), RETENTION_DAYS[-1])
        raise violation(
            "retention-days",
            f"CloudWatch Logs does not accept {days} days (CloudWatch Logs API PutRetentionPolicy). Use {longer}, or "
            f"another of {', '.join(map(str, RETENTION_DAYS))}.",
        )
    return days


class MonitoringSettings(Section):
    """The logs of the endpoints, and the dashboard of the stack."""

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
