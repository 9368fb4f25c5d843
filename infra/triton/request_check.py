"""What Triton rejects in a request, according to the model's `config.pbtxt`.

The rules are those of Triton's HTTP frontend (`http_server.cc`, `ParseJsonTritonIO` and `ReadDataFromJson`) and of its
core (`infer_request.cc`, `Normalize`). A request that passes can still fail in the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from infra.diagnostics.printable import printable
from infra.triton.config import ModelConfig, messages
from infra.triton.sample_request import DATA_TYPES

MAX_SHOWN = 5
_BINARY = "binary_data_size"


def request_problem(config: ModelConfig, request: Any) -> str | None:
    """Why the model does not accept a request; None if nothing speaks against it.

    Args:
        request: the JSON of the request, or the JSON header of one in Triton's binary form.
    """
    problem = next(_problems(config, request), None)
    return printable(problem) if problem else None


def _problems(config: ModelConfig, request: Any) -> Iterator[str]:
    if not isinstance(request, dict):
        yield f"must be a JSON object with `inputs`, not {_kind(request)}"
        return
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
        yield f"`inputs` must be a list of tensors; the request has {_listed(request) or 'no key'}"
        return
    declared = {tensor.name: tensor for tensor in config.input}
    given = [tensor.get("name") for tensor in inputs]
    if not all(isinstance(name, str) for name in given):
        yield "each input must have a `name`, which is a string"
        return
    if declared:
        for name in given:
            if name not in declared:
                yield f"the model has no input {name!r}; it has {_listed(declared)}"
            elif given.count(name) > 1:
                yield f"input {name} occurs {given.count(name)} times"
        if missing := [name for name, tensor in declared.items() if not tensor.optional and name not in given]:
            yield f"the request lacks the input {missing[0]}"
    batches = set()
    for tensor in inputs:
        yield from _tensor(tensor, declared.get(tensor.get("name")), config.max_batch_size)
        batches.add(tensor["shape"][0] if config.max_batch_size and tensor["shape"] else None)
    if len(batches) > 1:
        yield f"its inputs have different batch sizes: {_listed(batches)}"
    outputs = {tensor.name for tensor in config.output}
    requested = request.get("outputs", [])
    if not isinstance(requested, list) or not all(isinstance(tensor, dict) for tensor in requested):
        yield "`outputs` must be a list of tensors"
        return
    for name in [tensor.get("name") for tensor in requested]:
        if not isinstance(name, str) or (outputs and name not in outputs):
            yield f"the model has no output {name!r}; it has {_listed(outputs)}"


def _tensor(tensor: Mapping[str, Any], declared: Any, max_batch_size: int) -> Iterator[str]:
    name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        yield f"input {name}: `shape` must be a list of sizes"
        return
    if declared is not None:
        type_name = messages().DataType.Name(declared.data_type)
        expected = DATA_TYPES[type_name].name if type_name in DATA_TYPES else type_name.removeprefix("TYPE_")
        if datatype != expected:
            yield f"input {name}: `datatype` must be {expected}, not {datatype}"
            return
        yield from _shape(name, shape, declared, max_batch_size)
    parameters = tensor.get("parameters")
    if not isinstance(parameters, dict) or _BINARY not in parameters:
        yield from _data(name, str(datatype), shape, tensor.get("data"))


def _shape(name: Any, shape: Sequence[int], declared: Any, max_batch_size: int) -> Iterator[str]:
    dims = [-1, *declared.dims] if max_batch_size else [*declared.dims]
    if declared.is_shape_tensor or declared.allow_ragged_batch:
        return
    fits = len(shape) == len(dims) and all(dim in (-1, size) for dim, size in zip(dims, shape, strict=True))
    if not fits:
        batch = ", whose first size is that of the batch" if max_batch_size else ""
        yield f"input {name}: `shape` must be {dims}{batch}, not {list(shape)}"
    elif max_batch_size and not 1 <= shape[0] <= max_batch_size:
        yield f"input {name}: the batch has {shape[0]} requests, and max_batch_size is {max_batch_size}"


def _data(name: Any, datatype: str, shape: Sequence[int], data: Any) -> Iterator[str]:
    """JSON has no FP16 and no BF16 (Triton's docs, Binary Tensor Data Extension)."""
    example = next((known.example for known in DATA_TYPES.values() if known.name == datatype), None)
    if example is None:
        yield f"input {name}: {datatype} has no JSON form. Send it in Triton's binary form"
        return
    if not isinstance(data, list):
        yield f"input {name} has no list `data`"
        return
    count = math.prod(shape)
    values = list(islice(_flat(data), count + 1))
    if len(values) != count:
        actual = "more" if len(values) > count else str(len(values))
        yield f"input {name}: `shape` {list(shape)} requires {count} elements, and `data` has {actual}"
        return
    accepted = (int, float) if type(example) is float else (type(example),)
    for value in values:
        if type(value) not in accepted:
            yield f"input {name}: {_kind(value)} is not a valid element of {datatype}"


def _flat(data: list[Any]) -> Iterator[Any]:
    """The elements of nested lists of any depth, in order."""
    stack = [iter(data)]
    while stack:
        for value in stack[-1]:
            if isinstance(value, list):
                stack.append(iter(value))
                break
            yield value
        else:
            stack.pop()


def _listed(names: Any) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:MAX_SHOWN]) + (", …" if len(shown) > MAX_SHOWN else "")


def _kind(value: Any) -> str:
    """A JSON value by its kind, so that no content of a request is shown."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
