"""The tags of a stack's resources."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from infra.settings.section import violation

MAX_TAGS = 50
"""Tags of a resource (AWS tagging rules)."""

RESERVED_TAGS = 16
"""Tags that an endpoint needs besides those of the settings: its owner and, during an update, its autoscaling."""

COST_TAGS = ("CostEnv", "CostService")
"""The cost allocation tags."""

_RESERVED_PREFIXES = ("aws:", "triton-sagemaker:")


def _accepted(text: str) -> str:
    if not re.fullmatch(r"[\w .:/=+@-]*", text):
        raise violation(
            "tag-characters", f"{text!r}: use letters, digits, spaces and _ . : / = + - @ only (AWS tagging rules)."
        )
    return text


def _not_reserved(key: str) -> str:
    if key.lower().startswith(_RESERVED_PREFIXES):
        owner = "AWS" if key.lower().startswith("aws:") else "this program"
        prefix = key.partition(":")[0]
        raise violation("reserved-tag-key", f"the prefix {prefix}: is reserved for {owner}. Use another key.")
    return key


TagKey = Annotated[
    str, StringConstraints(min_length=1, max_length=128), AfterValidator(_not_reserved), AfterValidator(_accepted)
]
TagValue = Annotated[str, StringConstraints(max_length=256), AfterValidator(_accepted)]
