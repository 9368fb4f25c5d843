"""What all sections of a stack file share: documented camelCase keys, and rules that are reported together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from infra.diagnostics.problem import Location, Problem, Severity

Broken = str | Mapping[str | Location, str] | None
"""The result of a rule: a message about its key, or about keys below it; nothing if the rule holds. A key below is
`inner.innermost`, or a tuple where a name may have dots."""

_Rule = TypeVar("_Rule", bound=Callable[[Any], Broken])


def rule(key: str, severity: Severity = "error") -> Callable[[_Rule], _Rule]:
    """Mark a method as a rule about `key`, or `key.inner`; its name with hyphens is the rule's id."""

    def mark(method: _Rule) -> _Rule:
        id_ = method.__name__.replace("_", "-")
        method.problem = Problem(id_, "", severity, tuple(key.split(".")))  # type: ignore[attr-defined]
        return method

    return mark


def warning(key: str) -> Callable[[_Rule], _Rule]:
    """The same for a rule that a stack may break."""
    return rule(key, "warning")


def violation(rule: str, message: str) -> PydanticCustomError:
    """A broken rule, as a validator of pydantic raises it.

    Args:
        rule: the rule's id, such as `arm-instance`.
    """
    return PydanticCustomError(rule, "{message}", {"message": message})


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
    Effect.IN_PLACE: "tags, alarms, autoscaling or log groups change; the fleet does not",
    Effect.NEW_RELEASE: "a new fleet takes over as `release` describes, and is rolled back if it fails",
    Effect.REPLACEMENT: "a resource is created under the new name, endpoints are released with it, and then the old "
    "resource is deleted, unless the description says that it is kept",
    Effect.REFUSED: "`pulumi preview` and `pulumi up` fail before anything changes; see the description",
}


def setting(
    description: str,
    *,
    source: str,
    effect: Effect | None = None,
    example: Any = None,
    secret: bool = False,
    null: bool = False,
    schema: Mapping[str, Any] | None = None,
    **field: Any,
) -> Any:
    """A documented key of a section.

    Args:
        description: what the value is for, with its unit and the API's name for it. The default and the range are
            documented from `field`.
        source: the rule for its values: a shape of an API (`ECR API RepositoryName`), a page of a guide, or
            `this project: ` with the reason. After a semicolon, `this project` is stricter than the source before it.
        effect: what a change does; that of the section around the key by default.
        example: a valid value; only sections have none.
        secret: whether the values may be Pulumi secrets.
        null: whether null is a value, which turns a default off. Any other empty key is a mistake.
        schema: more keywords for the JSON Schema.
        field: the default and the constraints of `pydantic.Field`.
    """
    extra: dict[str, Any] = {"rule_source": source, **(schema or {})}
    if effect is not None:
        extra["effect"] = effect.value
    if secret:
        extra["secret"] = True
    if null:
        extra["null"] = True
    examples = None if example is None else [example]
    return Field(description=description, examples=examples, json_schema_extra=extra, **field)


class InvalidSetting(Exception):
    """A rule reads a setting that is not valid."""


class Section(BaseModel):
    """One mapping of the stack file. Keys are camelCase, and unknown keys are invalid. `PartialValidation` checks the
    rules; pydantic alone does not."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, validate_by_name=False
    )

    excluded: ClassVar[Mapping[str, Problem]] = {}
    """The problems of keys that only other members of the same tagged union have, where there is more to say than
    that."""

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        """The fields by the keys that a stack file may have in the section."""
        return {str(field.alias): field for field in cls.model_fields.values()}

    @classmethod
    def tags_by_key(cls) -> dict[str, tuple[str, ...]]:
        """The members of a tagged union below, by each key in the section that only they have."""
        return {}

    @classmethod
    def problems_of_text(cls, values: Mapping[str, Any]) -> Iterator[Problem]:
        """Problems of the section's values that are not visible in the shape of the model."""
        yield from ()

    @classmethod
    def in_shape(cls, values: dict[str, Any]) -> tuple[dict[str, Any], Location]:
        """The section's values in the shape of the model, and the keys above those that the text has without them."""
        return values, ()

    @classmethod
    def as_far_as_valid(cls, values: Mapping[str, Any], keys: Collection[str]) -> Self:
        """A section in which only some values are valid; to read another one raises `InvalidSetting`.

        Args:
            values: the valid values by the names of their fields.
            keys: the keys that the text has.
        """
        named = {name for name, field in cls.model_fields.items() if field.alias in keys}
        section = cast(Self, cls.model_construct(named))
        section.__dict__.clear()
        section.__dict__.update(values)
        return section

    def invalidate(self, *keys: str) -> None:
        """Make rules that read one of these keys skip."""
        for name, field in type(self).model_fields.items():
            if field.alias in keys:
                self.__dict__.pop(name, None)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self).model_fields:
                raise InvalidSetting(name)
            return super().__getattr__(name)

    def model_dump(self, **options: Any) -> dict[str, Any]:
        for name in type(self).model_fields:
            getattr(self, name)
        return super().model_dump(**options)

    def broken_rules(self, severity: Severity) -> Iterator[Problem]:
        """The problems that the section's own rules of a severity find, with paths that begin in the section; a rule
        that reads an invalid setting is skipped."""
        for method in _rules_of(type(self), severity):
            with contextlib.suppress(InvalidSetting):
                yield from [*_problems(method.problem, method(self))]


@cache
def _rules_of(section: type[Section], severity: Severity) -> tuple[Any, ...]:
    methods = (method for class_ in section.__mro__ for method in vars(class_).values() if hasattr(method, "problem"))
    return tuple(method for method in methods if method.problem.severity == severity)


def _problems(problem: Problem, broken: Broken) -> Iterator[Problem]:
    if isinstance(broken, Mapping):
        for key, message in broken.items():
            below = tuple(key.split(".")) if isinstance(key, str) else key
            yield replace(problem, message=message, path=(*problem.path, *below))
    elif broken:
        yield replace(problem, message=broken)


def unique(values: list[str]) -> list[str]:
    """A validator of lists that must not have a value twice."""
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise violation("repeated-value", f"{', '.join(repeated)}: listed more than once. Remove the duplicates.")
    return values
