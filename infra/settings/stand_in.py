"""What may stand in for a wrong value: valid by itself, and of no meaning."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic.fields import FieldInfo

from infra.diagnostics.location import (
    Location,
    WrittenModel,
    field_of,
    is_entry,
    is_mapping,
    nesting,
    sections_at,
    sections_in,
)

LEFT_OUT: Final = object()
"""In place of a value: its key is not given."""


def stand_ins(model: type[WrittenModel], place: Location) -> list[Any]:
    """The values that a place may have, as unlike as can be had, or `LEFT_OUT`.

    A list's item that is no section has none, for without one the others would have other places.
    """
    if is_entry(model, place):
        sections = [_section(each) for each in sections_at(model, place).values()]
        return sections if isinstance(place[-1], int) else [*(sections or [_of_entry(model, place)]), LEFT_OUT]
    fields = _fields(model, place)
    found = [value for field in fields for value in _of_field(field)]
    return found if any(field.is_required() for field in fields) else [*found, LEFT_OUT]


def fresh_names(taken: Mapping[str, Any]) -> Iterator[str]:
    """Names that a mapping has not; two, so that what is said of them differs."""
    for letter in "ab":
        yield next(name for length in range(1, len(taken) + 2) if (name := letter * length) not in taken)


def _fields(model: type[WrittenModel], place: Location) -> list[FieldInfo]:
    """Those of all sections of a union, in which a key may be another one."""
    sections = sections_at(model, place[:-1]).values()
    return [field for each in sections for key, field in each.fields_by_key().items() if key == place[-1]]


def _of_entry(model: type[WrittenModel], place: Location) -> Any:
    field = field_of(model, place)
    depth = next(depth for depth in range(1, len(place)) if not is_entry(model, place[:-depth]))
    return {} if field and nesting(field.annotation) > depth else "x"


def _of_field(field: FieldInfo) -> Iterator[Any]:
    yield from field.examples or ()
    for bound in ("ge", "le"):
        yield from (getattr(each, bound) for each in field.metadata if hasattr(each, bound))
    yield from _choices(field.annotation)
    sections = [_section(each) for each in sections_in(field.annotation).values()]
    if sections and is_mapping(field.annotation):
        yield from ({name: sections[0]} for name in fresh_names({}))
    elif sections:
        yield from sections


def _section(section: type[WrittenModel]) -> dict[str, Any]:
    """With what it needs and nothing else."""
    extra: Any = section.model_config.get("json_schema_extra", {})
    needed = extra["oneOf"][0]["required"] if "oneOf" in extra else ()
    fields = (field for field in section.model_fields.values() if field.is_required() or field.alias in needed)
    return {str(field.alias): next(_of_field(field)) for field in fields}


def _choices(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, StrEnum):
        yield from annotation
