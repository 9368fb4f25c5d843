"""The data flow of an ensemble: models as steps, tensors between them (ensemble_utils.cc in Triton's core).

Within a step, `input_map` and `output_map` map the step model's own tensors to tensors of the ensemble.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from infra.diagnostics.problem import Problem
from infra.triton.model import ENSEMBLE, Model
from infra.triton.problem import named

STEPS = "ensemble_scheduling.step"


def check_ensemble(model: Model, models: Mapping[str, Model]) -> Iterator[Problem]:
    """Findings about an ensemble; none for another model. `models` are all of the repository by name."""
    if not model.is_ensemble:
        return
    rules = {
        "ensemble-settings": settings_an_ensemble_cannot_have(model),
        "ensemble-steps": missing_steps(model),
        "ensemble-step-maps": incomplete_steps(model),
        "ensemble-step-model": missing_step_models(model, models),
        "ensemble-step-tensor": unknown_step_tensors(model, models),
        "ensemble-batch-size": smaller_batches_in_a_step(model, models),
        "ensemble-written-twice": tensors_written_twice(model),
        "ensemble-dangling": dangling_tensors(model),
        "ensemble-cycle": cycles(model),
    }
    for rule, problems in rules.items():
        yield from named(rule, problems)


def settings_an_ensemble_cannot_have(model: Model) -> Iterator[Problem]:
    if model.config.platform != ENSEMBLE:
        yield model.error('has ensemble_scheduling without `platform: "ensemble"`', at="ensemble_scheduling")
    for field in ("backend", "instance_group", "optimization", "model_warmup"):
        if any(set_field.name == field for set_field, _ in model.config.ListFields()):
            yield model.error(f"is an ensemble, which cannot have `{field}`", at=field)


def missing_steps(model: Model) -> Iterator[Problem]:
    if not model.config.ensemble_scheduling.step:
        yield model.error("is an ensemble without a step", at="ensemble_scheduling")


def incomplete_steps(model: Model) -> Iterator[Problem]:
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        missing = [field for field in ("model_name", "input_map", "output_map") if not getattr(step, field)]
        if missing:
            yield model.error(f"step {step.model_name or index} lacks {' and '.join(missing)}", at=f"{STEPS}[{index}]")


def missing_step_models(model: Model, models: Mapping[str, Model]) -> Iterator[Problem]:
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        if not step.model_name:
            continue
        if step.model_name not in models:
            message = f"step model {step.model_name!r} is not in the repository"
            yield model.error(message, at=f"{STEPS}[{index}].model_name")
        elif step.model_version != -1 and step.model_version not in models[step.model_name].loaded_versions:
            yield model.error(
                f"step model {step.model_name!r} has no version {step.model_version} that is loaded: "
                "model_version is -1 for the newest one, and 0 when it is left out",
                at=f"{STEPS}[{index}].model_version",
            )


def unknown_step_tensors(model: Model, models: Mapping[str, Model]) -> Iterator[Problem]:
    """Tensors that a step model does not have, and inputs of it that nobody feeds; nothing where it declares none."""
    tensors: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        used = models.get(step.model_name)
        if used is None or not used.config.input or not used.config.output:
            continue
        if used.name not in tensors:
            declared = {each.name: each for each in used.config.input}
            tensors[used.name] = declared, {each.name for each in used.config.output}
        inputs, outputs = tensors[used.name]
        at = f"{STEPS}[{index}]"
        for name in sorted(set(step.input_map) - set(inputs)):
            yield model.error(f"step model {used.name!r} has no input {name!r}; it has {', '.join(inputs)}", at=at)
        for name in sorted(set(step.output_map) - outputs):
            names = ", ".join(sorted(outputs))
            yield model.error(f"step model {used.name!r} has no output {name!r}; it has {names}", at=at)
        for name, tensor in inputs.items():
            if name not in step.input_map and not tensor.optional:
                yield model.error(f"input {name!r} of step model {used.name!r} is fed by no tensor", at=at)


def smaller_batches_in_a_step(model: Model, models: Mapping[str, Model]) -> Iterator[Problem]:
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        used = models.get(step.model_name)
        if used and used.config.max_batch_size and used.config.max_batch_size < model.config.max_batch_size:
            yield model.error(
                f"takes batches of {model.config.max_batch_size}, its step model {used.name!r} only of "
                f"{used.config.max_batch_size}",
                at=f"{STEPS}[{index}]",
            )


def tensors_written_twice(model: Model) -> Iterator[Problem]:
    writers = Counter(tensor for step in model.config.ensemble_scheduling.step for tensor in step.output_map.values())
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        for tensor in sorted(step.output_map.values()):
            if writers[tensor] > 1:
                yield model.error(f"tensor {tensor!r} is written by {writers[tensor]} steps", at=f"{STEPS}[{index}]")


def dangling_tensors(model: Model) -> Iterator[Problem]:
    """Tensors that are read and never written, or written and never read."""
    inputs = [tensor.name for tensor in model.config.input]
    known = set(inputs)
    outputs = [tensor.name for tensor in model.config.output]
    written = {tensor for step in model.config.ensemble_scheduling.step for tensor in step.output_map.values()}
    read = {tensor for step in model.config.ensemble_scheduling.step for tensor in step.input_map.values()}
    expected = set(outputs)
    for index, step in enumerate(model.config.ensemble_scheduling.step):
        for tensor in sorted(set(step.input_map.values()) - written - known):
            yield model.error(f"tensor {tensor!r} is read, and neither an input nor written", at=f"{STEPS}[{index}]")
        for tensor in sorted(set(step.output_map.values()) - read - expected):
            yield model.error(f"tensor {tensor!r} is written, and neither an output nor read", at=f"{STEPS}[{index}]")
    if not model.config.ensemble_scheduling.step:
        return
    for index, name in enumerate(inputs):
        if name not in read:
            yield model.error(f"input {name!r} is read by no step", at=f"input[{index}]")
    for index, name in enumerate(outputs):
        if name not in written:
            yield model.error(f"output {name!r} is written by no step", at=f"output[{index}]")


def cycles(model: Model) -> Iterator[Problem]:
    """Steps that wait for each other: each has a writer for every tensor it reads, and yet none can begin."""
    steps = dict(enumerate(model.config.ensemble_scheduling.step))
    unwritten = {tensor for step in steps.values() for tensor in step.output_map.values()}
    while ready := [index for index, step in steps.items() if unwritten.isdisjoint(step.input_map.values())]:
        for index in ready:
            unwritten -= set(steps.pop(index).output_map.values())
    if steps:
        names = ", ".join(step.model_name for step in steps.values())
        yield model.error(f"steps wait for each other's tensors in a circle: {names}", at=f"{STEPS}[{min(steps)}]")
