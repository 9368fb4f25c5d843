"""Each rule that finds what Triton would refuse or pass over, with the place it names."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from infra.diagnostics.problem import Problem
from infra.triton.check import check_repository
from infra.triton.repository import ModelRepository

from .conftest import Write

GOOD = """name: "iris"
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""


def check(
    write: Write,
    files: Mapping[str, str],
    default_model: str | None = "iris",
    gpu: bool | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Problem]:
    return check_repository(ModelRepository.read(write(files)), default_model, gpu=gpu, environment=environment)


def iris(config: str, **others: str) -> dict[str, str]:
    """The model `iris` with a configuration, and more files of it by path with `__` for a slash."""
    files = {f"iris/{path.replace('__', '/')}": content for path, content in others.items()}
    return {"iris/config.pbtxt": config, "iris/1/model.py": "", **files}


def the_only(problems: list[Problem], rule: str) -> Problem:
    assert [problem.rule for problem in problems] == [rule], problems
    return problems[0]


def test_a_good_model_has_no_problem(write: Write) -> None:
    assert check(write, iris(GOOD)) == []


def test_the_one_model_needs_no_name(write: Write) -> None:
    assert check(write, iris(GOOD), default_model=None) == []


def test_several_models_need_a_default_one(write: Write) -> None:
    files = {**iris(GOOD), "wine/config.pbtxt": GOOD.replace("iris", "wine"), "wine/1/model.py": ""}
    problem = the_only(check(write, files, default_model=None), "default-model")
    assert (problem.severity, problem.line) == ("error", None)
    assert "iris, wine" in problem.message
    assert "defaultModelName" in problem.message


def test_a_default_model_that_is_not_there_is_an_error(write: Write) -> None:
    problems = check(write, iris(GOOD), default_model="wine")
    assert {(each.severity, each.rule) for each in problems} == {("error", "default-model"), ("warning", "not-loaded")}


def test_a_stray_directory_is_a_warning(write: Write) -> None:
    problem = the_only(check(write, {**iris(GOOD), "notebooks/a.ipynb": ""}), "stray-directory")
    assert (problem.severity, problem.file) == ("warning", "notebooks")


def test_a_model_that_nothing_loads_is_a_warning(write: Write) -> None:
    files = {**iris(GOOD), "child/config.pbtxt": GOOD.replace("iris", "child"), "child/1/model.py": ""}
    problem = the_only(check(write, files), "not-loaded")
    assert (problem.severity, problem.file) == ("warning", "child")
    assert "SAGEMAKER_TRITON_ADDITIONAL_ARGS: --load-model=child" in problem.message


@pytest.mark.parametrize("arguments", ["--load-model=child", "--rate-limit=off --load-model child", "--load-model=*"])
def test_a_model_that_an_argument_loads_is_none(write: Write, arguments: str) -> None:
    files = {**iris(GOOD), "child/config.pbtxt": GOOD.replace("iris", "child"), "child/1/model.py": ""}
    assert check(write, files, environment={"SAGEMAKER_TRITON_ADDITIONAL_ARGS": arguments}) == []


def test_text_that_does_not_parse_is_an_error_with_its_line(write: Write) -> None:
    problem = the_only(check(write, iris('name: "iris"\nmax_batchsize: 8\n')), "config-syntax")
    assert str(problem).startswith("iris/config.pbtxt:2: ")
    assert "max_batchsize" in problem.message


def test_text_that_is_not_utf8_is_an_error(write: Write) -> None:
    root = write(iris(GOOD))
    (root / "iris" / "config.pbtxt").write_bytes(b'name: "\xff"')
    assert "is not UTF-8" in the_only(check_repository(ModelRepository.read(root), "iris"), "config-syntax").message


def test_a_name_other_than_the_directory_is_an_error(write: Write) -> None:
    problem = the_only(check(write, iris(GOOD.replace('"iris"', '"flower"'))), "model-name")
    assert (problem.severity, problem.line) == ("error", 1)
    assert "'flower'" in problem.message


def test_a_configuration_without_a_name_takes_the_one_of_the_directory(write: Write) -> None:
    assert check(write, iris(GOOD.replace('name: "iris"', ""))) == []


def test_a_name_with_a_blank_is_an_error(write: Write) -> None:
    files = {"my iris/config.pbtxt": GOOD.replace('"iris"', '"my iris"'), "my iris/1/model.py": ""}
    assert "blank" in the_only(check(write, files, default_model="my iris"), "model-name").message


@pytest.mark.parametrize(
    ("file", "severity"),
    [("model.onnx", "warning"), ("model.plan", "warning"), ("model.py", "warning"), ("model.pt", "error")],
)
def test_a_missing_configuration_is_an_error_unless_the_backend_derives_it(
    write: Write, file: str, severity: str
) -> None:
    problem = the_only(check(write, {f"iris/1/{file}": ""}), "config-missing")
    assert (problem.severity, problem.file) == (severity, "iris")


def test_a_model_without_a_version_directory_is_an_error(write: Write) -> None:
    problem = the_only(check(write, {"iris/config.pbtxt": GOOD, "iris/latest/model.py": ""}), "version-missing")
    assert problem.severity == "error"
    assert "it has latest" in problem.message


@pytest.mark.parametrize("directory", ["01", "v2", "version-3", "1.0"])
def test_a_version_directory_that_triton_ignores_is_a_warning(write: Write, directory: str) -> None:
    problem = the_only(check(write, {**iris(GOOD), f"iris/{directory}/model.py": ""}), "version-ignored")
    assert problem.severity == "warning"
    assert repr(directory) in problem.message


def test_a_version_with_a_leading_zero_does_not_count(write: Write) -> None:
    problems = check(write, {"iris/config.pbtxt": GOOD, "iris/01/model.py": ""})
    assert {(each.severity, each.rule) for each in problems} == {
        ("error", "version-missing"),
        ("warning", "version-ignored"),
    }


@pytest.mark.parametrize("directory", ["warmup", "configs", "initial_state", "tokenizer", "0"])
def test_other_directories_are_nobodys_business(write: Write, directory: str) -> None:
    assert check(write, {**iris(GOOD), f"iris/{directory}/file": ""}) == []


def test_a_policy_that_loads_no_version_is_an_error(write: Write) -> None:
    config = GOOD + "version_policy { specific { versions: [ 3 ] } }"
    problems = check(write, iris(config))
    assert {(each.severity, each.line) for each in problems} == {("error", 6), ("warning", 6)}
    assert {each.rule for each in problems} == {"version-missing"}


def test_a_version_of_the_policy_that_is_not_there_is_a_warning(write: Write) -> None:
    config = GOOD + "version_policy { specific { versions: [ 1, 3 ] } }"
    problem = the_only(check(write, iris(config)), "version-missing")
    assert (problem.severity, problem.message) == ("warning", "names version 3, which has no directory")


@pytest.mark.parametrize(
    ("policy", "complained"),
    [("", [3]), ("version_policy { latest { num_versions: 2 } }", [2, 3]), ("version_policy { all { } }", [2, 3])],
)
def test_versions_that_the_policy_loads_need_their_model_file(write: Write, policy: str, complained: list[int]) -> None:
    problems = check(write, {**iris(GOOD + policy), "iris/2/": "", "iris/3/": ""})
    assert [each.message for each in problems] == [
        f"version {version} has no model.py, which the python backend loads" for version in complained
    ]
    assert {(each.rule, each.severity) for each in problems} == {("model-file", "error")}


@pytest.mark.parametrize(
    ("backend", "file"),
    [
        ('backend: "onnxruntime"', "model.onnx"),
        ('platform: "onnxruntime_onnx"', "model.onnx"),
        ('platform: "tensorrt_plan"', "model.plan"),
        ('backend: "openvino"', "model.xml"),
        ('platform: "pytorch_libtorch"', "model.pt"),
        ('backend: "pytorch"', "model.pt2"),
        ('backend: "pytorch" runtime: "model.py"', "model.py"),
        ('platform: "tensorflow_savedmodel"', "model.savedmodel/saved_model.pb"),
        ('backend: "python" default_model_filename: "serve.py"', "serve.py"),
        ('backend: "my_own"', "anything"),
    ],
)
def test_each_backend_finds_its_model_file(write: Write, backend: str, file: str) -> None:
    config = GOOD.replace('backend: "python"', backend)
    assert check(write, {"iris/config.pbtxt": config, f"iris/1/{file}": ""}) == []


@pytest.mark.parametrize("file", ["model.plan", "model.onnx", "model.xml", "model.pt", "model.py", "model.graphdef"])
def test_a_backend_follows_from_the_model_file(write: Write, file: str) -> None:
    config = GOOD.replace('backend: "python"', "")
    assert check(write, {"iris/config.pbtxt": config, f"iris/1/{file}": ""}) == []


def test_a_model_without_a_backend_is_an_error(write: Write) -> None:
    config = GOOD.replace('backend: "python"', "")
    problem = the_only(check(write, {"iris/config.pbtxt": config, "iris/1/weights.bin": ""}), "backend")
    assert "names no backend" in problem.message


def test_an_unknown_platform_is_an_error(write: Write) -> None:
    problem = the_only(check(write, iris(GOOD.replace('backend: "python"', 'platform: "caffe2"'))), "backend")
    assert (problem.line, "'caffe2'" in problem.message) == (2, True)


def test_a_negative_max_batch_size_is_an_error(write: Write) -> None:
    problem = the_only(check(write, iris(GOOD.replace("max_batch_size: 8", "max_batch_size: -1"))), "max-batch-size")
    assert problem.line == 3


@pytest.mark.parametrize(
    ("tensor", "lacks"),
    [
        ("data_type: TYPE_FP32 dims: [ 1 ]", "input 1 lacks name"),
        ('name: "z" dims: [ 1 ]', "input z lacks data_type"),
        ('name: "z" data_type: TYPE_FP32', "input z lacks dims"),
        ("", "input 1 lacks name and data_type and dims"),
    ],
)
def test_a_tensor_needs_name_type_and_dims(write: Write, tensor: str, lacks: str) -> None:
    problem = the_only(check(write, iris(f"{GOOD}input [ {{ {tensor} }} ]")), "tensor")
    assert (problem.message, problem.line) == (lacks, 6)


@pytest.mark.parametrize("size", [0, -2])
def test_a_dimension_is_at_least_one_or_minus_one(write: Write, size: int) -> None:
    config = GOOD.replace("dims: [ 1 ]", f"dims: [ 1, -1,\n {size} ]")
    problem = the_only(check(write, iris(config)), "dims")
    assert (problem.line, f"output y has the dimension {size}" in problem.message) == (6, True)


@pytest.mark.parametrize("batcher", ["dynamic_batching {", "sequence_batching { oldest {"])
def test_preferred_batches_are_within_the_largest(write: Write, batcher: str) -> None:
    config = f"{GOOD}{batcher}\n preferred_batch_size: [ 0, 4, 16 ] }}{' }' if 'oldest' in batcher else ''}"
    problems = check(write, iris(config))
    assert [each.message.split(":")[0] for each in problems] == ["prefers batches of 0", "prefers batches of 16"]
    assert {(each.rule, each.line) for each in problems} == {("preferred-batch-size", 7)}


def test_gpus_of_a_cpu_group_are_an_error(write: Write) -> None:
    problem = the_only(check(write, iris(f"{GOOD}instance_group {{ kind: KIND_CPU\n gpus: [ 0 ] }}")), "instance-group")
    assert (problem.line, "KIND_CPU" in problem.message) == (7, True)


@pytest.mark.parametrize(("gpu", "count"), [(False, 1), (True, 0), (None, 0)])
def test_a_gpu_group_is_an_error_where_there_is_known_to_be_none(write: Write, gpu: bool | None, count: int) -> None:
    problems = check(write, iris(f"{GOOD}instance_group {{ kind: KIND_GPU }}"), gpu=gpu)
    assert [each.rule for each in problems] == ["instance-group"] * count


WARM_UP = (
    'model_warmup {\n batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 input_data_file: "one" } } }'
)
LABELS = 'output { name: "z" data_type: TYPE_FP32 dims: 1\n label_filename: "labels.txt" }'
PYTHON = 'parameters {\n key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }'


@pytest.mark.parametrize(
    ("config", "file", "line"), [(WARM_UP, "warmup__one", 6), (LABELS, "labels.txt", 7), (PYTHON, "env.tar.gz", 6)]
)
def test_a_file_that_the_configuration_names_must_be_there(write: Write, config: str, file: str, line: int) -> None:
    problem = the_only(check(write, iris(GOOD + config)), "named-file")
    assert (problem.severity, problem.line) == ("error", line)
    assert file.replace("__", "/") in problem.message
    assert check(write, iris(GOOD + config, **{file: ""})) == []


def test_a_warm_up_sample_that_is_never_run_needs_no_file(write: Write) -> None:
    assert check(write, iris(GOOD + WARM_UP.replace("batch_size: 1", ""))) == []


def test_all_problems_of_all_models_come_at_once_in_the_order_of_their_places(write: Write) -> None:
    bad = GOOD.replace("max_batch_size: 8", "max_batch_size: -1").replace("dims: [ 4 ]", "dims: [ 0 ]")
    files = {**iris(bad), "apple/config.pbtxt": "nonsense: 1", "apple/1/model.py": ""}
    problems = check(write, files)
    assert [(each.file, each.line, each.rule) for each in problems] == [
        ("apple", None, "not-loaded"),
        ("apple/config.pbtxt", 1, "config-syntax"),
        ("iris/config.pbtxt", 3, "max-batch-size"),
        ("iris/config.pbtxt", 4, "dims"),
    ]
