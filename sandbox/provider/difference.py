"""When two property values are the same to AWS, and what changed if not."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sandbox.provider.wire import UNKNOWN, contains_unknown

_MAPS = frozenset({"tags", "tagsAll", "environment", "metadata", "dimensions"})
"""Maps whose keys are the user's: an entry with an empty value is an entry."""


class Change(Enum):
    ADD = "ADD"
    DELETE = "DELETE"
    UPDATE = "UPDATE"


@dataclass(frozen=True)
class Rules:
    """What Terraform's schema of a type says about equality.

    Attributes:
        documents: properties that hold JSON, compared as policy documents.
        json: properties that hold JSON, compared as it is.
        sets: lists, at any depth, whose order means nothing.
        computed: properties, at any depth, that AWS fills in when they are left out: leaving them out is no change.
        defaults: values of top-level properties that are left out.
    """

    documents: frozenset[str] = frozenset()
    json: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)


def changes(old: Mapping[str, Any], new: Mapping[str, Any], rules: Rules) -> dict[str, Change]:
    """The property paths in which `new` asks for something else than `old`."""
    found: dict[str, Change] = {}
    for name in sorted(old.keys() | new.keys()):
        default = rules.defaults.get(name)
        found.update(_changes(name, name, old.get(name, default), new.get(name, default), rules))
    return found


def _changes(path: str, name: str, old: Any, new: Any, rules: Rules) -> Iterator[tuple[str, Change]]:
    if new is None and name in rules.computed:
        return
    if new != UNKNOWN and _same(name, old, new, rules):
        return
    if name in _MAPS and new != UNKNOWN:
        old, new = old or {}, new or {}
        for key in sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)):
            yield path + _step(key), _kind(old.get(key), new.get(key))
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _changes(path + _step(key), key, old.get(key), new.get(key), rules)
    elif isinstance(old, list) and isinstance(new, list) and name not in rules.sets:
        for index in range(max(len(old), len(new))):
            before, after = (items[index] if index < len(items) else None for items in (old, new))
            yield from _changes(f"{path}[{index}]", "", before, after, rules)
    else:
        yield path, _kind(old, new)


def _kind(old: Any, new: Any) -> Change:
    return Change.ADD if old is None else Change.DELETE if new is None else Change.UPDATE


def _same(name: str, old: Any, new: Any, rules: Rules) -> bool:
    """Whether AWS would see no difference; sub-values that decide are left to `_changes`."""
    if name in _MAPS:
        return bool((old or {}) == (new or {}))
    if contains_unknown(new):
        return False
    if _empty(old) and _empty(new):
        return True
    if name in rules.json:
        return bool(_parsed(old) == _parsed(new))
    if name in rules.documents:
        return bool(canonical_document(old) == canonical_document(new))
    if isinstance(old, dict) and isinstance(new, dict):
        return not any(
            True for key in old.keys() | new.keys() for _ in _changes("", key, old.get(key), new.get(key), rules)
        )
    if isinstance(old, list) and isinstance(new, list):
        if name in rules.sets:
            return sorted(_canonical(item, rules) for item in old) == sorted(_canonical(item, rules) for item in new)
        return len(old) == len(new) and all(_same("", *pair, rules) for pair in zip(old, new, strict=True))
    return _same_scalar(old, new)


def _same_scalar(old: Any, new: Any) -> bool:
    if isinstance(old, str) == isinstance(new, str):
        return bool(old == new)
    try:  # a number or boolean and its text
        return str(old).lower() == str(new).lower() or float(old) == float(new)
    except (TypeError, ValueError):
        return False


def _empty(value: Any) -> bool:
    """Whether Terraform takes the value for one that is not set."""
    if isinstance(value, dict):
        return all(_empty(item) for item in value.values())
    return not value


def _canonical(value: Any, rules: Rules) -> str:
    def strip(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            kept = {key: item for key, item in value.items() if not _empty(item) and key not in rules.computed}
            return {key: strip(item, key) for key, item in kept.items()}
        if not isinstance(value, list):
            return value
        items = [strip(item) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if name in rules.sets else items

    return json.dumps(strip(value), sort_keys=True)


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def canonical_document(text: Any) -> Any:
    """A policy document in a form in which equivalent documents are equal.

    The order of statements, actions and principals means nothing, a list of one is its element, and the principal `*`
    is `{"AWS": "*"}` (IAM user guide, "Grammar of the IAM JSON policy language").
    """
    try:
        return _canonical_document(json.loads(text))
    except (TypeError, ValueError):
        return text


def _canonical_document(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: {"AWS": "*"} if key in ("Principal", "NotPrincipal") and item == "*" else _canonical_document(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        items = sorted((_canonical_document(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else f"{value:g}"


def planned(
    inputs: Mapping[str, Any], state: Mapping[str, Any], rules: Rules, names: Collection[str]
) -> dict[str, Any]:
    """The inputs, and from the state what AWS chose for those of `names` that they leave out: an update sends it too.

    Terraform plans an argument that is both optional and computed so, and its providers send what is planned
    (terraform-plugin-sdk: `schemaMap.Diff`; terraform-provider-aws: `resourceTargetUpdate` sends `role_arn`).
    """
    chosen = {name: value for name, value in state.items() if name in rules.computed and name in names}
    return chosen | {name: _planned(value, state.get(name), rules) for name, value in inputs.items()}


def _planned(inputs: Any, state: Any, rules: Rules) -> Any:
    if isinstance(inputs, dict) and isinstance(state, dict):
        chosen = {key: value for key, value in state.items() if key in rules.computed}
        return chosen | {key: _planned(value, state.get(key), rules) for key, value in inputs.items()}
    if isinstance(inputs, list) and isinstance(state, list) and len(inputs) == len(state):
        return [_planned(*pair, rules) for pair in zip(inputs, state, strict=True)]
    return inputs


def written_as(model: Any, live: Any, rules: Rules, name: str = "") -> Any:
    """What AWS holds, written as in `model` wherever the two mean the same: a refresh finds drift, not formatting."""
    if model is None:
        return live
    if isinstance(model, dict) and isinstance(live, dict):
        unset = {key: value for key, value in model.items() if key not in live and _empty(value) and name not in _MAPS}
        return unset | {key: written_as(model.get(key), value, rules, key) for key, value in live.items()}
    if isinstance(model, list) and isinstance(live, list) and name not in rules.sets and len(model) == len(live):
        return [written_as(*pair, rules) for pair in zip(model, live, strict=True)]
    return model if _same(name, live, model, rules) else live


def inputs_after_refresh(old: Any, live: Any, rules: Rules, name: str = "") -> Any:
    """The inputs that would have led to what AWS holds now.

    They are those given before and, beyond them, what only a change outside of Pulumi can have set. A value that AWS
    computes is no input unless it was one.
    """
    if isinstance(old, dict) and isinstance(live, dict):
        return {key: value for key, value in old.items() if key not in live and _empty(value)} | {
            key: inputs_after_refresh(old[key], value, rules, key) if key in old else value
            for key, value in live.items()
            if key in old or name in _MAPS or not (key in rules.computed or _empty(value))
        }
    if isinstance(old, list) and isinstance(live, list) and len(old) == len(live):
        return [inputs_after_refresh(*pair, rules) for pair in zip(old, live, strict=True)]
    return live


def _step(key: str) -> str:
    return f'["{key}"]' if any(character in key for character in '.["]') else f".{key}"
