"""Validation that continues after a mistake, which hides only the rules that read the key it is in.

Pydantic runs the validators of a model only if every field is valid. Here each key is validated by itself, and each
rule runs on the section as far as it is valid; a rule that reads an invalid key is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.diagnostics import messages
from infra.diagnostics.problem import Location, Problem, key_of
from infra.diagnostics.suggest import nearest
from infra.settings.annotation import container, discriminator, sections_in
from infra.settings.section import Section

_Section = TypeVar("_Section", bound=Section)

_TAG = "strategy"
"""The key whose value is the tag of a tagged union."""

_INVALID: Final = object()
"""In place of a value whose problem is reported."""


@dataclass(frozen=True)
class _Key:
    """A key of a section."""

    field: FieldInfo

    @cached_property
    def sections(self) -> Mapping[str | None, type[Section]]:
        """The sections in the values, those of a tagged union by their tags; empty for values without sections."""
        return sections_in(self.field.annotation)

    @cached_property
    def default(self) -> Any:
        """Shared by all sections, because settings do not change."""
        return self.field.get_default(call_default_factory=True)

    @cached_property
    def container(self) -> Any:
        """`dict` for sections by names, `list` for a list of them."""
        return get_origin(container(self.field.annotation))

    @cached_property
    def values(self) -> TypeAdapter[Any]:
        """Validates values as a whole."""
        return _strict(self.field.annotation, *self.field.metadata)

    @cached_property
    def names(self) -> TypeAdapter[Any]:
        """Validates the names of sections."""
        return _strict(get_args(container(self.field.annotation))[0])

    @cached_property
    def sizes(self) -> TypeAdapter[Any]:
        """Validates the number of sections."""
        limits = [
            limit for limit in self.field.metadata if hasattr(limit, "min_length") or hasattr(limit, "max_length")
        ]
        return _strict(self.container, *limits)


def _strict(type_: Any, *metadata: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[(type_, *metadata)] if metadata else type_, config=ConfigDict(strict=True))


@cache
def _keys(section: type[Section]) -> Mapping[str, _Key]:
    return {name: _Key(field) for name, field in section.model_fields.items()}


def _upwards(path: Location) -> Iterator[Location]:
    """The path, and those above it."""
    return (path[:length] for length in range(len(path), 0, -1))


class PartialValidation:
    """Finds every problem of a stack's settings.

    Args:
        locate: returns the path in the stack file of a place in the settings, as it is written.
        secret: the top-level keys of the stack file with values that must not be shown.
        stack: the stack's name, for commands in messages.
    """

    def __init__(
        self, locate: Callable[[Location], Location], secret: Collection[str] = (), stack: str | None = None
    ) -> None:
        self.problems: list[Problem] = []
        self._locate, self._secret, self._stack = locate, secret, stack
        self._written: dict[Location, Location] = {}
        self._short: dict[Location, Location] = {}
        self._with_unknown_keys: set[Location] = set()
        self._sections: dict[Location, Section] = {}
        self._top: Collection[str] = ()

    def validate(self, settings: type[_Section], values: Mapping[str, Any]) -> _Section:
        """The settings as far as they are valid: reading an invalid one raises `InvalidSetting`."""
        self._top = settings.fields_by_key()
        return self._section(settings, self._known_keys({None: settings}, values, ()), ())

    @property
    def errors(self) -> list[Problem]:
        """The problems without the warnings."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def add_warnings(self, misread: Collection[Location] = ()) -> None:
        """Add the warnings that do not follow from an error: their rules read, and are about, nothing with an error.

        Afterwards, reading a setting with an error raises `InvalidSetting`.

        Args:
            misread: the paths in the stack file of errors that this validation does not know.
        """
        holders: dict[Location, list[tuple[Section, str]]] = {}
        for place, section in self._sections.items():
            keys = [str(field.alias) for field in type(section).model_fields.values()]
            if self._as_written(place) in self._with_unknown_keys:
                section.invalidate(*keys)
            for key in keys:
                holders.setdefault(self.path((*place, key)), []).append((section, key))
        errors = {*(problem.path for problem in self.errors), *misread}
        for path in errors:
            for section, key in next((holders[above] for above in _upwards(path) if above in holders), ()):
                section.invalidate(key)
        for place, section in self._sections.items():
            for problem in section.broken_rules("warning"):
                if errors.isdisjoint(_upwards(self.path((*place, *problem.path)))):
                    self._report(problem, place)

    def path(self, place: Location) -> Location:
        """The path in the stack file of a place in the settings."""
        return self._locate(self._as_written(place))

    def _section(self, section: type[_Section], values: dict[str, Any], place: Location) -> _Section:
        for problem in section.problems_of_text(values):
            self._report(problem, place)
        values, implied = section.in_shape(values)
        if implied:
            self._written[(*place, *implied)] = self._as_written(place)
            self._short[(*place, *implied)] = place
        fields = {name: self._field(key, values, place) for name, key in _keys(section).items()}
        valid = {name: value for name, value in fields.items() if value is not _INVALID}
        partial = section.as_far_as_valid(valid, values.keys())
        for problem in [*partial.broken_rules("error")]:
            self._report(problem, place)
            if len(problem.path) == 1:  # one below another section is left to that section
                partial.invalidate(str(problem.path[0]))
        self._sections[place] = partial
        return partial

    def _field(self, key: _Key, values: Mapping[str, Any], place: Location) -> Any:
        written = str(key.field.alias)
        if written in values:
            value = values[written]
            return value if value is _INVALID else self._value(key, value, (*place, written))
        if not key.field.is_required():
            return key.default
        if self._as_written(place) not in self._with_unknown_keys:
            self._report(messages.missing(key.field), (*place, written))
        return _INVALID

    def _value(self, key: _Key, value: Any, place: Location) -> Any:
        if not key.sections:
            return self._plain(key.values, key, value, place)
        if not self._is_container(key, key.container or dict, value, place):
            return _INVALID
        if key.container is None:
            return self._member(key, self._known_keys(key.sections, value, place), place)
        if self._plain(key.sizes, key, value, place) is _INVALID:
            return _INVALID
        if key.container is list:
            return [self._item(key, item, (*place, position)) for position, item in enumerate(value)]
        return {name: self._named(key, name, item, (*place, name)) for name, item in value.items()}

    def _member(self, key: _Key, values: dict[str, Any], place: Location) -> Any:
        """The only section, or the member of a tagged union."""
        tag_of = discriminator(key.field.annotation, key.field.metadata)
        tag = tag_of(values) if tag_of else None
        if tag not in [*key.sections]:  # a tag may be a mapping, which has no hash
            if _INVALID in values.values() or self._as_written(place) in self._with_unknown_keys:
                return _INVALID
            return self._plain(key.values, key, values, place)
        member = key.sections[tag]
        foreign = [written for written in values if written not in member.fields_by_key()]
        by_default = _TAG in member.fields_by_key() and _TAG not in values
        for written in foreign:
            if problem := member.excluded.get(written):
                self._report(replace(problem, path=(written,)), place)
                continue
            others = [str(other) for other, section in key.sections.items() if written in section.fields_by_key()]
            self._report(messages.key_of_another_member(str(tag), by_default, others), (*place, written))
        return self._section(member, {name: value for name, value in values.items() if name not in foreign}, place)

    def _named(self, key: _Key, name: str, value: Any, place: Location) -> Section:
        """A section by its name; without valid settings if the name is invalid."""
        section = self._item(key, value, place)
        if self._plain(key.names, key, name, place) is _INVALID:
            return section.as_far_as_valid({}, ())
        return section

    def _item(self, key: _Key, value: Any, place: Location) -> Section:
        """A section in a list or mapping; without valid settings if it is not a mapping."""
        if self._is_container(key, dict, value, place):
            section: Section = self._member(key, self._known_keys(key.sections, value, place), place)
            return section
        return next(iter(key.sections.values())).as_far_as_valid({}, ())

    def _plain(self, adapter: TypeAdapter[Any], key: _Key, value: Any, place: Location) -> Any:
        """The value as pydantic validates it."""
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            errors: dict[Location, ErrorDetails] = {}
            for found in error.errors():
                below: Location = tuple(part for part in found["loc"] if part != "[key]")
                if found["type"] == "union_tag_invalid":
                    found, below = {**found, "input": value[_TAG]}, (_TAG,)
                if below not in errors or found["type"] == "dict_type":  # one problem for a name and its value
                    errors[below] = found
            for below, found in errors.items():
                self._report_invalid(key, found, (*place, *below))
        return _INVALID

    def _is_container(self, key: _Key, type_: type[Any], value: Any, place: Location) -> bool:
        if isinstance(value, type_):
            return True
        self._report_invalid(key, {"type": f"{type_.__name__}_type", "loc": (), "msg": "", "input": value}, place)
        return False

    def _known_keys(
        self, sections: Mapping[str | None, type[Section]], values: Mapping[str, Any], place: Location
    ) -> dict[str, Any]:
        """The values of known keys, and of misspelt ones by the known key that is clearly intended."""
        fields = {key: field for section in sections.values() for key, field in section.fields_by_key().items()}
        known: dict[str, Any] = {}
        for written, value in values.items():
            key = written
            if written not in fields:
                intended, problem = self._unknown_key(written, fields, place)
                self._report(problem, (*place, written))
                if intended is None:
                    self._with_unknown_keys.add(self._as_written(place))
                    continue
                if intended in values or intended in known:
                    continue
                key = intended
                self._written[(*place, key)] = (*self._as_written(place), written)
            known[key] = value
            if (value is None and not messages.is_nullable(fields[key])) or (not place and value == ""):
                known[key] = _INVALID
                self._report(messages.empty(fields[key]), (*place, key))
        return known

    def _unknown_key(
        self, written: str, fields: Mapping[str, FieldInfo], place: Location
    ) -> tuple[str | None, Problem]:
        """The key that a section has in place of an unknown one, if that is clear, and the problem."""
        if not place and messages.is_flat(written):
            return None, messages.flat_key(written, key_of(self._locate((written,))), fields, self._stack)
        intended = nearest(written, [*fields, *self._top])
        if intended is None or intended in fields:
            return intended, messages.unknown_key(fields, intended)
        return None, messages.key_of_the_stack(intended)

    def _as_written(self, place: Location) -> Location:
        """The place in the text: its keys may be misspelt there, and those above an only variant are left out."""
        for length in range(len(place), 0, -1):
            if place[:length] in self._written:
                return self._as_written((*self._written[place[:length]], *place[length:]))
        return place

    def _intended_key(self, place: Location) -> str:
        """The key to set for a place: as it is written, but without misspellings."""
        for length in range(len(place), 0, -1):
            if place[:length] in self._short:
                place = (*self._short[place[:length]], *place[length:])
                break
        return key_of(self._locate(place))

    def _report_invalid(self, key: _Key, error: ErrorDetails, place: Location) -> None:
        path, intended = self.path(place), self._intended_key(place)
        secret = messages.is_secret(key.field)
        only_secrets = secret and place[:1] == (key.field.alias,)
        if error["type"] == "string_type" and secret and (only_secrets or messages.misspells_secure(error["input"])):
            self._report(messages.plaintext_secret(intended, self._stack), place)
        elif error["input"] is None:
            self._report(messages.empty(key.field), place)
        else:
            hidden = secret or path[0] in self._secret
            self._report(messages.invalid(error, key.field, intended, self._stack, hidden), place)

    def _report(self, problem: Problem, place: Location) -> None:
        """Add a problem whose path begins at a place."""
        (secrets,) = self._locate(("secretEnvironment",))
        message = messages.with_names(problem.message, self._stack, str(secrets))
        self.problems.append(replace(problem, message=message, path=self.path((*place, *problem.path))))
