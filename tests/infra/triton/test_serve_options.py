"""The variables of AWS's container: what `tritonserver` reads of their values."""

from __future__ import annotations

import pytest

from infra.triton.serve_options import ADDITIONAL_ARGS, Arguments, value_errors, value_warnings

VALUES = [  # the option, what is accepted, what is not
    ("SHM_DEFAULT_BYTE_SIZE", ["1048576", "67108864"], ["64MB", "1048575", "-1", "many", "99999999999999999999"]),
    ("SHM_GROWTH_BYTE_SIZE", ["1", "1048576"], ["0", "-1", "x"]),
    ("THREAD_COUNT", ["1", "16", "+8"], ["0", "many", "2147483648"]),
    ("BUFFER_MANAGER_THREAD_COUNT", ["0", "4"], ["-1", "all"]),
    ("GRPC_PORT", ["8001"], ["65536", "grpc"]),
    ("METRICS_PORT", ["8002"], ["-1"]),
    ("ALLOW_GRPC", ["true", "False", "ON", "0"], ["yes", "2"]),
    ("ALLOW_METRICS", ["1"], ["enabled"]),
    ("LOG_INFO", ["off"], ["info"]),
    ("LOG_WARNING", ["true"], ["warn"]),
    ("LOG_ERROR", ["false"], ["-1"]),
    ("LOG_VERBOSE", ["true", "FALSE", "0", "2"], ["yes", "verbose", "on", "-1"]),
    ("INFERENCE_TYPE", ["infer", "generate", "generate_stream"], ["Generate", "stream"]),
    ("TENSORFLOW_VERSION", ["1", "2"], ["3", "2.12"]),
    ("MODEL_LOAD_GPU_LIMIT", ["0.9", "1", ".5"], ["90", "-0.1", "most"]),
    ("ADDITIONAL_ARGS", ["--load-model=a --rate-limit off", "--model-control-mode=explicit"], ["load-model=a"]),
    ("ADDITIONAL_ARGS", [""], ["--model-control-mode=poll", "--model-repository=/models", "--allow-sagemaker=false"]),
    ("ADDITIONAL_ARGS", ["--exit-on-error=false"], ["--sagemaker-port=80", "--model-store /models"]),
    ("DEFAULT_MODEL_NAME", ["iris"], []),
]


@pytest.mark.parametrize(("option", "accepted", "refused"), VALUES)
def test_the_value_of_an_option(option: str, accepted: list[str], refused: list[str]) -> None:
    variable = f"SAGEMAKER_TRITON_{option}"
    assert [value for value in accepted if value_errors({variable: value})] == []
    assert [value for value in refused if not value_errors({variable: value})] == []


def test_a_blank_ends_an_argument() -> None:
    assert value_errors({"SAGEMAKER_TRITON_LOG_INFO": "true false"})
    assert value_errors({"SAGEMAKER_TRITON_LOG_INFO": "true --log-error=true", "OTHER": "a b"}) == {}


def test_text_after_a_number_is_a_warning() -> None:
    environment = {"SAGEMAKER_TRITON_THREAD_COUNT": "8 ", "SAGEMAKER_TRITON_GRPC_PORT": "8001/tcp"}
    assert (value_errors(environment), list(value_warnings(environment))) == ({}, ["SAGEMAKER_TRITON_GRPC_PORT"])


def test_no_value_is_quoted() -> None:
    variables = [f"SAGEMAKER_TRITON_{option}" for option, _, _ in VALUES]
    messages = value_errors(dict.fromkeys(variables, "hunter2")) | value_warnings(dict.fromkeys(variables, "2hunter2"))
    assert messages
    assert "hunter2" not in "".join(messages.values())


@pytest.mark.parametrize(
    ("arguments", "models", "strict"),
    [
        ("", (), False),
        ("--load-model=a --load-model b", ("a", "b"), False),
        ("--disable-auto-complete-config --load-model=a", ("a",), True),
        ("--strict-model-config=true", (), True),
        ("--strict-model-config=false", (), False),
    ],
)
def test_the_arguments_that_the_check_reads(arguments: str, models: tuple[str, ...], strict: bool) -> None:
    assert Arguments.of({ADDITIONAL_ARGS: arguments}) == Arguments(models, strict)
