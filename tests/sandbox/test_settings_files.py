"""Private copies of Pulumi.yaml and of stack files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sandbox.settings_files import (
    PLACEHOLDER,
    project_copy,
    stack_copy,
    stack_file_of,
    with_salt_of,
    with_secret_values,
)

STACK_FILE = """\
# what production runs
encryptionsalt: v1:abc
secretsprovider: awskms://alias/pulumi
encryptedkey: AQICAHh
environment: [shared/production]
config:
  aws:region: ap-northeast-1
  aws:profile: production
  aws:allowedAccountIds: ["111122223333"]
  triton-sagemaker:image: {version: 23.10}
  triton-sagemaker:key: {secure: AAABAKk}
  triton-sagemaker:endpoints:
    ranking:
      model: {artifact: artifacts/model_7.tar.gz}
      environment: [{name: TOKEN, value: {secure: AAABAKm}}]
"""


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(STACK_FILE)
    return file


def test_a_copy_holds_what_the_stack_file_holds_but_what_only_the_real_account_can_use(stack_file: Path) -> None:
    text, _ = stack_copy(stack_file)

    assert YAML(typ="safe").load(text) == {
        "config": {
            "aws:region": "ap-northeast-1",
            "triton-sagemaker:image": {"version": 23.10},
            "triton-sagemaker:key": PLACEHOLDER,
            "triton-sagemaker:endpoints": {
                "ranking": {
                    "model": {"artifact": "artifacts/model_7.tar.gz"},
                    "environment": [{"name": "TOKEN", "value": PLACEHOLDER}],
                }
            },
        }
    }
    assert stack_file.read_text() == STACK_FILE


def test_the_shell_can_give_a_secret_a_value_that_no_file_holds(
    stack_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_SECRET_key", "of-a-test")
    text, notes = stack_copy(stack_file)

    assert "of-a-test" not in text
    assert "triton-sagemaker:key" not in "".join(notes)
    assert "SANDBOX_SECRET_value=" in "".join(notes)
    assert with_secret_values(PLACEHOLDER, "triton-sagemaker:key") == "of-a-test"
    filled = [{"key": "of-a-test", "other": PLACEHOLDER}]
    assert with_secret_values([{"key": PLACEHOLDER, "other": PLACEHOLDER}]) == filled


def test_scalars_stay_as_they_are_written(stack_file: Path) -> None:
    assert "{version: 23.10}" in stack_copy(stack_file)[0]


def test_what_is_left_out_is_said_by_its_key_and_never_by_its_value(stack_file: Path) -> None:
    _, notes = stack_copy(stack_file)

    said = "\n".join(notes)
    assert "triton-sagemaker:key, triton-sagemaker:endpoints.ranking.environment.0.value" in said
    assert "aws:profile, aws:allowedAccountIds, environment" in said
    assert all("Pulumi.prod.yaml" in note for note in notes)
    assert "AAABAK" not in said
    assert "111122223333" not in said


def test_a_file_that_leaves_nothing_out_is_copied_in_silence(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  small:things: {a: 1}\n")

    assert stack_copy(file) == ("config:\n  small:things: {a: 1}\n", [])


@pytest.mark.parametrize("text", ["", "config:\n", "encryptionsalt: v1:abc\n"])
def test_a_file_without_configuration_is_copied(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(text)

    copy, notes = stack_copy(file)

    assert not (YAML(typ="safe").load(copy) or {}).get("config")
    assert notes == []


def test_the_salt_of_the_previous_copy_stays(tmp_path: Path) -> None:
    previous = tmp_path / "Pulumi.dev.yaml"
    text = stack_file_of({"small:things": {"a": 1}})

    assert with_salt_of(text, previous) == text
    previous.write_text(with_salt_of(text, previous) + "encryptionsalt: v1:abc:def\n")

    assert YAML(typ="safe").load(with_salt_of(text, previous)) == {
        "config": {"small:things": {"a": 1}},
        "encryptionsalt": "v1:abc:def",
    }


def test_a_project_copy_names_the_program_and_the_providers_and_no_backend(tmp_path: Path) -> None:
    original = tmp_path / "Pulumi.yaml"
    original.write_text("name: small\nruntime: python\nbackend: {url: s3://state}\n")

    project = YAML(typ="safe").load(project_copy(original, tmp_path / "bin"))

    assert project["name"] == "small"
    assert project["main"] == str(tmp_path)
    assert "backend" not in project
    assert {(each["name"], each["path"]) for each in project["plugins"]["providers"]} == {
        ("aws", str(tmp_path / "bin")),
        ("pulumi-python", str(tmp_path / "bin")),
    }
