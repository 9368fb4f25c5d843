"""What pydantic finds wrong with a stack's configuration, said to the person who edits it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from infra.diagnostics.location import (
    Location,
    WrittenModel,
    at,
    field_at,
    field_of,
    home,
    keys_at,
    keys_of,
    meant,
    variants_with,
)
from infra.diagnostics.problem import key_of, path_of
from infra.diagnostics.suggest import nearest
from infra.settings.correction import correction

_SAME_WAIT = {"bakeSeconds": "intervalSeconds", "intervalSeconds": "bakeSeconds"}
"""One wait of the API (`WaitIntervalInSeconds`) has the name of what it is in a strategy."""

_NAMED_BY = {"bucket": "bucket.name", "role": "role.name", "repository": "image.repository"}
"""What is adopted is so under a name that stands elsewhere."""

MAX_SHOWN = 80
"""Characters of a wrong value that are worth repeating."""

EMPTY = "empty"
"""The type of error of a key without a value, which pydantic may take for one that is not given."""

NAMELESS = "nameless"
"""The type of error of a mapping in which the level of names is missing."""

BESIDE_NAMES = "beside_names"
"""The type of error of a mapping in which some keys stand a level too high."""


@dataclass(frozen=True)
class Mistake:
    """An error in our own words.

    Attributes:
        place: where the values are wrong.
        message: what is wrong there; None where another mistake says it.
        plain: whether it is text where a secret must be.
    """

    place: Location
    message: str | None
    error: ErrorDetails
    plain: bool = False

    @property
    def rule(self) -> str:
        """The id of the rule that is broken."""
        return "plaintext-secret" if self.plain else _rule_of(self.error)


WRONG_TYPE, OUT_OF_RANGE = "wrong-type", "out-of-range"

_RULES = {
    "missing": "missing",
    "extra_forbidden": "unknown-key",
    EMPTY: "empty",
    NAMELESS: "missing-name",
    BESIDE_NAMES: "missing-name",
    "string_pattern_mismatch": "wrong-form",
    "enum": "unknown-value",
    "literal_error": "unknown-value",
    "union_tag_invalid": "unknown-value",
}
"""The rules of pydantic's own types of errors."""

RULES = frozenset(_RULES.values()) | {WRONG_TYPE, OUT_OF_RANGE, "plaintext-secret"}
"""The ids of the rules that pydantic checks."""


_PYDANTICS = frozenset(get_args(ErrorType)) | {EMPTY, NAMELESS, BESIDE_NAMES}


def is_own(error: ErrorDetails) -> bool:
    """Whether the error is a broken rule of the project, whose type is the rule's id and whose message is complete."""
    return error["type"] not in _PYDANTICS


def _rule_of(error: ErrorDetails) -> str:
    """The id of the rule behind an error: of the project's own rules, or of a type of pydantic's errors."""
    kind = error["type"]
    if is_own(error):
        return kind
    return _RULES.get(kind) or (WRONG_TYPE if kind.endswith("_type") or kind == "int_from_float" else OUT_OF_RANGE)


def mistakes(
    errors: Collection[ErrorDetails],
    values: Mapping[str, Any],
    model: type[WrittenModel],
    namespace: str,
    secret: Collection[str] = (),
    stack: str | None = None,
) -> Iterator[Mistake]:
    """Pydantic's errors in our own words; no value below a ``secret`` key or of a container's environment is shown."""
    wrong_names = {each["loc"][:-1] for each in errors if each["loc"][-1:] == ("[key]",)}
    no_mappings = {each["loc"] for each in errors if each["type"] == "dict_type"}
    unknown = {each["loc"]: each for each in errors if each["type"] == "extra_forbidden"}
    for place, locations, message in _unknown_keys([*unknown], values, model, namespace, stack):
        first, *others = locations
        yield Mistake(place, message, unknown[first])
        yield from (Mistake(keys_of(model, each), None, unknown[each]) for each in others)
    for error in errors:
        location, given = error["loc"], error["input"]
        if location in wrong_names - no_mappings or location[:-1] in wrong_names & no_mappings:
            continue  # one mistake has one message: a wrong name, or a level of keys that is missing
        if error["type"] == "union_tag_invalid":
            location, given = (*location, "strategy"), given["strategy"]
        elif top := error.get("ctx", {}).get("at"):
            location = (top,)
        place, field = keys_of(model, location), field_at(model, location)
        if error["type"] in (EMPTY, NAMELESS, BESIDE_NAMES):
            place, field = location, field_of(model, location)
        path = path_of(place, namespace)
        if error["type"] == "string_type" and _should_be_secret(model, field, given):
            yield Mistake(place, _no_secret(key_of(path), stack), error, plain=True)
        elif error["type"] != "extra_forbidden":
            hidden = is_secret(field) or any(each in secret for each in path[:1])
            message = _message(error, given, field, place, hidden)
            command = partial(_command_to_set, key_of(path), stack)
            yield Mistake(place, _of_another_type(error, given, field, place, command, hidden) or message, error)


def command_to_encrypt(key: str, stack: str | None) -> str:
    """It asks for the value of a setting, and writes it as a secret."""
    quoted = shlex.quote(key) if "'" in key else f"'{key}'"
    return f"pulumi config set --secret{_in(stack)} --path {quoted}"


def _command_to_set(key: str, stack: str | None, kind: str, value: str = "") -> str:
    """It writes a value of a type, and asks for the value if none is given."""
    value = f" {shlex.quote(value)}" if value else ""
    return f"pulumi config set{_in(stack)} --path {shlex.quote(key)}{value} --type {kind}"


def _in(stack: str | None) -> str:
    return f" -s {shlex.quote(stack)}" if stack else ""


def _unknown_keys(
    locations: Sequence[Location],
    values: Mapping[str, Any],
    model: type[WrittenModel],
    namespace: str,
    stack: str | None,
) -> Iterator[tuple[Location, Sequence[Location], str]]:
    """Where to tell of unknown keys, the keys, and the message: one for all of a section that have one way out."""
    together: dict[tuple[Location, Any], list[Location]] = {}
    for location in locations:
        place, belongs = keys_of(model, location), home(model, location)
        if variants_with(model, location) and "strategy" not in at(values, place[:-1]):
            cause: tuple[Location, Any] = ((*place[:-1], "strategy"), None)
        else:
            cause = (place[:-1], (belongs.above, belongs.path)) if belongs else (place, None)
        together.setdefault(cause, []).append(location)
    for (place, belongs), of_cause in together.items():
        if belongs:
            yield keys_of(model, of_cause[0]), of_cause, _belongs_elsewhere(model, of_cause)
        elif place != keys_of(model, of_cause[0]):
            yield place, of_cause, _no_strategy(model, of_cause)
        else:
            yield place, of_cause, _flat_key(of_cause[0], namespace, stack) or _unknown_key(model, of_cause[0])


def _no_strategy(model: type[WrittenModel], locations: Sequence[Location]) -> str:
    keys = _listed([str(each[-1]) for each in locations], "and")
    strategies = variants_with(model, *locations) or variants_with(model, locations[0])
    return f"is missing: {_listed(strategies, 'or')}. Without one {locations[0][-2]} counts, which has no {keys}."


def _belongs_elsewhere(model: type[WrittenModel], locations: Sequence[Location]) -> str:
    """What stands a level too high or too low, as a rule because of its indentation."""
    first, section = home(model, locations[0]), keys_of(model, locations[0])[:-1]
    assert first is not None
    names = [_and_as(str(each[-1]), found.key) for each in locations if (found := home(model, each))]
    stand, them = ("stands", "it") if len(names) == 1 else ("stand", "them")
    if first.path:
        where = ".".join(first.path).replace("*", "NAME")
        indent = f"Indent {them} below" if first.above == section else f"Put {them} there, beside"
        return f"unknown key here; {_listed(names, 'and')} {stand} in {where}. {indent} {where}."
    level = "beside" if first.above else "at the top level, beside"
    return f"unknown key here; {_listed(names, 'and')} {stand} {level} {section[len(first.above)]}."


def _and_as(written: str, key: str) -> str:
    key = "aws:region" if key == "region" else key
    return key if written == key else f"{key} (here {written})"


def _flat_key(location: Location, namespace: str, stack: str | None) -> str | None:
    """What is wrong with a key of the whole configuration that is called like a path."""
    name, in_stack = str(location[0]), _in(stack)
    if len(location) > 1 or not any(each in name for each in ".["):
        return None
    key = shlex.quote(key_of((f"{namespace}:{name}",)))
    return (
        "unknown key; without --path, `pulumi config set` makes the path a key of its own. Type: "
        f"pulumi config rm{in_stack} {key} && pulumi config set{in_stack} --path {key} VALUE"
    )


def _unknown_key(model: type[WrittenModel], location: Location) -> str:
    written = str(location[-1])
    if others := variants_with(model, location):
        only = f"{_listed(others, 'and')} {'have' if len(others) > 1 else 'has'}"
        same = _SAME_WAIT.get(written)
        return f"unknown key with {location[-2]}{f', which calls it {same}' if same else ''}; only {only} it."
    if (above := written.partition(".")[0]) in keys_at(model, location[:-1]):
        return (
            f"unknown key; a dot leads nowhere here. Put what follows it on a line of its own, indented, below {above}."
        )
    if (key := meant(model, location)) is not None:
        return f"unknown key; did you mean {'aws:region' if (*location[:-1], key) == ('region',) else key}?"
    return f"unknown key; known keys here: {', '.join(keys_at(model, location[:-1]))}."


def _listed(words: Sequence[str], conjunction: str) -> str:
    *rest, last = words
    return f"{', '.join(rest)} {conjunction} {last}" if rest else last


def _no_secret(key: str, stack: str | None) -> str:
    command = command_to_encrypt(key, stack)
    return f"is no Pulumi secret, which stands as {{secure: …}}, encrypted. Take it out and type: {command}"


def _should_be_secret(model: type[WrittenModel], field: FieldInfo | None, given: Any) -> bool:
    """Whether a value is where a stack has nothing but secrets, or is one but for the spelling of `secure`."""
    misspelt = isinstance(given, dict) and any(nearest(str(key), ["secure"]) for key in given)
    return is_secret(field) and (misspelt or any(field is each for each in model.model_fields.values()))


def is_secret(field: FieldInfo | None) -> bool:
    """Whether values of the field may be secrets."""
    extra = field.json_schema_extra if field else None
    return isinstance(extra, dict) and "secret" in extra


def _of_another_type(
    error: ErrorDetails,
    given: Any,
    field: FieldInfo | None,
    place: Location,
    command: Callable[..., str],
    hidden: bool,
) -> str | None:
    """What is wrong with text that is written as a number or a truth value, or the other way round. `pulumi config set
    --path` writes whole numbers and true as such, and 0.5 as text."""
    shown = "the value" if hidden else _shown(given)
    expected = str(error["msg"]).replace("Input should be", "must be")
    if error["type"] == "string_type" and isinstance(given, int | float) and not _hint(error, given, field, place):
        return f"{shown}: {expected}. Put it in quotes, or type: {command('string')}"
    kind = error["type"].removesuffix("_type")
    if kind not in ("int", "float", "bool") or not isinstance(given, str) or hidden:
        return None
    if (instead := correction(error, given, field)) is None or _yaml(instead) != given.strip().casefold():
        return None
    return f"{shown}: {expected}. Write {_yaml(instead)}, without quotes, or type: {command(kind, _yaml(instead))}"


def _message(error: ErrorDetails, given: Any, field: FieldInfo | None, place: Location, hidden: bool) -> str:
    if is_own(error):
        return str(error["msg"])
    value, hint = ("the value", "") if hidden else (_shown(given), _hint(error, given, field, place))
    expected = str(error["msg"]).replace("Input should be", "must be").replace("String should", "must")
    described = field.description if field and field.description else ""
    match error["type"]:
        case "empty":
            needed = field and field.is_required() and field.alias == place[-1]
            return f"is empty. Give it a value{'' if needed else ', or take the key out'}."
        case "nameless":
            return f"a name is missing above {_listed(given, 'and')}: put one there, and indent them below it."
        case "beside_names":
            return f"{_listed(given, 'and')} cannot stand beside names. Indent it below the name that it belongs to."
        case "missing":
            said = "is required."
        case "model_type" | "model_attributes_type" | "dict_type":
            said = f"{value}: must be a mapping of keys to values{_no_mapping(given, field, place)}."
        case "list_type":
            said = f"{value}: must be a list: each item on a line of its own after `- `, or all of them in [brackets]."
        case "too_short" | "too_long":
            said = f"must have {_limit(error)}."
        case "string_pattern_mismatch" if example := _example(field):
            said = f"{value}: must be of the form of {example}.{hint}"
        case "union_tag_invalid" if isinstance(given, str):
            return f"{value} is none of {error['ctx']['expected_tags']}.{hint}"
        case "union_tag_invalid":
            return f"{value}: must be one of {error['ctx']['expected_tags']}."
        case "enum" | "literal_error":
            return f"{value}: {expected}.{hint}"
        case _:
            said = f"{value}: {expected}.{hint}"
    return f"{said} {described}".strip()


def _hint(error: ErrorDetails, given: Any, field: FieldInfo | None, place: Location) -> str:
    """What to write instead, where that can be told."""
    if error["type"] == "bool_type" and place[:-1] == ("adopt",) and place[-1] in _NAMED_BY and isinstance(given, str):
        return f" Write true, and the name as {_NAMED_BY[str(place[-1])]}."
    if (instead := correction(error, given, field)) is None:
        return ""
    if isinstance(instead, str) and error["type"] not in ("string_type", "string_pattern_mismatch"):
        return f" Did you mean {instead}?"
    return f" Write {_yaml(instead)}."


def _no_mapping(given: Any, field: FieldInfo | None, place: Location) -> str:
    """Why there is none."""
    if isinstance(given, list):
        return "; take the dashes away"
    return ": the endpoint's name is missing above it" if is_secret(field) and given and len(place) > 1 else ""


def _limit(error: ErrorDetails) -> str:
    context = error["ctx"]
    least, most = context.get("min_length"), context.get("max_length")
    count = least if most is None else most
    return f"at {'least' if most is None else 'most'} {count} item{'' if count == 1 else 's'}"


def _example(field: FieldInfo | None) -> str | None:
    """A value that has the form; of a list's items one of them."""
    example = field.examples[0] if field and field.examples else None
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
