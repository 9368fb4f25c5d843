"""What is read from Pulumi's configuration, and problems that are not of one section."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from infra.aws.provider import AWS_KEYS
from infra.diagnostics.problem import ConfigurationError
from tests.infra.settings.config import (
    MODEL,
    PROJECT,
    VALID,
    assert_broken,
    broken,
    changed,
    problems,
    settings,
    with_keys,
)


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("aws:region", None, "missing"),
        ("aws:region", "tokyo", "wrong-form"),
        ("region", "ap-northeast-1", "unknown-key"),
    ],
)
def test_a_wrong_key_of_the_stack_is_refused(path: str, value: Any, rule: str) -> None:
    assert_broken(path, value, rule)


def test_all_problems_are_reported_at_once() -> None:
    config = with_keys(autoscaling={"min": 12, "max": 10}, instanceType="ml.c7g.xlarge")
    config[f"{PROJECT}:endpoints"]["other"] = {"modle": MODEL}
    config[f"{PROJECT}:environment"] = "live"
    assert set(broken(config)) == {
        ("environment", "unknown-value"),
        ("endpoints.ranking.autoscaling.min", "min-over-max"),
        ("endpoints.ranking.instanceType", "arm-instance"),
        ("endpoints.other.modle", "unknown-key"),
    }


def test_an_unknown_key_does_not_hide_rules_of_its_section() -> None:
    config = with_keys(autoscaling={"min": 12, "max": 10, "mini": 2})
    config[f"{PROJECT}:endpoints"]["ranking"]["release"] = {"strategy": "canary", "percent": 5, "prozent": 5}
    assert {key.removeprefix("endpoints.ranking.") for key, _ in broken(config)} == {
        "autoscaling.mini",
        "autoscaling.min",
        "release.prozent",
    }


def test_the_error_lists_a_problem_a_line() -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings(changed("ranking.autoscaling.min", 12))
    (problem,) = refused.value.problems
    assert str(refused.value).splitlines()[1:] == [f"  {problem}"]


def test_a_key_that_was_set_without_path_is_answered_with_the_commands() -> None:
    key = f"{PROJECT}:endpoints.ranking.instanceType"
    (problem,) = problems(VALID | {key: "ml.c5.xlarge"})
    assert (problem.key, problem.rule) == (key, "unknown-key")
    assert problem.message.endswith(f"pulumi config rm {key} && pulumi config set --path {key} VALUE")


def test_a_secret_that_was_set_without_path_is_one_problem_with_a_command_that_encrypts() -> None:
    key = f"{PROJECT}:secretEnvironment.ranking.HF_TOKEN"
    (problem,) = problems(VALID | {key: "hunter2"})
    assert (problem.key, problem.rule) == (key, "unknown-key")
    assert problem.message.endswith(f"pulumi config rm {key} && pulumi config set --secret --path '{key}'")


def test_a_key_with_dots_in_a_section_is_refused() -> None:
    assert broken(with_keys(**{"autoscaling.min": 2})) == [('endpoints.ranking["autoscaling.min"]', "unknown-key")]


def test_a_long_value_is_not_repeated_in_full() -> None:
    (problem,) = problems(changed("ranking.volumeSizeGb", "9" * 1000))
    assert len(problem.message) < 300


@pytest.mark.parametrize(
    ("autonaming", "refused"),
    [
        ({"mode": "verbatim"}, True),
        ({"mode": "disabled"}, True),
        ({"pattern": "${project}-${name}"}, True),
        ({"pattern": "${name}-${hex(8)}"}, True),
        ({"providers": {"aws": {"mode": "verbatim"}}}, True),
        ({"providers": {"pulumi-python": {"mode": "verbatim"}}}, True),
        ({"providers": {"aws": {"resources": {"aws:iam/role:Role": {"pattern": "${name}"}}}}}, True),
        ({"mode": "default"}, False),
        ({"providers": {"azure-native": {"mode": "verbatim"}}}, False),
        ({"mode": "default", "providers": {"aws": {"mode": "default"}}}, False),
        ("verbatim", False),
    ],
)
def test_names_are_left_to_pulumi(autonaming: Any, refused: bool) -> None:
    config = VALID | {"pulumi:autonaming": autonaming}
    if refused:
        assert [problem.key for problem in problems(config)] == ["pulumi:autonaming"]
    else:
        settings(config)


@pytest.mark.parametrize("key", ["aws:Region", "aws:regions", "asw:region", "triton-sagemaker:region"])
def test_a_misspelt_region_is_one_problem(key: str) -> None:
    (problem,) = problems({key if name == "aws:region" else name: value for name, value in VALID.items()})
    assert (problem.key, "aws:region?" in problem.message) == (key, True)


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("triton-sagemeker:endpoints", "triton-sagemaker:endpoints?"),
        ("asw:tags", "aws:tags?"),
        ("aws:profil", "aws:profile?"),
    ],
)
def test_a_misspelt_namespace_or_key_of_the_provider_is_refused(key: str, instead: str) -> None:
    (problem,) = problems(VALID | {key: "x"})
    assert (problem.key, instead in problem.message) == (key, True)


def test_other_namespaces_and_known_keys_of_the_provider_are_accepted() -> None:
    settings(VALID | {"datadog:site": "datadoghq.com", "azure:environment": "public"})
    settings(VALID | {"aws:profile": "x", "aws:skipCredentialsValidation": "true", "aws:sharedConfigFiles": ["a"]})


@pytest.mark.parametrize("namespace", ["triton", "sagemaker", "x"])
def test_a_setting_of_a_wrong_namespace_is_refused_and_checked(namespace: str) -> None:
    config = dict(VALID)
    del config[f"{PROJECT}:endpoints"]
    config[f"{namespace}:endpoints"] = changed("ranking.autoscaling.min", 12)[f"{PROJECT}:endpoints"]
    assert [problem.key for problem in problems(config)] == [
        f"{namespace}:endpoints",
        f"{namespace}:endpoints.ranking.autoscaling.min",
    ]


def test_secrets_of_a_wrong_namespace_are_checked_where_they_are() -> None:
    config = VALID | {"triton:secretEnvironment": {"ranking": {"KEY": "hunter2"}}}
    assert [problem.key for problem in problems(config)] == [
        "triton:secretEnvironment",
        "triton:secretEnvironment.ranking.KEY",
    ]
    assert "hunter2" not in str(problems(config))
    assert [problem.rule for problem in problems(config, ["triton:secretEnvironment"])] == ["unknown-key"]


def test_a_setting_that_is_repeated_in_a_wrong_namespace_is_refused() -> None:
    assert [problem.key for problem in problems(VALID | {"triton:endpoints": {}})] == ["triton:endpoints"]


@pytest.mark.parametrize(("key", "value"), [("aws:somethingQuiteNew", "x"), ("aws:sharedConfigFiles", ["a", "b"])])
def test_a_key_of_the_provider_that_our_own_calls_cannot_honour_is_refused(key: str, value: Any) -> None:
    assert [problem.key for problem in problems(VALID | {key: value})] == [key]


def test_the_keys_of_the_provider_are_those_of_pulumi_aws() -> None:
    spec = importlib.util.find_spec("pulumi_aws")
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "config" / "vars.py").read_text()
    assert set(re.findall(r"__config__\.get\w*\('(\w+)'\)", text)) == AWS_KEYS - {"version"}


@pytest.mark.parametrize("key", ["aws:secretKey", "aws:token"])
def test_plaintext_credentials_are_refused_and_not_shown(key: str) -> None:
    (problem,) = problems(VALID | {key: "hunter2"})
    assert problem.key == key
    assert problem.message.endswith(f"pulumi config set --secret --path '{key}'")
    assert "hunter2" not in problem.message
    settings(VALID | {key: "hunter2"}, {key})
