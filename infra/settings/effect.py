"""The effect of a field, for fields that `section.setting` does not declare yet."""

from __future__ import annotations

from typing import Any

from infra.settings.section import Effect as Effect


def on_change(effect: Effect) -> dict[str, Any]:
    """For `Field(json_schema_extra=…)`: the effect of the field and of the keys below it that name none."""
    return {"effect": effect.value}
