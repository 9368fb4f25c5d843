"""Endpoints: their variants, in both forms, and the names that they need."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.mock_runtime import run
from tests.infra.settings.config import (
    MODEL,
    PROJECT,
    VALID,
    assert_broken,
    broken,
    changed,
    endpoint,
    settings,
    warnings,
)

SHORT = VALID[f"{PROJECT}:endpoints"]["ranking"]
LONG = {"variants": {"AllTraffic": SHORT}}


def test_the_short_form_is_the_long_form_with_one_variant() -> None:
    short, long = (settings(changed("ranking", form)).endpoints["ranking"] for form in (SHORT, LONG))
    assert short.model_dump() == long.model_dump()


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("instanceType", "ml.c7g.xlarge", "arm-instance"),
        ("autoscaling", {"min": 3, "max": 2}, "min-over-max"),
        ("initialInstanceCount", 11, "count-outside-autoscaling"),
        ("environment", {"a-b": "c"}, "variable-name"),
        ("instancetype", "x", "unknown-key"),
        ("volumeSizeGb", None, "empty"),
    ],
)
def test_a_variant_has_the_same_problems_at_the_written_key_in_both_forms(key: str, value: Any, rule: str) -> None:
    ((short, _),) = broken(changed("ranking", SHORT | {key: value}))
    ((long, found),) = broken(changed("ranking", {"variants": {"AllTraffic": SHORT | {key: value}}}))
    assert (short.replace("ranking.", "ranking.variants.AllTraffic."), found) == (long, rule)


def test_a_warning_names_the_written_key() -> None:
    variant = SHORT | {"environment": {"HF_TOKEN": "x"}}
    for form, above in ((variant, ()), ({"variants": {"A": variant}}, ("variants", "A"))):
        (warning,) = warnings(changed("ranking", form))
        assert warning.path == (f"{PROJECT}:endpoints", "ranking", *above, "environment", "HF_TOKEN")


@pytest.mark.parametrize(
    ("keys", "at", "rule"),
    [
        ({}, "model", "missing"),
        ({"variants": {}}, "variants", "out-of-range"),
        ({"variants": {f"V{n}": {"model": MODEL} for n in range(11)}}, "variants", "out-of-range"),
        ({"variants": {"a_b": {"model": MODEL}}}, "variants.a_b", "variant-name"),
        ({"variants": {"A": {}}}, "variants.A.model", "missing"),
        (
            {"model": MODEL, "instanceType": "ml.m5.large", "variants": {"A": {"model": MODEL}}},
            "variants",
            "short-form-with-variants",
        ),
        (
            {"variants": {"A": {"model": MODEL, "autoscaling": {"min": 1, "max": 2}}, "B": {"model": MODEL}}},
            "variants",
            "some-variants-autoscaled",
        ),
        (
            {
                "variants": {name: {"model": MODEL, "initialInstanceCount": 2} for name in "AB"},
                "release": {"strategy": "rolling", "percent": 50},
            },
            "release.strategy",
            "rolling-with-several-variants",
        ),
        (
            {
                "variants": {"A": {"model": MODEL, "initialInstanceCount": 4}, "B": {"model": MODEL}},
                "release": {"strategy": "canary", "percent": 25},
            },
            "release.percent",
            "step-size",
        ),
        (
            {
                "variants": {f"V{n}": {"model": MODEL} for n in range(4)},
                "alarms": {"errorRatePercent": 1, "serverErrorRatePercent": 1, "p99ModelLatencyMilliseconds": 1},
            },
            "alarms.existing",
            "too-many-rollback-alarms",
        ),
    ],
)
def test_wrong_variants_are_refused(keys: dict[str, Any], at: str, rule: str) -> None:
    assert broken(changed("ranking", keys)) == [(f"endpoints.ranking.{at}", rule)]


def test_a_release_of_several_variants_waits_for_the_slowest() -> None:
    slow = {"model": MODEL, "startupHealthCheckSeconds": 1800}
    forms = ({"variants": {"A": {"model": MODEL}} | more} for more in ({}, {"B": slow}))
    one, two = (settings(changed("ranking", form)).endpoints["ranking"].release_estimate for form in forms)
    assert two.maximum - one.maximum == 1800 - 60


@pytest.mark.parametrize(
    ("name", "rule"),
    [("ranking_", "endpoint-name"), ("x" * 56, "endpoint-name-length"), ("Ranking", "endpoints-differ-in-case")],
)
def test_a_wrong_name_is_refused(name: str, rule: str) -> None:
    assert_broken(f"endpoints.{name}", {"model": {"path": "x"}}, rule)


def test_a_stack_has_endpoints() -> None:
    assert_broken("endpoints", {}, "out-of-range")


@pytest.mark.parametrize("name", ["model", "release", "variants", "image"])
def test_an_endpoint_may_have_the_name_of_a_key(name: str) -> None:
    config = changed("endpoints", {name: {"model": {"path": "x"}, "instanceTyp": "ml.c5.large"}})
    assert broken(config) == [(f"endpoints.{name}.instanceTyp", "unknown-key")]


def test_the_name_of_a_model_leaves_room_for_pulumis_suffix() -> None:
    name, variant = "e" * 40, "V" * 14
    settings(changed(f"endpoints.{name}", {"variants": {variant: {"model": MODEL}}}))
    longer = {"variants": {f"{variant}V": {"model": MODEL}}}
    assert_broken(f"endpoints.{name}", longer, "model-name-length", f"endpoints.{name}.variants.{variant}V")


def alarmed(*short: str, **long: list[str]) -> dict[str, Any]:
    """VALID with endpoints that have an alarm, in the short form, and with variants of these names."""
    alarms = {"alarms": {"errorRatePercent": 1}}
    forms: dict[str, dict[str, Any]] = {
        name: {"variants": {variant: {"model": MODEL} for variant in variants}} for name, variants in long.items()
    }
    forms |= {name: {"model": MODEL} for name in short}
    return changed("endpoints", {name: form | alarms for name, form in forms.items()})


@pytest.mark.parametrize(
    ("config", "at", "rule"),
    [
        (alarmed("x-A", x=["A"]), "x.variants.A", "duplicate-name"),
        (
            changed("endpoints", {n: {"variants": {v: {"model": MODEL}}} for n, v in (("x", "A-B"), ("x-A", "B"))}),
            "x-A.variants.B",
            "duplicate-name",
        ),
        (alarmed("x", "x-rollback"), "x-rollback", "duplicate-name"),
        (alarmed(x=["AllTraffic", "rollback"]), "x.variants.rollback", "duplicate-name"),
    ],
)
def test_names_in_pulumi_and_cloudwatch_are_unique(config: dict[str, Any], at: str, rule: str) -> None:
    assert broken(config) == [(f"endpoints.{at}", rule)]


def test_alarms_of_two_purposes_have_two_names() -> None:
    config = alarmed("x", "x-server")
    config[f"{PROJECT}:endpoints"]["x"]["alarms"] = {"serverErrorRatePercent": 1}
    assert broken(config) == [("endpoints.x-server", "duplicate-name")]


@pytest.mark.parametrize(
    "config",
    [
        alarmed("x", "x-stop", "x-error-rate", "x-invocations"),
        changed("endpoints", {name: {"model": MODEL} for name in ("x", "x-rollback")}),
        changed("endpoints", {"x": {"variants": {"A": {"model": MODEL}}}, "x-B": {"model": MODEL}}),
    ],
)
def test_names_that_only_look_alike_are_accepted(config: dict[str, Any]) -> None:
    assert len(run("x", config).all("dynamic/infra:Endpoint")) == len(config[f"{PROJECT}:endpoints"])


def production(**keys: Any) -> dict[str, Any]:
    """VALID as a production stack."""
    served = {"alarms": {"existing": ["pager"]}, "release": {"bakeSeconds": 300}}
    return changed("ranking", served | keys) | {f"{PROJECT}:environment": "production"}


@pytest.mark.parametrize(
    ("variant", "at"),
    [({}, "initialInstanceCount"), ({"autoscaling": {"min": 1, "max": 4}}, "autoscaling.min")],
)
@pytest.mark.parametrize("short", [True, False])
def test_a_single_instance_in_production_must_be_acknowledged(variant: dict[str, Any], at: str, short: bool) -> None:
    above = "" if short else "variants.A."

    def config(**more: Any) -> dict[str, Any]:
        keys = {"model": MODEL} | variant | more
        return production(**(keys if short else {"variants": {"A": keys}}))

    assert broken(config()) == [(f"endpoints.ranking.{above}{at}", "single-instance")]
    settings(config(allowSingleInstance=True))


def test_a_production_endpoint_has_rollback_alarms() -> None:
    config = production(model=MODEL, alarms={}, initialInstanceCount=2)
    assert broken(config) == [("endpoints.ranking.alarms", "production-without-alarms")]
    settings(production(model=MODEL, initialInstanceCount=2))


def test_fleet_sizes_are_those_that_autoscaling_allows() -> None:
    assert endpoint().fleet_sizes == list(range(2, 11))
