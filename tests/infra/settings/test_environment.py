"""The environment of containers, and the secrets in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.settings.config import PROJECT, assert_broken, broken, changed, problems, settings, warnings, with_keys

OPTION = "SAGEMAKER_TRITON_"
SECRETS = {f"{PROJECT}:secretEnvironment"}
SECRET = {"ranking": {"LICENSE_KEY": "hunter2"}}


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("environment.a-b", "c", "variable-name"),
        (f"environment.{'A' * 1025}", "c", "variable-name-length"),
        (f"environment.{OPTION}DEFAULT_MODEL_NAME", "x", "default-model-in-environment"),
        ("environment.SAGEMAKER_MULTI_MODEL", "true", "multi-model-mode"),
        (f"environment.{OPTION}DISABLE_MODEL_NAMESPACING", "true", "namespacing-value"),
        (f"environment.{OPTION}OVERRIDE_PING_MODE", "live", "ping-mode-missing"),
        ("environment.A", True, "wrong-type"),
        ("environment.A", {"secret": "x"}, "plaintext-secret"),
        ("environment", {f"k{n}": "v" for n in range(99)}, "environment-too-large"),
        ("environment", {f"k{n}": "v" * 1024 for n in range(10, 42)}, "environment-too-large"),
    ],
)
def test_a_wrong_environment_is_refused(path: str, value: Any, rule: str) -> None:
    assert_broken(f"ranking.{path}", value, rule)


def test_a_variable_that_looks_like_an_option_of_triton_is_a_warning() -> None:
    config = changed("ranking.environment", {f"{OPTION}LOG_VERBSE": "true", "OMP_NUM_THREADS": "1"})
    config |= {f"{PROJECT}:secretEnvironment": {"ranking": {f"{OPTION}PORT_NUMBERS": "x"}}}
    by_path = {warning.path: warning for warning in warnings(config, SECRETS)}
    plain = by_path.pop((f"{PROJECT}:endpoints", "ranking", "environment", f"{OPTION}LOG_VERBSE"))
    secret = by_path.pop((f"{PROJECT}:secretEnvironment", "ranking", f"{OPTION}PORT_NUMBERS"))
    assert (plain.rule, secret.rule, by_path) == ("unknown-option", "unknown-option", {})
    assert f"{OPTION}LOG_VERBOSE?" in plain.message


def test_a_plaintext_variable_with_the_name_of_a_secret_is_a_warning() -> None:
    names = ["DB_PASSWORD", "PGPASSWORD", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "apikey"]
    others = ["MAX_TOKENS", "EOS_TOKEN", "TOKENIZERS_PARALLELISM", "SECRETARY", "KEY", "MONKEY"]
    config = changed("ranking.environment", dict.fromkeys(names + others, "hunter2"))
    above, shown = (f"{PROJECT}:endpoints", "ranking", "environment"), warnings(config)
    assert [warning.path for warning in shown] == [(*above, name) for name in names]
    assert {warning.rule for warning in shown} == {"plaintext-variable"}
    assert (
        "pulumi config set --secret --path 'triton-sagemaker:secretEnvironment.ranking.DB_PASSWORD'" in shown[0].message
    )
    assert "hunter2" not in str(shown)
    assert warnings(config, {f"{PROJECT}:endpoints"}) == []


def secretly(value: Any, **keys: Any) -> dict[str, Any]:
    """VALID with a secret environment."""
    return with_keys(**keys) | {f"{PROJECT}:secretEnvironment": value}


def test_a_plaintext_secret_is_refused_with_the_command_that_encrypts_it() -> None:
    (problem,) = problems(secretly(SECRET))
    key = f"{PROJECT}:secretEnvironment.ranking.LICENSE_KEY"
    assert (problem.key, problem.rule) == (key, "plaintext-secret")
    assert problem.message.endswith(f"pulumi config set --secret --path '{key}'")
    assert "hunter2" not in problem.message


@pytest.mark.parametrize(
    ("value", "keys", "at", "rule"),
    [
        ({"other": {"A": "b"}}, {}, "other", "secret-of-unknown-endpoint"),
        (SECRET, {"environment": {"LICENSE_KEY": "x"}}, "ranking.LICENSE_KEY", "secret-and-plain-variable"),
        ({"ranking": {f"K{n}": "v" for n in range(99)}}, {}, None, "environment-too-large"),
        ({"ranking": {f"K{n}": "v" * 1000 for n in range(32)}}, {}, None, "environment-too-large"),
        ({"ranking": {"K": ["hunter2"]}}, {}, "ranking.K", "plaintext-secret"),
        *(
            ({"ranking": {name: "hunter2"}}, {}, f"ranking.{name}", "secret-option")
            for name in (
                f"{OPTION}DEFAULT_MODEL_NAME",
                f"{OPTION}DISABLE_MODEL_NAMESPACING",
                f"{OPTION}OVERRIDE_PING_MODE",
                "SAGEMAKER_MULTI_MODEL",
            )
        ),
    ],
)
def test_a_wrong_secret_is_refused_and_never_shown(value: Any, keys: Any, at: str | None, rule: str) -> None:
    config = secretly(value, **keys)
    place = f"secretEnvironment.{at}" if at else "endpoints.ranking.environment"
    assert broken(config, SECRETS) == [(place, rule)]
    assert "hunter2" not in str(problems(config, SECRETS))


@pytest.mark.parametrize("value", [{"secret": "hunter2"}, ["hunter2"], None, 7])
def test_a_value_that_is_not_encrypted_is_reported_once_with_a_command_for_its_variable(value: Any) -> None:
    for secret in ((), SECRETS):
        (problem,) = problems(secretly({"ranking": {"LICENSE_KEY": value}}), secret, "prod")
        key = f"{PROJECT}:secretEnvironment.ranking.LICENSE_KEY"
        assert (problem.key, problem.rule) == (key, "plaintext-secret")
        assert problem.message.endswith(f"pulumi config set --secret -s prod --path '{key}'")


@pytest.mark.parametrize("value", ["hunter2", {"LICENSE_KEY": "hunter2"}, ["hunter2"]])
def test_variables_without_their_endpoint_are_reported_once_and_never_shown(value: Any) -> None:
    (problem,) = problems(secretly(value))
    assert problem.rule == "wrong-type"
    assert "pulumi config set --secret --path 'triton-sagemaker:secretEnvironment.ENDPOINT.VARIABLE'" in problem.message
    assert "hunter2" not in str(problem)


def test_an_endpoint_may_have_no_secrets() -> None:
    assert settings(secretly({"ranking": {}})).secret_environment == {"ranking": {}}


def test_values_of_a_secret_key_are_never_shown() -> None:
    config = changed("ranking.release", {"strategy": "Canary", "percent": 10, "bakeSeconds": "15m"})
    text = str(problems(config, {f"{PROJECT}:endpoints"}))
    assert "Canary" not in text and "15m" not in text


@pytest.mark.parametrize("value", ["TOKEN=hunter2", {"KEY": "hunter2" * 200}, {"KEY": 7, "hunter2": {}}])
def test_the_values_of_an_environment_are_never_shown(value: Any) -> None:
    assert "hunter2" not in "".join(problem.message for problem in problems(changed("ranking.environment", value)))
