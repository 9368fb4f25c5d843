"""Rules about the data flow of an ensemble."""

from __future__ import annotations

import pytest

from infra.diagnostics.problem import Problem
from infra.triton.check import check_repository
from infra.triton.repository import ModelRepository

from .conftest import Write

STEP_MODEL = """backend: "python"
max_batch_size: 8
input [ { name: "in" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "out" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
HEAD = """platform: "ensemble"
max_batch_size: 8
input [ { name: "image" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "label" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""


def step(model: str, reads: str, writes: str) -> str:
    return (
        f'step {{ model_name: "{model}" model_version: -1 input_map {{ key: "in" value: "{reads}" }} '
        f'output_map {{ key: "out" value: "{writes}" }} }}\n'
    )


def flow(*steps: str) -> str:
    return f"{HEAD}ensemble_scheduling {{\n{''.join(steps)}}}"


GOOD = flow(step("resize", "image", "pixels"), step("classify", "pixels", "label"))


def check(write: Write, ensemble: str, **models: str) -> list[Problem]:
    files = {"flow/config.pbtxt": ensemble, "flow/1/.gitkeep": ""}
    for name, config in {"resize": STEP_MODEL, "classify": STEP_MODEL, **models}.items():
        files |= {f"{name}/config.pbtxt": config, f"{name}/1/model.py": ""}
    problems = check_repository(ModelRepository.read(write(files)), "flow")
    return [problem for problem in problems if problem.rule != "not-loaded"]


def messages(problems: list[Problem], rule: str) -> list[str]:
    assert {(problem.rule, problem.severity) for problem in problems} == {(rule, "error")}, problems
    return [f"{problem.line}: {problem.message}" for problem in problems]


def test_a_good_ensemble_has_no_problem_and_loads_its_steps(write: Write) -> None:
    files = {"flow/config.pbtxt": GOOD, "flow/1/": ""}
    for name in ("resize", "classify"):
        files |= {f"{name}/config.pbtxt": STEP_MODEL, f"{name}/1/model.py": ""}
    assert check_repository(ModelRepository.read(write(files)), "flow") == []


def test_an_ensemble_without_a_version_directory_is_an_error(write: Write) -> None:
    files = {"flow/config.pbtxt": GOOD}
    for name in ("resize", "classify"):
        files |= {f"{name}/config.pbtxt": STEP_MODEL, f"{name}/1/model.py": ""}
    assert [each.rule for each in check_repository(ModelRepository.read(write(files)), "flow")] == ["version-missing"]


def test_an_ensemble_without_steps_is_an_error(write: Write) -> None:
    assert messages(check(write, flow()), "ensemble-steps") == ["5: is an ensemble without a step"]


def test_steps_need_the_platform_ensemble(write: Write) -> None:
    (problem,) = check(write, GOOD.replace('platform: "ensemble"', ""))
    assert (problem.rule, problem.line) == ("ensemble-settings", 5)


@pytest.mark.parametrize(
    "setting", ['backend: "python"', "instance_group { kind: KIND_CPU }", "optimization { }", "model_warmup { }"]
)
def test_settings_that_an_ensemble_cannot_have_are_errors(write: Write, setting: str) -> None:
    (message,) = messages(check(write, f"{GOOD}\n{setting}"), "ensemble-settings")
    assert message.startswith("9: ")
    assert setting.split(" ")[0].rstrip(":") in message


def test_a_step_needs_a_model_and_both_maps(write: Write) -> None:
    problems = check(write, GOOD.replace('output_map { key: "out" value: "label" }', ""))
    assert "step classify lacks output_map" in [each.message for each in problems if each.rule == "ensemble-step-maps"]


def test_a_step_model_that_is_not_in_the_repository_is_an_error(write: Write) -> None:
    ensemble = flow(step("resize", "image", "pixels"), step("wine", "pixels", "label"))
    assert messages(check(write, ensemble), "ensemble-step-model") == ["7: step model 'wine' is not in the repository"]


@pytest.mark.parametrize(("version", "number"), [("model_version: 2", 2), ("", 0)])
def test_a_version_of_a_step_model_that_is_not_loaded_is_an_error(write: Write, version: str, number: int) -> None:
    ensemble = GOOD.replace('model_name: "classify" model_version: -1', f'model_name: "classify" {version}')
    (message,) = messages(check(write, ensemble), "ensemble-step-model")
    assert message.startswith(f"7: step model 'classify' has no version {number} that is loaded: model_version is -1")


def test_a_version_of_a_step_model_that_is_loaded_may_be_named(write: Write) -> None:
    assert check(write, GOOD.replace("model_version: -1", "model_version: 1")) == []


def test_tensors_that_a_step_model_does_not_have_are_errors(write: Write) -> None:
    ensemble = GOOD.replace('key: "in" value: "pixels"', 'key: "x" value: "pixels"')
    ensemble = ensemble.replace('key: "out" value: "label"', 'key: "y" value: "label"')
    assert messages(check(write, ensemble), "ensemble-step-tensor") == [
        "7: input 'in' of step model 'classify' is fed by no tensor",
        "7: step model 'classify' has no input 'x'; it has in",
        "7: step model 'classify' has no output 'y'; it has out",
    ]


def test_an_optional_input_of_a_step_model_may_stay_unfed(write: Write) -> None:
    more = STEP_MODEL + 'input { name: "hint" data_type: TYPE_FP32 dims: 1 optional: true }'
    assert check(write, GOOD, classify=more) == []


def test_a_step_model_of_smaller_batches_is_an_error(write: Write) -> None:
    small = STEP_MODEL.replace("max_batch_size: 8", "max_batch_size: 4")
    assert messages(check(write, GOOD, classify=small), "ensemble-batch-size") == [
        "7: takes batches of 8, its step model 'classify' only of 4"
    ]


def test_a_step_model_without_batching_is_allowed(write: Write) -> None:
    assert check(write, GOOD, classify=STEP_MODEL.replace("max_batch_size: 8", "")) == []


def test_a_tensor_written_twice_is_an_error(write: Write) -> None:
    ensemble = flow(step("resize", "image", "label"), step("classify", "image", "label"))
    assert messages(check(write, ensemble), "ensemble-written-twice") == [
        "6: tensor 'label' is written by 2 steps",
        "7: tensor 'label' is written by 2 steps",
    ]


def test_dangling_tensors_are_errors(write: Write) -> None:
    ensemble = flow(step("resize", "nothing", "pixels"), step("classify", "image", "elsewhere"))
    assert messages(check(write, ensemble), "ensemble-dangling") == [
        "4: output 'label' is written by no step",
        "6: tensor 'nothing' is read, and neither an input nor written",
        "6: tensor 'pixels' is written, and neither an output nor read",
        "7: tensor 'elsewhere' is written, and neither an output nor read",
    ]


def test_an_input_that_no_step_reads_is_an_error(write: Write) -> None:
    ensemble = GOOD + '\ninput { name: "hint" data_type: TYPE_FP32 dims: 1 }'
    assert messages(check(write, ensemble), "ensemble-dangling") == ["9: input 'hint' is read by no step"]


def test_steps_in_a_circle_are_an_error(write: Write) -> None:
    two_inputs = STEP_MODEL + 'input { name: "back" data_type: TYPE_FP32 dims: 1 }'
    circle = step("resize", "image", "pixels").replace(
        'input_map { key: "in"', 'input_map { key: "back" value: "label" } input_map { key: "in"'
    )
    problems = check(write, flow(circle, step("classify", "pixels", "label")), resize=two_inputs)
    assert messages(problems, "ensemble-cycle") == [
        "6: steps wait for each other's tensors in a circle: resize, classify"
    ]
