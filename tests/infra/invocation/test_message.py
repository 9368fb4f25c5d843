"""Requests and responses in JSON and in Triton's binary form."""

from __future__ import annotations

import json

import pytest

from infra.invocation.message import BINARY, JSON, InferenceRequest, InvalidRequest, OutputTensor, output_tensors

HEADER = {"inputs": [{"name": "größe", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}


def test_json_is_json_with_or_without_a_newline() -> None:
    for body in (b'{"inputs": []}', b' {"inputs": []}\n'):
        request = InferenceRequest.parse(body, "file")
        assert (request.content_type, request.header, request.body) == (JSON, {"inputs": []}, body)


def test_data_after_the_json_makes_the_binary_form_with_the_size_of_the_json_in_bytes() -> None:
    header = json.dumps(HEADER, ensure_ascii=False).encode()
    request = InferenceRequest.parse(header + b"\x00\x00\x80\x3f\xff\x00\x00\x40", "file")
    assert request.content_type == f"{BINARY}{len(header)}"
    assert request.header == HEADER


@pytest.mark.parametrize("body", [b"", b"measurements", b"{", b'{"a": NaN', b"[" * 100_000, b"\xff\xfe"])
def test_other_bytes_are_refused_with_their_source(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^request\.json is not a JSON request: "):
        InferenceRequest.parse(body, "request.json")


def test_the_tensors_of_a_response() -> None:
    species = {"name": "species", "datatype": "BYTES", "shape": [1, 1], "data": ["virginica"]}
    binary = {"name": "p", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
    body = json.dumps({"outputs": [species, binary]}).encode() + b"\0" * 8
    assert output_tensors(body) == [
        OutputTensor("species", "BYTES", (1, 1), ["virginica"]),
        OutputTensor("p", "FP32", (2,), None),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"outputs": 1}',
        b'{"outputs": ["x"]}',
        b'{"outputs": [{"name": "x"}]}',
        b'{"outputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": 5}]}',
        b'{"outputs": [{"name": "x", "datatype": "FP32", "shape": [Infinity], "data": [1]}]}',
    ],
)
def test_what_is_not_a_response_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not an inference response"):
        output_tensors(body)
