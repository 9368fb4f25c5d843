"""Whose rule the values of a setting follow."""

from __future__ import annotations

from typing import Any


def according_to(source: str) -> dict[str, Any]:
    """For `Field(json_schema_extra=…)`: where the field's range and form come from.

    An API's shape (`ECR API RepositoryName`), the page of a guide, or `this project: ` and why. Where the last follows
    another source after a semicolon, the field is stricter than that source.
    """
    return {"rule_source": source}
