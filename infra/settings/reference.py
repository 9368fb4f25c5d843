"""The reference of all keys of a stack file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal, get_origin

from pydantic.fields import FieldInfo

from infra.settings.annotation import container, nesting, sections_in
from infra.settings.section import Effect, Section
from infra.settings.stack import Settings

Path = tuple[str, ...]

_TYPES = {"boolean": "true or false", "object": "mapping"}
"""JSON Schema's types that have another name here."""


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        path: the keys that lead to it; a name that the user chooses is `*`, an item of a list `[]`.
        section: the section that the key is in.
        tags: the members of a union (`canary`) that have the key like this; empty if all have.
        effect: what a change does to a running endpoint.
        below: whether the value is a section.
        choices: the values of the key that distinguishes the members of a union.
        alternatives: the keys of the other members of a union, of which one is required instead of this key.
    """

    path: Path
    section: type[Section]
    field: FieldInfo
    tags: tuple[str, ...]
    effect: Effect
    below: bool
    choices: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()

    @property
    def is_tag(self) -> bool:
        """Whether the key distinguishes its member of a union from the others."""
        return self.tags == (self.path[-1],)

    @property
    def name(self) -> str:
        """As `pulumi config set --path` accepts it, without the project: `endpoints.*.autoscaling.min`."""
        if self.path == ("region",):
            return "aws:region"
        return ".".join(self.path).replace(".[]", "[]")

    @property
    def nesting(self) -> int:
        """The number of names or positions that the user chooses below the key."""
        return nesting(self.field.annotation)

    @property
    def type(self) -> str:
        """The type of the value, in words."""
        return f"one of {', '.join(self.choices)}" if self.choices else _type(self._schema)

    @property
    def default(self) -> str:
        """The value that applies without the key."""
        if self.path[-1] in _schema_of(self.section).get("required", ()):
            if self.is_tag:
                return f"required, or {' or '.join(self.alternatives)}" if self.alternatives else ""
            return "required"
        value = self._schema.get("default")
        return "" if value is None or isinstance(value, dict | list) else written(value)

    @property
    def range(self) -> str:
        """The accepted values."""
        return _range(self._schema)

    @property
    def example(self) -> str:
        """A value as it is written in YAML; empty for a section."""
        return written(self.field.examples[0]) if self.field.examples else ""

    @property
    def description(self) -> str:
        return self.field.description or ""

    @property
    def source(self) -> str:
        """Whose rule the values follow."""
        return str(self._schema["rule_source"])

    @cached_property
    def _schema(self) -> dict[str, Any]:
        section = _schema_of(self.section)
        schema: dict[str, Any] = section["properties"][self.path[-1]]
        options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
        if len(options) == 1:
            schema = {**schema, **options[0]}
        if name := schema.get("$ref", "").removeprefix("#/$defs/"):
            schema = {**section["$defs"][name], **schema}
        return schema


@cache
def _schema_of(section: type[Section]) -> dict[str, Any]:
    return section.model_json_schema()


def keys() -> list[Key]:
    """All keys, a section before the keys in it."""
    return list(_joined(_keys(Settings, (), (), Effect.NOTHING)))


def by_section() -> dict[tuple[str, str], Key]:
    """All keys by the names of their section and their own."""
    return {(key.section.__name__, key.path[-1]): key for key in _keys(Settings, (), (), Effect.NOTHING)}


def written(value: Any) -> str:
    """A value as it is written in YAML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1].isdigit() and value.replace(".", "", 1).isdigit():
        return f"'{value}'"
    return str(value)


def _keys(section: type[Section], above: Path, tags: tuple[str, ...], inherited: Effect) -> Iterator[Key]:
    of_members = section.tags_by_key()
    for name, field in section.fields_by_key().items():
        extra = field.json_schema_extra
        effect = Effect(str(extra["effect"])) if isinstance(extra, dict) and "effect" in extra else inherited
        path = (*above, name)
        inner = sections_in(field.annotation)
        yield Key(path, section, field, of_members.get(name, tags), effect, bool(inner))
        if inner and (outer := container(field.annotation)):
            path = (*path, "*" if get_origin(outer) is dict else "[]")
        for tag, below in inner.items():
            yield from _keys(below, path, (tag,) if tag and len(inner) > 1 else tags, effect)


def _joined(keys: Iterable[Key]) -> Iterator[Key]:
    """Keys that are the same in several members of a union are joined, without tags if all members have the key."""
    by_path: dict[Path, list[Key]] = {}
    members: dict[Path, set[str]] = {}
    for key in keys:
        by_path.setdefault(key.path, []).append(key)
        members.setdefault(key.path[:-1], set()).update(key.tags)
    for path, same in by_path.items():
        others = sorted(members[path[:-1]] - {path[-1]})
        alternatives = tuple(others) if all((*path[:-1], other) in by_path for other in others) else ()
        tagging = [str(key.field.annotation) for key in same if get_origin(key.field.annotation) is Literal]
        if len(tagging) == len(members[path[:-1]]) > 1:
            yield replace(same[0], tags=(), choices=tuple(tag for key in same for tag in key.tags))
            continue
        alike: dict[tuple[str, ...], list[Key]] = {}
        for key in same:
            alike.setdefault((key.description, key.default, key.range, key.source), []).append(key)
        for group in alike.values():
            tags = tuple(dict.fromkeys(tag for key in group for tag in key.tags))
            tags = () if set(tags) == members[path[:-1]] else tags
            yield replace(group[0], tags=tags, alternatives=alternatives)


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(written, schema["enum"]))
    if "const" in schema:
        return written(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if "$ref" not in schema["items"] else "list of mappings"
    type_ = str(schema.get("type", "object"))
    return _TYPES.get(type_, type_)


def _range(schema: dict[str, Any]) -> str:
    parts: list[str] = []
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
    ):
        least, most = schema.get(low), schema.get(high)
        if most is not None:
            parts.append(f"at most {most}{unit}" if least is None else f"{least} to {most}{unit}")
        elif least is not None:
            parts.append("not empty" if unit and least == 1 else f"{least}{unit} or more")
    parts += [f"in steps of {schema['multipleOf']}"] if "multipleOf" in schema else []
    parts += [f"more than {schema['exclusiveMinimum']}"] if "exclusiveMinimum" in schema else []
    parts += [f"less than {schema['exclusiveMaximum']}"] if "exclusiveMaximum" in schema else []
    return ", ".join(parts)
