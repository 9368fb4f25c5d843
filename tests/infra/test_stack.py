"""A stack is checked before any resource is registered: its models on the instances they run on, and its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.diagnostics.problem import ConfigurationError, Problem
from infra.stack import MAX_SHOWN, Stack, moved

CONFIG = """
backend: "python"
input [{ name: "x", data_type: TYPE_FP32, dims: [1] }]
output [{ name: "y", data_type: TYPE_FP32, dims: [1] }]
"""
BROKEN = CONFIG.replace("dims: [1]", "dims: [1")


def write(root: Path, model: str, config: str = CONFIG) -> None:
    (root / model / "1").mkdir(parents=True)
    (root / model / "1" / "model.py").write_text("")
    (root / model / "config.pbtxt").write_text(config)


def read(root: Path, **endpoint: Any) -> Stack:
    endpoints = {"e": {"model": {"path": "models"}, **endpoint}}
    if "variants" in endpoint:
        del endpoints["e"]["model"]
    settings = {"environment": "staging", "tags": {"CostEnv": "x", "CostService": "x"}, "endpoints": endpoints}
    config = {f"p:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return Stack.read({"aws:region": "ap-northeast-1", **config}, "p", (), root)


def problems(root: Path, **endpoint: Any) -> list[Problem]:
    with pytest.raises(ConfigurationError) as refused:
        read(root, **endpoint)
    return [*refused.value.problems]


def test_the_only_model_of_a_repository_answers(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris")
    assert read(tmp_path).models["e"]["AllTraffic"].default_model_name == "iris"


def test_with_several_models_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path / "models", "a")
    write(tmp_path / "models", "b")
    (problem,) = problems(tmp_path)
    assert problem.key == "p:endpoints.e.model.path" and "defaultModelName" in problem.message
    named = read(tmp_path, model={"path": "models", "defaultModelName": "b"})
    assert named.models["e"]["AllTraffic"].default_model_name == "b"


def test_an_error_in_a_model_configuration_is_reported_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris", BROKEN)
    (problem,) = problems(tmp_path)
    assert (problem.rule, problem.file, problem.line) == ("config-syntax", "models/iris/config.pbtxt", 3)


def test_errors_in_settings_and_models_are_reported_together(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris", BROKEN)
    keys = {each.key for each in problems(tmp_path, volumeSizeGb=0)}
    assert keys == {"p:endpoints.e.model.path", "p:endpoints.e.volumeSizeGb"}


@pytest.mark.parametrize("endpoints", [{"model": {"path": "models"}, "volumeSizeGb": 5}, {"e": "x"}, {"e": None}, "x"])
def test_a_level_that_is_missing_is_reported(endpoints: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Stack.read({"p:endpoints": json.dumps(endpoints)}, "p", (), tmp_path)
    assert [problem for problem in refused.value.problems if problem.path[0] == "p:endpoints"]


def test_a_model_for_gpus_is_refused_on_instances_without(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris", CONFIG + "instance_group [{ kind: KIND_GPU }]")
    assert "KIND_GPU" in problems(tmp_path, instanceType="ml.c5.xlarge")[0].message
    assert read(tmp_path, instanceType="ml.g5.xlarge").models


def test_what_triton_ignores_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris")
    (tmp_path / "models" / "iris" / "01").mkdir()
    (warning,) = read(tmp_path).warnings
    assert (warning.rule, warning.key, warning.severity) == ("version-ignored", "p:endpoints.e.model.path", "warning")
    assert warning.file == "models/iris"


def test_of_many_problems_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    sizes = ",\n".join(["0"] * (MAX_SHOWN + 5))
    write(tmp_path / "models", "iris", f"{CONFIG} dynamic_batching {{ preferred_batch_size: [{sizes}] }}")
    *shown, last = problems(tmp_path)
    assert len({problem.line for problem in shown}) == MAX_SHOWN
    assert last.rule == "more" and "5 more" in last.message


def test_each_variant_has_its_model_and_its_problems_their_place(tmp_path: Path) -> None:
    write(tmp_path / "a", "iris")
    variants = {"A": {"model": {"path": "a"}}, "B": {"model": {"path": "missing"}}}
    assert [each.key for each in problems(tmp_path, variants=variants)] == ["p:endpoints.e.variants.B.model.path"]
    write(tmp_path / "missing", "other")
    models = read(tmp_path, variants=variants).models["e"]
    assert {variant: model.default_model_name for variant, model in models.items()} == {"A": "iris", "B": "other"}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({}, []),
        ({"region": "us-east-1"}, ["region-changed"]),
        ({"accountId": "210987654321"}, ["account-changed"]),
        ({"accountId": "210987654321", "region": "us-east-1"}, ["region-changed", "account-changed"]),
    ],
)
def test_a_stack_stays_in_its_account_and_region(change: dict[str, str], rules: list[str]) -> None:
    created = {"accountId": "123456789012", "region": "ap-northeast-1"}
    assert [problem.rule for problem in moved(created, created | change)] == rules


@pytest.mark.parametrize(
    ("mode", "rules"),
    [
        ({"serverless": {"memoryMb": 4096, "maxConcurrency": 5}}, ["gpu-absent"]),
        ({"batch": {"instanceType": "ml.m5.xlarge"}}, ["gpu-absent"]),
        ({"batch": {"instanceType": "ml.g5.xlarge"}}, []),
        ({"asynchronous": {}, "instanceType": "ml.g5.xlarge"}, []),
    ],
)
def test_a_model_for_gpus_is_checked_for_what_its_mode_runs_on(
    tmp_path: Path, mode: dict[str, Any], rules: list[str]
) -> None:
    write(tmp_path / "models", "iris", CONFIG + "instance_group [{ kind: KIND_GPU }]")
    if rules:
        assert [problem.rule for problem in problems(tmp_path, **mode)] == rules
    else:
        assert read(tmp_path, **mode).models["e"]
