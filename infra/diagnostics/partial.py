"""Validation that continues after a mistake, which hides only the rules that read the key it is in.

Pydantic runs the rules of a section only if every key is valid. Here each key is validated by itself, and each rule
runs on the section as far as it is valid; a rule that reads another key is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Final, TypeVar

from annotated_types import MaxLen, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from infra.diagnostics import messages
from infra.diagnostics.location import Location, container, discriminator, key_type, sections_in
from infra.diagnostics.problem import Problem, key_of
from infra.diagnostics.suggest import nearest
from infra.settings.section import Section

_Section = TypeVar("_Section", bound=Section)

Sections = Mapping[str | None, type[Section]]
"""A section, or the members of a tagged union by their tags."""

TAG = "strategy"
"""The key that tells the members of a tagged union apart."""

_INVALID: Final = object()
"""In place of a value whose problem is reported."""


class PartialValidation:
    """Finds every problem of a stack's settings.

    Args:
        locate: returns the path in the stack file of a place in the settings.
        is_secret: whether the values below a top-level key may be secrets.
        stack: the stack's name, for commands in messages.
    """

    def __init__(
        self, locate: Callable[[Location], Location], is_secret: Callable[[str], bool], stack: str | None = None
    ) -> None:
        self.problems: list[Problem] = []
        self._locate, self._is_secret, self._stack = locate, is_secret, stack
        self._written: dict[Location, Location] = {}
        self._with_unknown_keys: set[Location] = set()

    def validate(self, model: type[_Section], values: Mapping[str, Any]) -> _Section:
        """The settings as far as they are valid: an attribute that is not raises `InvalidSetting`."""
        return self._section(model, self._known_keys({None: model}, values, ()), ())

    def _section(self, model: type[_Section], values: dict[str, Any], place: Location) -> _Section:
        for problem in model.problems_of_text(values):
            self._report(problem.rule, problem.message, (*place, *problem.path))
        values, implied = model.in_shape(values)
        if implied:
            self._written[(*place, *implied)] = self._as_written(place)
        fields = {name: self._field(model, name, values, place) for name in model.model_fields}
        valid = {name: value for name, value in fields.items() if value is not _INVALID}
        section = model.as_far_as_valid(valid, values.keys(), implied)
        for problem in [*section.broken_rules("error")]:
            self._report(problem.rule, problem.message, (*place, *problem.path))
            section.invalidate(problem.path)
        return section

    def _field(self, model: type[Section], name: str, values: Mapping[str, Any], place: Location) -> Any:
        field = model.model_fields[name]
        key = str(field.alias)
        if key in values:
            return values[key] if values[key] is _INVALID else self._value(model, name, values[key], (*place, key))
        if not field.is_required():
            return field.get_default(call_default_factory=True)
        if self._as_written(place) not in self._with_unknown_keys:
            self._report(messages.MISSING, messages.missing(field), (*place, key))
        return _INVALID

    def _value(self, model: type[Section], name: str, value: Any, place: Location) -> Any:
        field = model.model_fields[name]
        sections: Any = sections_in(field.annotation)
        kind = container(field.annotation)
        if not sections:
            return self._leaf(model, name, value, place)
        is_section = isinstance(value, kind or dict)
        if not is_section:
            return self._of_wrong_type(model, name, "list_type" if kind is list else "dict_type", value, place)
        if kind is None:
            return self._member(model, name, sections, self._known_keys(sections, value, place), place)
        if not self._has_size(model, name, value, place):
            return _INVALID
        if kind is list:
            return [self._item(model, name, sections, item, (*place, n)) for n, item in enumerate(value)]
        return {key: self._entry(model, name, sections, key, item, place) for key, item in value.items()}

    def _member(
        self, model: type[Section], name: str, sections: Sections, values: dict[str, Any], place: Location
    ) -> Section | Any:
        """The member of a tagged union, or the only section."""
        tag_of = discriminator(model.model_fields[name])
        if tag_of is None:
            return self._section(sections[None], values, place)
        if (tag := tag_of(values)) not in sections:
            if _INVALID in values.values() or self._as_written(place) in self._with_unknown_keys:
                return _INVALID
            return self._leaf(model, name, values, place)
        own = sections[tag].fields_by_key()
        by_default = TAG in own and TAG not in values
        for key in values.keys() - own.keys():
            message = messages.key_of_another_member(key, str(tag), sections, by_default)
            self._report(messages.UNKNOWN_KEY, message, (*place, key))
        if by_default and values.keys() - own.keys():
            return _INVALID  # another member is probably intended
        return self._section(sections[tag], {key: value for key, value in values.items() if key in own}, place)

    def _entry(
        self, model: type[Section], name: str, sections: Sections, key: str, value: Any, place: Location
    ) -> Section:
        """An entry of a mapping by names; it is empty if its name is invalid."""
        section = self._item(model, name, sections, value, (*place, key))
        try:
            _key_adapter(model, name).validate_python(key)
        except ValidationError as error:
            self._report_invalid(model, name, error.errors()[0], (*place, key))
            return type(section).as_far_as_valid({}, (), ())
        return section

    def _item(self, model: type[Section], name: str, sections: Sections, value: Any, place: Location) -> Section:
        """A section in a list or mapping; it is empty if it is not a mapping."""
        (section,) = sections.values()
        if isinstance(value, dict):
            return self._section(section, self._known_keys(sections, value, place), place)
        self._of_wrong_type(model, name, "dict_type", value, place)
        return section.as_far_as_valid({}, (), ())

    def _has_size(self, model: type[Section], name: str, value: Any, place: Location) -> bool:
        try:
            _size_adapter(model, name).validate_python(value)
        except ValidationError as error:
            self._report_invalid(model, name, error.errors()[0], place)
            return False
        return True

    def _leaf(self, model: type[Section], name: str, value: Any, place: Location) -> Any:
        """A value without sections, or one that is not a section."""
        try:
            return _adapter(model, name).validate_python(value)
        except ValidationError as error:
            errors: dict[Location, ErrorDetails] = {}
            for found in error.errors():
                location = tuple(part for part in found["loc"] if part != "[key]")
                if location not in errors or found["type"] == "dict_type":
                    errors[location] = found
            for location, found in errors.items():
                if found["type"] == "union_tag_invalid":
                    found, location = {**found, "input": value[TAG]}, (TAG,)
                self._report_invalid(model, name, found, (*place, *location))
        return _INVALID

    def _of_wrong_type(self, model: type[Section], name: str, kind: str, value: Any, place: Location) -> Any:
        self._report_invalid(model, name, {"type": kind, "loc": (), "msg": "", "input": value}, place)
        return _INVALID

    def _known_keys(self, sections: Sections, values: Mapping[str, Any], place: Location) -> dict[str, Any]:
        """The values of known keys, and of unknown ones under the name that is clearly intended."""
        fields = {key: field for section in sections.values() for key, field in section.fields_by_key().items()}
        known: dict[str, Any] = {}
        for written, value in values.items():
            key: str | None = written
            if written not in fields:
                key = nearest(written, fields)
                message = messages.unknown_key(fields, key)
                if not place and any(sign in written for sign in ".["):
                    message = messages.flat_key(key_of(self._locate((written,))), self._stack)
                self._report(messages.UNKNOWN_KEY, message, (*place, written))
                if key is None:
                    self._with_unknown_keys.add(self._as_written(place))
                if key is None or key in values or key in known:
                    continue
                self._written[(*place, key)] = (*self._as_written(place), written)
            assert key is not None
            known[key] = value
            if value is None or (not place and value == ""):
                known[key] = _INVALID
                self._report(messages.EMPTY, messages.empty(fields[key]), (*place, key))
        return known

    def _as_written(self, place: Location) -> Location:
        """The place in the text, whose keys may be misspelt, and left out above an only variant's."""
        for length in range(len(place), 0, -1):
            if place[:length] in self._written:
                return self._as_written((*self._written[place[:length]], *place[length:]))
        return place

    def _report_invalid(self, model: type[Section], name: str, error: ErrorDetails, place: Location) -> None:
        field = model.model_fields[name]
        secret = messages.is_secret(field)
        key = key_of(self._locate(self._as_written(place)))
        only_secrets = secret and place[:1] == (field.alias,)
        if error["type"] == "string_type" and secret and (only_secrets or messages.misspells_secure(error["input"])):
            self._report(messages.PLAINTEXT_SECRET, messages.plaintext_secret(key, self._stack), place)
        elif error["input"] is None:
            self._report(messages.EMPTY, messages.empty(field), place)
        else:
            hidden = secret or self._is_secret(str(place[0]))
            message = messages.invalid(error, field, key, self._stack, hidden)
            self._report(messages.rule_of(error), message, place)

    def _report(self, rule: str, message: str, place: Location) -> None:
        self.problems.append(Problem(rule, message, path=self._locate(self._as_written(place))))


@cache
def _adapter(model: type[Section], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    return _strict(field.annotation, *field.metadata)


@cache
def _key_adapter(model: type[Section], name: str) -> TypeAdapter[Any]:
    return _strict(key_type(model.model_fields[name].annotation))


@cache
def _size_adapter(model: type[Section], name: str) -> TypeAdapter[Any]:
    field = model.model_fields[name]
    return _strict(container(field.annotation), *(each for each in field.metadata if isinstance(each, MinLen | MaxLen)))


def _strict(type_: Any, *metadata: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[(type_, *metadata)] if metadata else type_, config=ConfigDict(strict=True))
