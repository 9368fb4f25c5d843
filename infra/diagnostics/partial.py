"""Every mistake of a stack's configuration at once.

Pydantic looks at a rule across keys only where each key is right by itself, and at one across sections only where the
rules inside of them hold: one mistake hides others. So what is wrong is replaced until all is right. Where nobody can
tell what was meant there are several readings, and what counts is what each of them shows: it is wrong whatever was
meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.diagnostics.location import (
    Location,
    WrittenModel,
    at,
    field_of,
    home,
    is_entry,
    is_mapping_at,
    keys_at,
    meant,
    variants_with,
)
from infra.diagnostics.messages import BESIDE_NAMES, EMPTY, NAMELESS, Mistake, is_own, is_secret
from infra.settings.correction import correction
from infra.settings.stand_in import LEFT_OUT, fresh_names, stand_ins

MAX_READINGS = 16
MAX_ROUNDS = 40
"""More than there are mistakes that hide one another; each round leaves fewer."""

Words = Callable[[Collection[ErrorDetails], Mapping[str, Any]], Iterator[Mistake]]
"""Says errors of values in our own words."""


@dataclass(frozen=True)
class _Edit:
    """Another value at a place, or its own at another one.

    Attributes:
        meant: whether the user meant it so; else it is of nobody, and is not told of.
    """

    place: Location
    value: Any = LEFT_OUT
    to: Location | None = None
    meant: bool = False


def mistakes(values: Mapping[str, Any], model: type[WrittenModel], words: Words) -> list[tuple[Location, str, str]]:
    """Every mistake of the values, as its place in them, the rule's id and a message."""
    first = _Reading(values, model, words)
    as_it_stands, *behind = first.rounds()
    told, number = [each for found in behind for each in found], 1
    while told and number < min(first.choices, MAX_READINGS):
        found = {each for found in _Reading(values, model, words, number).rounds() for each in found}
        told, number = [each for each in told if each in found], number + 1
    return [*as_it_stands, *told]


def as_meant(
    values: Mapping[str, Any], model: type[WrittenModel], words: Words
) -> tuple[dict[str, Any], set[Location]]:
    """Valid values that are as those given but for the mistakes, and the places in them that are of nobody."""
    reading = _Reading(values, model, words)
    list(reading.rounds())
    return reading.values, reading.of_nobody


class _Reading:
    """The values as they may have been meant.

    Args:
        number: which of the possible stand-ins it takes first.
    """

    def __init__(self, values: Mapping[str, Any], model: type[WrittenModel], words: Words, number: int = 0) -> None:
        self.choices = 1
        self.values, self._model, self._words, self._number = deepcopy(dict(values)), model, words, number
        self._taken: Counter[Location] = Counter()
        self._written: dict[Location, Location] = {}
        self.of_nobody: set[Location] = set()

    def rounds(self) -> Iterator[list[tuple[Location, str, str]]]:
        """What is wrong, then what is wrong behind it, and so on."""
        for _ in range(MAX_ROUNDS):
            found = list(self._words(self._errors(), self.values))
            told = ((each.place, each.rule, each.message) for each in found if not self._is_of_nobody(each))
            yield [(self._as_written(place), rule, message) for place, rule, message in told if message]
            changed: set[Location] = set()
            for each in found:
                if not _within(each.place, changed) and (place := self._stand_in(each.place, each)):
                    changed.add(place)
            if not changed:
                return

    def _is_of_nobody(self, mistake: Mistake) -> bool:
        """Whether what stands in for something makes it, or what was left out."""
        place = mistake.place
        match mistake.error["type"]:
            case "too_short" if any(_within(each, {place}) for each in self.of_nobody):
                return True
            case "extra_forbidden" if (*place[:-1], "strategy") in self.of_nobody:
                return _within(place, self.of_nobody) or bool(variants_with(self._model, mistake.error["loc"]))
        return _within(place, self.of_nobody)

    def _errors(self) -> list[ErrorDetails]:
        """Those that are not made by others: what a key without its name, or one that nobody knows, was meant for is
        missed elsewhere."""
        if nameless := list(_nameless(self.values, self._model)):
            return nameless
        found = _errors(self.values, self._model)
        unknown = [each for each in found if each["type"] == "extra_forbidden"]
        unknown = [each for each in unknown if not variants_with(self._model, each["loc"])] or unknown
        empty = (each for each in _empty(self.values) if not self._needs_secret(each["loc"]))
        return unknown or [*empty] or found

    def _needs_secret(self, place: Location) -> bool:
        return len(place) > 1 and is_secret(field_of(self._model, place[:1]))

    def _stand_in(self, place: Location, mistake: Mistake | None) -> Location | None:
        """Put the next of the possible stand-ins in, where there is none left into the section around, and say where;
        what is wrong with a stand-in itself hides nothing."""
        options = self._options(place, mistake)
        self.choices = max(self.choices, len(options))
        if self._taken[place] >= len(options):
            above = place[:-1]
            return None if not above or _within(above, self.of_nobody) else self._stand_in(above, None)
        number = (self._number + self._taken[place]) % len(options)
        self._taken[place] += 1
        for edit in options[number]:
            self._apply(edit)
        return place

    def _options(self, place: Location, mistake: Mistake | None) -> list[list[_Edit]]:
        if mistake:
            error = mistake.error
            if error["type"] == "extra_forbidden":
                return self._unknown_as_meant(place, error["loc"])
            if error["type"] in (NAMELESS, BESIDE_NAMES):
                return self._below_a_name(place, error["input"])
            if error["loc"][-1:] == ("[key]",):
                names = fresh_names(at(self.values, place[:-1]))
                return [[_Edit(place, to=(*place[:-1], name))] for name in names]
            if (instead := self._corrected(place, error)) is not None:
                return [[_Edit(place, instead, meant=True)]]
        found = [[_Edit(place, value)] for value in stand_ins(self._model, place)]
        section = place[:-1]
        if mistake and is_own(mistake.error) and section and not is_entry(self._model, section):
            found += [[_Edit(section, value)] for value in stand_ins(self._model, section)]  # another key may be wrong
        return found

    def _below_a_name(self, place: Location, keys: Collection[str]) -> list[list[_Edit]]:
        """Below one of the names that there are, or below one that is missing."""
        mapping = at(self.values, place)
        names = [name for name in mapping if name not in keys] or fresh_names(mapping)
        moved = [[_Edit((*place, key), to=(*place, name, key)) for key in keys] for name in names]
        return [*moved, [_Edit((*place, key)) for key in keys]]

    def _corrected(self, place: Location, error: ErrorDetails) -> Any:
        given = error["input"]["strategy"] if error["type"] == "union_tag_invalid" else error["input"]
        return None if self._taken[place] else correction(error, given, field_of(self._model, place))

    def _unknown_as_meant(self, place: Location, location: Location) -> list[list[_Edit]]:
        """As it is meant by its spelling, or by where it stands; else it may be any key that the section has not."""
        *above, written = place
        section = tuple(above)
        if written != location[-1]:  # what makes it unknown
            return [[_Edit(place, each)] for each in variants_with(self._model, location)]
        if variants_with(self._model, location):
            return [[_Edit(place)]]
        if key := meant(self._model, location):
            return [[_Edit(place, to=(*section, key))]]
        if belongs := home(self._model, location):
            found = list(_expanded(self.values, belongs.above, belongs.path))
            return [*([_Edit(place, to=(*each, belongs.key))] for each in found), [_Edit(place)]]
        if (dotted := str(written).split("."))[0] in keys_at(self._model, location[:-1]):
            return [[_Edit(place, to=(*section, *dotted))]]
        given, known = at(self.values, section), keys_at(self._model, location[:-1])
        absent = ((*section, key) for key in known if key not in given)
        return [[_Edit(place)], *([_Edit(place), _Edit(each, stand_ins(self._model, each)[0])] for each in absent)]

    def _apply(self, edit: _Edit) -> None:
        if edit.to is not None:
            value = _put(self.values, edit.place, LEFT_OUT)
            if has(self.values, edit.to):
                self.of_nobody.add(edit.place)
            else:
                self._written[edit.to] = self._as_written(edit.place)
                _put(self.values, edit.to, value)
        else:
            _put(self.values, edit.place, edit.value)
            if not edit.meant:
                self.of_nobody.add(edit.place)

    def _as_written(self, place: Location) -> Location:
        """Where it is in the values as they were given."""
        for length in range(len(place), 0, -1):
            if found := self._written.get(place[:length]):
                return (*found, *place[length:])
        return place


def _errors(values: Mapping[str, Any], model: type[WrittenModel]) -> list[ErrorDetails]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return [{**found, "loc": model.written_path(found["loc"], values)} for found in error.errors()]
    return []


def _error(kind: str, place: Location, given: Any) -> ErrorDetails:
    return {"type": kind, "loc": place, "msg": "", "input": given}


def _empty(value: Any, place: Location = ()) -> Iterator[ErrorDetails]:
    """Keys that have no value: whoever left them so meant something by it. Pulumi gives text to those at the top."""
    for key, each in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(value, Mapping) and (each is None or (not place and each == "")):
            yield _error(EMPTY, (*place, key), each)
        elif isinstance(each, list | Mapping):
            yield from _empty(each, (*place, key))


def _nameless(values: Any, model: type[WrittenModel], place: Location = ()) -> Iterator[ErrorDetails]:
    """Mappings by names that have keys of what stands below a name."""
    for key, each in values.items():
        if isinstance(each, Mapping):
            inner = (*place, key)
            known = {*keys_at(model, inner)} if is_mapping_at(model, inner) else set()
            if found := [name for name in each if name in known and _is_value(model, (*inner, "*"), name, each[name])]:
                yield _error(*((NAMELESS, inner, [*each]) if each.keys() <= known else (BESIDE_NAMES, inner, found)))
            else:
                yield from _nameless(each, model, inner)


def _is_value(model: type[WrittenModel], section: Location, key: str, value: Any) -> bool:
    """Whether it is rather the value of a section's key than a whole section which is called like that."""
    if not isinstance(value, Mapping):
        return value is not None
    return not is_mapping_at(model, (*section, key)) and not value.keys().isdisjoint(keys_at(model, (*section, key)))


def _expanded(values: Any, above: Location, path: tuple[str, ...]) -> Iterator[Location]:
    """The places of a path in which `*` is any name that there is."""
    if "*" not in path:
        yield (*above, *path)
        return
    length = path.index("*")
    mapping = (*above, *path[:length])
    names = at(values, mapping) if has(values, mapping) else ()
    for name in names if isinstance(names, Mapping) else ():
        yield from _expanded(values, (*mapping, name), path[length + 1 :])


def has(values: Any, place: Location) -> bool:
    """Whether there is a value."""
    try:
        return at(values, place) is not None
    except (KeyError, IndexError, TypeError):
        return False


def _put(values: Any, place: Location, value: Any) -> Any:
    """Change a value, and return what was there; sections on the way are made where they are missing."""
    *above, last = place
    for part in above:
        if isinstance(values, dict) and values.get(part) is None:
            values[part] = {}
        if not has(values, (part,)):  # no section, and told as that
            return LEFT_OUT
        values = at(values, (part,))
    if isinstance(values, list) and isinstance(last, int):
        values[last] = deepcopy(value)
    if not isinstance(values, dict):
        return LEFT_OUT
    before = values.pop(last, LEFT_OUT)
    if value is not LEFT_OUT:
        values[last] = deepcopy(value)
    return before


def _within(place: Location, places: Collection[Location]) -> bool:
    return any(place[:length] in places for length in range(len(place) + 1))
