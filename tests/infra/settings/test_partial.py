"""Every mistake is reported at once, in one message, and nothing that follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from infra.diagnostics.problem import ConfigurationError
from infra.settings.load import load

Config = dict[str, Any]
EP = "p:endpoints.ranking"


def production() -> Config:
    """A valid production stack."""
    return {
        "aws:region": "ap-northeast-1",
        "p:environment": "production",
        "p:tags": {"CostEnv": "prod", "CostService": "ranking"},
        "p:image": {"version": "24.05-py3"},
        "p:bucket": {"name": "sagemaker-models"},
        "p:endpoints": {
            "ranking": {
                "model": {"artifact": "artifacts/model_7.tar.gz"},
                "instanceType": "ml.g5.xlarge",
                "autoscaling": {"min": 2, "max": 10},
                "alarms": {"errorRatePercent": 5},
                "release": {"strategy": "canary", "percent": 10, "bakeSeconds": 600},
            },
            "search": {
                "model": {"path": "models"},
                "initialInstanceCount": 2,
                "alarms": {"existing": ["pager"]},
                "release": {"bakeSeconds": 60},
            },
        },
    }


def reported(config: Config) -> list[str]:
    """The keys with a problem."""
    texts = {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()}
    try:
        load(texts, "p")
    except ConfigurationError as error:
        return [problem.key for problem in error.problems]
    return []


def put(path: str, value: Any) -> Callable[[Config], None]:
    """Set a value, or remove it if it is None."""
    first, *parts = path.split(".")

    def change(config: Config) -> None:
        *above, last = (f"p:{first}" if ":" not in first else first, *parts)
        section: Any = config
        for part in above:
            section = section.setdefault(part, {})
        if value is None:
            del section[last]
        else:
            section[last] = value

    return change


MISTAKES: dict[str, Callable[[Config], None]] = {
    # of one value
    f"{EP}.autoscaling.scaleInCooldown": put("endpoints.ranking.autoscaling.scaleInCooldown", "ten"),
    "p:endpoints.search.release.bakeSeconds": put("endpoints.search.release.bakeSeconds", "10m"),
    "p:image.source": put("image", {"source": "nonsense"}),
    # a key that is missing, unknown or empty
    "p:tags": put("tags.CostEnv", None),
    "p:endpoints.search.modle": lambda config: config["p:endpoints"]["search"].update(
        modle=config["p:endpoints"]["search"].pop("model")
    ),
    "p:vpc.subnets": put("vpc", {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}),
    "p:bucket.name": put("bucket.name", ""),
    # a rule of one section
    f"{EP}.release.timeoutSeconds": put("endpoints.ranking.release.timeoutSeconds", 700),
    "p:adopt.bucket": put("adopt", {"bucketPolicy": True}),
    # a rule across sections
    "p:endpoints.search.alarms": put("endpoints.search.alarms", None),
    "p:bucket.kmsKeyArn": put("bucket.kmsKeyArn", "arn:aws:kms:us-east-1:123456789012:key/1234abcd"),
    "p:secretEnvironment.other": put("secretEnvironment", {"other": {}}),
    "p:endpoints.Ranking": put(
        "endpoints.Ranking",
        {"model": {"path": "x"}, "initialInstanceCount": 2, "alarms": {"existing": ["a"]}},
    ),
}
"""Mistakes of different kinds in different sections, by the key with the problem."""


def test_the_stack_of_this_test_is_valid() -> None:
    assert reported(production()) == []


@pytest.mark.parametrize("key", MISTAKES)
def test_a_mistake_has_one_message(key: str) -> None:
    config = production()
    MISTAKES[key](config)
    assert reported(config) == [key]


@pytest.mark.parametrize(("one", "other"), combinations(MISTAKES, 2))
def test_two_mistakes_are_both_reported_and_nothing_else(one: str, other: str) -> None:
    config = production()
    MISTAKES[one](config)
    MISTAKES[other](config)
    assert sorted(reported(config)) == sorted([one, other])


def test_all_mistakes_are_reported_at_once() -> None:
    config = production()
    for make in MISTAKES.values():
        make(config)
    assert sorted(reported(config)) == sorted(MISTAKES)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"ranking.release.bakeSeconds": "10m", "ranking.alarms": None}, ["release.bakeSeconds", "alarms"]),
        (
            {"ranking.initialInstanceCount": 20, "ranking.release.timeoutSeconds": 600},
            ["initialInstanceCount", "release.timeoutSeconds"],
        ),
        ({"ranking.autoscaling.min": 1}, ["autoscaling.min", "release"]),
    ],
)
def test_no_mistake_of_an_endpoint_hides_another_one(changes: dict[str, Any], keys: list[str]) -> None:
    config = production()
    for path, value in changes.items():
        put(f"endpoints.{path}", value)(config)
    problems = sorted(reported(config))
    assert len(problems) == len(keys)
    assert all(key.startswith(f"{EP}.{expected}") for key, expected in zip(problems, sorted(keys), strict=True))


@pytest.mark.parametrize(
    ("key", "value", "other", "right"),
    [
        ("endpoints.ranking.autoscaling.max", "many", "endpoints.ranking.autoscaling.min", 30),
        ("endpoints.ranking.alarms.errorRatePercent", "few", "endpoints.ranking.allowSingleInstance", True),
        ("endpoints.ranking.release.percent", "few", "endpoints.ranking.autoscaling.max", 11),
        ("aws:region", "tokyo", "bucket.kmsKeyArn", "arn:aws:kms:us-east-1:123456789012:key/1234abcd"),
        ("environment", "live", "endpoints.ranking.alarms", {}),
        ("endpoints.ranking", "x", "adopt", {"endpoints": ["ranking"]}),
        ("endpoints", "x", "secretEnvironment", {"ranking": {}}),
        (
            "endpoints.search.initialInstanceCount",
            "two",
            "endpoints.search.release",
            {"strategy": "canary", "percent": 9},
        ),
        (
            "freezeWindows",
            [{"schedule": "x", "durationMinutes": 20_000, "timeZone": "Asia/Tokyo", "reason": "x"}],
            "endpoints.ranking.allowSingleInstance",
            True,
        ),
        ("notifications", {"topicArn": "x"}, "aws:region", "us-east-1"),
    ],
)
def test_nothing_is_reported_that_the_mistake_may_have_caused(key: str, value: Any, other: str, right: Any) -> None:
    config = production()
    put(other, right)(config)
    put(key, value)(config)
    (problems,) = reported(config)
    assert problems.startswith(key if ":" in key else f"p:{key}")


def messages(config: Config, secret: tuple[str, ...] = ()) -> dict[str, str]:
    """The messages by key."""
    texts = {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()}
    with pytest.raises(ConfigurationError) as caught:
        load(texts, "p", secret)
    problems = {problem.key: problem.message for problem in caught.value.problems}
    assert len(problems) == len(caught.value.problems)
    return problems


def test_values_below_a_misspelt_environment_are_not_shown() -> None:
    for key in ("environmnt", "env", "Environment"):
        config = production()
        put(f"endpoints.ranking.{key}", {"TOKEN=hunter2": "x", "KEY": ["hunter2"]})(config)
        problems = messages(config)
        assert len(problems) == 3
        assert "hunter2" not in str(problems)


EMPTY = "is empty. Set a value"


@pytest.mark.parametrize(
    ("path", "value", "key", "words"),
    [
        ("endpoints.ranking.model", {"artifact": None}, "model.artifact", EMPTY),
        ("endpoints.ranking.model", {"path": None}, "model.path", EMPTY),
        ("tags.CostEnv", None, "p:tags.CostEnv", EMPTY),
        ("endpoints", {"ranking": None}, "p:endpoints.ranking", EMPTY),
        ("endpoints.ranking", {"variants": None, "alarms": {"existing": ["a"]}}, "variants", EMPTY),
        ("endpoints.ranking.release", {"strategy": None, "percent": 10}, "release.strategy", EMPTY),
        ("endpoints.ranking.autoscaling", None, "autoscaling", EMPTY),
        ("endpoints.ranking.alarms", None, "alarms", EMPTY),
        ("endpoints.ranking.alarms", {"errorRatePercent": None}, "alarms.errorRatePercent", EMPTY),
        ("aws:region", "", "aws:region", EMPTY),
        ("environment", "", "p:environment", EMPTY),
        ("vpc", "", "p:vpc", EMPTY),
        ("endpoints", "", "p:endpoints", EMPTY),
        ("secretEnvironment", "", "p:secretEnvironment", EMPTY),
        ("endpoints.ranking.model", {"s3": "x"}, "model.s3", "known keys: artifact, "),
        ("notifications", {"email": "x"}, "p:notifications.email", "known keys: topicArn."),
        ("endpoints.ranking.fleetSize", 3, "fleetSize", "known keys: alarms,"),
        ("freezeWindows", [{"cron": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "x"}],
         "p:freezeWindows[0].cron", "did you mean schedule?"),
        ("endpoints.ranking.release", {"percent": 10, "bakeSeconds": 60}, "release.percent",
         "unknown key with allAtOnce, the default; only canary, linear and rolling have it."),
    ],
)  # fmt: skip
def test_an_empty_or_unknown_key_causes_no_other_problem(path: str, value: Any, key: str, words: str) -> None:
    config = production()
    change(config, path, value)
    ((problems, message),) = messages(config).items()
    assert problems == (key if ":" in key else f"{EP}.{key}")
    assert words in message


def change(config: Config, path: str, value: Any) -> None:
    """Set a value, which may be none."""
    first, *parts = path.split(".")
    *above, last = (first if ":" in first else f"p:{first}", *parts)
    section: Any = config
    for part in above:
        section = section.setdefault(part, {})
    section[last] = value


def test_settings_below_a_misspelt_key_are_checked() -> None:
    config = production()
    endpoint = config["p:endpoints"]["ranking"]
    endpoint["autoscalling"] = {**endpoint.pop("autoscaling"), "min": 12, "maxx": 3}
    assert set(messages(config)) == {f"{EP}.autoscalling{below}" for below in ("", ".min", ".maxx")}


def test_a_secret_without_its_endpoint_is_not_shown() -> None:
    config = production() | {"p:secretEnvironment": {"DB": "hunter2"}}
    ((key, message),) = messages(config, ("p:secretEnvironment",)).items()
    assert key == "p:secretEnvironment.DB"
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "endpoint",
    [
        {"alarms": "x", "count": 1},
        {"release": "canary", "strategy": "canary"},
        {"variants": ["x"], "model": None},
        {"autoscaling": {"a.b": {}, "min.x": 1}},
        "x",
    ],
)
def test_a_section_of_another_type_is_reported(endpoint: Any) -> None:
    config = production()
    config["p:endpoints"]["search"] = endpoint
    assert all(key.startswith("p:endpoints.search") for key in reported(config))


def test_a_mistake_hides_the_rules_that_read_its_key_and_no_other_one() -> None:
    config = production()
    config["p:endpoints"]["ranking"]["autoscaling"] |= {"max": "ten", "min": 1}
    config["p:endpoints"]["ranking"]["alarms"] |= {"existing": ["a", "a"]}
    assert sorted(messages(config)) == [f"{EP}.alarms.existing", f"{EP}.autoscaling.max"]


def test_a_violated_rule_hides_the_rules_that_read_the_same_key() -> None:
    config = production()
    config["p:endpoints"]["ranking"]["autoscaling"]["max"] = 1
    assert list(messages(config)) == [f"{EP}.autoscaling.min"]
