"""A model's `config.pbtxt`: protobuf text of the message `inference.ModelConfig`."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import text_format

ModelConfig = Any  # the generated class of tritonclient's model_config_pb2, which has no type stubs


class ConfigError(Exception):
    """Text that is no model configuration; the message begins with file:line:column."""

    def __init__(self, filename: str, line: int, column: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(f"{filename}:{line}:{column}: {reason}")


def parse_config(text: str, filename: str) -> ModelConfig:
    """The configuration as a message; `ConfigError` names file, line and column of what is not one."""
    try:
        return text_format.Parse(text, messages().ModelConfig())
    except text_format.ParseError as error:
        reason = re.sub(r"^\d+:\d+ : ", "", str(error))
        raise ConfigError(filename, error.GetLine() or 1, error.GetColumn() or 1, reason) from None


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
    _message_lines(text_format.Tokenizer(text.splitlines()), "", lines)
    return lines


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
