"""What is wrong with a stack's configuration, said to the person who edits it."""

from __future__ import annotations

import difflib
import json
import re
import typing
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

Location = tuple[str | int, ...]

MAX_SHOWN = 80
"""Characters of a wrong value that are worth repeating."""

_PLAIN = re.compile(r"[^.\[\]\"\s]+")


@dataclass(frozen=True)
class Problem:
    """One wrong place, or, as a warning, one that hardly was meant like this.

    Attributes:
        path: the keys that lead there in the stack file: ``("triton-sagemaker:endpoints", "ranking", "autoscaling")``.
        message: what is wrong there, the rule and the way out.
    """

    path: Location
    message: str
    severity: Literal["error", "warning"] = "error"

    @property
    def key(self) -> str:
        """The place as Pulumi spells it: ``triton-sagemaker:endpoints.ranking.autoscaling.min``."""
        first, *below = self.path or ("config",)
        return str(first) + "".join(map(_part, below))

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class ConfigurationError(Exception):
    """The stack's configuration is refused. The text lists every problem, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"the stack's configuration has {count}; nothing was changed:\n{lines}")


def path_of(location: Location, namespace: str) -> Location:
    """Where a location of the settings is in the stack file; ``namespace`` is the Pulumi project's name."""
    if not location:
        return ()
    first, *below = location
    return ("aws:region" if first == "region" else f"{namespace}:{first}", *below)


def problems(
    error: ValidationError, model: type[BaseModel], namespace: str, secret: Collection[str] = ()
) -> list[Problem]:
    """Every problem in pydantic's error, in our own words; no value below a ``secret`` key or of a container's
    environment is shown."""
    found = []
    for each in error.errors():
        location = (*each["loc"], "strategy") if each["type"] == "union_tag_invalid" else each["loc"]
        path = path_of(keys_of(model, location), namespace)
        value = "the value" if path[0] in secret or _may_be_secret(each["loc"]) else _shown(each["input"])
        message = _message(each, value, _field_at(model, each["loc"]), _keys_at(model, each["loc"][:-1]))
        found.append(Problem(path, message))
    return found


def _part(part: str | int) -> str:
    """As `pulumi config set --path` takes it."""
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]"


def _may_be_secret(location: Location) -> bool:
    return location[:1] == ("secretEnvironment",) or "environment" in location[1:]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _message(error: Any, value: str, field: FieldInfo | None, known_keys: Iterable[str]) -> str:
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
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{value}: must be a mapping of keys to values. {_description(field)}".strip()
        case "union_tag_invalid":
            return f"{error['ctx']['tag']!r} is none of {error['ctx']['expected_tags']}."
        case _:
            expected = str(error["msg"]).replace("Input should be", "must be").replace("String should", "must")
            return f"{value}: {expected}. {_description(field)}".strip()


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


def keys_of(model: type[BaseModel], location: Location) -> Location:
    """The keys in a location: pydantic puts the name of a union's variant (`canary`) into it, and a mark where a
    mapping's key itself is wrong; the stack file has no such keys."""
    return tuple(part for part in _walk(model, location)[0] if part != "[key]")


def _walk(model: type[BaseModel] | None, location: Location) -> tuple[Location, type[BaseModel] | None]:
    """The keys of a location and the section it ends in. A mapping's own keys (an endpoint's name) stay in a
    section."""
    keys: list[str | int] = []
    variants: dict[str | None, type[BaseModel]] = {}
    in_mapping = False
    for part in location:
        if not in_mapping and part in variants:
            model, variants = variants[part], {}
            continue
        keys.append(part)
        if in_mapping or model is None:
            in_mapping = False
            continue
        variants = {}
        if field := next((field for field in model.model_fields.values() if field.alias == part), None):
            found = sections_in(field.annotation)
            model = next(iter(found.values()), None)
            variants = found if len(found) > 1 else {}
            in_mapping = is_mapping(field.annotation)
    return tuple(keys), model


def is_mapping(annotation: Any) -> bool:
    """Whether it is, or may be, a mapping with keys that the user chooses."""
    return typing.get_origin(annotation) is dict or any(
        is_mapping(part) for part in typing.get_args(annotation) if typing.get_origin(annotation) is not list
    )


def sections_in(annotation: Any, tag: str | None = None) -> dict[str | None, type[BaseModel]]:
    """The sections inside ``Section``, ``Section | None``, ``dict[str, Section]`` or ``Annotated[...]`` of those; those
    of a tagged union by their tags."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {tag: annotation}
    parts = typing.get_args(annotation)
    tag = next((part.tag for part in parts if isinstance(part, Tag)), tag)
    return {name: section for part in parts for name, section in sections_in(part, tag).items()}
