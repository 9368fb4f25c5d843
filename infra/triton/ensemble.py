"""The data flow of an ensemble: models as steps, tensors between them (`ValidateEnsembleSchedulingConfig`).

Within a step, `input_map` and `output_map` map the step model's own tensors to tensors of the ensemble.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from infra.triton.backends import ENSEMBLE
from infra.triton.deployment import Deployment
from infra.triton.model import Model
from infra.triton.rule import Finding, Findings, model_rule

STEPS = "ensemble_scheduling.step"
VALIDATE = "core: ValidateEnsembleSchedulingConfig"
GRAPH = "core: BuildEnsembleGraph"
DEPENDENCIES = "core: ModelRepositoryManager::CheckNode, DependencyGraph"


def steps_of(model: Model) -> Iterator[tuple[str, Any]]:
    """The place and the message of each step; none for a model whose platform is another one."""
    if model.config.platform != ENSEMBLE:
        return
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        yield f"{STEPS}[{index}]", step


@model_rule("ensemble-platform", 'Set platform: "ensemble" and ensemble_scheduling, and no backend', VALIDATE)
def platform(model: Model, _: Deployment) -> Findings:
    """An ensemble must have the platform, its scheduling and no backend."""
    if not model.is_ensemble:
        return
    if model.config.platform != ENSEMBLE:
        yield Finding("ensemble_scheduling is set, and platform is not ensemble", "ensemble_scheduling")
    elif not model.config.HasField("ensemble_scheduling"):
        yield Finding("platform is ensemble, and ensemble_scheduling is not set", "platform")
    if model.config.backend:
        yield Finding(f"an ensemble has the backend {model.config.backend!r}", "backend")


@model_rule("ensemble-settings", "Remove the field; set it in the models of the steps", VALIDATE)
def settings(model: Model, _: Deployment) -> Findings:
    """An ensemble has no instances, optimization or warm-up of its own."""
    present = {field.name for field, _ in model.config.ListFields()} if model.is_ensemble else set()
    for field in ("instance_group", "optimization", "model_warmup"):
        if field in present:
            yield Finding(f"an ensemble has {field}", field)


@model_rule("ensemble-step", "Set model_name, input_map and output_map of each step", GRAPH)
def steps(model: Model, _: Deployment) -> Findings:
    """An ensemble must have a step, and each step a model, inputs and outputs."""
    if model.config.HasField("ensemble_scheduling") and not model.config.ensemble_scheduling.step:
        yield Finding("the ensemble has no step", "ensemble_scheduling")
    for at, step in steps_of(model):
        missing = [field for field in ("model_name", "input_map", "output_map") if not getattr(step, field)]
        if missing:
            yield Finding(f"step {step.model_name or at} has no {' and no '.join(missing)}", at)


@model_rule("ensemble-step-model", "Add the model, or correct model_name and model_version", DEPENDENCIES)
def step_models(model: Model, deployment: Deployment) -> Findings:
    """The model of a step must exist in the version that the step names: -1 is the newest, and 0 the default."""
    for at, step in steps_of(model):
        used = deployment.models.get(step.model_name)
        if step.model_name and used is None:
            yield Finding(f"step model {step.model_name!r} does not exist", f"{at}.model_name")
        elif used and step.model_version != -1 and step.model_version not in used.loaded_versions:
            text = f"version {step.model_version} of step model {step.model_name!r} is not loaded"
            yield Finding(text, f"{at}.model_version")


@model_rule("ensemble-recursive", "Remove the step", "core: CircularDependencyCheck")
def circle(model: Model, deployment: Deployment) -> Findings:
    """An ensemble must not contain itself, directly or through another ensemble."""
    for at, step in steps_of(model):
        names, reached = [step.model_name], set()
        while names:
            name = names.pop()
            if name not in reached and name in deployment.models:
                reached.add(name)
                names += [inner.model_name for _, inner in steps_of(deployment.models[name])]
        if model.name in reached:
            yield Finding(f"step {step.model_name!r} contains this ensemble again", at)


@model_rule("ensemble-written-twice", "Give each output a tensor of its own", GRAPH)
def written_twice(model: Model, _: Deployment) -> Findings:
    """Only one output of one step may be mapped to a tensor of the ensemble."""
    writers = Counter(tensor for _, step in steps_of(model) for tensor in step.output_map.values())
    for at, step in steps_of(model):
        for tensor in sorted(set(step.output_map.values())):
            if writers[tensor] > 1:
                yield Finding(f"tensor {tensor!r} is written {writers[tensor]} times", at)


@model_rule("ensemble-dangling", "Connect the tensor, or remove it", VALIDATE)
def dangling(model: Model, _: Deployment) -> Findings:
    """Every tensor must be written or an input, and read or an output."""
    inputs = {tensor.name for tensor in model.config.input}
    outputs = {tensor.name for tensor in model.config.output}
    written = {tensor for _, step in steps_of(model) for tensor in step.output_map.values()}
    read = {tensor for _, step in steps_of(model) for tensor in step.input_map.values()}
    for at, step in steps_of(model):
        for tensor in sorted(set(step.input_map.values()) - written - inputs):
            yield Finding(f"tensor {tensor!r} is read, and is neither an input nor written", at)
        for tensor in sorted(set(step.output_map.values()) - read - outputs):
            yield Finding(f"tensor {tensor!r} is written, and is neither an output nor read", at)
    if not any(steps_of(model)):
        return
    for index, tensor in enumerate(model.config.input):
        if tensor.name not in read and tensor.name not in outputs & written:
            yield Finding(f"input {tensor.name!r} is not read by a step", f"input[{index}]")
    for index, tensor in enumerate(model.config.output):
        if tensor.name not in written | (inputs & read):
            yield Finding(f"output {tensor.name!r} is not written by a step", f"output[{index}]")


@model_rule("ensemble-cycle", "Break the cycle", VALIDATE)
def cycle(model: Model, _: Deployment) -> Findings:
    """No step may wait for a tensor that depends on its own output."""
    left = dict(steps_of(model))
    inputs = {tensor.name for tensor in model.config.input}
    unwritten = {tensor for step in left.values() for tensor in step.output_map.values()} - inputs
    while ready := [at for at, step in left.items() if unwritten.isdisjoint(step.input_map.values())]:
        for at in ready:
            unwritten -= set(left.pop(at).output_map.values())
    if left:
        names = ", ".join(step.model_name for step in left.values())
        yield Finding(f"the steps {names} wait for each other's tensors", min(left))
