"""What a change of a setting does to a running endpoint."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Effect(StrEnum):
    """What `pulumi up` does to an endpoint that serves, after a change of the setting alone."""

    NOTHING = "nothing"
    IN_PLACE = "in place"
    NEW_RELEASE = "new release"
    REPLACEMENT = "replacement"
    REFUSED = "refused"

    @property
    def explanation(self) -> str:
        """The same in a sentence."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Effect.NOTHING: "the endpoint stays as it is; a setting of releases counts from the next one on",
    Effect.IN_PLACE: "tags, alarms or scaling change beside the fleet, which goes on serving as it is",
    Effect.NEW_RELEASE: "a new fleet takes over as `release` says, and rolls back if it fails",
    Effect.REPLACEMENT: "something with a name of its own is made anew under the new name, endpoints are released with "
    "it, and then the old one is deleted: see the description",
    Effect.REFUSED: "`pulumi preview` and `pulumi up` fail before anything changes: see the description",
}


def on_change(effect: Effect) -> dict[str, Any]:
    """For `Field(json_schema_extra=…)`: the effect of the field and of the keys below it that name none."""
    return {"effect": effect.value}
