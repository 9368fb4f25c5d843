"""Property values as the engine sends them: unknown until something is made, secret, or plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.struct_pb2 import ListValue, Struct, Value

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""A value that a preview cannot know yet (Pulumi's wire format)."""


@dataclass(frozen=True)
class Secret:
    """A value that must never be shown."""

    value: Any = field(repr=False)


def decode(message: Struct) -> dict[str, Any]:
    """A property map; whole numbers come back as `int`, secrets as `Secret`, nulls are left out."""
    return {key: _decode(value) for key, value in message.fields.items() if value.WhichOneof("kind") != "null_value"}


def _decode(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            return int(value.number_value) if value.number_value.is_integer() else value.number_value
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case "struct_value":
            decoded = decode(value.struct_value)
            return Secret(decoded.get("value")) if decoded.get(_SIGNATURE) == _SECRET else decoded
    return None


def encode(properties: Mapping[str, Any]) -> Struct:
    """The message for a property map; `None` is left out."""
    return Struct(fields={key: _encode(value) for key, value in properties.items() if value is not None})


def _encode(value: Any) -> Value:
    if isinstance(value, Secret):
        return Value(struct_value=encode({_SIGNATURE: _SECRET, "value": value.value}))
    if value is None:
        return Value(null_value=0)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, (int, float)):
        return Value(number_value=value)
    if isinstance(value, str):
        return Value(string_value=value)
    if isinstance(value, Mapping):
        return Value(struct_value=encode(value))
    return Value(list_value=ListValue(values=[_encode(item) for item in value]))


def plain(value: Any) -> Any:
    """The value with every secret opened."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def secrets(value: Any) -> list[Any]:
    """Every secret in the value, opened."""
    if isinstance(value, Secret):
        return [plain(value)]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [secret for item in items for secret in secrets(item)]


def seal(model: Any, value: Any) -> Any:
    """`value` with those parts secret that are secret in `model`; where the two differ in shape, the whole part."""
    if isinstance(value, Secret) or not secrets(model):
        return value
    if isinstance(model, dict) and isinstance(value, dict):
        return {key: seal(model.get(key), item) for key, item in value.items()}
    if isinstance(model, list) and isinstance(value, list) and len(model) == len(value):
        return [seal(part, item) for part, item in zip(model, value, strict=True)]
    return Secret(value)


def contains_unknown(value: Any) -> bool:
    """Whether any part of the value is unknown."""
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return bool(value == UNKNOWN)
