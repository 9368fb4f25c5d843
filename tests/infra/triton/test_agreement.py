"""The check of a model repository says before a deployment what a real Triton says in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.triton.check import check_repository
from infra.triton.repository import ModelRepository
from infra.triton.server import unavailable

from .triton_container import TritonContainer

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(each, "x").as_numpy())])
            for each in requests
        ]
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "image" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "label" data_type: TYPE_FP32 dims: [ 4 ] } ]
ensemble_scheduling {
  step { model_name: "one" model_version: -1 input_map { key: "x" value: "image" } output_map { key: "y" value: "t" } }
  step { model_name: "two" model_version: -1 input_map { key: "x" value: "t" } output_map { key: "y" value: "label" } }
}
"""


# The rule that finds it, and what the only model says.
MODELS = [
    (None, CONFIG + 'name: "model" version_policy { specific { versions: [ 1, 3 ] } }'),
    ("model-name", CONFIG + 'name: "another"'),
    ("version-missing", CONFIG + "version_policy { specific { versions: [ 3 ] } }"),
    ("backend-missing", CONFIG.replace('backend: "python"', 'platform: "caffe2"')),
    ("max-batch-size", CONFIG.replace("max_batch_size: 8", "max_batch_size: -1")),
    ("tensor-incomplete", CONFIG + 'input [ { name: "z" dims: [ 1 ] } ]'),
    ("dims", CONFIG.replace("[ 4 ]", "[ 0 ]", 1)),
    ("preferred-batch-size", CONFIG + "dynamic_batching { preferred_batch_size: [ 16 ] }"),
    ("gpus-of-cpu-kind", CONFIG + "instance_group { kind: KIND_CPU gpus: [ 0 ] }"),
    ("label-file-missing", CONFIG.replace('name: "y"', 'name: "y" label_filename: "labels.txt"')),
]

# The rule that finds it, and what the ensemble of two such models says.
ENSEMBLES = [
    (None, ENSEMBLE),
    ("ensemble-settings", ENSEMBLE + "instance_group { kind: KIND_CPU }"),
    ("ensemble-step", ENSEMBLE.partition("ensemble_scheduling")[0] + "ensemble_scheduling { }"),
    ("ensemble-step-model", ENSEMBLE.replace('"two"', '"three"')),
    ("ensemble-step-model", ENSEMBLE.replace("model_version: -1", "", 1)),
    ("ensemble-step-tensor", ENSEMBLE.replace('key: "x" value: "t"', 'key: "z" value: "t"')),
    ("ensemble-batch-size", ENSEMBLE.replace("max_batch_size: 8", "max_batch_size: 9")),
    ("ensemble-dangling", ENSEMBLE.replace('value: "t" } output_map', 'value: "image" } output_map')),
]


def rules(repository: ModelRepository, default_model: str) -> set[str]:
    problems = check_repository(repository.listing, default_model)
    return {problem.rule for problem in problems if problem.severity == "error"}


def serves(repository: ModelRepository, default_model: str, directory: Path) -> bool:
    repository.pack(directory / "model.tar.gz")
    container = TritonContainer.of(
        directory / "model.tar.gz", directory / "container", SAGEMAKER_TRITON_DEFAULT_MODEL_NAME=default_model
    )
    container.server.start()
    try:
        return container.becomes_ready()
    finally:
        container.server.stop(grace_seconds=0)


def written(directory: Path, files: dict[str, str]) -> ModelRepository:
    for path, content in files.items():
        target = directory / "models" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    return ModelRepository.read(directory / "models")


@pytest.mark.parametrize(("rule", "config"), MODELS, ids=[rule or "good" for rule, _ in MODELS])
def test_a_model_is_refused_by_both_or_by_none(tmp_path: Path, rule: str | None, config: str) -> None:
    repository = written(tmp_path, {"model/config.pbtxt": config, "model/1/model.py": MODEL})
    assert rules(repository, "model") == ({rule} if rule else set())
    assert serves(repository, "model", tmp_path) == (rule is None)


@pytest.mark.parametrize(("rule", "ensemble"), ENSEMBLES, ids=[rule or "good" for rule, _ in ENSEMBLES])
def test_an_ensemble_is_refused_by_both_or_by_none(tmp_path: Path, rule: str | None, ensemble: str) -> None:
    files = {"flow/config.pbtxt": ensemble, "flow/1/.gitkeep": ""}
    for name in ("one", "two"):
        files |= {f"{name}/config.pbtxt": CONFIG, f"{name}/1/model.py": MODEL}
    repository = written(tmp_path, files)
    assert rules(repository, "flow") == ({rule} if rule else set())
    assert serves(repository, "flow", tmp_path) == (rule is None)
