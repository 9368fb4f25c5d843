"""The tags of a stack's resources."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from infra.settings.section import violation

MAX_TAGS = 50
"""Tags a resource may have (AWS tagging rules)."""

RESERVED_TAGS = 16
"""What an endpoint needs beside those of the settings: its owner, and in an update the record of its autoscaling."""


COST_TAGS = ("CostEnv", "CostService")
"""The tags that costs are booked by."""

_RESERVED_TAG_PREFIXES = ("aws:", "triton-sagemaker:")
_TAG_CHARACTERS = r"[\w .:/=+@-]"
_NO_TAG_CHARACTERS = r"\x00-\x1f!\x22#$%&'()*,;<>?\[\\\]\^`{|}~\x7f"
"""Those of ASCII: JSON Schema has no word for the letters of all languages."""


def _tag_key(key: str) -> str:
    if key.lower().startswith(_RESERVED_TAG_PREFIXES):
        whose = "AWS" if key.lower().startswith("aws:") else "the program, which keeps an endpoint's owner there"
        raise violation("reserved-tag", f"{key}: no tag begins with {key.partition(':')[0]}:, which is for {whose}.")
    if not 1 <= len(key) <= 128:
        raise violation(
            "tag-key-length", f"the tag's key has {len(key)} characters; AWS takes 1 to 128 (AWS tagging rules)."
        )
    return _of_tag_characters(key)


def _tag_value(value: str) -> str:
    if len(value) > 256:
        raise violation(
            "tag-value-length",
            f"the tag's value has {len(value)} characters; AWS takes at most 256 (AWS tagging rules).",
        )
    return _of_tag_characters(value)


def _of_tag_characters(text: str) -> str:
    if not re.fullmatch(f"{_TAG_CHARACTERS}*", text):
        raise violation(
            "tag-characters",
            f"{text!r}: all services accept letters, digits, spaces and _ . : / = + - @ only (AWS tagging rules).",
        )
    return text


TagKey = Annotated[
    str,
    AfterValidator(_tag_key),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(?![aA][wW][sS]:)(?!triton-sagemaker:)[^{_NO_TAG_CHARACTERS}]+$",
            "maxLength": 128,
        }
    ),
]
TagValue = Annotated[
    str,
    AfterValidator(_tag_value),
    WithJsonSchema({"type": "string", "pattern": f"^[^{_NO_TAG_CHARACTERS}]*$", "maxLength": 256}),
]
