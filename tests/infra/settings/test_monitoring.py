"""The retention of logs is one that CloudWatch accepts."""

from __future__ import annotations

from typing import Any

import pytest

from infra.settings.monitoring import RETENTION_DAYS
from tests.infra.settings.config import VALID, broken, settings


def with_days(days: Any) -> dict[str, Any]:
    return {**VALID, "triton-sagemaker:monitoring": {"logRetentionDays": days}}


@pytest.mark.parametrize("days", RETENTION_DAYS)
def test_a_retention_of_cloudwatch_is_valid(days: int) -> None:
    assert settings(with_days(days)).monitoring.log_retention_days == days


def test_logs_are_kept_forever_by_default() -> None:
    assert settings(VALID).monitoring.log_retention_days is None


@pytest.mark.parametrize("days", [0, 2, 91, 10_000])
def test_another_number_of_days_is_refused(days: int) -> None:
    assert broken(with_days(days)) == [("monitoring.logRetentionDays", "retention-days")]
