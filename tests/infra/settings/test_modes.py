"""What each mode excludes of alarms, autoscaling and releases."""

from __future__ import annotations

from typing import Any

import pytest

from infra.aws.mode import Mode
from infra.settings.endpoint import EndpointSettings
from tests.infra.settings.config import broken, changed, settings

MODEL = {"model": {"artifact": "artifacts/model_7.tar.gz"}}
KINDS: dict[Mode, dict[str, Any]] = {
    Mode.REAL_TIME: {},
    Mode.ASYNCHRONOUS: {"asynchronous": {}},
    Mode.SERVERLESS: {"serverless": {"memoryMb": 2048, "maxConcurrency": 10}},
    Mode.BATCH: {"batch": {}},
}
THRESHOLDS = {
    "errorRatePercent": 5,
    "serverErrorRatePercent": 1,
    "p99ModelLatencyMilliseconds": 500,
    "ageOfOldestRequestSeconds": 600,
    "backlogSize": 100,
    "concurrencyUtilizationPercent": 90,
    "p99ModelSetupTimeMilliseconds": 5000,
}
COMMON = {"errorRatePercent", "serverErrorRatePercent", "p99ModelLatencyMilliseconds"}
QUEUE = {"min": 0, "max": 5, "backlogPerInstance": 5}


def with_mode(mode: Mode, **keys: Any) -> dict[str, Any]:
    """A stack whose only endpoint has a mode."""
    return changed("ranking", MODEL | KINDS[mode] | keys)


def endpoint(mode: Mode, **keys: Any) -> EndpointSettings:
    return settings(with_mode(mode, **keys)).endpoints["ranking"]


def rejected(mode: Mode, section: str, **keys: Any) -> dict[str, str]:
    """The rules that keys of a section break, by key."""
    at = f"endpoints.ranking.{section}."
    return {key.removeprefix(at): rule for key, rule in broken(with_mode(mode, **{section: keys}))}


@pytest.mark.parametrize(
    ("mode", "fires"),
    [
        (Mode.REAL_TIME, COMMON),
        (Mode.ASYNCHRONOUS, COMMON | {"ageOfOldestRequestSeconds", "backlogSize"}),
        (Mode.SERVERLESS, COMMON | {"concurrencyUtilizationPercent", "p99ModelSetupTimeMilliseconds"}),
        (Mode.BATCH, set()),
    ],
)
@pytest.mark.parametrize("key", THRESHOLDS)
def test_an_alarm_that_could_never_fire_is_rejected(mode: Mode, fires: set[str], key: str) -> None:
    if key in fires:
        assert endpoint(mode, alarms={key: THRESHOLDS[key]}).alarms.purposes
    else:
        assert rejected(mode, "alarms", **{key: THRESHOLDS[key]}) == {key: "alarm-without-effect"}


@pytest.mark.parametrize("mode", [Mode.SERVERLESS, Mode.BATCH])
@pytest.mark.parametrize("keys", [{"existing": ["pager"]}, {"minimumInvocations": {"count": 5}}])
def test_what_rolls_a_release_back_is_rejected_where_nothing_does(mode: Mode, keys: dict[str, Any]) -> None:
    assert rejected(mode, "alarms", **keys) == dict.fromkeys(keys, "alarm-without-effect")


@pytest.mark.parametrize(("mode", "rolling_back"), [(Mode.REAL_TIME, 3), (Mode.ASYNCHRONOUS, 3), (Mode.SERVERLESS, 0)])
def test_alarms_on_a_queue_and_on_serverless_endpoints_notify_alone(mode: Mode, rolling_back: int) -> None:
    common = {key: THRESHOLDS[key] for key in COMMON}
    queue = {"backlogSize": 9, "ageOfOldestRequestSeconds": 9} if mode is Mode.ASYNCHRONOUS else {}
    assert endpoint(mode, alarms=common | queue).rollback_alarms == rolling_back


@pytest.mark.parametrize("mode", [Mode.SERVERLESS, Mode.BATCH])
@pytest.mark.parametrize(
    ("release", "key"),
    [
        ({"strategy": "canary", "percent": 10}, "strategy"),
        ({"strategy": "rolling", "instances": 1}, "strategy"),
        ({"bakeSeconds": 60}, "bakeSeconds"),
        ({"terminationWaitSeconds": 60}, "terminationWaitSeconds"),
        ({"timeoutSeconds": 7200}, "timeoutSeconds"),
    ],
)
def test_without_guardrails_a_release_is_all_at_once(mode: Mode, release: dict[str, Any], key: str) -> None:
    assert rejected(mode, "release", **release)[key] == "release-without-guardrails"


def test_all_at_once_may_be_written() -> None:
    assert endpoint(Mode.SERVERLESS, release={"strategy": "allAtOnce"}).mode is Mode.SERVERLESS


@pytest.mark.parametrize(
    ("mode", "scaling", "key"),
    [
        (Mode.REAL_TIME, QUEUE | {"min": 1}, "backlogPerInstance"),
        (Mode.REAL_TIME, {"min": 0, "max": 5}, "min"),
        (Mode.ASYNCHRONOUS, {"min": 0, "max": 5}, "backlogPerInstance"),
        (Mode.ASYNCHRONOUS, {"min": 0, "max": 5, "invocationsPerInstance": 70}, "invocationsPerInstance"),
        (Mode.ASYNCHRONOUS, QUEUE | {"invocationsPerInstance": 70}, "invocationsPerInstance"),
    ],
)
def test_a_variant_scales_by_what_its_mode_publishes(mode: Mode, scaling: dict[str, Any], key: str) -> None:
    assert rejected(mode, "autoscaling", **scaling) == {key: "autoscaling-of-another-mode"}


def test_an_asynchronous_fleet_may_scale_to_zero_and_starts_with_an_instance() -> None:
    scaled = endpoint(Mode.ASYNCHRONOUS, autoscaling=QUEUE)
    variant = scaled.instance_variants["AllTraffic"]
    assert variant.instance_count == 1 and scaled.fleet_sizes == [1, 2, 3, 4, 5]
    assert variant.autoscaling and variant.autoscaling.leaves_zero


def test_production_accepts_one_instance_behind_a_queue() -> None:
    config = with_mode(Mode.ASYNCHRONOUS, autoscaling=QUEUE, alarms={"errorRatePercent": 5})
    config["triton-sagemaker:environment"] = "production"
    assert settings(config).production
