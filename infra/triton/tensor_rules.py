"""Rules of `ValidateModelIOConfig` and `ValidateBatchIO`: inputs, outputs, reshapes and batch tensors."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from infra.diagnostics.problem import Severity
from infra.triton.backends import TENSORRT_PLATFORM, Completion
from infra.triton.config import messages
from infra.triton.deployment import Deployment
from infra.triton.model import Model
from infra.triton.rule import Finding, Findings, model_rule

IO_SHAPE = "core: ValidateIOShape"
BATCH_IO = "core: ValidateBatchIO"

_PLAIN_CLASS = re.compile(r"^class\s+TritonPythonModel\s*(\(\s*(object)?\s*\))?\s*:", re.MULTILINE)


def partial_severity(model: Model, deployment: Deployment) -> Severity | None:
    """How serious a tensor without type or shape is: an error if nothing completes it, a warning if something may."""
    completion = model.backend.completion
    if model.is_ensemble or not deployment.auto_completes or completion in (Completion.NONE, Completion.EMPTY):
        return "error"
    if completion is Completion.ALL:
        return None
    return "warning" if completion is Completion.UNKNOWN or may_auto_complete(model) else "error"


def may_auto_complete(model: Model) -> bool:
    """Whether a Python model defines `auto_complete_config`, or inherits from a class that may."""
    scripts = model.scripts.values()
    return not scripts or any("auto_complete_config" in text or not _PLAIN_CLASS.search(text) for text in scripts)


def adds_tensors(model: Model, deployment: Deployment) -> bool:
    """Whether the backend may add inputs, outputs and a `max_batch_size` to what is declared."""
    if not deployment.auto_completes:
        return False
    match model.backend.completion:
        case Completion.SCRIPT:
            return may_auto_complete(model)
        case Completion.EMPTY:
            return not model.config.input or not model.config.output
        case Completion.NONE:
            return False
        case _:
            return not model.is_ensemble


@model_rule("tensor-incomplete", "Set name, data_type and dims", IO_SHAPE)
def incomplete(model: Model, deployment: Deployment) -> Findings:
    """Every input and output must have a name, a type and a shape, unless the backend completes the configuration."""
    severity = partial_severity(model, deployment)
    for tensor in model.tensors:
        missing = [field for field in ("name", "data_type", "dims") if not getattr(tensor.config, field)]
        if not missing or severity is None:
            continue
        text = f"{tensor.label} has no {' and no '.join(missing)}"
        if severity == "warning":
            text += (
                f" unless {'auto_complete_config' if model.scripts else f'the backend {model.backend_name}'} adds it"
            )
        yield Finding(text, tensor.at, severity=severity)


@model_rule("dims", "Use sizes of at least 1, or -1 for a variable size", IO_SHAPE)
def dims(model: Model, _: Deployment) -> Findings:
    """A dimension of a tensor or of its reshape must be positive or -1."""
    for tensor in model.tensors:
        fields = {"dims": tensor.config.dims, "reshape.shape": tensor.config.reshape.shape}
        for field, sizes in fields.items():
            for place, size in enumerate(sizes):
                if size < 1 and size != -1:
                    yield Finding(f"{tensor.label} has the dimension {size}", f"{tensor.at}.{field}[{place}]")


@model_rule("reshape-empty", "Remove the reshape, or set max_batch_size", IO_SHAPE)
def empty_reshape(model: Model, deployment: Deployment) -> Findings:
    """Without batching, an empty reshape would be a scalar, which Triton does not support."""
    for tensor in model.tensors:
        is_scalar = tensor.config.HasField("reshape") and not tensor.config.reshape.shape
        if is_scalar and model.config.max_batch_size == 0:
            text = f"{tensor.label} has an empty reshape in a model without batching"
            severity: Severity | None = "warning" if adds_tensors(model, deployment) else None
            yield Finding(text, f"{tensor.at}.reshape", severity=severity)


@model_rule("reshape-size", "Reshape to the same number of elements between variable sizes", IO_SHAPE)
def reshape_size(model: Model, _: Deployment) -> Findings:
    """dims and reshape must have the same elements, and as many between variable sizes."""
    for tensor in model.tensors:
        sizes, shape = list(tensor.config.dims), list(tensor.config.reshape.shape)
        if not tensor.config.HasField("reshape") or not sizes or any(size < -1 or size == 0 for size in sizes + shape):
            continue  # dims
        scalar = not shape and all(size == 1 for size in sizes)
        if not scalar and _elements(sizes) != _elements(shape):
            yield Finding(f"{tensor.label} has dims {sizes} and reshape {shape}", f"{tensor.at}.reshape")


def _elements(sizes: Sequence[int]) -> list[int]:
    """The elements before, between and after variable sizes: [2, 4, -1, 6] has [8, 6]."""
    parts: list[list[int]] = [[]]
    for size in sizes:
        if size == -1:
            parts.append([])
        else:
            parts[-1].append(size)
    return [math.prod(part) for part in parts] if sizes else [0]


@model_rule("format-dims", "Declare three dims, or remove the format", "core: ValidateModelInput")
def format_dims(model: Model, _: Deployment) -> Findings:
    """FORMAT_NHWC and FORMAT_NCHW describe images, which have three dimensions."""
    for tensor in model.tensors:
        if tensor.kind == "input" and tensor.config.format and len(tensor.config.dims) not in (0, 3):
            name = messages().ModelInput.Format.Name(tensor.config.format)
            yield Finding(f"{tensor.label} has {name} and {len(tensor.config.dims)} dims", f"{tensor.at}.format")


@model_rule("shape-tensor", "Remove the field", "core: ValidateModelInput, ValidateNonLinearFormatIO")
def tensorrt_only(model: Model, _: Deployment) -> Findings:
    """Shape tensors and non-linear formats exist in TensorRT only; a non-linear format has three dimensions."""
    for tensor in model.tensors:
        for field in ("is_shape_tensor", "is_non_linear_format_io"):
            if not getattr(tensor.config, field):
                continue
            if model.platform != TENSORRT_PLATFORM:
                yield Finding(f"{tensor.label} has {field} outside TensorRT", f"{tensor.at}.{field}")
            elif field == "is_non_linear_format_io" and len(tensor.config.dims) not in (0, 3):
                yield Finding(f"{tensor.label} has {field} and not three dims", f"{tensor.at}.{field}")


@model_rule("label-file", "Declare one label file for each output name", "core: LabelProvider::AddLabels")
def duplicate_labels(model: Model, _: Deployment) -> Findings:
    """Two outputs of one name cannot both have a label file."""
    labelled = Counter(output.name for output in model.config.output if output.label_filename)
    for index, output in enumerate(model.config.output):
        if output.label_filename and labelled[output.name] > 1:
            yield Finding(f"the outputs {output.name} have {labelled[output.name]} label files", f"output[{index}]")


@model_rule("batch-input", "Name one declared input, and use TYPE_INT32 or TYPE_FP32", BATCH_IO)
def batch_input(model: Model, deployment: Deployment) -> Findings:
    """A batch input must be computed from exactly one declared input, as INT32 or FP32."""
    types = (messages().DataType.Value("TYPE_INT32"), messages().DataType.Value("TYPE_FP32"))
    for index, tensor in enumerate(model.config.batch_input):
        at = f"batch_input[{index}]"
        yield from _sources(model, deployment, tensor, f"batch input {index}", at)
        if tensor.data_type not in types:
            yield Finding(f"batch input {index} has the type {messages().DataType.Name(tensor.data_type)}", at)


@model_rule("batch-output", "Name one declared input and each output once", BATCH_IO)
def batch_output(model: Model, deployment: Deployment) -> Findings:
    """A batch output must be scattered by exactly one declared input to declared outputs."""
    outputs = {output.name for output in model.config.output}
    for index, tensor in enumerate(model.config.batch_output):
        at = f"batch_output[{index}]"
        yield from _sources(model, deployment, tensor, f"batch output {index}", at)
        for target, count in Counter(tensor.target_name).items():
            if target not in outputs and not adds_tensors(model, deployment):
                yield Finding(f"batch output {index} names the output {target!r}, which is not declared", at)
            if count > 1:
                yield Finding(f"batch output {index} names the output {target!r} {count} times", at)


def _sources(model: Model, deployment: Deployment, tensor: Any, label: str, at: str) -> Findings:
    inputs = {declared.name for declared in model.config.input}
    if len(tensor.source_input) != 1:
        yield Finding(f"{label} has {len(tensor.source_input)} source inputs", at)
    for source in () if adds_tensors(model, deployment) else sorted(set(tensor.source_input) - inputs):
        yield Finding(f"{label} names the input {source!r}, which is not declared", at)
