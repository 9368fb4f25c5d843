"""A question for a live endpoint, made from the `config.pbtxt` of the model that answers it.

The request is JSON of the Open Inference Protocol (KServe v2), which Triton's SageMaker service takes. A model whose
configuration holds a warm-up sample is asked that very sample; any other one gets ones and short texts of its shapes.
"""

from __future__ import annotations

import io
import json
import math
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from infra.triton.config import ConfigError, ModelConfig, messages, parse_config
from infra.triton.repository import ModelRepository

MAX_BODY_BYTES = 6_291_456  # InvokeEndpoint's limit
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


class CannotBeAskedError(Exception):
    """Why no question can be made for a model."""


@dataclass(frozen=True)
class Tensor:
    """An input of the question: its shape, batch dimension included, and its elements in row-major order."""

    name: str
    data_type: DataType
    shape: tuple[int, ...]
    data: Sequence[Value]


@dataclass(frozen=True)
class Question:
    """What to send to the endpoint, and how to show it and its answer in a line."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]

    @property
    def body(self) -> bytes:
        inputs = [
            {"name": each.name, "shape": each.shape, "datatype": each.data_type.name, "data": each.data}
            for each in self.inputs
        ]
        return json.dumps({"inputs": inputs, "outputs": [{"name": name} for name in self.outputs]}).encode()

    @property
    def content_type(self) -> str:
        return "application/json"

    @property
    def text(self) -> str:
        """The question in short, such as `measurements=[6.3, 3.3, 6, 2.5]`."""
        return ", ".join(_shown(each.name, each.data) for each in self.inputs)

    def answer(self, body: bytes) -> str:
        """The endpoint's answer in short, such as `species=virginica`; ValueError if it is no inference response."""
        return ", ".join(_shown(name, data) for name, data in _outputs(body).items())

    def missing(self, body: bytes) -> list[str]:
        """The outputs that the configuration declares and the answer lacks; ValueError if it is no inference
        response."""
        found = _outputs(body)
        return [name for name in self.outputs if name not in found]


def question_for_repository(repository: ModelRepository, model: str) -> Question:
    """The question for a model of a repository on disk; `CannotBeAskedError` says why there is none."""
    wanted = (f"{model}/config.pbtxt", f"{model}/warmup/")
    files = {path: source for path, source in repository.files.items() if path.startswith(wanted)}
    return _question_for_files(model, {path: source.read_bytes() for path, source in files.items()})


def question_for_artifact(artifact: Path | bytes, default_model: str | None) -> Question:
    """The question for the model that answers for an artifact (.tar.gz); `CannotBeAskedError` says why there is none.

    Without a default model it is the only directory of the artifact, as `serve` decides.
    """
    try:
        names, contents = _read(artifact)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CannotBeAskedError(f"the artifact cannot be read: {error}") from error
    if not default_model and len(names) != 1:
        raise CannotBeAskedError(f"several models ({', '.join(sorted(names))}), and none is the default one")
    return _question_for_files(default_model or next(iter(names)), contents)


def _question_for_files(model: str, contents: Mapping[str, bytes]) -> Question:
    if f"{model}/config.pbtxt" not in contents:
        raise CannotBeAskedError(f"{model} has no config.pbtxt that says what it takes")
    try:
        config = parse_config(contents[f"{model}/config.pbtxt"].decode(), f"{model}/config.pbtxt")
    except (ConfigError, UnicodeDecodeError) as error:
        raise CannotBeAskedError(str(error)) from error
    folder = f"{model}/warmup/"
    warmup = {path.removeprefix(folder): data for path, data in contents.items() if path.startswith(folder)}
    return question_for(config, warmup)


def question_for(config: ModelConfig, warmup: Mapping[str, bytes]) -> Question:
    """The question for a configured model; `warmup` holds the files of its `warmup` directory by name."""
    if config.model_transaction_policy.decoupled:
        raise CannotBeAskedError("it is decoupled: one question may get any number of answers")
    if config.HasField("sequence_batching"):
        raise CannotBeAskedError("it answers within a sequence of requests (sequence_batching)")
    if not config.input:
        raise CannotBeAskedError("its config.pbtxt declares no input")
    declared = [each for each in config.input if not each.optional] or list(config.input)
    sample = config.model_warmup[0].inputs if config.model_warmup else {}
    batch = (1,) if config.max_batch_size > 0 else ()
    question = Question(
        inputs=tuple(_input(each, batch, sample.get(each.name), warmup) for each in declared),
        outputs=tuple(each.name for each in config.output if _type_name(each.data_type) in DATA_TYPES),
    )
    if config.output and not question.outputs:
        raise CannotBeAskedError(f"its outputs have no JSON form ({_type_name(config.output[0].data_type)})")
    if len(question.body) > MAX_BODY_BYTES:
        raise CannotBeAskedError(
            f"the question would take {len(question.body):,} bytes of JSON, more than SageMaker's 6 MB"
        )
    return question


def _input(declared: Any, batch: tuple[int, ...], sample: Any | None, warmup: Mapping[str, bytes]) -> Tensor:
    type_name = _type_name(declared.data_type)
    data_type = DATA_TYPES.get(type_name)
    if data_type is None:
        raise CannotBeAskedError(f"its input {declared.name} has no JSON form ({type_name})")
    if declared.is_shape_tensor:
        raise CannotBeAskedError(f"its input {declared.name} is a shape tensor")
    dims = sample.dims if sample is not None else [1 if size == -1 else size for size in declared.dims]
    shape = (*batch, *dims)
    if sample is not None and sample.input_data_file in warmup:
        file = sample.input_data_file
        return Tensor(declared.name, data_type, shape, _unpacked(data_type, math.prod(dims), warmup[file], file))
    if math.prod(shape) > MAX_BODY_BYTES:
        raise CannotBeAskedError(
            f"its input {declared.name} of {math.prod(shape):,} elements is more than SageMaker's 6 MB"
        )
    return Tensor(declared.name, data_type, shape, [data_type.example] * math.prod(shape))


def _unpacked(data_type: DataType, count: int, content: bytes, file: str) -> list[Value]:
    """The elements in a file of raw little-endian data, as Triton reads a warm-up sample."""
    try:
        if data_type.packed:
            values = struct.unpack_from(f"<{count}{data_type.packed}", content)
            return [_shortest(value) for value in values] if data_type.packed == "f" else list(values)
        texts: list[Value] = []
        offset = 0
        for _ in range(count):
            (length,) = struct.unpack_from("<I", content, offset)
            (text,) = struct.unpack_from(f"<{length}s", content, offset + 4)
            texts.append(text.decode())
            offset += 4 + length
        return texts
    except (struct.error, UnicodeDecodeError) as error:
        raise CannotBeAskedError(
            f"its warm-up file {file} does not hold {count} of {data_type.name}: {error}"
        ) from error


def _shortest(value: float) -> float:
    """The shortest decimal that is the same FP32: 6.3 where a double shows 6.300000190734863."""
    if not abs(value) < 3.4e38:  # rounding could leave FP32's range; infinities and NaN have no shorter form
        return value
    candidates = (float(f"{value:.{digits}g}") for digits in range(1, 9))
    return next((each for each in candidates if struct.pack("<f", each) == struct.pack("<f", value)), value)


def _read(artifact: Path | bytes) -> tuple[set[str], dict[str, bytes]]:
    """The top-level directories of an artifact, and its configurations and warm-up files by path."""
    names: set[str] = set()
    contents: dict[str, bytes] = {}
    with (
        io.BytesIO(artifact) if isinstance(artifact, bytes) else artifact.open("rb") as file,
        tarfile.open(fileobj=file, mode="r|gz") as archive,
    ):
        for member in archive:
            parts = PurePosixPath(member.name).parts
            if len(parts) > 1 or (parts and member.isdir()):
                names.add(parts[0])
            wanted = parts[1:] == ("config.pbtxt",) or parts[1:-1] == ("warmup",)
            if wanted and member.isfile() and member.size <= MAX_BODY_BYTES:
                content = archive.extractfile(member)
                assert content is not None
                contents["/".join(parts)] = content.read()
    return names, contents


def _type_name(data_type: int) -> str:
    return str(messages().DataType.Name(data_type))


def _outputs(body: bytes) -> dict[str, Sequence[Value]]:
    try:
        return {output["name"]: list(output["data"]) for output in json.loads(body)["outputs"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not an inference response: {body[:200]!r}") from error


def _shown(name: str, data: Sequence[Value]) -> str:
    digits = _decimals(data)
    shown = [f"{round(value, digits):g}" if isinstance(value, float) else str(value) for value in data[:SHOWN_ELEMENTS]]
    if len(data) == 1:
        return f"{name}={shown[0]}"
    rest = [f"… {len(data)} in all"] if len(data) > SHOWN_ELEMENTS else []
    return f"{name}=[{', '.join(shown + rest)}]"


def _decimals(data: Sequence[Value]) -> int:
    """How many decimals show three digits of the largest number, and no more of the small ones beside it."""
    largest = max((abs(value) for value in data if isinstance(value, float) and math.isfinite(value)), default=0.0)
    return 2 - math.floor(math.log10(largest)) if largest else 0
