"""What every part of the configuration has in common: documented camelCase keys, and rules across keys that are
reported together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
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


class Effect(StrEnum):
    """What `pulumi up` does to an endpoint in service after a change of one setting."""

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
    Effect.NOTHING: "the endpoint does not change; settings of releases apply from the next release on",
    Effect.IN_PLACE: "tags, alarms or autoscaling change; the fleet does not",
    Effect.NEW_RELEASE: "a new fleet takes over as `release` describes, and is rolled back if it fails",
    Effect.REPLACEMENT: "a resource is created under the new name, endpoints are released with it, and then the old "
    "resource is deleted; see the description",
    Effect.REFUSED: "`pulumi preview` and `pulumi up` fail before anything changes; see the description",
}


def setting(
    description: str,
    *,
    source: str,
    effect: Effect | None = None,
    example: Any = None,
    secret: bool = False,
    schema: Mapping[str, Any] | None = None,
    **field: Any,
) -> Any:
    """A documented key of a section.

    Args:
        description: what the value is for, with its unit and the API's name for it. The default and the range are
            documented from `field`.
        source: whose rule the values follow: a shape of an API (`ECR API RepositoryName`), a page of a guide, or
            `this project: ` with the reason. After a semicolon, `this project` is stricter than the source before it.
        effect: what a change does; that of the section around the key by default.
        example: a valid value; only sections have none.
        secret: whether the values may be Pulumi secrets.
        schema: more keywords for the JSON Schema.
        field: the default and the constraints of `pydantic.Field`.
    """
    extra: dict[str, Any] = {"rule_source": source, **(schema or {})}
    if effect is not None:
        extra["effect"] = effect.value
    if secret:
        extra["secret"] = True
    examples = None if example is None else [example]
    return Field(description=description, examples=examples, json_schema_extra=extra, **field)


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
