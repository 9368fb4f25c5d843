"""What pydantic finds wrong with a stack's configuration, said to the person who edits it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.settings.error import Problem, key_of, path_of
from infra.settings.location import Location, belongs_to_the_top, field_at, keys_at, keys_of, meant, variants_with
from infra.settings.quantity import number_meant
from infra.settings.spelling import nearest

_SAME_WAIT = {"bakeSeconds": "intervalSeconds", "intervalSeconds": "bakeSeconds"}
"""One wait of the API (`WaitIntervalInSeconds`) has the name of what it is in a strategy."""

MAX_SHOWN = 80
"""Characters of a wrong value that are worth repeating."""


def problems(
    errors: Iterable[ErrorDetails],
    model: type[BaseModel],
    namespace: str,
    secret: Collection[str] = (),
    stack: str | None = None,
) -> list[Problem]:
    """Pydantic's errors in our own words; no value below a ``secret`` key or of a container's environment is shown."""
    errors, found = list(errors), []
    wrong_names = {each["loc"][:-1] for each in errors if each["loc"][-1:] == ("[key]",)}
    no_mappings = {each["loc"] for each in errors if each["type"] == "dict_type"}
    for each in errors:
        location, given = each["loc"], each["input"]
        if location in wrong_names - no_mappings or location[:-1] in wrong_names & no_mappings:
            continue  # one mistake has one message: a wrong name, or a level of keys that is missing
        if each["type"] == "union_tag_invalid":
            location, given = (*location, "strategy"), each["ctx"]["tag"]
        elif at := each.get("ctx", {}).get("at"):
            location = (at,)
        path, field = path_of(keys_of(model, location), namespace), field_at(model, location)
        if each["type"] == "extra_forbidden":
            message = _unknown_key(model, location)
        elif each["type"] == "string_type" and _should_be_secret(model, field, given):
            message = _no_secret(key_of(path), stack)
        else:
            message = _message(each, given, field, hidden=path[0] in secret or _is_secret(field))
        found.append(Problem(path, message))
    return found


def command_to_encrypt(key: str, stack: str | None) -> str:
    """It asks for the value of a setting, and writes it as a secret."""
    return f"pulumi config set --secret{f' -s {stack}' if stack else ''} --path '{key}'"


def _unknown_key(model: type[BaseModel], location: Location) -> str:
    written = str(location[-1])
    if others := variants_with(model, location):
        *rest, last = others
        only = f"{', '.join(rest)} and {last} have" if rest else f"{last} has"
        same = _SAME_WAIT.get(written)
        return f"unknown key with {location[-2]}{f', which calls it {same}' if same else ''}; only {only} it."
    if (above := written.partition(".")[0]) in keys_at(model, location[:-1]):
        return (
            f"unknown key; a dot leads nowhere here. Put what follows it on a line of its own, indented, below {above}."
        )
    if belongs_to_the_top(model, location):
        return f"unknown key here; {written} stands at the top level, beside {location[0]}."
    if (key := meant(model, location)) is not None:
        return f"unknown key; did you mean {'aws:region' if (*location[:-1], key) == ('region',) else key}?"
    return f"unknown key; known keys here: {', '.join(keys_at(model, location[:-1]))}."


def _no_secret(key: str, stack: str | None) -> str:
    command = command_to_encrypt(key, stack)
    return f"is no Pulumi secret, which stands as {{secure: …}}, encrypted. Take it out and type: {command}"


def _should_be_secret(model: type[BaseModel], field: FieldInfo | None, given: Any) -> bool:
    """Whether a value is where a stack has nothing but secrets, or is one but for the spelling of `secure`."""
    misspelt = isinstance(given, dict) and any(nearest(str(key), ["secure"]) for key in given)
    return _is_secret(field) and (misspelt or any(field is each for each in model.model_fields.values()))


def _is_secret(field: FieldInfo | None) -> bool:
    """Whether values of the field may be secrets."""
    extra = field.json_schema_extra if field else None
    return isinstance(extra, dict) and "secret" in extra


def _message(error: ErrorDetails, given: Any, field: FieldInfo | None, hidden: bool) -> str:
    value, hint = ("the value", "") if hidden else (_shown(given), _hint(error, given, field))
    expected = str(error["msg"]).replace("Input should be", "must be").replace("String should", "must")
    match error["type"]:
        case "rule":
            return str(error["msg"])
        case "missing":
            said = "is required."
        case "model_type" | "model_attributes_type" | "dict_type":
            dashes = "; take the dashes away" if isinstance(given, list) else ""
            said = f"{value}: must be a mapping of keys to values{dashes}."
        case "list_type":
            said = f"{value}: must be a list: each item on a line of its own after `- `, or all of them in [brackets]."
        case "string_type" if isinstance(given, int | float):
            said = f"{value}: must be a valid string: put it in quotes."
        case "string_pattern_mismatch" if example := _example(field):
            said = f"{value}: must be of the form of {example}."
        case "union_tag_invalid":
            return f"{value} is none of {error['ctx']['expected_tags']}.{hint}"
        case _:
            said = f"{value}: {expected}.{hint}"
    return f"{said} {field.description if field and field.description else ''}".strip()


def _hint(error: ErrorDetails, given: Any, field: FieldInfo | None) -> str:
    """What to write instead, where that can be told."""
    if not isinstance(given, str):
        return ""
    match error["type"]:
        case "int_type" | "float_type":
            number = number_meant(given, field, whole=error["type"] == "int_type")
            return f" Write {number}." if number else ""
        case "union_tag_invalid" | "enum" | "literal_error":
            context = error["ctx"]
            choices = context.get("expected") or context["expected_tags"]
            near = nearest(given, re.findall(r"'([^']+)'", choices))
            return f" Did you mean {near}?" if near else ""
    return ""


def _example(field: FieldInfo | None) -> str | None:
    """A value that has the form; of a list's items one of them."""
    example = field.examples[0] if field and field.examples else None
    return example[0] if isinstance(example, list) else example


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
