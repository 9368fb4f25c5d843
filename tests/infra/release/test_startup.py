"""When a failure is put down to the limit of the health check."""

from __future__ import annotations

from typing import Any

import pytest

from infra.release.startup import has_gpu, too_slow

REASON = (
    "The primary container for production variant blue did not pass the ping health check. Please check CloudWatch "
    "logs for this endpoint."
)
LOADING = 'I1122 03:30:00.000001 7 model_lifecycle.cc:472] "loading: textlen:1"'
ERROR = "E1122 03:30:00.000002 7 model_lifecycle.cc:654] failed to load"


def config(*variants: str, seconds: int | None = 90, instance_type: str = "ml.c5.xlarge") -> dict[str, Any]:
    limit = {"ContainerStartupHealthCheckTimeoutInSeconds": seconds} if seconds else {}
    each = {"InstanceType": instance_type, **limit}
    return {"ProductionVariants": [{"VariantName": name, **each} for name in variants]}


def test_a_container_that_was_silent_until_its_time_was_over_is_put_down_to_the_limit() -> None:
    said = too_slow(REASON, config("green", "blue"), [LOADING]) or ""
    assert "variant blue logged no error" in said
    assert "startupHealthCheckSeconds (90 s)" in said


def test_a_log_that_cannot_be_read_is_not_said_to_hold_no_error() -> None:
    said = too_slow(REASON, config("blue"), []) or ""
    assert "startupHealthCheckSeconds (90 s)" in said
    assert "logged" not in said


@pytest.mark.parametrize(
    ("reason", "found", "log"),
    [
        (REASON, config("blue"), [LOADING, ERROR]),
        (REASON, config("green"), [LOADING]),
        (REASON, config("blue", seconds=None), [LOADING]),
        (REASON, None, [LOADING]),
        ("Failed to download model data", config("blue"), []),
        ("", config("blue"), []),
    ],
)
def test_any_other_failure_is_not(reason: str, found: dict[str, Any] | None, log: list[str]) -> None:
    assert too_slow(reason, found, log) is None


def test_the_instances_of_a_configuration_have_a_gpu_or_not() -> None:
    assert has_gpu(config("a", instance_type="ml.g5.xlarge"))
    assert not has_gpu(config("a"))
    assert has_gpu(None), "what is said of a missing one may matter"
