"""Places in the settings, and what the annotation of a key says about the sections below it."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Discriminator, Tag
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from infra.diagnostics.problem import Problem

Location = tuple[str | int, ...]
"""The keys, names and positions in lists that lead to a setting."""


class WrittenModel(BaseModel):
    """A section of the settings. Its keys are those of the text, even if the model has another shape."""

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        """The fields by the keys that a stack file may have in the section."""
        return {str(field.alias): field for field in cls.model_fields.values()}

    @classmethod
    def problems_of_text(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """Problems of the section's values that are not visible in the shape of the model."""
        return ()

    @classmethod
    def in_shape(cls, values: dict[str, Any]) -> tuple[dict[str, Any], Location]:
        """The section's values in the shape of the model, and the keys above those that the text has without them."""
        return values, ()


def value_at(values: Any, location: Location) -> Any:
    """The value at a place; KeyError or IndexError if there is none."""
    for part in location:
        values = values[part]
    return values


def sections_in(annotation: Any, tag: str | None = None) -> dict[str | None, type[WrittenModel]]:
    """The sections in `Section`, `Section | None`, `dict[str, Section]`, `list[Section]` or `Annotated[...]` of those;
    those of a tagged union by their tags."""
    if isinstance(annotation, type) and issubclass(annotation, WrittenModel):
        return {tag: annotation}
    parts = typing.get_args(annotation)
    tag = next((part.tag for part in parts if isinstance(part, Tag)), tag)
    return {name: section for part in parts for name, section in sections_in(part, tag).items()}


def container(annotation: Any) -> type[dict[Any, Any]] | type[list[Any]] | None:
    """Whether values are in a mapping by names, or in a list."""
    if (origin := typing.get_origin(annotation)) in (dict, list):
        return typing.cast(type[dict[Any, Any]] | type[list[Any]], origin)
    return next((found for part in typing.get_args(annotation) if (found := container(part))), None)


def is_mapping(annotation: Any) -> bool:
    """Whether the keys below are names that the user chooses."""
    return container(annotation) is dict


def discriminator(field: FieldInfo) -> Callable[[Any], Any] | None:
    """The function that returns the tag of a value of a tagged union."""
    for metadata in field.metadata:
        if isinstance(metadata, Discriminator) and callable(metadata.discriminator):
            return metadata.discriminator
    return None


def key_type(annotation: Any) -> Any:
    """The type of the names in a mapping by names."""
    if typing.get_origin(annotation) is dict:
        return typing.get_args(annotation)[0]
    return next((found for part in typing.get_args(annotation) if (found := key_type(part))), None)


def nesting(annotation: Any) -> int:
    """How many names that the user chooses, or positions in a list, lead from a key to its values."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (dict, list):
        return 1 + nesting(parts[-1])
    return max(map(nesting, parts), default=0)


def tags_with(key: str, sections: Mapping[str | None, type[WrittenModel]]) -> list[str]:
    """The members of a tagged union that have a key."""
    return [str(tag) for tag, section in sections.items() if key in section.fields_by_key()]
