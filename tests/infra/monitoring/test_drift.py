"""The differences between the settings and the account, by what differs."""

from __future__ import annotations

from typing import Any

import pytest

from infra.monitoring.drift import drift
from infra.release.live import VariantDescription
from tests.infra.cost.test_estimate import stack

FLEET = {"VariantName": "AllTraffic", "InstanceType": "ml.r5.xlarge", "InitialInstanceCount": 2}
SERVERLESS = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 5}}
PROVISIONED = {"serverless": {"memoryMb": 4096, "maxConcurrency": 5, "provisionedConcurrency": 2}}
ON_DEMAND = {"serverless": {"memoryMb": 4096, "maxConcurrency": 5}}
FIXED = {"instanceType": "ml.r5.xlarge", "initialInstanceCount": 2}
SCALED = {"instanceType": "ml.r5.xlarge", "autoscaling": {"min": 2, "max": 10}}


def differences(
    endpoint: dict[str, Any],
    *live: dict[str, Any],
    limits: tuple[int, int] | None = None,
    missing: tuple[str, ...] = (),
    now: dict[str, Any] | None = None,
) -> list[str]:
    """
    Args:
        live: the variants of the live configuration.
        now: what was changed of them since, as DescribeEndpoint shows it.
    """
    settings = stack(**endpoint).endpoints["e"]
    described = [
        {
            "VariantName": variant["VariantName"],
            "DesiredInstanceCount": variant.get("InitialInstanceCount"),
            "DesiredWeight": 1.0,
            "CurrentServerlessConfig": variant.get("ServerlessConfig"),
            **(now or {}),
        }
        for variant in live
    ]
    config, limited = {"ProductionVariants": [*live]}, {"AllTraffic": limits}
    return [*drift(settings, config, [*map(VariantDescription.of, described)], limited, missing)]


def test_the_same_is_no_drift() -> None:
    assert differences(SCALED, FLEET, limits=(2, 10)) == []
    assert differences(FIXED, FLEET) == []
    assert differences(FIXED | {"initialVariantWeight": 0.1}, FLEET, now={"DesiredWeight": 0.10000000149}) == []
    assert differences(ON_DEMAND, SERVERLESS) == []


@pytest.mark.parametrize(
    ("endpoint", "live", "now", "expected"),
    [
        (FIXED, FLEET, {"DesiredInstanceCount": 5}, "initialInstanceCount is 5, and 2 in the settings"),
        (FIXED, FLEET, {"DesiredWeight": 0.5}, "initialVariantWeight is 0.5, and 1 in the settings"),
        (
            ON_DEMAND,
            SERVERLESS,
            {"CurrentServerlessConfig": {"MaxConcurrency": 9}},
            "maxConcurrency is 9, and 5 in the settings",
        ),
        (PROVISIONED, SERVERLESS, {}, "provisionedConcurrency is not set, and 2 in the settings"),
        (
            ON_DEMAND,
            SERVERLESS,
            {"CurrentServerlessConfig": {"MaxConcurrency": 5, "ProvisionedConcurrency": 3}},
            "provisionedConcurrency is 3, and not set in the settings",
        ),
    ],
)
def test_what_someone_changed_of_the_live_variant_is_drift(
    endpoint: dict[str, Any], live: dict[str, Any], now: dict[str, Any], expected: str
) -> None:
    """UpdateEndpointWeightsAndCapacities leaves the endpoint configuration as it is."""
    assert differences(endpoint, live, now=now) == [f"AllTraffic: {expected}"]


def test_what_autoscaling_changes_is_not_drift() -> None:
    assert differences(SCALED, FLEET, limits=(2, 10), now={"DesiredInstanceCount": 7}) == []


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


def test_an_endpoint_that_serves_nothing_yet_has_no_drift() -> None:
    """Its alarms and its autoscaling are created after it."""
    assert differences(SCALED, missing=("e-error-rate",)) == []


def test_an_alarm_that_does_not_exist_is_drift() -> None:
    assert differences(SCALED, FLEET, limits=(2, 10), missing=("e-error-rate",)) == [
        "alarm e-error-rate does not exist"
    ]
