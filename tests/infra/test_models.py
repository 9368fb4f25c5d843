"""Model repositories are checked before any resource is registered, for the instances that they will run on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from infra import models
from infra.diagnostics.problem import ConfigurationError
from infra.models import MAX_SHOWN
from infra.settings.endpoint import EndpointSettings

CONFIG = """
backend: "python"
input [{ name: "x", data_type: TYPE_FP32, dims: [1] }]
output [{ name: "y", data_type: TYPE_FP32, dims: [1] }]
"""


def write(root: Path, model: str, config: str = CONFIG) -> None:
    (root / model / "1").mkdir(parents=True)
    (root / model / "1" / "model.py").write_text("")
    (root / model / "config.pbtxt").write_text(config)


def endpoints(**endpoint: object) -> Mapping[str, EndpointSettings]:
    return {"e": EndpointSettings.model_validate({"model": {"path": "models"}, **endpoint})}


def test_the_only_model_of_a_repository_answers(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris")
    assert models.read(endpoints(), tmp_path, "p").by_endpoint["e"]["AllTraffic"].default_model_name == "iris"


def test_with_several_models_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path / "models", "a")
    write(tmp_path / "models", "b")
    with pytest.raises(ConfigurationError, match=r"p:endpoints\.e\.model\.path: models: .*defaultModelName"):
        models.read(endpoints(), tmp_path, "p")
    named = endpoints(model={"path": "models", "defaultModelName": "b"})
    assert models.read(named, tmp_path, "p").by_endpoint["e"]["AllTraffic"].default_model_name == "b"


def test_an_error_in_a_model_configuration_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris", CONFIG.replace("dims: [1]", "dims: [1"))
    with pytest.raises(ConfigurationError, match=r"p:endpoints\.e\.model\.path: models/iris/config\.pbtxt:\d+: "):
        models.read(endpoints(), tmp_path, "p")


def test_a_model_for_gpus_is_refused_on_instances_without(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris", CONFIG + "instance_group [{ kind: KIND_GPU }]")
    with pytest.raises(ConfigurationError, match="KIND_GPU"):
        models.read(endpoints(instanceType="ml.c5.xlarge"), tmp_path, "p")
    assert models.read(endpoints(instanceType="ml.g5.xlarge"), tmp_path, "p").by_endpoint


def test_what_triton_passes_over_in_silence_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "models", "iris")
    (tmp_path / "models" / "iris" / "01").mkdir()
    (warning,) = models.read(endpoints(), tmp_path, "p").warnings
    assert str(warning).startswith("p:endpoints.e.model.path: models/iris: has the directory '01'")


def test_of_many_problems_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    for number in range(MAX_SHOWN + 5):
        write(tmp_path / "models", f"m{number}", CONFIG.replace("dims: [1]", "dims: [1"))
    with pytest.raises(ConfigurationError) as refused:
        models.read(endpoints(model={"path": "models", "defaultModelName": "m0"}), tmp_path, "p")
    *shown, last = refused.value.problems
    assert len({each.message for each in shown}) == MAX_SHOWN
    assert last.message == "models: and 5 problems more. Is it the model repository that was meant?"


def test_each_variant_has_its_model_and_its_problems_their_place(tmp_path: Path) -> None:
    write(tmp_path / "a", "iris")
    variants = {"A": {"model": {"path": "a"}}, "B": {"model": {"path": "missing"}}}
    of_variants = {"e": EndpointSettings.model_validate({"variants": variants})}
    with pytest.raises(ConfigurationError, match=r"p:endpoints\.e\.variants\.B\.model\.path: missing"):
        models.read(of_variants, tmp_path, "p")
    write(tmp_path / "missing", "other")
    found = models.read(of_variants, tmp_path, "p").by_endpoint["e"]
    assert {variant: model.default_model_name for variant, model in found.items()} == {"A": "iris", "B": "other"}
