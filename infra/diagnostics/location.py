"""Where a place of the settings is in their model."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

from infra.diagnostics.suggest import nearest, same

Location = tuple[str | int, ...]
"""As pydantic gives it; as a place, without the names of a union's variants."""


class WrittenModel(BaseModel):
    """A section of the settings. Its keys and paths are those of the text, even if the model has another shape."""

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        """The fields by the keys that a stack file may have in the section."""
        return {str(field.alias): field for field in cls.model_fields.values()}

    @classmethod
    def written_path(cls, path: Location, values: Mapping[str, Any]) -> Location:
        """Where a setting is written in the section's `values`."""
        return path


def field_at(model: type[WrittenModel], location: Location) -> FieldInfo | None:
    """The field that a location is in."""
    return _walk(model, location)[2]


def field_of(model: type[WrittenModel], place: Location) -> FieldInfo | None:
    """The field that a place is in."""
    return _walk(model, place, tagged=False)[2]


def keys_at(model: type[WrittenModel], location: Location) -> list[str]:
    """The keys that a section knows."""
    return sorted({key for each in _walk(model, location)[1].values() for key in _aliases(each)})


def meant(model: type[WrittenModel], location: Location) -> str | None:
    """The key of the same section that an unknown one stands for, if there is one like it."""
    known = keys_at(model, location[:-1])
    if variants_with(model, location):
        return None
    return same(str(location[-1]), known) or (None if home(model, location) else nearest(str(location[-1]), known))


@dataclass(frozen=True)
class Home:
    """The section that has a key which stands elsewhere.

    Attributes:
        above: where it branches off from the section that the key stands in.
        path: the keys from there; ``*`` is a name that the user chooses.
        key: what the key is called there.
    """

    above: Location
    path: tuple[str, ...]
    key: str


def home(model: type[WrittenModel], location: Location) -> Home | None:
    """Where an unknown key belongs, if that is one other section: below its own, around it, or next to one around."""
    *section, key = keys_of(model, location)
    if variants_with(model, location) or same(str(key), keys_at(model, location[:-1])):
        return None
    for length in range(len(section), -1, -1):
        above = tuple(section[:length])
        if is_mapping_at(model, above):
            continue
        own = length == len(section)
        found = [
            Home(above, path, known)
            for section_there in sections_at(model, above).values()
            for path, keys in _below(section_there)
            if (path if own else _depth(path) <= min(length, 1)) and (known := same(str(key), keys))
        ]
        if found:
            least = min(_depth(each.path) for each in found)
            first, *others = (each for each in found if _depth(each.path) == least)
            return None if any(each.path != first.path for each in others) else first
    return None


@cache
def _below(section: type[WrittenModel], path: tuple[str, ...] = ()) -> Sequence[tuple[tuple[str, ...], Sequence[str]]]:
    """A section with its keys, and those below it."""
    found: list[tuple[tuple[str, ...], Sequence[str]]] = [(path, _aliases(section))]
    for alias, field in _fields(section).items():
        names = ("*",) if field.is_mapping else ()
        found += (each for inner in field.sections.values() for each in _below(inner, (*path, alias, *names)))
    return found


def _depth(path: tuple[str, ...]) -> int:
    return sum(part != "*" for part in path)


def variants_with(model: type[WrittenModel], location: Location, *others: Location) -> list[str]:
    """The variants of a union that know the key, and that of other locations in it; the one in the location does not:
    `percent` is none of `allAtOnce`."""
    if len(location) < 2:
        return []
    *above, variant, _ = location
    variants, keys = _walk(model, tuple(above))[1], {each[-1] for each in (location, *others)}
    return [str(tag) for tag, each in variants.items() if keys <= {*_aliases(each)}] if variant in variants else []


@cache
def _aliases(section: type[WrittenModel]) -> tuple[str, ...]:
    return tuple(_fields(section))


@dataclass(frozen=True)
class _Field:
    """A section's key, and what its annotation says of the sections below."""

    info: FieldInfo
    sections: Mapping[str | None, type[WrittenModel]]
    is_mapping: bool


@cache
def _fields(section: type[WrittenModel]) -> Mapping[str, _Field]:
    """By key. A file of thousands of mistakes asks thousands of times."""
    return {
        key: _Field(field, sections_in(field.annotation), is_mapping(field.annotation))
        for key, field in section.fields_by_key().items()
    }


def sections_at(model: type[WrittenModel], place: Location) -> Mapping[str | None, type[WrittenModel]]:
    """The section at a place; of a union all, by their tags; of a mapping, that of its values."""
    return _walk(model, place, tagged=False)[1]


def is_mapping_at(model: type[WrittenModel], place: Location) -> bool:
    """Whether the keys below are names that the user chooses."""
    field = field_of(model, place)
    return field is not None and not is_entry(model, place) and is_mapping(field.annotation)


def is_entry(model: type[WrittenModel], place: Location) -> bool:
    """Whether the last part is no key of a section, but a name that the user chose, or a position in a list."""
    return bool(place) and field_of(model, place) is field_of(model, place[:-1])


def at(values: Any, location: Location) -> Any:
    """What stands there; KeyError or IndexError if nothing does."""
    for part in location:
        values = values[part]
    return values


def keys_of(model: type[WrittenModel], location: Location) -> Location:
    """The keys in a location: pydantic puts the name of a union's variant (`canary`) into it, and a mark where a
    mapping's key itself is wrong; the stack file has no such keys."""
    keys = _walk(model, location)[0]
    return keys[:-1] if keys[-1:] == ("[key]",) and len(keys) > 2 else keys


def _walk(
    model: type[WrittenModel], location: Location, tagged: bool = True
) -> tuple[Location, Mapping[str | None, type[WrittenModel]], FieldInfo | None]:
    """The keys of a location, the section it ends in (of a union all, by their tags) and the last field on the way. A
    mapping's own keys (an endpoint's name) stay in a section. A place has no tags: `artifact` is one too."""
    keys: list[str | int] = []
    sections: Mapping[str | None, type[WrittenModel]] = {None: model}
    last: FieldInfo | None = None
    in_mapping = False
    for part in location:
        if tagged and not in_mapping and len(sections) > 1 and part in sections:
            sections = {None: sections[str(part)]}
            continue
        keys.append(part)
        if in_mapping:
            in_mapping = False
            continue
        if field := next((found for each in sections.values() if (found := _fields(each).get(str(part)))), None):
            last, sections, in_mapping = field.info, field.sections, field.is_mapping
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


def sections_in(annotation: Any, tag: str | None = None) -> dict[str | None, type[WrittenModel]]:
    """The sections inside ``Section``, ``Section | None``, ``dict[str, Section]`` or ``Annotated[...]`` of those; those
    of a tagged union by their tags."""
    if isinstance(annotation, type) and issubclass(annotation, WrittenModel):
        return {tag: annotation}
    parts = typing.get_args(annotation)
    tag = next((part.tag for part in parts if isinstance(part, Tag)), tag)
    return {name: section for part in parts for name, section in sections_in(part, tag).items()}
