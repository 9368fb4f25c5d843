"""The tensors between an ensemble and the models of its steps (`ValidateEnsembleConfig` in ensemble_utils.cc)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.triton.config import messages
from infra.triton.deployment import Deployment
from infra.triton.ensemble import steps_of
from infra.triton.model import Model
from infra.triton.rule import Finding, Findings, model_rule
from infra.triton.tensor_rules import adds_tensors

MAPPING = "core: ValidateTensorMapping"
CONSISTENCY = "core: ValidateTensorConsistency"


@dataclass(frozen=True)
class Node:
    """The type and shape of a tensor, as a model declares them; dims without and with the batch dimension."""

    model: str
    type: str
    dims: tuple[int, ...]
    full_dims: tuple[int, ...]

    @classmethod
    def of(cls, model: Model, tensor: Any, *, reshaped: bool) -> Node:
        shape = tensor.reshape.shape if reshaped and tensor.HasField("reshape") else tensor.dims
        batch = (-1,) if model.config.max_batch_size > 0 else ()
        return cls(model.name, messages().DataType.Name(tensor.data_type), tuple(shape), (*batch, *shape))


@model_rule(
    "ensemble-step-tensor", "Use the step model's tensor names, and map every input that is not optional", MAPPING
)
def step_tensors(model: Model, deployment: Deployment) -> Findings:
    """A step must map tensors that its model has, and every required input of it."""
    for at, step in steps_of(model):
        used = deployment.models.get(step.model_name)
        if used is None or used.unparsed or not step.input_map or not step.output_map:
            continue
        adds = adds_tensors(used, deployment)
        inputs = {tensor.name: tensor for tensor in used.config.input}
        outputs = {tensor.name for tensor in used.config.output}
        for kind, mapped, declared in (
            ("input", step.input_map, set(inputs)),
            ("output", step.output_map, outputs),
        ):
            for tensor in () if adds else sorted(set(mapped) - declared):
                known = ", ".join(sorted(declared))
                yield Finding(f"step model {used.name!r} has no {kind} {tensor!r}; it has {known}", at)
        for name, tensor in inputs.items():
            if name not in step.input_map and not tensor.optional:
                yield Finding(f"input {name!r} of step model {used.name!r} is not mapped", at)


@model_rule("ensemble-batch-size", "Set the ensemble's max_batch_size to at most that of each step model", MAPPING)
def batch_sizes(model: Model, deployment: Deployment) -> Findings:
    """A step model that batches must accept the ensemble's largest batch."""
    for at, step in steps_of(model):
        used = deployment.models.get(step.model_name)
        if used and 0 < used.config.max_batch_size < model.config.max_batch_size:
            text = f"max_batch_size is {model.config.max_batch_size}, and that of step model {used.name!r} is"
            yield Finding(f"{text} {used.config.max_batch_size}", at)


@model_rule("ensemble-tensor-type", "Use one data_type", CONSISTENCY)
def types(model: Model, deployment: Deployment) -> Findings:
    """All models must declare the same type for a tensor of the ensemble."""
    for at, tensor, first, other in _pairs(model, deployment):
        if first.type != other.type:
            text = f"tensor {tensor!r} is {first.type} in {first.model} and {other.type} in {other.model}"
            yield Finding(text, at)


@model_rule("ensemble-tensor-shape", "Use one shape, or -1 where a size varies", CONSISTENCY)
def shapes(model: Model, deployment: Deployment) -> Findings:
    """The shapes that models declare for a tensor of the ensemble must match, with or without the batch dimension."""
    for at, tensor, first, other in _pairs(model, deployment):
        if not _match(first.dims, other.dims) and not _match(first.full_dims, other.full_dims):
            shapes = f"{list(first.full_dims)} in {first.model} and {list(other.full_dims)} in {other.model}"
            yield Finding(f"tensor {tensor!r} has the shape {shapes}", at)


def _match(first: Sequence[int], other: Sequence[int]) -> bool:
    """Whether the shapes are equal where neither size is variable."""
    return len(first) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(first, other, strict=True))


def _pairs(model: Model, deployment: Deployment) -> list[tuple[str, str, Node, Node]]:
    """Each place where a tensor is mapped, the tensor's name, its first declaration, and the one at the place.

    A tensor without a type or a shape is left out, because its backend may complete it.
    """
    nodes: dict[str, Node] = {}
    for tensor in [*model.config.input, *model.config.output]:
        if tensor.data_type and tensor.dims:
            nodes.setdefault(tensor.name, Node.of(model, tensor, reshaped=True))
    pairs = []
    for at, step in steps_of(model):
        used = deployment.models.get(step.model_name)
        if used is None:
            continue
        for mapping, declared in ((step.input_map, used.config.input), (step.output_map, used.config.output)):
            for tensor in declared:
                if tensor.name in mapping and tensor.data_type and tensor.dims:
                    node = Node.of(used, tensor, reshaped=False)
                    name = mapping[tensor.name]
                    first = nodes.setdefault(name, node)
                    pairs.append((at, name, first, node))
    return pairs


@model_rule("ensemble-decoupled", "Let a step read from one decoupled model only", "core: ValidateEnsembleConfig")
def decoupled_branches(model: Model, deployment: Deployment) -> Findings:
    """A step cannot match the responses of two decoupled models to each other."""
    origins = {tensor.name: 0 for tensor in model.config.input}
    left = dict(steps_of(model))
    while ready := [at for at, step in left.items() if set(step.input_map.values()) <= origins.keys()]:
        for at in ready:
            step = left.pop(at)
            sources = {origins[tensor] for tensor in step.input_map.values()}
            if len(sources) > 1:
                yield Finding(f"step {step.model_name!r} reads from different decoupled models", at)
            done = len(model.config.ensemble_scheduling.step) - len(left)
            origin = done if _is_decoupled(step.model_name, deployment, frozenset()) else max(sources, default=0)
            origins.update({tensor: origins.get(tensor, origin) for tensor in step.output_map.values()})
    ends = {origins.get(tensor.name) for tensor in model.config.output} - {None}
    if len(ends) > 1:
        yield Finding("the outputs come from different decoupled models", "output[0]")


def _is_decoupled(name: str, deployment: Deployment, above: frozenset[str]) -> bool:
    """Whether a model, or a model of an ensemble's step, is decoupled."""
    model = deployment.models.get(name)
    if model is None or name in above:
        return False
    return bool(model.config.model_transaction_policy.decoupled) or any(
        _is_decoupled(step.model_name, deployment, above | {name}) for _, step in steps_of(model)
    )
