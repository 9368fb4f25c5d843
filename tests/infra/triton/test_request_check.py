"""The check of requests says what a real Triton says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.triton.config import parse_config
from infra.triton.repository import ModelRepository
from infra.triton.request_check import request_problem
from infra.triton.server import unavailable

from .conftest import Write
from .triton_container import TritonContainer

CONFIG = """
name: "m"
backend: "python"
max_batch_size: 4
input [
  { name: "x" data_type: TYPE_FP32 dims: [ 2 ] },
  { name: "n" data_type: TYPE_INT32 dims: [ -1 ] optional: true },
  { name: "s" data_type: TYPE_STRING dims: [ 1 ] optional: true },
  { name: "b" data_type: TYPE_BOOL dims: [ 1 ] optional: true },
  { name: "h" data_type: TYPE_FP16 dims: [ 1 ] optional: true }
]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", np.zeros((len(x.as_numpy()), 1), np.float32))])
            for x in (pb_utils.get_input_tensor_by_name(request, "x") for request in requests)
        ]
"""

X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


ACCEPTED: list[Any] = [
    {"inputs": [X]},
    {"inputs": [X], "outputs": [{"name": "y"}], "id": "7"},
    {"inputs": [X | {"shape": [2, 2], "data": [[1, 2], [3, 4]]}]},
    {"inputs": [X, tensor("n", "INT32", [1, 3], [1, 2, 3])]},
    {"inputs": [X, tensor("s", "BYTES", [1, 1], ["a"])]},
    {"inputs": [X, tensor("b", "BOOL", [1, 1], [True])]},
    {"inputs": [X | {"parameters": 5}]},
    {"inputs": [X | {"parameters": None}]},
]
REJECTED: list[Any] = [
    [],
    "text",
    {},
    {"instances": [[1, 2]]},
    {"inputs": {}},
    {"inputs": []},
    {"inputs": [X, X]},
    {"inputs": [{key: value for key, value in X.items() if key != "name"}]},
    {"inputs": [X | {"data": [True, False]}]},
    {"inputs": [X | {"name": "z"}]},
    {"inputs": [X, tensor("z", "FP32", [1, 1], [1])]},
    {"inputs": [tensor("n", "INT32", [1, 1], [1])]},
    {"inputs": [X | {"datatype": "FP64"}]},
    {"inputs": [X | {"datatype": "float"}]},
    {"inputs": [X | {"shape": [2]}]},
    {"inputs": [X | {"shape": [1, 3], "data": [1, 2, 3]}]},
    {"inputs": [X | {"shape": [5, 2], "data": [1] * 10}]},
    {"inputs": [X | {"shape": "1,2"}]},
    {"inputs": [X | {"data": [1]}]},
    {"inputs": [X | {"data": [1, 2, 3]}]},
    {"inputs": [X | {"data": ["a", "b"]}]},
    {"inputs": [X | {"data": [1, None]}]},
    {"inputs": [{key: value for key, value in X.items() if key != "data"}]},
    {"inputs": [X, tensor("n", "INT32", [2, 1], [1, 2])]},
    {"inputs": [X, tensor("n", "INT32", [1, 1], [1.5])]},
    {"inputs": [X, tensor("s", "BYTES", [1, 1], [1])]},
    {"inputs": [X, tensor("b", "BOOL", [1, 1], [1])]},
    {"inputs": [X, tensor("h", "FP16", [1, 1], [1])]},
    {"inputs": [X], "outputs": [{"name": "q"}]},
    {"inputs": [X], "outputs": [{"name": ["y"]}]},
    {"inputs": [X], "outputs": ["y"]},
    {"inputs": [X], "outputs": 5},
    {"inputs": [X | {"name": ["x"]}]},
    {"inputs": [X | {"name": {"x": 1}}]},
    {"inputs": [X], "outputs": None},
]


@pytest.mark.parametrize("request_", ACCEPTED, ids=json.dumps)
def test_a_request_that_the_model_accepts_has_no_problem(request_: Any) -> None:
    assert request_problem(parse_config(CONFIG, "config.pbtxt"), request_) is None


@pytest.mark.parametrize("request_", REJECTED, ids=json.dumps)
def test_a_request_that_the_model_rejects_has_one(request_: Any) -> None:
    assert request_problem(parse_config(CONFIG, "config.pbtxt"), request_)


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_triton_accepts_and_rejects_the_same_requests(tmp_path: Path, write: Write) -> None:
    archive = tmp_path / "model.tar.gz"
    ModelRepository.read(write({"m/config.pbtxt": CONFIG, "m/1/model.py": MODEL})).pack(archive)
    triton = TritonContainer.of(archive, tmp_path / "container", SAGEMAKER_TRITON_DEFAULT_MODEL_NAME="m")
    try:
        triton.server.start()
        assert triton.becomes_ready(), "\n".join(triton.log)
        headers = {"Content-Type": "application/json"}
        answers = {
            text: triton.server.invoke(text.encode(), headers) for text in map(json.dumps, [*ACCEPTED, *REJECTED])
        }
    finally:
        triton.server.stop(grace_seconds=0)
    accepted = {text for text, (status, _, _) in answers.items() if status == 200}
    assert accepted == set(map(json.dumps, ACCEPTED)), {text: answer[2] for text, answer in answers.items()}


def test_data_in_binary_is_not_counted() -> None:
    binary = {key: value for key, value in X.items() if key != "data"} | {"parameters": {"binary_data_size": 8}}
    assert request_problem(parse_config(CONFIG, "config.pbtxt"), {"inputs": [binary]}) is None


def test_a_model_that_declares_no_inputs_is_asked_anything() -> None:
    assert request_problem(parse_config('name: "m"', "config.pbtxt"), {"inputs": [X]}) is None


def test_nesting_of_any_depth_is_read() -> None:
    data: Any = [1.0, 2.0]
    for _ in range(10_000):
        data = [data]
    assert request_problem(parse_config(CONFIG, "config.pbtxt"), {"inputs": [X | {"data": data}]}) is None
