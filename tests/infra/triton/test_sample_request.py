"""Questions made from model configurations."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from pathlib import Path

import pytest

from infra.triton.config import parse_config
from infra.triton.model_files import UnsupportedModel
from infra.triton.repository import ModelRepository
from infra.triton.sample_request import SampleRequest, request_for_config

from .archives import request_for_artifact

EXAMPLES = Path(__file__).parents[3] / "examples" / "models"

PLAIN = """
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2, -1 ] }, { name: "who" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""


def artifact(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def ask(text: str, warmup: dict[str, bytes] | None = None) -> SampleRequest:
    return request_for_config(parse_config(text, "config.pbtxt"), warmup or {})


def inputs(request: SampleRequest) -> list[dict[str, object]]:
    return list(json.loads(request.body)["inputs"])


def test_every_input_is_asked_with_the_smallest_of_its_shapes() -> None:
    assert inputs(ask(PLAIN)) == [
        {"name": "x", "shape": [1, 2, 1], "datatype": "FP32", "data": [1.0, 1.0]},
        {"name": "who", "shape": [1, 1], "datatype": "BYTES", "data": ["hello"]},
    ]


def test_a_model_without_batching_gets_no_batch_dimension() -> None:
    assert inputs(ask(PLAIN.replace("max_batch_size: 8", "max_batch_size: 0")))[0]["shape"] == [2, 1]


def test_the_example_model_is_asked_about_the_flower_of_its_warm_up(tmp_path: Path) -> None:
    packed = tmp_path / "model.tar.gz"
    ModelRepository.read(EXAMPLES).pack(packed)
    request = request_for_artifact(packed.read_bytes(), "iris")
    assert request.text == "measurements=[6.3, 3.3, 6, 2.5]"
    assert inputs(request)[0]["data"] == pytest.approx([6.3, 3.3, 6.0, 2.5])
    assert request.outputs == ("species", "probabilities")
    assert request.content_type == "application/json"


def test_texts_of_a_warm_up_sample_are_read_with_their_lengths() -> None:
    sample = (
        'model_warmup [ { inputs { key: "who" value { data_type: TYPE_STRING dims: [ 2 ] input_data_file: "who" } } } ]'
    )
    config = 'input [ { name: "who" data_type: TYPE_STRING dims: [ -1 ] } ]' + sample
    packed = b"".join(struct.pack("<I", len(text)) + text for text in (b"Ada", "Zoë".encode()))
    assert inputs(ask(config, {"who": packed})) == [
        {"name": "who", "shape": [2], "datatype": "BYTES", "data": ["Ada", "Zoë"]}
    ]


def test_a_warm_up_sample_of_zeros_gives_its_shape() -> None:
    sample = 'model_warmup [ { inputs { key: "x" value { data_type: TYPE_INT64 dims: [ 3 ] zero_data: true } } } ]'
    request = ask('input [ { name: "x" data_type: TYPE_INT64 dims: [ -1 ] } ]' + sample)
    assert inputs(request) == [{"name": "x", "shape": [3], "datatype": "INT64", "data": [1, 1, 1]}]


def test_a_warm_up_file_that_is_too_short_cannot_be_asked() -> None:
    sample = 'model_warmup [ { inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "x" } } } ]'
    with pytest.raises(UnsupportedModel, match="warm-up file x does not hold 4 of FP32"):
        ask('input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]' + sample, {"x": b"\0" * 15})


def test_optional_inputs_are_left_out() -> None:
    config = """
    input [ { name: "x" data_type: TYPE_BOOL dims: [ 1 ] } ]
    input [ { name: "y" data_type: TYPE_FP16 dims: [ 1 ] optional: true } ]
    """
    assert [each["name"] for each in inputs(ask(config))] == ["x"]


def test_an_ensemble_is_asked_by_its_own_inputs() -> None:
    config = """
    platform: "ensemble" input [ { name: "image" data_type: TYPE_UINT8 dims: [ 2 ] } ]
    ensemble_scheduling { step [ { model_name: "a" input_map { key: "b" value: "image" } } ] }
    """
    assert inputs(ask(config)) == [{"name": "image", "shape": [2], "datatype": "UINT8", "data": [1, 1]}]


def test_outputs_without_a_json_form_are_not_asked_for() -> None:
    config = PLAIN.replace(
        "TYPE_FP32 dims: [ 1 ] } ]", 'TYPE_FP32 dims: [ 1 ] }, { name: "z" data_type: TYPE_FP16 dims: [ 1 ] } ]'
    )
    assert ask(config).outputs == ("y",)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ('input [ { name: "x" data_type: TYPE_FP16 dims: [ 1 ] } ]', r"input x has no JSON form \(TYPE_FP16\)"),
        (PLAIN.replace('"y" data_type: TYPE_FP32', '"y" data_type: TYPE_BF16'), "outputs have no JSON form"),
        ('input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] is_shape_tensor: true } ]', "x is a shape tensor"),
        ('input [ { name: "x" data_type: TYPE_FP32 dims: [ 1300000 ] } ]', r"6,500,\d+ bytes"),
        ('input [ { name: "x" data_type: TYPE_FP32 dims: [ 1000000, 1000000 ] } ]', "x of 1,000,000,000,000 elements"),
        ('backend: "python"', "declares no input"),
        (PLAIN + "sequence_batching { }", "sequence"),
        (PLAIN + "model_transaction_policy { decoupled: true }", "decoupled"),
    ],
)
def test_a_model_that_cannot_be_asked_is_said_to_be(config: str, reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        ask(config)


def test_without_a_default_model_the_only_directory_answers() -> None:
    assert request_for_artifact(artifact({"./one/config.pbtxt": PLAIN.encode(), "./README": b""}), None).text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a/config.pbtxt": b"", "b/config.pbtxt": b""}, r"several models \(a, b\)"),
        ({"a/1/model.py": b""}, "a has no config.pbtxt"),
        ({"a/config.pbtxt": b"\nnonsense: 1"}, "a/config.pbtxt:2:1: .*nonsense"),
        ({"a/config.pbtxt": b"\xff"}, "Expected"),
    ],
)
def test_an_artifact_without_a_usable_configuration_cannot_be_asked(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        request_for_artifact(artifact(files), None)


def test_an_artifact_that_is_no_archive_cannot_be_asked() -> None:
    with pytest.raises(UnsupportedModel, match="is damaged or not a tar archive"):
        request_for_artifact(b"not an archive", None)


def test_an_answer_is_shown_in_short() -> None:
    body = json.dumps(
        {
            "outputs": [
                {"name": "species", "data": ["setosa"]},
                {"name": "probabilities", "data": [0.98158, 0.01842, 1.4e-8]},
                {"name": "pixels", "data": list(range(1000))},
            ]
        }
    ).encode()
    assert ask(PLAIN).answer(body) == (
        "species=setosa, probabilities=[0.982, 0.018, 0], pixels=[0, 1, 2, 3, … 1000 in all]"
    )


def test_an_answer_that_is_no_inference_response_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an inference response"):
        ask(PLAIN).answer(b'{"error": "no"}')
    with pytest.raises(ValueError, match="not an inference response"):
        ask(PLAIN).missing(b'{"outputs": [1]}')


def test_outputs_that_the_configuration_declares_may_be_missing() -> None:
    assert ask(PLAIN).missing(b'{"outputs": [{"name": "y", "data": [1]}]}') == []
    assert ask(PLAIN).missing(b'{"outputs": [{"name": "z", "data": [1]}]}') == ["y"]


@pytest.mark.parametrize("value", [6.3, 0.1, 1e-30, 3.4028234663852886e38, -2.5])
def test_an_fp32_of_a_warm_up_file_is_asked_as_people_write_it(value: float) -> None:
    config = parse_config(
        """
        backend: "python"
        input [{ name: "x", data_type: TYPE_FP32, dims: [1] }]
        output [{ name: "y", data_type: TYPE_FP32, dims: [1] }]
        model_warmup [{ name: "w" batch_size: 1
                        inputs { key: "x" value { data_type: TYPE_FP32 dims: [1] input_data_file: "f" } } }]
        """,
        "config.pbtxt",
    )
    (tensor,) = request_for_config(config, {"f": struct.pack("<f", value)}).inputs
    assert tensor.data == [value]
