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
INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
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
    least: int = INT32[0]
    most: int = INT32[1]
    choices: tuple[str, ...] = ()
    unit: str = ""


OPTIONS: Mapping[str, Option] = {
    "ADDITIONAL_ARGS": Option("text"),
    "ALLOW_GRPC": Option("bool"),
    "ALLOW_METRICS": Option("bool"),
    "BUFFER_MANAGER_THREAD_COUNT": Option("number", least=0),
    "DEFAULT_MODEL_NAME": Option("text"),
    "DISABLE_MODEL_NAMESPACING": Option("bool"),
    "GRPC_PORT": Option("number", least=0, most=65535),
    "INFERENCE_TYPE": Option("choice", choices=("infer", "generate", "generate_stream")),
    "LOG_ERROR": Option("bool"),
    "LOG_INFO": Option("bool"),
    "LOG_VERBOSE": Option("bool or number", least=0),
    "LOG_WARNING": Option("bool"),
    "METRICS_PORT": Option("number", least=0, most=65535),
    "MODEL_LOAD_GPU_LIMIT": Option("fraction", least=0, most=1),
    "OVERRIDE_PING_MODE": Option("choice", choices=("ready", "live")),
    "PING_MODE": Option("choice", choices=("ready", "live")),
    "SHM_DEFAULT_BYTE_SIZE": Option("number", least=4 * MIB, most=INT64[1], unit="bytes"),
    "SHM_GROWTH_BYTE_SIZE": Option("number", least=1, most=INT64[1], unit="bytes"),
    "TENSORFLOW_VERSION": Option("choice", choices=("1", "2")),
    "THREAD_COUNT": Option("number", least=1),
}
"""By name without the prefix: what `serve` reads. The bounds of the byte sizes are the Python backend's
(`TRITONBACKEND_Initialize` in python_be.cc: 4 MiB in releases to 24.12 and in its message to this day)."""

SET_BY_SERVE: Mapping[str, str] = {
    "model-repository": "",
    "model-store": "",
    "model-control-mode": "explicit",
    "allow-sagemaker": "true",
    "sagemaker-port": "8080",
}
"""Arguments that `serve` sets and that break the endpoint with any other value than this one."""

_BOOLS = frozenset({"true", "false", "on", "off", "1", "0"})


@dataclass(frozen=True)
class OptionProblem:
    """A wrong value: the variable, the rule's id, what is wrong and the remedy."""

    variable: str
    rule: str
    message: str
    severity: Literal["error", "warning"] = "error"


def environment_problems(environment: Mapping[str, str]) -> Iterator[OptionProblem]:
    """What stops `tritonserver` or is ignored by it in a container's environment.

    Args:
        environment: the container's variables; those without the prefix are not looked at.
    """
    for variable, value in sorted(environment.items()):
        option = OPTIONS.get(variable.removeprefix(PREFIX)) if variable.startswith(PREFIX) else None
        words = value.split()
        if option is None or not words:  # an empty variable counts as unset
            continue
        if variable == ADDITIONAL_ARGS:
            yield from _argument_problems(words)
        elif option.kind != "text":
            yield from _value_problems(variable, option, words)


def _value_problems(variable: str, option: Option, words: Sequence[str]) -> Iterator[OptionProblem]:
    value, *others = words
    if others and not others[0].startswith("-"):
        message = f"{' '.join(words)!r} has a blank, which ends the argument. Remove what follows the blank."
        yield OptionProblem(variable, "option-blank", message)
    elif refusal := _refusal(option, value):
        yield OptionProblem(variable, "option-value", refusal)
    elif option.kind == "number" and not re.fullmatch(r"[+-]?\d+", value):
        number = re.match(r"[+-]?\d+", value)
        read = number[0] if number else value
        message = f"{value!r} is read as {read}. Write the number alone{f', in {option.unit}' if option.unit else ''}."
        yield OptionProblem(variable, "option-value-cut", message, "warning")


def _refusal(option: Option, value: str) -> str | None:
    """Why `tritonserver` stops with a value, and the accepted ones."""
    if option.kind == "choice":
        return None if value in option.choices else f"{value!r} must be one of {', '.join(option.choices)}."
    if option.kind == "bool":
        return None if value.lower() in _BOOLS else f"{value!r} must be true or false."
    if option.kind == "fraction":
        number = re.match(r"[+-]?(\d+\.?\d*|\.\d+)", value)
        return None if number and 0 <= float(number[0]) <= 1 else f"{value!r} must be a number from 0.0 to 1.0."
    if option.kind == "bool or number" and value.lower() in ("true", "false"):
        return None
    number = re.match(r"[+-]?\d+", value)  # std::stoi reads the digits at the beginning
    if number and option.least <= int(number[0]) <= option.most:
        return None
    kind = "true, false or a whole number" if option.kind == "bool or number" else "a whole number"
    unit = f" {option.unit}" if option.unit else ""
    most = "" if option.most in (INT32[1], INT64[1]) else f" and at most {option.most:,}"
    read = f" (read as {number[0]})" if number and number[0] != value else ""
    return f"{value!r}{read} must be {kind}, at least {option.least:,}{unit}{most}."


def _argument_problems(words: Sequence[str]) -> Iterator[OptionProblem]:
    for name, value in _arguments(words):
        if name in SET_BY_SERVE and (value != SET_BY_SERVE[name] or not value):
            message = f"--{name} is set by AWS's container, and another value stops the endpoint. Remove it."
            yield OptionProblem(ADDITIONAL_ARGS, "serve-argument", message)
        elif not name:
            message = f"{value!r} is not an argument of tritonserver. Write --name=value."
            yield OptionProblem(ADDITIONAL_ARGS, "not-an-argument", message)


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
