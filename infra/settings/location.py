"""Where a place of the settings is in their model."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

from infra.settings.spelling import nearest

Location = tuple[str | int, ...]


def field_at(model: type[BaseModel], location: Location) -> FieldInfo | None:
    """The field that a location is in."""
    return _walk(model, location)[2]


def keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that a section knows."""
    return sorted({key for each in _walk(model, location)[1].values() for key in _aliases(each)})


def meant(model: type[BaseModel], location: Location) -> str | None:
    """The key that an unknown one stands for, if one is spelled like it."""
    if variants_with(model, location) or belongs_to_the_top(model, location):
        return None
    return nearest(str(location[-1]), keys_at(model, location[:-1]))


def belongs_to_the_top(model: type[BaseModel], location: Location) -> bool:
    """Whether an unknown key of a section is one of the top level."""
    return len(location) > 1 and location[-1] in keys_at(model, ())


def variants_with(model: type[BaseModel], location: Location) -> list[str]:
    """The variants of a union that know the key; the one in the location does not: `percent` is none of `allAtOnce`."""
    if len(location) < 2:
        return []
    *above, variant, key = location
    variants = _walk(model, tuple(above))[1]
    return [str(tag) for tag, each in variants.items() if key in _aliases(each)] if variant in variants else []


def _aliases(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def keys_of(model: type[BaseModel], location: Location) -> Location:
    """The keys in a location: pydantic puts the name of a union's variant (`canary`) into it, and a mark where a
    mapping's key itself is wrong; the stack file has no such keys."""
    return tuple(part for part in _walk(model, location)[0] if part != "[key]")


def _walk(
    model: type[BaseModel], location: Location
) -> tuple[Location, Mapping[str | None, type[BaseModel]], FieldInfo | None]:
    """The keys of a location, the section it ends in (of a union all, by their tags) and the last field on the way. A
    mapping's own keys (an endpoint's name) stay in a section."""
    keys: list[str | int] = []
    sections: Mapping[str | None, type[BaseModel]] = {None: model}
    last: FieldInfo | None = None
    in_mapping = False
    for part in location:
        if not in_mapping and len(sections) > 1 and part in sections:
            sections = {None: sections[str(part)]}
            continue
        keys.append(part)
        if in_mapping:
            in_mapping = False
            continue
        fields = (field for each in sections.values() for field in each.model_fields.values() if field.alias == part)
        if field := next(fields, None):
            last, sections = field, sections_in(field.annotation)
            in_mapping = is_mapping(field.annotation)
    return tuple(keys), sections, last


def is_mapping(annotation: Any) -> bool:
    """Whether it is, or may be, a mapping with keys that the user chooses."""
    return typing.get_origin(annotation) is dict or any(
        is_mapping(part) for part in typing.get_args(annotation) if typing.get_origin(annotation) is not list
    )


def nesting(annotation: Any) -> int:
    """How many names that the user chooses, or positions in a list, lead from a key to its values."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (dict, list):
        return 1 + nesting(parts[-1])
    return max(map(nesting, parts), default=0)


def sections_in(annotation: Any, tag: str | None = None) -> dict[str | None, type[BaseModel]]:
    """The sections inside ``Section``, ``Section | None``, ``dict[str, Section]`` or ``Annotated[...]`` of those; those
    of a tagged union by their tags."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {tag: annotation}
    parts = typing.get_args(annotation)
    tag = next((part.tag for part in parts if isinstance(part, Tag)), tag)
    return {name: section for part in parts for name, section in sections_in(part, tag).items()}
