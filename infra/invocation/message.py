"""Requests and responses of KServe's inference protocol (v2), in JSON or in Triton's binary form.

The binary form is JSON followed by the data of its tensors (Triton docs, Binary Tensor Data Extension). On SageMaker,
its content type contains the size of the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.errors import UserError

JSON = "application/json"
BINARY = "application/vnd.sagemaker-triton.binary+json;json-header-size="

MAX_SHOWN = 200
"""Bytes of a response that is not one of the protocol."""


class InvalidRequest(UserError):
    """A request is not JSON, or not one that the model accepts."""

    exit_code = 2


@dataclass(frozen=True)
class InferenceRequest:
    """A request as a client sends it.

    Attributes:
        header: its JSON; without the data of the tensors in the binary form.
    """

    body: bytes
    content_type: str
    header: Any

    @classmethod
    def parse(cls, body: bytes, source: str) -> InferenceRequest:
        """The request with these bytes.

        Args:
            source: where it was read, for the error.

        Raises:
            InvalidRequest: the bytes do not begin with JSON.
        """
        try:
            header, size = split(body)
        except ValueError as error:
            raise InvalidRequest(f"{source} is not a JSON request: {error}") from None
        return cls(body, f"{BINARY}{size}" if body[size:].strip() else JSON, header)


@dataclass(frozen=True)
class OutputTensor:
    """A tensor of a response.

    Attributes:
        data: its elements in row-major order; None in the binary form.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Any] | None


def output_tensors(body: bytes) -> list[OutputTensor]:
    """The tensors of a response.

    Raises:
        ValueError: it is not an inference response.
    """
    try:
        header, _ = split(body)
        return [
            OutputTensor(str(output["name"]), str(output["datatype"]), tuple(map(int, output["shape"])), _data(output))
            for output in header["outputs"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not an inference response: {body[:MAX_SHOWN]!r}") from error


def _data(output: dict[str, Any]) -> list[Any] | None:
    data = output.get("data")
    if data is not None and not isinstance(data, list):
        raise TypeError("not a list of elements")
    return data


def split(body: bytes) -> tuple[Any, int]:
    """The JSON at the beginning of a request or response, and its number of bytes.

    Raises:
        ValueError: the bytes do not begin with JSON.
    """
    text = body.decode("latin-1")  # a character for each byte, so that the position is the number of bytes
    start = len(text) - len(text.lstrip())
    try:
        _, size = json.JSONDecoder().raw_decode(text, start)
        return json.loads(body[:size]), size
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
