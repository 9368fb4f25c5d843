"""A model's `config.pbtxt`: protobuf text of the message `inference.ModelConfig`."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

CONFIG_FILE = "config.pbtxt"

MAX_CONFIG_BYTES = 131_072
"""Of a `config.pbtxt`; real ones have some kilobytes, those of large ensembles some tens."""

ModelConfig = Any  # the generated class of tritonclient's model_config_pb2, without type stubs


class ConfigError(Exception):
    """Text that is not a valid model configuration; the message begins with file:line:column."""

    def __init__(self, filename: str, line: int, column: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"{filename}:{line}:{column}: {reason}")


def parse_config(text: str, filename: str) -> ModelConfig:
    """The configuration as a message; `ConfigError` names file, line and column of what is not one."""
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigError(filename, 1, 1, f"is larger than {MAX_CONFIG_BYTES:,} bytes, which is the most that is read")
    try:
        config = text_format.Parse(_joined_signs(text), messages().ModelConfig())
        if unknown := next(_unknown_values(config), None):
            path, field, value = unknown
            allowed = ", ".join(value.name for value in field.enum_type.values)
            raise ConfigError(filename, field_lines(text).get(path, 1), 1, f"{path}: {value} is none of {allowed}")
        return config
    except text_format.ParseError as error:
        reason = re.sub(r"^\d+:\d+ : ", "", str(error))
        raise ConfigError(filename, error.GetLine() or 1, error.GetColumn() or 1, reason) from None


def _unknown_values(message: Any, prefix: str = "") -> Iterator[tuple[str, Any, int]]:
    """Path, field and value of each enum with an undefined value: protobuf accepts any number."""
    for field, value in message.ListFields():
        of_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        values = value.values() if of_map else value if field.is_repeated else [value]
        for index, each in enumerate(values):
            path = f"{prefix}{field.name}[{index}]"
            if field.enum_type is not None and each not in field.enum_type.values_by_number:
                yield path, field, each
            elif isinstance(each, Message):
                yield from _unknown_values(each, f"{path}.")


@functools.cache
def messages() -> ModuleType:
    """tritonclient's `model_config_pb2`, loaded alone: its package imports gRPC and numpy, 0.1 s of every preview."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("config.pbtxt is read with tritonclient, which is not installed")
    file = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def field_lines(text: str) -> dict[str, int]:
    """The line of every field of a text that parses, by its path: `{"input[0].dims[1]": 7, …}`."""
    lines: dict[str, int] = {}
    _message_lines(text_format.Tokenizer(_joined_signs(text).splitlines()), "", lines)
    return lines


_SIGN = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|#[^\n]*)|-[ \t]+(?=[0-9.])""")


def _joined_signs(text: str) -> str:
    """The text without blanks between a minus and its number, which protobuf accepts in C++ and not in Python."""
    return _SIGN.sub(lambda match: match[1] or "-", text)


def _message_lines(tokens: Any, prefix: str, lines: dict[str, int]) -> None:
    seen: Counter[str] = Counter()
    while not tokens.AtEnd() and tokens.token not in ("}", ">"):
        name, line = tokens.token, _line(tokens)
        tokens.NextToken()
        tokens.TryConsume(":")
        if tokens.TryConsume("["):
            while not tokens.TryConsume("]"):
                _value_lines(tokens, f"{prefix}{name}[{seen[name]}]", _line(tokens), lines)
                seen[name] += 1
                tokens.TryConsume(",")
        else:
            _value_lines(tokens, f"{prefix}{name}[{seen[name]}]", line, lines)
            seen[name] += 1
        _ = tokens.TryConsume(",") or tokens.TryConsume(";")


def _value_lines(tokens: Any, path: str, line: int, lines: dict[str, int]) -> None:
    lines[path] = line
    if tokens.TryConsume("{") or tokens.TryConsume("<"):
        _message_lines(tokens, f"{path}.", lines)
        tokens.NextToken()
        return
    first = tokens.token[0]
    tokens.NextToken()
    while first in "\"'" and tokens.token[:1] in ('"', "'"):  # adjacent strings are one value
        tokens.NextToken()


def _line(tokens: Any) -> int:
    return int(tokens.ParseError("").GetLine())
