"""Rules of the sequence batcher: controls, strategies and states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from infra.triton.config import messages
from infra.triton.deployment import Deployment
from infra.triton.model import INITIAL_STATE, Model
from infra.triton.rule import Finding, Findings, model_rule

BOOLEAN = "core: GetBooleanSequenceControlProperties"
GROWABLE = "core: SequenceStates::Initialize"
STATES = "core: SequenceBatchScheduler::GenerateInitialStateData"
CORRELATION_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")


def _controls(model: Model) -> Iterator[tuple[str, Any, str]]:
    """The place, the control and the name of its kind."""
    kinds = messages().ModelSequenceBatching.Control.Kind
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        for place, control in enumerate(tensor.control):
            at = f"sequence_batching.control_input[{index}].control[{place}]"
            yield at, control, kinds.Name(control.kind)


@model_rule("control-tensor", "Give each control tensor a name of its own and each kind one tensor", BOOLEAN)
def control_tensor(model: Model, _: Deployment) -> Findings:
    """A control tensor must have a name that no other has, and a kind may be specified once."""
    names = Counter(tensor.name for tensor in model.config.sequence_batching.control_input)
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        at = f"sequence_batching.control_input[{index}]"
        if not tensor.name:
            yield Finding("a control tensor has no name", at)
        elif names[tensor.name] > 1:
            yield Finding(f"the control tensor {tensor.name!r} is declared {names[tensor.name]} times", at)
    kinds = Counter(kind for _at, _control, kind in _controls(model))
    for at, _control, kind in _controls(model):
        if kinds[kind] > 1:
            yield Finding(f"{kind} is specified {kinds[kind]} times", at)


@model_rule("control-values", "Set exactly one of int32_false_true, fp32_false_true and bool_false_true", BOOLEAN)
def control_values(model: Model, _: Deployment) -> Findings:
    """START, END and READY must have two values of one type; CORRID has a data type instead."""
    for at, control, kind in _controls(model):
        values = {field: len(getattr(control, field)) for field in _VALUES if getattr(control, field)}
        if kind == "CONTROL_SEQUENCE_CORRID":
            if values:
                yield Finding(f"{kind} has {' and '.join(values)}", at)
            if messages().DataType.Name(control.data_type) not in CORRELATION_TYPES:
                yield Finding(f"{kind} has a data_type other than {', '.join(CORRELATION_TYPES)}", at)
        elif len(values) != 1:
            yield Finding(f"{kind} has {' and '.join(values) or 'no values'}", at)
        elif set(values.values()) != {2}:
            field, count = next(iter(values.items()))
            yield Finding(f"{kind} has {count} entries in {field} instead of 2", at)


@model_rule("slot-utilization", "Set a value from 0.0 to 1.0", "core: ValidateModelConfig")
def slot_utilization(model: Model, _: Deployment) -> Findings:
    """The direct strategy accepts shares from 0.0 to 1.0."""
    value = model.config.sequence_batching.direct.minimum_slot_utilization
    if value < 0 or value > 1:  # Triton accepts NaN
        at = "sequence_batching.direct.minimum_slot_utilization"
        yield Finding(f"minimum_slot_utilization is {value:g}", at)


@model_rule("initial-state", "Give the state one initial state of its type and fixed dims, with data", STATES)
def initial_state(model: Model, _: Deployment) -> Findings:
    """An initial state must have a name, the state's type and dims, and data."""
    inputs = Counter(state.input_name for state in model.config.sequence_batching.state if state.initial_state)
    for index, state in enumerate(model.config.sequence_batching.state):
        at = f"sequence_batching.state[{index}]"
        label = f"state {state.input_name or index}"
        if len(state.initial_state) > 1:
            yield Finding(f"{label} has {len(state.initial_state)} initial states", at)
        elif state.initial_state and inputs[state.input_name] > 1:
            yield Finding(f"{label} is declared {inputs[state.input_name]} times", at)
        for initial in state.initial_state[:1]:
            yield from (Finding(f"{label} has {text}", f"{at}.initial_state[0]") for text in _initial(state, initial))


def _initial(state: Any, initial: Any) -> Iterator[str]:
    if not initial.name:
        yield "an initial state without a name"
    if initial.data_type != state.data_type:
        yield "an initial state of another type"
    if len(initial.dims) != len(state.dims):
        yield f"{len(state.dims)} dims, and its initial state {len(initial.dims)}"
    elif any(size == -1 for size in initial.dims):
        yield "an initial state of variable size"
    elif any(declared not in (-1, size) for declared, size in zip(state.dims, initial.dims, strict=True)):
        yield f"dims {list(state.dims)}, and its initial state {list(initial.dims)}"
    if initial.WhichOneof("state_data") is None:
        yield "an initial state without data"


@model_rule("growable-memory", "Set use_same_buffer_for_input_output and KIND_GPU", GROWABLE, "warning")
def growable_memory(model: Model, _: Deployment) -> Findings:
    """Requests fail if growable state memory has two buffers or is not on a GPU. The model loads nevertheless."""
    groups = messages().ModelInstanceGroup.Kind
    for index, state in enumerate(model.config.sequence_batching.state):
        at = f"sequence_batching.state[{index}].use_growable_memory"
        if not state.use_growable_memory:
            continue
        if not state.use_same_buffer_for_input_output:
            yield Finding("use_growable_memory is set without use_same_buffer_for_input_output", at)
        if any(groups.Name(group.kind) in ("KIND_CPU", "KIND_MODEL") for group in model.config.instance_group):
            yield Finding("use_growable_memory is set for instances that are not on a GPU", at)


@model_rule("initial-state-file", f"Put the file into {INITIAL_STATE}/", STATES)
def initial_state_file(model: Model, deployment: Deployment) -> Findings:
    """Triton reads the initial state from the model directory's `initial_state`."""
    for index, state in enumerate(model.config.sequence_batching.state):
        for initial in state.initial_state[:1]:
            if initial.data_file and not deployment.has_file(model, INITIAL_STATE, initial.data_file):
                text = f"state {state.input_name} names the file {initial.data_file}, which does not exist"
                yield Finding(text, f"sequence_batching.state[{index}].initial_state[0]")
