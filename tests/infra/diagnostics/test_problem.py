"""Keys in messages show no value, and commands in them are quoted."""

from __future__ import annotations

import shlex

import pytest

from infra.diagnostics.messages import command_to_encrypt
from infra.diagnostics.problem import key_of
from infra.dynamic.released_artifact import ArtifactMissing


def test_words_that_are_not_a_variable_are_not_shown_below_secret_environment() -> None:
    assert key_of(("p:secretEnvironment", "e", "correct-horse")) == "p:secretEnvironment.e.…"


@pytest.mark.parametrize("name", ["LICENSE_KEY", "API_KEY_2", "AWS_SECRET_ACCESS_KEY", "dbPassword", "HF_TOKEN"])
def test_the_name_of_a_variable_is_shown(name: str) -> None:
    assert key_of(("p:secretEnvironment", "ranking-2024", name)) == f"p:secretEnvironment.ranking-2024.{name}"


@pytest.mark.parametrize("key", ["it's", "$(id)", "`id`", "a b"])
def test_commands_in_messages_are_quoted(key: str) -> None:
    assert shlex.split(command_to_encrypt(f"p:secretEnvironment.{key}", key)) == [
        *("pulumi", "config", "set", "--secret", "-s", key, "--path", f"p:secretEnvironment.{key}"),
    ]
    command = str(ArtifactMissing("models", f"artifacts/{key}.tar.gz")).rpartition("\n\n")[2]
    assert shlex.split(command) == ["aws", "s3", "cp", f"{key}.tar.gz", f"s3://models/artifacts/{key}.tar.gz"]
