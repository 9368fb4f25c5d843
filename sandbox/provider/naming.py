"""Physical names for resources whose program gives none, as Pulumi's Terraform bridge makes them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulumi.runtime.proto.provider_pb2 import CheckRequest

_RANDOM_DIGITS = 7


@dataclass(frozen=True)
class AutoName:
    """How a type's physical name is made up: `<logical name>-<7 hex digits>`.

    Attributes:
        property: the property that holds the name.
        longest: the most characters AWS takes.
        lower: whether capitals are lowered, as in bucket names.
        suffix_if: a property, and what the name ends in when that property is true.
        bare: whether the logical name is taken as it is: a default like any other, not an automatic name.
    """

    property: str = "name"
    longest: int = 255
    lower: bool = False
    suffix_if: tuple[str, str] | None = None
    bare: bool = False

    def propose(self, request: CheckRequest, logical_name: str, inputs: Mapping[str, Any]) -> str:
        """The name for a new resource; the same request gives the same name.

        Raises:
            ValueError: automatic naming is off, or the name would be too long.
        """
        if self.bare:
            return logical_name
        options = request.autonaming if request.HasField("autonaming") else None
        if options and options.mode == CheckRequest.AutonamingOptions.DISABLE:
            raise ValueError("automatic naming is disabled but no explicit name was provided")
        if options and options.mode == CheckRequest.AutonamingOptions.ENFORCE:
            return options.proposed_name
        name = options.proposed_name if options else f"{logical_name}-{_digits(request.randomSeed, logical_name)}"
        suffix = self.suffix_if[1] if self.suffix_if and inputs.get(self.suffix_if[0]) is True else ""
        name = (name.lower() if self.lower else name) + suffix
        if len(name) > self.longest:
            raise ValueError(
                f"the automatic name {name!r} has {len(name)} characters, and AWS takes {self.longest}: "
                "give the resource a shorter name in the program, or set this property"
            )
        return name


def _digits(seed: bytes, logical_name: str) -> str:
    if not seed:
        return secrets.token_hex(_RANDOM_DIGITS)[:_RANDOM_DIGITS]
    return hashlib.sha256(seed + logical_name.encode()).hexdigest()[:_RANDOM_DIGITS]
