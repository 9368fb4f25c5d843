"""A sample request for an endpoint, generated from the `config.pbtxt` of the model that serves it.

The request is JSON of the Open Inference Protocol (KServe v2), which Triton's SageMaker service accepts. If the
configuration has a warm-up sample, the request repeats it; otherwise the inputs are ones and short strings.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.diagnostics.printable import printable
from infra.triton.config import ModelConfig, messages
from infra.triton.model_files import MAX_BODY_BYTES, ModelFiles, UnsupportedModel
from infra.triton.repository import ModelRepository

MAX_SHORTENED = 100_000
"""Numbers of FP32 that are written in few digits; for more of them it would take seconds."""
SHOWN_ELEMENTS = 4

Value = bool | int | float | str


@dataclass(frozen=True)
class DataType:
    """How one of Triton's data types looks in JSON, and how in the file of a warm-up sample."""

    name: str
    """As the protocol spells it; TYPE_STRING is BYTES there."""
    packed: str
    """The format character of `struct`; empty for strings, which come with their length before them."""
    example: Value


# FP16 and BF16 have no JSON form ("Binary Tensor Data Extension" in Triton's protocol documentation).
DATA_TYPES: Mapping[str, DataType] = {
    "TYPE_BOOL": DataType("BOOL", "?", True),
    "TYPE_UINT8": DataType("UINT8", "B", 1),
    "TYPE_UINT16": DataType("UINT16", "H", 1),
    "TYPE_UINT32": DataType("UINT32", "I", 1),
    "TYPE_UINT64": DataType("UINT64", "Q", 1),
    "TYPE_INT8": DataType("INT8", "b", 1),
    "TYPE_INT16": DataType("INT16", "h", 1),
    "TYPE_INT32": DataType("INT32", "i", 1),
    "TYPE_INT64": DataType("INT64", "q", 1),
    "TYPE_FP32": DataType("FP32", "f", 1.0),
    "TYPE_FP64": DataType("FP64", "d", 1.0),
    "TYPE_STRING": DataType("BYTES", "", "hello"),
}


@dataclass(frozen=True)
class Tensor:
    """An input tensor: its shape with the batch dimension, and its elements in row-major order."""

    name: str
    data_type: DataType
    shape: tuple[int, ...]
    data: Sequence[Value]


@dataclass(frozen=True)
class SampleRequest:
    """The request, and one-line summaries of the request and of its response."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]

    @property
    def body(self) -> bytes:
        inputs = [
            {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.data_type.name, "data": tensor.data}
            for tensor in self.inputs
        ]
        return json.dumps({"inputs": inputs, "outputs": [{"name": name} for name in self.outputs]}).encode()

    @property
    def content_type(self) -> str:
        return "application/json"

    @property
    def text(self) -> str:
        """The request in short, such as `measurements=[6.3, 3.3, 6, 2.5]`."""
        return ", ".join(_shown(tensor.name, tensor.data) for tensor in self.inputs)

    def answer(self, body: bytes) -> str:
        """The response in short, such as `species=virginica`; ValueError if it is not an inference response."""
        return ", ".join(_shown(name, data) for name, data in _outputs(body).items())

    def missing(self, body: bytes) -> list[str]:
        """The declared outputs that the response lacks; ValueError if it is not an inference response."""
        outputs = _outputs(body)
        return [name for name in self.outputs if name not in outputs]


def request_for_repository(repository: ModelRepository, model: str) -> SampleRequest:
    """The sample request for a model of a repository on disk; raises `UnsupportedModel`."""
    return request_for_files(ModelFiles.of_repository(repository, model))


def request_for_files(files: ModelFiles) -> SampleRequest:
    """The sample request for a model; raises `UnsupportedModel`."""
    return request_for_config(files.config, files.warmup())


def request_for_config(config: ModelConfig, warmup: Mapping[str, bytes]) -> SampleRequest:
    """The sample request for a configuration; `warmup` maps names to the files of the model's `warmup` directory."""
    if config.model_transaction_policy.decoupled:
        raise UnsupportedModel("the model is decoupled: one request may get any number of responses")
    if config.HasField("sequence_batching"):
        raise UnsupportedModel("the model requires sequences of requests (sequence_batching)")
    if not config.input:
        raise UnsupportedModel("config.pbtxt declares no input")
    declared = [tensor for tensor in config.input if not tensor.optional] or list(config.input)
    sample = config.model_warmup[0].inputs if config.model_warmup else {}
    batch = (1,) if config.max_batch_size > 0 else ()
    inputs: list[Tensor] = []
    for tensor in declared:
        left = MAX_BODY_BYTES - sum(len(tensor.data) for tensor in inputs)
        inputs.append(_input(tensor, batch, sample.get(tensor.name), warmup, left))
    request = SampleRequest(
        inputs=tuple(inputs),
        outputs=tuple(tensor.name for tensor in config.output if _type_name(tensor.data_type) in DATA_TYPES),
    )
    if config.output and not request.outputs:
        raise UnsupportedModel(f"its outputs have no JSON form ({_type_name(config.output[0].data_type)})")
    if len(request.body) > MAX_BODY_BYTES:
        raise UnsupportedModel(
            f"the JSON body has {len(request.body):,} bytes, more than the 6 MB that SageMaker accepts"
        )
    return request


def _input(declared: Any, batch: tuple[int, ...], sample: Any | None, warmup: Mapping[str, bytes], most: int) -> Tensor:
    type_name = _type_name(declared.data_type)
    data_type = DATA_TYPES.get(type_name)
    if data_type is None:
        raise UnsupportedModel(f"its input {declared.name} has no JSON form ({type_name})")
    if declared.is_shape_tensor:
        raise UnsupportedModel(f"its input {declared.name} is a shape tensor")
    dims = sample.dims if sample is not None else [1 if size == -1 else size for size in declared.dims]
    shape = (*batch, *dims)
    if (count := _elements(dims)) > most:
        others = " after the others" if most < MAX_BODY_BYTES else ""
        raise UnsupportedModel(f"its input {declared.name} of {count:,} elements{others} is more than SageMaker's 6 MB")
    if sample is not None and sample.input_data_file in warmup:
        file = sample.input_data_file
        return Tensor(declared.name, data_type, shape, _unpacked(data_type, count, warmup[file], file))
    return Tensor(declared.name, data_type, shape, [data_type.example] * count)


def _elements(dims: Sequence[int]) -> int:
    """Of a tensor; at most 2^63, where the number itself could have thousands of digits."""
    count = 1
    for size in dims:
        if size < 0:
            raise UnsupportedModel(f"a dimension is {size}")
        count = min(count * size, 2**63)
    return count


def _unpacked(data_type: DataType, count: int, content: bytes, file: str) -> list[Value]:
    """The elements in a file of raw little-endian data, as Triton reads a warm-up sample."""
    try:
        if data_type.packed:
            values = struct.unpack_from(f"<{count}{data_type.packed}", content)
            shorten = data_type.packed == "f" and count <= MAX_SHORTENED
            return [_shortest(value) for value in values] if shorten else list(values)
        texts: list[Value] = []
        offset = 0
        for _ in range(count):
            (length,) = struct.unpack_from("<I", content, offset)
            (text,) = struct.unpack_from(f"<{length}s", content, offset + 4)
            texts.append(text.decode())
            offset += 4 + length
        return texts
    except (struct.error, UnicodeDecodeError) as error:
        raise UnsupportedModel(f"its warm-up file {file} does not hold {count} of {data_type.name}: {error}") from error


def _shortest(value: float) -> float:
    """The shortest decimal that is the same FP32: 6.3 where a double shows 6.300000190734863."""
    if not abs(value) < 3.4e38:  # rounding could leave FP32's range; infinities and NaN stay as they are
        return value
    candidates = (float(f"{value:.{digits}g}") for digits in range(1, 9))
    return next((short for short in candidates if struct.pack("<f", short) == struct.pack("<f", value)), value)


def _type_name(data_type: int) -> str:
    return str(messages().DataType.Name(data_type))


def _outputs(body: bytes) -> dict[str, Sequence[Value]]:
    try:
        return {output["name"]: list(output["data"]) for output in json.loads(body)["outputs"]}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not an inference response: {body[:200]!r}") from error


def _shown(name: str, data: Sequence[Value]) -> str:
    digits = _decimals(data)
    shown = [f"{round(value, digits):g}" if isinstance(value, float) else str(value) for value in data[:SHOWN_ELEMENTS]]
    if len(data) == 1:
        return printable(f"{name}={shown[0]}")
    rest = [f"… {len(data)} in all"] if len(data) > SHOWN_ELEMENTS else []
    return printable(f"{name}=[{', '.join(shown + rest)}]")


def _decimals(data: Sequence[Value]) -> int:
    """How many decimals show three digits of the largest number, and no more of the small ones."""
    largest = max((abs(value) for value in data if isinstance(value, float) and math.isfinite(value)), default=0.0)
    return 2 - math.floor(math.log10(largest)) if largest else 0
