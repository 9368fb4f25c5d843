"""Which value was meant by a wrong one, where that can be told."""

from __future__ import annotations

import re
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.diagnostics.suggest import nearest
from infra.settings.quantity import number_meant

_TRUTH = {"true": True, "yes": True, "on": True, "y": True, "false": False, "no": False, "off": False, "n": False}
"""What YAML 1.1 and people take for true and false."""

_RELEASE = re.compile(r"\d\d\.\d\d-py3")
"""A release of Triton, as AWS tags its image."""


def correction(error: ErrorDetails, given: Any, field: FieldInfo | None) -> Any:
    """The value to write instead; None if that cannot be told."""
    match error["type"]:
        case "int_type" | "float_type" if isinstance(given, str):
            return number_meant(given, field, whole=error["type"] == "int_type")
        case "bool_type" if isinstance(given, str):
            return _TRUTH.get(given.casefold())
        case "union_tag_invalid" | "enum" | "literal_error" if isinstance(given, str):
            return nearest(given, choices(error))
        case "string_type" | "string_pattern_mismatch" if isinstance(given, str | float):
            return _release(given) if field and _RELEASE.fullmatch(str((field.examples or [""])[0])) else None
    return None


def choices(error: ErrorDetails) -> list[str]:
    """The values of which one has to be taken."""
    context = error["ctx"]
    return re.findall(r"'([^']+)'", context.get("expected") or context["expected_tags"])


def _release(given: str | float) -> str | None:
    """YAML takes 23.10 for a number, which has no zero at its end."""
    text = f"{given:.2f}" if isinstance(given, float) else given
    return f"{text}-py3" if _RELEASE.fullmatch(f"{text}-py3") else None
