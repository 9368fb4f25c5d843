"""What a program's inputs become: completed before anything is made, and found again on AWS afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.provider.difference import inputs_after_refresh
from sandbox.provider.mapping import Problem
from sandbox.provider.resource_type import ResourceType
from sandbox.provider.wire import UNKNOWN, contains_unknown

_NOTES = "__defaults"
"""The names of inputs that were filled in: Pulumi's Terraform bridge keeps their list so among the inputs."""


def completed(
    type_: ResourceType,
    given: Mapping[str, Any],
    before: Mapping[str, Any],
    propose: Callable[[Mapping[str, Any]], str],
    default_tags: Mapping[str, str],
) -> tuple[dict[str, Any], list[Problem]]:
    """The inputs with what the program left out, and what stands in the way.

    Args:
        before: the completed inputs of the last time; an automatic name stays.
        propose: makes an automatic name.
        default_tags: tags that the provider puts on every resource.
    """
    inputs = {
        name: _text(value) if name in type_.rules.documents else value for name, value in without_notes(given).items()
    }
    problems, filled_in = [], []
    if (auto := type_.autoname) and auto.property not in inputs:
        kept = before.get(auto.property) if auto.property in before.get(_NOTES, ()) else None
        try:
            inputs[auto.property] = kept or propose(inputs)
            filled_in.append(auto.property)
        except ValueError as error:
            problems.append(Problem(auto.property, str(error)))
    filled_in += [path for path, value in type_.defaults.items() if _fill_in(inputs, path.split("."), value)]
    if type_.tags:
        tags = inputs.get("tags")
        inputs["tagsAll"] = UNKNOWN if contains_unknown(tags) else {**default_tags, **(tags or {})}
    return {**inputs, _NOTES: sorted(name for name in filled_in if name in inputs)}, problems


def imported(type_: ResourceType, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a resource that Pulumi did not make: every one that AWS can tell."""
    found = {name: value for name, value in _possible(type_, outputs).items() if value not in ("", [], {})}
    return {**type_.rules.defaults, **found, _NOTES: []}


def refreshed(type_: ResourceType, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that would have led to what AWS holds now."""
    found: dict[str, Any] = inputs_after_refresh(without_notes(inputs), _possible(type_, outputs), type_.rules)
    return {**found, _NOTES: inputs.get(_NOTES, [])}


def without_notes(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs alone, without the list of those that were filled in."""
    return {name: value for name, value in inputs.items() if name != _NOTES}


def named_by_program(type_: ResourceType, inputs: Mapping[str, Any]) -> bool:
    """Whether the program chose the physical name. The bridge then deletes a resource before it creates the
    replacement, even under another name (pkg/tfbridge/schema.go, `nameRequiresDeleteBeforeReplace`)."""
    auto = type_.autoname
    return auto is not None and not auto.bare and auto.property not in inputs.get(_NOTES, (auto.property,))


def _possible(type_: ResourceType, outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outputs.items() if name in type_.input_names | {"tagsAll"}}


def _text(document: Any) -> Any:
    """A document given as an object is its JSON; one with an unknown part is unknown."""
    if isinstance(document, str):
        return document
    return UNKNOWN if contains_unknown(document) else json.dumps(document, separators=(",", ":"))


def _fill_in(inputs: Any, path: list[str], default: Any) -> bool:
    """Sets the default where the property is left out; inside of a list, in each element. Says whether it did."""
    if isinstance(inputs, list):
        return any([_fill_in(item, path, default) for item in inputs])
    name, *rest = path
    if not isinstance(inputs, dict) or (name in inputs) != bool(rest):
        return False
    if rest:
        return _fill_in(inputs[name], rest, default)
    inputs[name] = default
    return True
