"""The tags of a stack's resources."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from infra.settings.section import violation

MAX_TAGS = 50
"""Tags of a resource (AWS tagging rules)."""

RESERVED_TAGS = 16
"""Tags that an endpoint needs besides those of the settings: its owner and, during an update, its autoscaling."""

COST_TAGS = ("CostEnv", "CostService")
"""The cost allocation tags."""

_RESERVED_PREFIXES = ("aws:", "triton-sagemaker:")
_ACCEPTED = r"[\w .:/=+@-]"
_REJECTED = r"\x00-\x1f!\x22#$%&'()*,;<>?\[\\\]\^`{|}~\x7f"
"""The ASCII characters that no tag accepts: JSON Schema has no class for the letters of all languages."""


def _tag_key(key: str) -> str:
    if key.lower().startswith(_RESERVED_PREFIXES):
        owner = "AWS" if key.lower().startswith("aws:") else "this program"
        raise violation("reserved-tag-key", f"{key}: the prefix {key.partition(':')[0]}: is reserved for {owner}.")
    if not 1 <= len(key) <= 128:
        raise violation("tag-key-length", f"the key has {len(key)} characters; AWS accepts 1 to 128.")
    return _tag_text(key)


def _tag_value(value: str) -> str:
    if len(value) > 256:
        raise violation("tag-value-length", f"the value has {len(value)} characters; AWS accepts at most 256.")
    return _tag_text(value)


def _tag_text(text: str) -> str:
    if not re.fullmatch(f"{_ACCEPTED}*", text):
        raise violation(
            "tag-characters",
            f"{text!r}: use letters, digits, spaces and _ . : / = + - @ only (AWS tagging rules).",
        )
    return text


TagKey = Annotated[
    str,
    AfterValidator(_tag_key),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(?![aA][wW][sS]:)(?!triton-sagemaker:)[^{_REJECTED}]+$",
            "maxLength": 128,
        }
    ),
]
TagValue = Annotated[
    str,
    AfterValidator(_tag_value),
    WithJsonSchema({"type": "string", "pattern": f"^[^{_REJECTED}]*$", "maxLength": 256}),
]
