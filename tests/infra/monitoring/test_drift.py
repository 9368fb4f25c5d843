"""The differences between the settings and the account, by what differs."""

from __future__ import annotations

from typing import Any

import pytest

from infra.monitoring.drift import drift
from tests.infra.cost.test_estimate import stack

FLEET = {"VariantName": "AllTraffic", "InstanceType": "ml.r5.xlarge", "InitialInstanceCount": 2}
SERVERLESS = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 5}}
SCALED = {"instanceType": "ml.r5.xlarge", "autoscaling": {"min": 2, "max": 10}}


def differences(
    endpoint: dict[str, Any],
    *live: dict[str, Any],
    limits: tuple[int, int] | None = None,
    missing: tuple[str, ...] = (),
    **config: Any,
) -> list[str]:
    settings = stack(**endpoint).endpoints["e"]
    return [*drift(settings, {"ProductionVariants": [*live], **config}, {"AllTraffic": limits}, missing)]


def test_the_same_is_no_drift() -> None:
    assert differences(SCALED, FLEET, limits=(2, 10)) == []
    assert differences({"instanceType": "ml.r5.xlarge", "initialInstanceCount": 2}, FLEET) == []
    assert differences({"serverless": {"memoryMb": 4096, "maxConcurrency": 5}}, SERVERLESS) == []


@pytest.mark.parametrize(
    ("endpoint", "live", "limits", "parts"),
    [
        (SCALED, {**FLEET, "InstanceType": "ml.m5.xlarge"}, (2, 10), ("instanceType", "ml.m5.xlarge", "ml.r5.xlarge")),
        (SCALED, FLEET, (2, 4), ("autoscaling", "2 to 4", "2 to 10")),
        (SCALED, FLEET, None, ("autoscaling", "not registered", "2 to 10")),
        ({"instanceType": "ml.r5.xlarge"}, FLEET, None, ("initialInstanceCount", "2", "1")),
        ({"serverless": {"memoryMb": 2048, "maxConcurrency": 5}}, SERVERLESS, None, ("memoryMb", "4096", "2048")),
        (SCALED, SERVERLESS, None, ("serverless", "real time")),
        (SCALED, {**FLEET, "VariantName": "other"}, (2, 10), ("AllTraffic",)),
    ],
)
def test_a_difference_names_what_is_live_and_what_is_in_the_settings(
    endpoint: dict[str, Any], live: dict[str, Any], limits: tuple[int, int] | None, parts: tuple[str, ...]
) -> None:
    first, *_ = differences(endpoint, live, limits=limits)
    for part in parts:
        assert part in first


def test_an_alarm_that_does_not_exist_is_drift() -> None:
    assert differences(SCALED, FLEET, limits=(2, 10), missing=("e-error-rate",)) == [
        "alarm e-error-rate does not exist"
    ]
