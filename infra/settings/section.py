"""What every part of the configuration has in common: strict camelCase keys, and rules across keys that are
reported together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

Broken = str | Mapping[str | tuple[str, ...], str] | None
"""What a rule says: what is wrong with its key, or with keys below it, each with the way out; nothing if it holds. A
key below is ``inner.innermost``, or a tuple where it may have dots."""

_Rule = TypeVar("_Rule", bound=Callable[[Any], Broken])


def rule(key: str) -> Callable[[_Rule], _Rule]:
    """Mark a method as a rule about ``key``, or ``key.inner``."""

    def mark(method: _Rule) -> _Rule:
        method.rule_key = key  # type: ignore[attr-defined]
        return method

    return mark


def violation(message: str, at: str | None = None) -> PydanticCustomError:
    """A broken rule, as pydantic's validators raise it.

    Args:
        at: the top-level key that is wrong, if it is not the one whose validator found out.
    """
    return PydanticCustomError("rule", "{message}", {"message": message, "at": at})


class Section(BaseModel):
    """One mapping of the stack file. Keys are camelCase, unknown keys are refused, and all broken rules are raised
    at once."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, validate_by_name=False
    )

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [
            InitErrorDetails(type=violation(message), loc=location, input=None)
            for method in _rules_of(type(self))
            for location, message in _located(method.rule_key, method(self))
        ]
        if broken:
            raise ValidationError.from_exception_data(type(self).__name__, broken)
        return self


@cache
def _rules_of(section: type[Section]) -> tuple[Any, ...]:
    return tuple(method for each in section.__mro__ for method in vars(each).values() if hasattr(method, "rule_key"))


def refuse_unknown_keys(*sections: type[Section]) -> BeforeValidator:
    """For a union of sections that are told apart by their keys, so that one nobody knows has to be refused before."""
    known = {field.alias for section in sections for field in section.model_fields.values()}

    def refuse(value: Any) -> Any:
        if unknown := [key for key in value if key not in known] if isinstance(value, Mapping) else []:
            errors = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=value[key]) for key in unknown]
            raise ValidationError.from_exception_data("union", errors)
        return value

    return BeforeValidator(refuse)


def _located(key: str, broken: Broken) -> list[tuple[tuple[str, ...], str]]:
    at = tuple(key.split("."))
    if isinstance(broken, Mapping):
        parts = ((below.split(".") if isinstance(below, str) else below, said) for below, said in broken.items())
        return [((*at, *below), said) for below, said in parts]
    return [(at, broken)] if broken else []
