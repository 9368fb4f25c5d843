"""What is wrong with a stack's configuration, said to the person who edits it."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One wrong place: the key as Pulumi spells it (``triton-sagemaker:endpoints.ranking.autoscaling.min``) and
    what is wrong there."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class ConfigurationError(Exception):
    """The stack's configuration is refused. The text lists every problem, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"the stack's configuration has {count}; nothing was changed:\n{lines}")


def problems(error: ValidationError, model: type[BaseModel], namespace: str) -> list[Problem]:
    """Every problem in pydantic's error, in our own words, with keys under ``namespace`` (the Pulumi project's
    name)."""
    return [
        Problem(
            _key(_without_tags(model, each["loc"]), namespace),
            _message(each, _field_at(model, each["loc"]), _keys_at(model, each["loc"][:-1])),
        )
        for each in error.errors()
    ]


def _key(location: Location, namespace: str) -> str:
    if location == ("region",):
        return "aws:region"
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return f"{namespace}:{path.removeprefix('.')}"


def _message(error: Any, field: FieldInfo | None, known_keys: Iterable[str]) -> str:
    match error["type"]:
        case "rule":
            return str(error["msg"])
        case "missing":
            return f"is required. {_description(field)}".strip()
        case "extra_forbidden":
            key, known = str(error["loc"][-1]), sorted(known_keys)
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known keys here: {', '.join(known)}."
            return f"unknown key; {hint}"
        case "union_tag_invalid":
            return f"strategy: {error['ctx']['tag']!r} is none of {error['ctx']['expected_tags']}."
        case _:
            expected = str(error["msg"]).replace("Input should be", "must be").replace("String should", "must")
            # what an environment holds may be a secret
            shown = "" if "environment" in error["loc"] else f"{error['input']!r}: "
            return f"{shown}{expected}. {_description(field)}".strip()


def _description(field: FieldInfo | None) -> str:
    return (field.description or "") if field else ""


def _field_at(model: type[BaseModel], location: Location) -> FieldInfo | None:
    """The field that a location ends in; None inside a mapping or at an unknown key."""
    parent = _model_at(model, location[:-1])
    if parent is None or not location:
        return None
    return next((field for field in parent.model_fields.values() if field.alias == location[-1]), None)


def _keys_at(model: type[BaseModel], location: Location) -> list[str]:
    parent = _model_at(model, location)
    return [field.alias or name for name, field in parent.model_fields.items()] if parent else []


def _model_at(model: type[BaseModel] | None, location: Location) -> type[BaseModel] | None:
    """The section that a location is in."""
    return _walk(model, location)[1]


def _without_tags(model: type[BaseModel], location: Location) -> Location:
    """pydantic puts the name of a union's variant (`canary`) into the location; the stack file has no such key."""
    return _walk(model, location)[0]


def _walk(model: type[BaseModel] | None, location: Location) -> tuple[Location, type[BaseModel] | None]:
    """The keys of a location and the section it ends in. A mapping's own keys (an endpoint's name) stay in a
    section."""
    keys: list[str | int] = []
    variants: list[type[BaseModel]] = []
    for part in location:
        if tagged := next((each for each in variants if part in _tags(each)), None):
            model, variants = tagged, []
            continue
        keys.append(part)
        variants = []
        if model is None:
            continue
        if field := next((field for field in model.model_fields.values() if field.alias == part), None):
            sections = _sections_in(field.annotation)
            model = sections[0] if sections else None
            variants = sections if len(sections) > 1 else []
    return tuple(keys), model


def _tags(variant: type[BaseModel]) -> set[Any]:
    """The values that tell a variant of a union: those of its `Literal` keys."""
    return {value for field in variant.model_fields.values() for value in typing.get_args(field.annotation)}


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections inside ``Section``, ``Section | None``, ``dict[str, Section]`` or ``Annotated[...]`` of those."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in typing.get_args(annotation) for found in _sections_in(each)]
