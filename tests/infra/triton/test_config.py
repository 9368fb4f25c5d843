"""Reading `config.pbtxt`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.triton.config import ConfigError, field_lines, parse_config


def test_a_configuration_is_read_into_tritons_message() -> None:
    config = parse_config('name: "iris"\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] } ]', "config.pbtxt")
    assert (config.name, list(config.input[0].dims)) == ("iris", [-1, 4])


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ('name: "iris"\n  max_batchsize: 8', "2:3", 'no field named "max_batchsize"'),
        ('name: "iris"\nmax_batch_size: "8"', "2:17", "integer"),
        ("input {\n  data_type: FP32\n}", "2:14", "no value named FP32"),
        ('name: "iris', "1:7", "ending quote"),
        ("input [ {", "1:9", "Expected"),
    ],
)
def test_an_error_names_file_line_and_column(text: str, place: str, reason: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "iris/config.pbtxt")
    assert str(error.value).startswith(f"iris/config.pbtxt:{place}: ")
    assert reason in error.value.reason
    assert error.value.line == int(place.partition(":")[0])


def test_every_field_has_its_line() -> None:
    text = """# a comment
name: 'in '
      "parts"
input [
  { name: "x", dims: [ 1,
    2 ] },
  { name: "y" }
]; version_policy { specific < versions: 3 > }
output { name: "z" }
output { name: "w" }
"""
    parse_config(text, "config.pbtxt")
    assert field_lines(text) == {
        "name[0]": 2,
        "input[0]": 5,
        "input[0].name[0]": 5,
        "input[0].dims[0]": 5,
        "input[0].dims[1]": 6,
        "input[1]": 7,
        "input[1].name[0]": 7,
        "version_policy[0]": 8,
        "version_policy[0].specific[0]": 8,
        "version_policy[0].specific[0].versions[0]": 8,
        "output[0]": 9,
        "output[0].name[0]": 9,
        "output[1]": 10,
        "output[1].name[0]": 10,
    }


def test_reading_a_configuration_imports_neither_grpc_nor_numpy() -> None:
    program = (
        "import sys; from infra.triton.config import parse_config; parse_config('', 'x'); "
        "sys.exit(bool({'grpc', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3]).returncode == 0


def test_the_message_is_the_one_that_tritonclient_uses() -> None:
    from tritonclient.grpc import model_config_pb2

    assert isinstance(parse_config("", "config.pbtxt"), model_config_pb2.ModelConfig)
