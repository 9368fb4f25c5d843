"""The problems of invalid keys and values, as pydantic finds them. The caller adds their paths."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from infra.diagnostics.problem import Problem
from infra.diagnostics.suggest import correction, nearest

MAX_SHOWN = 80
"""Characters of an invalid value that a message repeats."""

RULES = {
    "string_pattern_mismatch": "wrong-form",
    "enum": "unknown-value",
    "literal_error": "unknown-value",
    "union_tag_invalid": "unknown-value",
    "int_from_float": "wrong-type",
}
"""The ids of rules by pydantic's types of errors; the others are wrong types, or out of range."""

_PYDANTIC = frozenset(get_args(ErrorType))


def _rule_of(error: ErrorDetails) -> str:
    """The id of the violated rule; a rule of a section is its own type of error."""
    kind = error["type"]
    if kind not in _PYDANTIC:
        return kind
    return RULES.get(kind) or ("wrong-type" if kind.endswith("_type") else "out-of-range")


def invalid(error: ErrorDetails, field: FieldInfo, key: str, stack: str | None, hidden: bool) -> Problem:
    """An invalid value.

    Args:
        key: the key as Pulumi spells it, for a command.
        hidden: whether the value may be a secret, and is not shown.
    """
    if error["type"] not in _PYDANTIC:
        return Problem(error["type"], error["msg"])
    given, kind = error["input"], error["type"]
    shown = "" if hidden else f", not {_shown(given)}"
    match kind:
        case "dict_type":
            rule, shown = "must be a mapping of keys to values", ", not a list" if isinstance(given, list) else shown
        case "list_type":
            shown = f"{shown}. Write `[a, b]`, or each item on its own line after `- `"
            rule = "must be a list"
        case "too_short" | "too_long":
            rule, shown = f"must have {_length(error['ctx'])}", ""
        case "greater_than_equal" | "less_than_equal" if len(bounds := _bounds(field)) == 2:
            rule = "must be {ge} to {le}".format_map(bounds)
        case "string_pattern_mismatch" if example := _example(field):
            rule = f"must have the form of {example}"
        case "union_tag_invalid":
            rule = f"must be one of {error['ctx']['expected_tags']}"
        case _:
            rule = error["msg"].replace("Input should be", "must be").replace("String should", "must")
    hint = _hint(error, field, key, stack, hidden)
    about = "" if hint or _rule_of(error) == "unknown-value" else _described(field)
    return Problem(_rule_of(error), f"{rule}{shown}.{hint}{about}")


def missing(field: FieldInfo) -> Problem:
    """A required key that is missing."""
    return Problem("missing", f"is required.{_described(field)}")


def is_nullable(field: FieldInfo) -> bool:
    """Whether null is a value of the key."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and "null" in extra


def empty(field: FieldInfo) -> Problem:
    """A key without a value."""
    return Problem("empty", f"is empty. Set a value{'' if field.is_required() else ', or remove the key'}.")


def plaintext_secret(key: str, stack: str | None) -> Problem:
    """A value where a Pulumi secret is required."""
    command = command_to_encrypt(key, stack)
    return Problem("plaintext-secret", f"must be a Pulumi secret ({{secure: …}}). Remove it and run: {command}")


def unknown_key(known: Iterable[str], instead: str | None) -> Problem:
    """A key that a section does not have."""
    if instead:
        return Problem("unknown-key", f"unknown key; did you mean {'aws:region' if instead == 'region' else instead}?")
    return Problem("unknown-key", f"unknown key; known keys: {', '.join(sorted(known))}.")


def key_of_another_member(tag: str, by_default: bool, tags: Sequence[str]) -> Problem:
    """A key of a tagged union that its member does not have, but those with other tags."""
    *rest, last = tags
    only = f"only {', '.join(rest)} and {last} have it" if rest else f"only {last} has it"
    return Problem("unknown-key", f"unknown key with {tag}{', the default' if by_default else ''}; {only}.")


def key_of_the_stack(key: str) -> Problem:
    """A top-level key in a section."""
    name = "aws:region" if key == "region" else key
    return Problem("unknown-key", f"unknown key here; {name} is a key of the stack. Set it directly below config.")


def is_flat(name: str) -> bool:
    """Whether a top-level key is spelled like a path."""
    return any(sign in name for sign in ".[")


def flat_key(name: str, key: str, known: Mapping[str, FieldInfo], stack: str | None) -> Problem:
    """A top-level key that is spelled like a path.

    Args:
        name: the key without its namespace.
        known: the top-level keys.
    """
    quoted, option = shlex.quote(key), stack_option(stack)
    first = nearest(re.split(r"[.\[]", name)[0], known)
    is_of_secrets = first is not None and is_secret(known[first])
    set_ = command_to_encrypt(key, stack) if is_of_secrets else f"pulumi config set{option} --path {quoted} VALUE"
    return Problem(
        "unknown-key",
        "unknown key: without --path, `pulumi config set` stores a path as a name. Run: "
        f"pulumi config rm{option} {quoted} && {set_}",
    )


_SET_SECRET = "pulumi config set --secret"


def command_to_encrypt(key: str, stack: str | None) -> str:
    """The command that prompts for a value and stores it as a secret."""
    quoted = shlex.quote(key) if "'" in key else f"'{key}'"
    return f"{_SET_SECRET}{stack_option(stack)} --path {quoted}"


def with_names(message: str, stack: str | None, secrets: str) -> str:
    """The message of a rule, with the names that a rule does not know in its `command_to_encrypt`.

    Args:
        secrets: the key `secretEnvironment` with its namespace.
    """
    command = f"{_SET_SECRET}{stack_option(stack)} --path"
    return message.replace(f"{_SET_SECRET} --path", command).replace(
        "--path 'secretEnvironment.", f"--path '{secrets}."
    )


def misspells_secure(value: Any) -> bool:
    """Whether a value is a secret but for the spelling of `secure`."""
    return isinstance(value, dict) and any(nearest(str(key), ["secure"]) for key in value)


def is_secret(field: FieldInfo) -> bool:
    """Whether values of the field may be secrets."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and "secret" in extra


def _hint(error: ErrorDetails, field: FieldInfo, key: str, stack: str | None, hidden: bool) -> str:
    """The way out, where it is clear. `pulumi config set --path` stores whole numbers and true as such, 0.5 as text."""
    given, kind = error["input"], error["type"].removesuffix("_type")
    instead = None if hidden else correction(error, field)
    if instead is None:
        if kind == "string" and isinstance(given, int | float):
            return f" Put it in quotes, or run: {_command_to_set(key, stack, 'string')}"
        return ""
    if kind in ("union_tag_invalid", "enum", "literal_error"):
        return f" Did you mean {instead}?"
    if kind in ("int", "float", "bool") and _yaml(instead) == given.strip().casefold():
        command = _command_to_set(key, stack, kind, _yaml(instead))
        return f" Write {_yaml(instead)} without quotes, or run: {command}"
    return f" Write {_yaml(instead)}."


def _command_to_set(key: str, stack: str | None, kind: str, value: str = "") -> str:
    """The command that stores a value of a type, and prompts for the value if it has none."""
    value = f" {shlex.quote(value)}" if value else ""
    return f"pulumi config set{stack_option(stack)} --path {shlex.quote(key)}{value} --type {kind}"


def stack_option(stack: str | None) -> str:
    """The option of Pulumi's commands that names the stack."""
    return f" -s {shlex.quote(stack)}" if stack else ""


def _described(field: FieldInfo) -> str:
    """The first sentence of the description; all of it, with the command, if the values are secrets."""
    if is_secret(field):
        return f" {field.description}"
    first = re.split(r"(?<=[\w)])\. ", field.description or "")[0].removesuffix(".")
    return f" {first}." if first else ""


def _bounds(field: FieldInfo) -> dict[str, float]:
    return {name: getattr(item, name) for item in field.metadata for name in ("ge", "le") if hasattr(item, name)}


def _length(context: Mapping[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    count = least if most is None else most
    return f"at {'least' if most is None else 'most'} {count} item{'' if count == 1 else 's'}"


def _example(field: FieldInfo) -> str | None:
    """A value of the form; for a list, one of its items."""
    example = field.examples[0] if field.examples else None
    return example[0] if isinstance(example, list) else example


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else _yaml(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _yaml(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
