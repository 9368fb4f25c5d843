"""What Pulumi makes of a scalar of a stack file."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any

from ruamel.yaml.nodes import ScalarNode

from infra.settings.bounds import MAX_DIGITS

_TIMES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")
"""Those that Go's YAML knows, without the fraction of a second."""
_NOT_FINITE = re.compile(r"[+-]?[.](?:inf|nan)", re.IGNORECASE)
_OCTAL = re.compile(r"[+-]?0[0-9_]*[1-9][0-9_]*")


def value_of(node: ScalarNode) -> Any:
    """The value: numbers without a fraction are whole, and what JSON has not is text."""
    text = node.value
    match _type(node):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            digits = text.replace("_", "")
            return text if len(digits) > MAX_DIGITS else _int(digits)
        case "float" if math.isfinite(number := _float(text)):
            return int(number) if number.is_integer() else number
        case _:
            return text


def misread(node: ScalarNode) -> str | None:
    """How Pulumi reads a value that looks like another one, and the way out."""
    text = node.value
    if _type(node) == "int" and len(text) > MAX_DIGITS:
        return f"Pulumi reads a number of {len(text):,} digits as text; at most {MAX_DIGITS} are a number."
    if _is_time(node):
        return "Pulumi reads a date as a point in time. Put it in quotes."
    if _type(node) == "int" and _OCTAL.fullmatch(text):
        # Go's YAML follows version 1.1 here, ruamel.yaml version 1.2.
        return (
            f"Pulumi reads a number that begins with 0 as octal. If it is text, put it in quotes: '{text}'. If it is a "
            f"number, write {value_of(node)}."
        )
    if _type(node) == "float" and _NOT_FINITE.fullmatch(text):
        return "Pulumi takes no number that is not finite. If it is text, put it in quotes."
    return None


def misread_key(node: ScalarNode) -> str | None:
    """The same of a key, which is text to whoever wrote it."""
    value = value_of(node)
    written = value if isinstance(value, str) else json.dumps(value)
    if misread(node) or value is None or written != node.value:
        return "Pulumi reads the key as something else than this text. Put it in quotes."
    return None


def _type(node: ScalarNode) -> str:
    return str(node.tag).rpartition(":")[2]


def _int(digits: str) -> int | str:
    try:
        return int(digits, 0) if digits.lstrip("+-")[:2] in ("0x", "0o", "0b") else int(digits)
    except ValueError:  # `!!int` before a text
        return digits


def _float(text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:  # .inf, .nan
        return math.nan


def _is_time(node: ScalarNode) -> bool:
    text = re.sub(r"(?<=:\d\d)\.\d+", "", node.value)
    is_plain = not node.style and not node.ctag.handle
    return is_plain and any(_has_form(text, form) for form in _TIMES)


def _has_form(text: str, form: str) -> bool:
    try:
        return bool(datetime.strptime(text, form))
    except ValueError:
        return False
