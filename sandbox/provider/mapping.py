"""Pulumi's property names and values, and AWS's, by botocore's own shapes.

Pulumi's `modelDataUrl` is AWS's `ModelDataUrl`, `kmsMasterKeyId` is `KMSMasterKeyID`: names match without regard to
case. A type's names say the rest: Pulumi's name and AWS's, or several of AWS's where operations differ; a dot leads
into a structure. Where Terraform has a list of one block, AWS has a structure (`routingConfigs`, `RoutingConfig`), and
the other way round (`rule`, `Rules`); name and shape tell.
"""

from __future__ import annotations

import datetime
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name
from botocore.model import ListShape, MapShape, Shape, StructureShape

from sandbox.provider.wire import UNKNOWN

Names = Mapping[str, str | tuple[str, ...]]

_PAIRS = ({"key", "value"}, {"name", "value"}, {"tagkey", "tagvalue"})


@dataclass(frozen=True)
class Problem:
    """A property that AWS would refuse."""

    path: str
    reason: str


@dataclass(frozen=True)
class Encoding:
    """Turns property values into AWS's parameters, and notes what does not fit.

    Attributes:
        names: the names inside of values.
        computed: properties that are filled in where they are left out.
    """

    names: Names = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    problems: list[Problem] = field(default_factory=list)

    def value(self, shape: Shape, value: Any, path: str) -> Any:
        if value == UNKNOWN:
            return value
        match shape:
            case StructureShape():
                return self._structure(shape, value, path)
            case ListShape():
                return self._list(shape, value, path)
            case MapShape() if isinstance(value, dict):
                return {key: self.value(shape.value, item, f"{path}.{key}") for key, item in value.items()}
        return self._scalar(shape, value, path)

    def _structure(self, shape: StructureShape, value: Any, path: str) -> Any:
        if isinstance(value, list) and len(value) <= 1:
            value = value[0] if value else {}
        if not isinstance(value, dict):
            return self._refuse(path, f"expected an object ({shape.name}), got {type(value).__name__}")
        members = {}
        for key, item in value.items():
            if (name := member(shape, key, self.names)) is None:
                self._refuse(f"{path}.{key}", f"{shape.name} has no such property")
            elif item is not None:
                members[name] = self.value(shape.members[name], item, f"{path}.{key}")
        for name in sorted({property_of(key, self.names) for key in set(shape.required_members) - members.keys()}):
            if name not in self.computed:
                self._refuse(f"{path}.{name}", "missing, and AWS requires it")
        return members

    def _list(self, shape: ListShape, value: Any, path: str) -> Any:
        if isinstance(value, dict) and (pair := _pair(shape)):
            return [{pair[0]: key, pair[1]: str(item)} for key, item in value.items()]
        items = value if isinstance(value, list) else [value]
        self._within(shape, len(items), path, "items")
        return [self.value(shape.member, item, f"{path}[{index}]") for index, item in enumerate(items)]

    def _scalar(self, shape: Shape, value: Any, path: str) -> Any:
        if isinstance(value, (dict, list)):
            return self._refuse(path, f"expected a {shape.type_name}, got {type(value).__name__}")
        try:
            match shape.type_name:
                case "integer" | "long":
                    value = int(value)
                    self._within(shape, value, path)
                case "float" | "double":
                    value = float(value)
                    self._within(shape, value, path)
                case "boolean":
                    value = {"true": True, "false": False}[str(value).lower()]
                case "string":
                    value = str(value).lower() if isinstance(value, bool) else str(value)
                    self._within(shape, len(value), path, "characters")
                    if (enum := getattr(shape, "enum", None)) and value not in enum:
                        listed = ", ".join(enum) if len(enum) < 20 else f"the {len(enum)} values that AWS takes"
                        self._refuse(path, f"{value!r} is not one of {listed}")
        except (KeyError, ValueError):
            return self._refuse(path, f"expected a {shape.type_name}, got {value!r}")
        return value

    def _within(self, shape: Shape, number: float, path: str, unit: str = "") -> None:
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
            self._refuse(path, f"{number:g} {unit}".strip() + f", where AWS takes {bounds}")

    def _refuse(self, path: str, reason: str) -> None:
        self.problems.append(Problem(path, reason))


@dataclass(frozen=True)
class Decoding:
    """Turns AWS's answers into property values.

    Attributes:
        names: the names of a resource's properties; `nested_names`: those inside of their values.
        maps: lists of name-value pairs that are maps in Pulumi.
        strings: numbers that are strings in Pulumi.
    """

    names: Names = field(default_factory=dict)
    nested_names: Names = field(default_factory=dict)
    maps: frozenset[str] = frozenset({"tags", "tagsAll"})
    strings: frozenset[str] = frozenset()

    def properties(self, shape: StructureShape, members: Mapping[str, Any]) -> dict[str, Any]:
        """The members of a resource's description as its properties."""
        return self._members(shape, members, self.names)

    def value(self, shape: Shape, value: Any, name: str) -> Any:
        """The value of the property `name`."""
        match shape:
            case StructureShape():
                return self._members(shape, value, self.nested_names)
            case ListShape():
                if name in self.maps and (pair := _pair(shape)):
                    return {item[pair[0]]: item.get(pair[1], "") for item in value}
                return [self.value(shape.member, item, "") for item in value]
            case MapShape():
                return dict(value)
        if isinstance(value, datetime.datetime):
            return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if isinstance(value, dict):  # botocore has already parsed IAM's policy documents
            return json.dumps(value)
        if shape.type_name == "float":  # AWS's SDK for Go has single precision here, and Terraform's state then double
            value = struct.unpack("f", struct.pack("f", value))[0]
        return f"{value:g}" if name in self.strings else value

    def _members(self, shape: StructureShape, members: Mapping[str, Any], names: Names) -> dict[str, Any]:
        decoded = {}
        for key, value in members.items():
            if key in shape.members and value is not None:
                name = property_of(key, names)
                item = self.value(shape.members[key], value, name)
                decoded[name] = _as_named(name, item) if name in names else item
        return decoded


def _as_named(name: str, value: Any) -> Any:
    """A structure under a plural name is a list of one; a list under a singular name is its one element."""
    if isinstance(value, dict) and name.endswith("s"):
        return [value]
    if isinstance(value, list) and not name.endswith("s"):
        return value[0] if value else None
    return value


def member(shape: StructureShape, name: str, names: Names) -> str | None:
    """The member of the structure that carries the property, if one does."""
    by_lower_case = {key.lower(): key for key in shape.members}
    return next(
        (by_lower_case[each.lower()] for each in (*_alternatives(name, names), name) if each.lower() in by_lower_case),
        None,
    )


def locate(shape: StructureShape, name: str, names: Names, within: str) -> tuple[str, ...] | None:
    """The way to the member that carries a property: at the top, below a dotted name, or in the structure `within`."""
    if found := member(shape, name, names):
        return (found,)
    for dotted in _alternatives(name, names):
        way = tuple(dotted.split("."))
        if len(way) > 1 and shape_at(shape, way):
            return way
    if (wrapper := shape.members.get(within)) is None:
        return None
    if isinstance(wrapper, MapShape):
        return (within, _alternatives(name, names)[0] if name in names else name[0].upper() + name[1:])
    inner = member(wrapper, name, names)
    return (within, inner) if inner else None


def shape_at(shape: Shape | None, way: Sequence[str]) -> Shape | None:
    """The shape that the way leads to, if there is one."""
    for step in way:
        if isinstance(shape, MapShape):
            shape = shape.value
        else:
            shape = shape.members.get(step) if isinstance(shape, StructureShape) else None
    return shape


def property_of(key: str, names: Names) -> str:
    """Pulumi's name for a member of AWS's structure."""
    for name in names:
        if key in _alternatives(name, names):
            return name
    first, *rest = str(xform_name(key)).split("_")
    return first + "".join(word.capitalize() for word in rest)


def _alternatives(name: str, names: Names) -> tuple[str, ...]:
    given = names.get(name, ())
    return (given,) if isinstance(given, str) else given


def _pair(shape: ListShape) -> tuple[str, str] | None:
    """The two members of a list of name-value pairs, the name first."""
    members = getattr(shape.member, "members", {})
    if {key.lower() for key in members} not in _PAIRS:
        return None
    name, value = sorted(members, key=lambda key: "value" in key.lower())
    return name, value
