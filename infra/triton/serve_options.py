"""The environment variables of AWS's Triton container and the arguments that they become.

`docker/sagemaker/serve` turns the variables into arguments of `tritonserver`, whose parser stops the server for a value
that it cannot read (`command_line_parser.cc`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

PREFIX = "SAGEMAKER_TRITON_"
ADDITIONAL_ARGS = f"{PREFIX}ADDITIONAL_ARGS"
INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
MIB = 2**20

Kind = Literal["bool", "bool or number", "number", "fraction", "choice", "text"]


@dataclass(frozen=True)
class Option:
    """The type and bounds of a variable's value.

    Attributes:
        kind: how the value is read.
        least: the smallest number, inclusive.
        most: the largest number, inclusive.
        choices: the values of a choice.
        unit: of the number.
    """

    kind: Kind
    least: int = 0
    most: int = INT32_MAX
    choices: tuple[str, ...] = ()
    unit: str = ""


OPTIONS: Mapping[str, Option] = {
    "ADDITIONAL_ARGS": Option("text"),
    "ALLOW_GRPC": Option("bool"),
    "ALLOW_METRICS": Option("bool"),
    "BUFFER_MANAGER_THREAD_COUNT": Option("number"),
    "DEFAULT_MODEL_NAME": Option("text"),
    "DISABLE_MODEL_NAMESPACING": Option("text"),
    "GRPC_PORT": Option("number", most=65535),
    "INFERENCE_TYPE": Option("choice", choices=("infer", "generate", "generate_stream")),
    "LOG_ERROR": Option("bool"),
    "LOG_INFO": Option("bool"),
    "LOG_VERBOSE": Option("bool or number"),
    "LOG_WARNING": Option("bool"),
    "METRICS_PORT": Option("number", most=65535),
    "MODEL_LOAD_GPU_LIMIT": Option("fraction"),
    "OVERRIDE_PING_MODE": Option("text"),
    "PING_MODE": Option("text"),
    "SHM_DEFAULT_BYTE_SIZE": Option("number", least=MIB, most=INT64_MAX, unit="bytes"),
    "SHM_GROWTH_BYTE_SIZE": Option("number", least=1, most=INT64_MAX, unit="bytes"),
    "TENSORFLOW_VERSION": Option("choice", choices=("1", "2")),
    "THREAD_COUNT": Option("number", least=1),
}
"""By name without the prefix: what `serve` reads. The byte sizes are those of the Python backend
(`TRITONBACKEND_Initialize` in python_be.cc)."""

SHM_DEFAULT_BYTE_SIZE = f"{PREFIX}SHM_DEFAULT_BYTE_SIZE"
MAX_BODY_MB = 67
"""Megabytes of a request's body that Triton accepts by default: 2^26 bytes (`http-max-input-size` in
command_line_parser.cc)."""

OLD_SHM_BYTES, OLD_SHM_UNTIL = 4 * MIB, "23.09"
"""The smallest default size of shared memory before this release (python_backend #291)."""

SET_BY_SERVE: Mapping[str, str] = {
    "model-repository": "",
    "model-store": "",
    "model-control-mode": "explicit",
    "allow-sagemaker": "true",
    "sagemaker-port": "8080",
}
"""Arguments that `serve` sets and that break the endpoint with any other value than this one."""

_NUMBER = re.compile(r"[+-]?\d+")
"""What std::stoi reads at the beginning of a text."""
_BOOLS = frozenset({"true", "false", "on", "off", "1", "0"})


def value_errors(environment: Mapping[str, str]) -> dict[str, str]:
    """Why `tritonserver` or `serve` stops with a value, by variable. No value is quoted, because it may be a secret."""
    errors = {}
    for variable, option, words in _options(environment):
        if variable == ADDITIONAL_ARGS:
            message = " ".join(_argument_errors(words))
        elif len(words) > 1 and not words[1].startswith("-"):
            message = "the value has a blank, which ends the argument. Remove what follows the blank."
        else:
            message = _value_error(option, words[0])
        if message:
            errors[variable] = message
    return errors


def value_warnings(environment: Mapping[str, str]) -> dict[str, str]:
    """The numbers that other text follows, which `tritonserver` ignores, by variable."""
    return {
        variable: f"Triton ignores the text after the number. Write the number alone{_in(option)}."
        for variable, option, words in _options(environment)
        if option.kind == "number" and (number := _NUMBER.match(words[0])) and number[0] != words[0]
    }


def _options(environment: Mapping[str, str]) -> Iterator[tuple[str, Option, Sequence[str]]]:
    """Each variable that `serve` reads and that is not empty, with its option and the words of its value."""
    for variable, value in sorted(environment.items()):
        option = OPTIONS.get(variable.removeprefix(PREFIX)) if variable.startswith(PREFIX) else None
        if option and value.split():
            yield variable, option, value.split()


def _in(option: Option) -> str:
    return f", in {option.unit}" if option.unit else ""


def _value_error(option: Option, value: str) -> str:
    """The accepted values, if this is not one of them; else an empty text."""
    number = _NUMBER.match(value)
    match option.kind:
        case "choice":
            return "" if value in option.choices else f"must be one of {', '.join(option.choices)}."
        case "bool":
            return "" if value.lower() in _BOOLS else "must be true or false."
        case "fraction":
            fraction = re.match(r"[+-]?(\d+\.?\d*|\.\d+)", value)
            return "" if fraction and 0 <= float(fraction[0]) <= 1 else "must be a number from 0.0 to 1.0."
        case "bool or number" if value.lower() in ("true", "false"):
            return ""
        case "number" | "bool or number" if not (number and option.least <= int(number[0]) <= option.most):
            kind = "a whole number" if option.kind == "number" else "true, false or a whole number"
            most = "" if option.most in (INT32_MAX, INT64_MAX) else f" and at most {option.most}"
            return f"must be {kind}{_in(option)}, at least {option.least}{most}."
    return ""


def _argument_errors(words: Sequence[str]) -> Iterator[str]:
    for name, value in _arguments(words):
        if name in SET_BY_SERVE and value != SET_BY_SERVE[name]:
            yield f"--{name} is set by AWS's container, and another value stops the endpoint. Remove it."
        elif not name:
            yield "a word is not an argument of tritonserver. Write --name=value."


@dataclass(frozen=True)
class Arguments:
    """What the check needs to know of SAGEMAKER_TRITON_ADDITIONAL_ARGS.

    Attributes:
        load_models: the models that `--load-model` names.
        disables_auto_complete: whether backends may not complete configurations.
    """

    load_models: tuple[str, ...]
    disables_auto_complete: bool

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Arguments:
        arguments = list(_arguments(environment.get(ADDITIONAL_ARGS, "").split()))
        disables = any(
            name == "disable-auto-complete-config"
            or (name == "strict-model-config" and value.lower() in ("true", "on", "1"))
            for name, value in arguments
        )
        return cls(tuple(value for name, value in arguments if name == "load-model"), disables)


_WITHOUT_VALUE = frozenset({"disable-auto-complete-config", "help", "version"})


def _arguments(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each `--name=value` or `--name value`; a word that is neither has no name."""
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            yield "", word
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals and name not in _WITHOUT_VALUE and left and not left[0].startswith("--"):
            value = left.pop(0)
        yield name, value


def limits_body(environment: Mapping[str, str]) -> bool:
    """Whether Triton accepts bodies of `MAX_BODY_MB` at most."""
    return "--http-max-input-size" not in environment.get(ADDITIONAL_ARGS, "")
