"""The check of model repositories: the corpus, and what the corpus cannot show."""

from __future__ import annotations

import time
from typing import Any

import pytest

from infra.diagnostics.problem import Problem
from infra.triton import document
from infra.triton.check import RULES, check_repository
from infra.triton.listing import MAX_READ_BYTES, Listing
from tests.infra.mock_runtime import ROOT
from tests.infra.triton.corpus import (
    BATCHING,
    CASES,
    COMPLETING,
    MODEL,
    PLAIN,
    TENSORS,
    Case,
    Files,
    listing,
    python,
    suite,
)

PARTIAL = PLAIN.replace('"y" data_type: TYPE_FP32 dims: 4', '"y"')
TYPES = ("ml.c5.xlarge", "ml.c5.2xlarge")


WARMUP = """
model_warmup {
  name: "w" batch_size: 1
  inputs { key: "x" value { data_type: TYPE_FP32 dims: 1 input_data_file: "../data/x" } }
}
"""
STATE = """
sequence_batching {
  state {
    input_name: "s" output_name: "s" data_type: TYPE_FP32 dims: 1
    initial_state { name: "i" data_type: TYPE_FP32 dims: 1 data_file: "../data/x" }
  }
}
"""
UNDECLARED = """
input { name: "image" format: FORMAT_NCHW }
output { name: "mask" is_non_linear_format_io: true }
batch_input { source_input: "ragged" target_name: "count" data_type: TYPE_FP32 }
batch_output { source_input: "ragged" target_name: "y" }
"""
RESHAPED = {"reshape-empty"}
STEP = """
ensemble_scheduling {
  step {
    model_name: "m" model_version: 1
    input_map { key: "x" value: "x" } output_map { key: "y" value: "y" }
  }
}
"""
EACH_VERSION: Files = {
    "flow/config.pbtxt": f'platform: "ensemble" {TENSORS} {STEP}',
    "flow/1/": "",
    "m/2/model.py": MODEL,
} | python(f"{PLAIN} version_policy {{}}")


def environment(path: str) -> Files:
    return python(f'{PLAIN} parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: "{path}" }} }}')


def check(files: Files, default_model: str | None = "m", **target: Any) -> list[Problem]:
    """The problems of a repository in memory."""
    return check_repository(listing(files), default_model, **target)


def errors(files: Files, default_model: str | None = "m", **target: Any) -> set[str]:
    return {problem.rule for problem in check(files, default_model, **target) if problem.severity == "error"}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_repository_that_is_broken_in_one_way_has_one_problem(case: Case) -> None:
    assert errors(case.broken, case.default_model, **case.target) == {case.rule}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_corrected_repository_has_no_error(case: Case) -> None:
    assert errors(case.good, case.default_model, **case.target) == set()


def test_the_corpus_is_large_and_covers_every_rule_with_errors() -> None:
    assert len(CASES) >= 150
    without_case = {rule.id for rule in RULES if rule.severity == "error"} - {case.rule for case in CASES}
    assert without_case == {"config-at-top", "wrapping-directory", "no-model", "load-model", "shm-size"}  # below


def test_the_corpus_states_every_invalid_configuration_of_tritons_suite() -> None:
    stated = [name for case in CASES for name in case.suite]
    assert sorted(stated) == sorted(suite())
    assert len(stated) == 101


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        ("config-at-top", {"config.pbtxt": PLAIN, "1/model.py": MODEL}),
        ("wrapping-directory", {f"models/{path}": content for path, content in python(PLAIN).items()}),
        ("no-model", {"README.md": ""}),
        ("no-model", {}),
    ],
)
def test_the_layout_of_a_repository(rule: str, files: Files) -> None:
    assert errors(files, None) == {rule}


def test_without_a_default_model_serve_loads_the_only_top_directory() -> None:
    assert errors(python(PLAIN), None) == set()
    assert errors(python(PLAIN) | {".ipynb_checkpoints/": ""}, None) == {"default-model"}
    assert errors(python(PLAIN) | python(PLAIN, "other"), None) == {"default-model"}


def test_a_blank_in_a_name_is_an_error() -> None:
    assert errors(python(PLAIN, "my model"), "my model") == {"model-name"}


# Repositories that Triton serves, and the rules that warn about them.
SERVED: list[tuple[Files, set[str]]] = [
    (python(PLAIN), set()),
    (python(None), {"config-missing"}),
    (python(None, script=COMPLETING), set()),
    (python(PARTIAL, script=COMPLETING), {"tensor-incomplete"}),
    (python(PARTIAL, script="from base import TritonPythonModel"), {"tensor-incomplete"}),
    (python(f"# caf\u00e9 {PLAIN.strip()}\n{PLAIN}"), set()),
    ({"m.dali/1/dali.py": ""}, set()),
    ({"m/1/model.onnx": ""}, set()),
    ({"m/1/model.plan": "", "m/config.pbtxt": 'output { name: "y" }'}, set()),
    ({"m/1/model.onnx/weights": ""}, set()),
    ({"m/1/model.savedmodel/saved_model.pb": ""}, set()),
    ({"m/1/net.onnx": "", "m/config.pbtxt": 'backend: "onnxruntime" default_model_filename: "net.onnx"'}, set()),
    ({"m/1/x": "", "m/config.pbtxt": 'backend: "custom" output { name: "y" }'}, {"tensor-incomplete"}),
    (python(PLAIN) | {"docs/readme.txt": ""}, {"stray-directory"}),
    (python(PLAIN) | {"m/v2/model.py": MODEL}, {"version-ignored"}),
    (python(PLAIN) | {"m/warmup/": "", "m/initial_state/": "", "m/configs/": "", "m/assets/": ""}, set()),
    (python(f"{PLAIN} version_policy {{ specific {{ versions: [ 1, 3 ] }} }}"), {"version-policy"}),
    (python(f'{PLAIN} model_repository_agents {{ agents {{ name: "decrypt" }} }}'), {"repository-agent"}),
    (python(f'{PLAIN} platform: "any" default_model_filename: "model.py"'), set()),
    ({"m/1/model.py": MODEL, "m/1/config.pbtxt": PLAIN}, {"config-missing"}),
    ({"m/1/model.onnx": "", "m/config.pbtxt.txt": PLAIN}, {"config-missing"}),
    ({"m/1/model.onnx": "", "m/Config.pbtxt": PLAIN}, {"config-missing"}),
    (environment("/opt/envs/env.tar.gz"), {"execution-environment"}),
    (environment("s3://bucket/env.tar.gz"), set()),
    (
        environment("$$TRITON_MODEL_DIRECTORY/../shared/e") | {"shared/e": ""},
        {"execution-environment", "stray-directory"},
    ),
    (python(f'{PLAIN} parameters {{ key: "k" value {{ string_value: "${{dir}}" }} }}'), {"template-leftover"}),
    (python(PLAIN.replace('"y" data', '"y" label_filename: "/labels.txt" data')) | {"m/labels.txt": "a"}, set()),
    (python(PLAIN.replace('"y" data', '"y" label_filename: "../m/1/model.py" data')), set()),
    (
        python(PLAIN.replace('"y" data', '"y" label_filename: "../m/../shared/l" data')) | {"shared/l": "a"},
        {"label-file-missing", "stray-directory"},
    ),
    (python(PLAIN + WARMUP) | {"m/data/x": "abcd"}, set()),
    (python(PLAIN + STATE) | {"m/data/x": "abcd"}, set()),
    (python(PLAIN, script=MODEL + "#" * MAX_READ_BYTES), set()),
    (python(PARTIAL, script=MODEL + "#" * MAX_READ_BYTES), {"tensor-incomplete"}),
    (python(PLAIN.replace("dims: 4", "dims: - 1")), set()),
    ({"m/1/model.plan": "", "m/config.pbtxt": f'platform: "tensorrt_plan" {UNDECLARED}'}, set()),
    ({"m/1/model.onnx": "", "m/config.pbtxt": 'input { name: "x" data_type: TYPE_FP32 dims: 1 reshape {} }'}, RESHAPED),
    ({"m/1/x": "", "m/config.pbtxt": f'backend: "custom" default_model_filename: "y" {TENSORS}'}, {"model-file"}),
    ({"m/1/dali.py": "", "m/config.pbtxt": 'backend: "dali" default_model_filename: "model.dali"'}, set()),
    (EACH_VERSION, set()),
]


@pytest.mark.parametrize(("files", "rules"), SERVED)
def test_what_triton_serves_has_warnings_at_most(files: Files, rules: set[str]) -> None:
    problems = check(files, next(iter(files)).partition("/")[0])
    assert {problem.rule for problem in problems} == rules
    assert {problem.severity for problem in problems} <= {"warning"}


def test_a_model_that_is_not_loaded_has_warnings_at_most() -> None:
    files = python(PLAIN) | python(f"{PLAIN} instance_group {{ kind: KIND_GPU }}", "gpu")
    cpu = {"hardware": "ml.c5.xlarge"}
    assert {problem.rule: problem.severity for problem in check(files, **cpu)} == {
        "not-loaded": "warning",
        "gpu-absent": "warning",
    }
    loaded = {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--load-model=gpu"}
    assert errors(files, environment=loaded, **cpu) == {"gpu-absent"}


@pytest.mark.parametrize("argument", ["--load-model=helper", "--load-model=/opt/ml/model/m", "--load-model=*"])
def test_load_model_names_models(argument: str) -> None:
    assert errors(python(PLAIN), environment={"SAGEMAKER_TRITON_ADDITIONAL_ARGS": argument}) == {"load-model"}


@pytest.mark.parametrize(("image", "rules"), [("23.08-py3", {"shm-size"}), ("23.09-py3", set())])
def test_shared_memory_of_old_images(image: str, rules: set[str]) -> None:
    environment = {"SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": "2097152"}
    assert errors(python(PLAIN), environment=environment, image=image) == rules


def test_without_auto_completion_nothing_is_left_to_the_backend() -> None:
    strict = {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--log-info=true --disable-auto-complete-config"}
    assert errors(python(PARTIAL, script=COMPLETING), environment=strict) == {"tensor-incomplete"}
    assert errors(python(None), environment=strict) == {"config-missing"}


@pytest.mark.parametrize(
    ("backend", "image", "rule"),
    [
        ("tensorflow", "25.03-py3", "backend-not-in-image"),
        ("tensorflow", "25.02-py3", None),
        ("vllm", "24.09-py3", "backend-not-in-image"),
        ("my_own", "24.09-py3", "backend-not-in-image"),
        ("my_own", "24.09-vllm-python-py3", None),
        ("my_own", None, None),
    ],
)
def test_a_backend_that_the_image_lacks_is_a_warning(backend: str, image: str | None, rule: str | None) -> None:
    files = {"m/config.pbtxt": f'backend: "{backend}" {TENSORS}', "m/1/model.graphdef": ""}
    assert {problem.rule for problem in check(files, image=image)} == ({rule} if rule else set())
    library = {f"m/1/libtriton_{backend}.so": ""}
    assert check(files | library, image=image) == []


@pytest.mark.parametrize(("image", "expected"), [("26.01-py3", set()), ("26.02-py3", {"label-file-missing"})])
def test_label_files_outside_of_the_model_directory(image: str, expected: set[str]) -> None:
    files = python(PLAIN.replace('"y" data', '"y" label_filename: "../shared/l" data')) | {"shared/l": "a"}
    assert errors(files, image=image) == expected


@pytest.mark.parametrize(("image", "expected"), [("24.09-py3", {"backend-name"}), ("custom", set())])
def test_an_image_of_your_own_may_have_a_backend_of_any_name(image: str, expected: set[str]) -> None:
    assert errors({"m/1/model.onnx": "", "m/config.pbtxt": f'backend: "onnx" {TENSORS}'}, image=image) == expected


def test_files_larger_than_the_memory_are_a_warning() -> None:
    sizes = {"m/1/model.onnx": 9 * 2**30, "m/0/model.onnx": 9 * 2**30}
    large = Listing.of((), sizes, lambda path, size: b"")
    rules = {name: [problem.rule for problem in check_repository(large, "m", hardware=name)] for name in TYPES}
    assert rules == {"ml.c5.xlarge": ["memory"], "ml.c5.2xlarge": []}


def test_a_problem_has_the_line_of_its_field() -> None:
    config = 'backend: "python"\ninput {\n  name: "x"\n  data_type: TYPE_FP32\n  dims: [ 4,\n 0 ]\n}'
    (problem,) = check(python(config))
    assert (problem.rule, problem.file, problem.line) == ("dims", "m/config.pbtxt", 6)


def test_every_rule_has_a_reason_a_remedy_and_a_source() -> None:
    for rule in RULES:
        assert rule.reason.endswith("."), rule.id
        assert not rule.remedy.endswith("."), rule.id
        assert rule.remedy[0].isupper(), rule.id
        assert rule.source, rule.id


def test_the_page_of_rules_is_generated() -> None:
    page = (ROOT / document.FILE).read_text(encoding="utf-8")
    assert page == document.markdown(), "run `make schema`"
    assert all(f"### `{rule.id}`\n" in page for rule in RULES)


def test_a_hundred_models_are_checked_within_a_second() -> None:
    files = {path: text for number in range(100) for path, text in python(BATCHING, f"m{number}").items()}
    started = time.process_time()  # others may have the processor meanwhile
    check(files, "m0")
    assert time.process_time() - started < 1
