"""What the annotation of a key says about the sections below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin

from pydantic import Discriminator, Tag

from infra.settings.section import Section


def sections_in(annotation: Any, tag: str | None = None) -> dict[str | None, type[Section]]:
    """The sections in `Section`, `Section | None`, `dict[str, Section]`, `list[Section]` or `Annotated[...]` of those;
    those of a tagged union by their tags."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {tag: annotation}
    parts = get_args(annotation)
    tag = next((part.tag for part in parts if isinstance(part, Tag)), tag)
    return {name: section for part in parts for name, section in sections_in(part, tag).items()}


def container(annotation: Any) -> Any:
    """The `dict[...]` or `list[...]` in an annotation; None if it has neither."""
    if get_origin(annotation) in (dict, list):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := container(part))), None)


def discriminator(annotation: Any, metadata: Iterable[Any] = ()) -> Callable[[Any], Any] | None:
    """The function that returns the tag of a value of the tagged union in an annotation."""
    for part in metadata:
        if isinstance(part, Discriminator) and callable(part.discriminator):
            return part.discriminator
    inner = (discriminator(part, getattr(part, "__metadata__", ())) for part in get_args(annotation))
    return next((found for found in inner if found), None)


def nesting(annotation: Any) -> int:
    """How many names that the user chooses, or positions in a list, lead from a key to its values."""
    outer = container(annotation)
    return 1 + nesting(get_args(outer)[-1]) if outer else 0
