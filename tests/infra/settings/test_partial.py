"""Every mistake is reported at once, in one message, and nothing that follows from it."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from infra.diagnostics.problem import ConfigurationError
from infra.settings.load import load, validate

Config = dict[str, Any]
EP = "p:endpoints.ranking"
REMOVED = object()
WINDOW = {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "x"}


def production() -> Config:
    """A valid production stack without a warning."""
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
                "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
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


def changed(changes: dict[str, Any]) -> Config:
    """The stack with other values of some keys."""
    config = production()
    for path, value in changes.items():
        *above, last = (path if ":" in path else f"p:{path}").split(".")
        section: Any = config
        for key in above:
            section = section.setdefault(key, {})
        section[last] = value
        if value is REMOVED:
            del section[last]
    return config


def problems(config: Config, secret: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """The key, the rule and the message of each problem."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    try:
        load(texts, "p", secret)
    except ConfigurationError as error:
        return [(problem.key, problem.rule, problem.message) for problem in error.problems]
    return []


def warned(changes: dict[str, Any], misread: tuple[tuple[str, ...], ...] = ()) -> list[str]:
    """The rules with a warning, in alphabetical order."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in changed(changes).items()}
    _, validation = validate(texts, "p")
    validation.add_warnings(misread)
    return sorted(problem.rule for problem in validation.problems if problem.severity == "warning")


def reported(changes: dict[str, Any]) -> list[str]:
    """The keys with a problem, sorted."""
    return sorted(key for key, *_ in problems(changed(changes)))


MISTAKES: dict[str, dict[str, Any]] = {
    # values
    f"{EP}.autoscaling.scaleInCooldown": {f"{EP}.autoscaling.scaleInCooldown": "ten"},
    "p:endpoints.search.release.bakeSeconds": {"endpoints.search.release.bakeSeconds": "10m"},
    "p:image.source": {"image": {"source": "nonsense"}},
    # missing, unknown and empty keys
    "p:tags": {"tags.CostEnv": REMOVED},
    "p:endpoints.search.modle": {"endpoints.search.modle": {"path": "models"}, "endpoints.search.model": REMOVED},
    "p:vpc.subnets": {"vpc": {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}},
    "p:bucket.name": {"bucket.name": None},
    # rules of one section
    f"{EP}.release.timeoutSeconds": {f"{EP}.release.timeoutSeconds": 700},
    "p:adopt.bucket": {"adopt": {"bucketPolicy": True}},
    # rules across sections
    "p:endpoints.search.alarms": {"endpoints.search.alarms": REMOVED},
    "p:bucket.kmsKeyArn": {"bucket.kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1234abcd"},
    "p:secretEnvironment.other": {"secretEnvironment": {"other": {}}},
    "p:endpoints.Ranking": {
        "endpoints.Ranking": production()["p:endpoints"]["search"],
    },
}
"""Mistakes of different kinds in different sections, by the key with the problem."""


def test_a_valid_stack_has_no_problem() -> None:
    assert reported({}) == []


@pytest.mark.parametrize("key", MISTAKES)
def test_a_mistake_has_one_message(key: str) -> None:
    assert reported(MISTAKES[key]) == [key]


@pytest.mark.parametrize(("one", "other"), list(combinations(MISTAKES, 2)))
def test_two_mistakes_are_both_reported_and_nothing_else(one: str, other: str) -> None:
    assert reported(MISTAKES[one] | MISTAKES[other]) == sorted([one, other])


@pytest.mark.parametrize(("one", "other"), [*combinations(MISTAKES, 2), *zip(MISTAKES, MISTAKES, strict=True)])
def test_no_warning_follows_from_a_mistake(one: str, other: str) -> None:
    assert warned(MISTAKES[one] | MISTAKES[other]) == []


PROBABLE: dict[str, Any] = {
    f"{EP}.environment.DB_PASSWORD": "x",
    f"{EP}.alarms.errorRatePercent": 0.05,
    f"{EP}.alarms.evaluationMinutes": 20,
}
"""Probable mistakes, with a warning of the stack, its endpoint and a section of it each."""

OF_STACK, OF_ENDPOINT, OF_ALARMS = "plaintext-variable", "evaluation-longer-than-bake", "error-rate-fraction"


@pytest.mark.parametrize(
    ("mistake", "warnings"),
    [
        ({}, [OF_ALARMS, OF_ENDPOINT, OF_STACK]),
        (MISTAKES["p:tags"], [OF_ALARMS, OF_ENDPOINT, OF_STACK]),
        ({f"{EP}.model.artifact": 5}, [OF_ALARMS, OF_ENDPOINT, OF_STACK]),
        ({f"{EP}.autoscaling.min": 12}, [OF_ALARMS, OF_ENDPOINT, OF_STACK]),
        ({f"{EP}.release.bakeSeconds": "10m"}, [OF_ALARMS, OF_STACK]),
        ({f"{EP}.alarms.evaluationMinutes": 20_000}, [OF_ALARMS, OF_STACK]),
        ({f"{EP}.environment.A B": "x"}, [OF_ALARMS, OF_ENDPOINT]),
        # a key that the section does not have may stand for any that it has
        ({f"{EP}.alarms.xyzzy": 1}, [OF_STACK]),
        ({f"{EP}.xyzzy": 1}, [OF_ALARMS]),
        ({f"{EP}.release.intervalSeconds": 60}, [OF_ALARMS, OF_STACK]),
        ({f"{EP}.autoscalling": {"min": 2, "max": 10}, f"{EP}.autoscaling": REMOVED},
         [OF_ALARMS, OF_ENDPOINT, OF_STACK]),
        ({"p:xyzzy": 1}, [OF_ALARMS, OF_ENDPOINT]),
    ],
)  # fmt: skip
def test_a_mistake_hides_only_warnings_that_may_follow_from_it(mistake: dict[str, Any], warnings: list[str]) -> None:
    assert warned(PROBABLE | mistake) == warnings


def test_a_key_with_an_error_has_no_warning() -> None:
    serverless = {"endpoints.search": {"model": {"path": "x"}, "serverless": {"memoryMb": 4096, "maxConcurrency": 5}}}
    network = {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}
    assert (reported(serverless), warned(serverless)) == ([], ["serverless-unproven"])
    assert (reported(serverless | {"vpc": network}), warned(serverless | {"vpc": network})) == (
        ["p:endpoints.search.serverless"],
        [],
    )


def test_an_error_elsewhere_in_the_file_hides_the_warnings_of_its_key() -> None:
    above = ("p:endpoints", "ranking")
    assert warned(PROBABLE, ((*above, "environment", "KEY:x"),)) == [OF_ALARMS, OF_ENDPOINT]
    assert warned(PROBABLE, ((*above, "alarms", "errorRatePercent"),)) == [OF_STACK]


def test_all_mistakes_are_reported_at_once() -> None:
    assert reported({key: value for changes in MISTAKES.values() for key, value in changes.items()}) == sorted(MISTAKES)


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"release.bakeSeconds": "10m", "alarms": REMOVED}, ["alarms", "release.bakeSeconds"]),
        ({"initialInstanceCount": 20, "release.timeoutSeconds": 600},
         ["initialInstanceCount", "release.timeoutSeconds"]),
        ({"autoscaling.min": 1}, ["autoscaling.min", "release.percent"]),
        ({"autoscaling.max": "ten", "autoscaling.min": 1, "alarms.existing": ["a", "a"]},
         ["alarms.existing", "autoscaling.max"]),
        ({"autoscaling.max": 1}, ["autoscaling.min"]),
    ],
)  # fmt: skip
def test_a_mistake_hides_only_the_rules_that_read_its_key(changes: dict[str, Any], keys: list[str]) -> None:
    assert reported({f"{EP}.{key}": value for key, value in changes.items()}) == [f"{EP}.{key}" for key in keys]


@pytest.mark.parametrize(
    ("key", "value", "other", "valid"),
    [
        (f"{EP}.autoscaling.max", "many", f"{EP}.autoscaling.min", 30),
        (f"{EP}.alarms.errorRatePercent", "few", f"{EP}.allowSingleInstance", True),
        (f"{EP}.release.percent", "few", f"{EP}.autoscaling.max", 11),
        ("aws:region", "tokyo", "bucket.kmsKeyArn", "arn:aws:kms:us-east-1:123456789012:key/1234abcd"),
        ("p:environment", "live", f"{EP}.alarms", {}),
        (EP, "x", "adopt", {"endpoints": ["ranking"]}),
        ("p:endpoints", "x", "secretEnvironment", {"ranking": {}}),
        ("p:endpoints.search.initialInstanceCount", "two", "endpoints.search.release",
         {"strategy": "canary", "percent": 9}),
        ("p:freezeWindows", [WINDOW | {"schedule": "x", "durationMinutes": 20_000}], f"{EP}.allowSingleInstance", True),
        ("p:notifications", {"topicArn": "x"}, "aws:region", "us-east-1"),
    ],
)  # fmt: skip
def test_nothing_is_reported_that_the_mistake_may_have_caused(key: str, value: Any, other: str, valid: Any) -> None:
    (problem,) = reported({other: valid, key: value})
    assert problem.startswith(key)


@pytest.mark.parametrize(
    ("path", "value", "key", "rule"),
    [
        (f"{EP}.model", {"artifact": None}, f"{EP}.model.artifact", "empty"),
        (f"{EP}.model", {"path": None}, f"{EP}.model.path", "empty"),
        ("tags.CostEnv", None, "p:tags.CostEnv", "empty"),
        ("endpoints", {"ranking": None}, EP, "empty"),
        (EP, {"variants": None, "alarms": {"existing": ["a"]}}, f"{EP}.variants", "empty"),
        (f"{EP}.variants", None, f"{EP}.variants", "empty"),
        (f"{EP}.variants", {}, f"{EP}.variants", "out-of-range"),
        (f"{EP}.variants", ["a"], f"{EP}.variants", "wrong-type"),
        (f"{EP}.release", {"strategy": None, "percent": 10}, f"{EP}.release.strategy", "empty"),
        (f"{EP}.alarms", {"errorRatePercent": None}, f"{EP}.alarms.errorRatePercent", "empty"),
        *((key, "", key, "empty") for key in ("aws:region", "p:environment", "p:endpoints", "p:secretEnvironment")),
        (f"{EP}.model", {"s3": "x"}, f"{EP}.model.s3", "unknown-key"),
        ("notifications", {"email": "x"}, "p:notifications.email", "unknown-key"),
        (f"{EP}.fleetSize", 3, f"{EP}.fleetSize", "unknown-key"),
        ("freezeWindows", [{"cron": "0 18 * * FRI", **{key: WINDOW[key] for key in WINDOW if key != "schedule"}}],
         "p:freezeWindows[0].cron", "unknown-key"),
        (f"{EP}.release", {"percent": 10, "bakeSeconds": 60}, f"{EP}.release.percent", "unknown-key"),
        *((f"{EP}.release.strategy", tag, f"{EP}.release.strategy", "unknown-value") for tag in ("cannary", {"a": 1})),
    ],
)  # fmt: skip
def test_an_empty_or_unknown_key_causes_no_other_problem(path: str, value: Any, key: str, rule: str) -> None:
    assert [problem[:2] for problem in problems(changed({path: value}))] == [(key, rule)]


@pytest.mark.parametrize("key", ["secretEnvironment", "secret_environment", "secretEnviroment", "tags"])
@pytest.mark.parametrize("section", [EP, "p:endpoints.search.alarms"])
def test_a_key_of_the_stack_in_a_section_is_not_taken_for_another_key(section: str, key: str) -> None:
    ((path, rule, message),) = problems(changed({f"{section}.{key}": {"HF_TOKEN": "hunter2"}}))
    assert (path, rule) == (f"{section}.{key}", "unknown-key")
    assert "hunter2" not in message
    assert "did you mean" not in message


def test_a_command_sets_the_key_that_a_misspelt_one_stands_for() -> None:
    found = problems(changed({"secret_environment": {"ranking": {"KEY": {"secur": "x"}}}}))
    assert "--path 'p:secretEnvironment.ranking.KEY'" in found[-1][2]
    found = problems(changed({f"{EP}.enviroment": {"KEY": 5}}))
    assert f"--path {EP}.environment.KEY " in found[-1][2]


def test_the_command_of_a_warning_sets_the_key_that_a_misspelt_one_stands_for() -> None:
    config = changed({"secretEnviroment": {}, f"{EP}.environment": {"API_TOKEN": "x"}})
    _, validation = validate({key: json.dumps(value) for key, value in config.items()}, "p")
    validation.add_warnings()
    (message,) = [problem.message for problem in validation.problems if problem.rule == "plaintext-variable"]
    assert "--path 'p:secretEnvironment.ranking.API_TOKEN'" in message


def test_settings_below_a_misspelt_key_are_checked() -> None:
    scaling = {"min": 12, "max": 10, "maxx": 3}
    keys = [f"{EP}.autoscalling{below}" for below in ("", ".maxx", ".min")]
    assert reported({f"{EP}.autoscalling": scaling, f"{EP}.autoscaling": REMOVED}) == keys


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
    keys = reported({"endpoints.search": endpoint})
    assert keys and all(key.startswith("p:endpoints.search") for key in keys)


@pytest.mark.parametrize("key", ["environmnt", "env", "Environment"])
def test_values_below_a_misspelt_environment_are_not_shown(key: str) -> None:
    found = problems(changed({f"{EP}.{key}": {"TOKEN=hunter2": "x", "KEY": ["hunter2"]}}))
    assert len(found) == 3
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("key", ["p:bucket", "p:buckets"])
def test_values_of_a_secret_key_are_not_shown(key: str) -> None:
    shown = problems(changed({"bucket": REMOVED, key: {"releasesKept": "hunter2"}}), (key,))
    assert "wrong-type" in [rule for _, rule, _ in shown]
    assert "hunter2" not in str(shown)


def test_a_secret_without_its_endpoint_is_not_shown() -> None:
    ((key, _, message),) = problems(changed({"secretEnvironment": {"DB": "hunter2"}}), ("p:secretEnvironment",))
    assert key == "p:secretEnvironment.DB"
    assert "hunter2" not in message
