"""The stand-in for pulumi-aws answers as the real bridge does, for every change of a setting."""

from __future__ import annotations

import functools
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.provider.wire import decode, plain
from tests.bridge.judge import SCHEMAS, Checked, Judge, Verdict, checked, inputs_of, read_back, verdict
from tests.infra import changes
from tests.infra.mock_runtime import ROOT, Deployment, Registered
from tests.sandbox.test_provider import DIFFS, REPLACE, SAME, UPDATE

pytestmark = pytest.mark.bridge

EXPLAINED = {
    "region": "pulumi-aws fills in the provider's region at Check; the stand-in compares the state's with it at Diff, "
    "so that what it checked remains valid for terraform-provider-aws 5.100, in which a bucket's region is no argument",
    "maxSessionDuration": "the bridge's Check turns the text '3600' into a number; the stand-in leaves it, compares it "
    "as a number and sends a number, and the program gives none",
}
"""By property of the checked inputs: why the stand-in may differ from the bridge."""

TYPES = frozenset(json.loads(SCHEMAS.read_text()))


@dataclass(frozen=True)
class Question:
    """One resource before and after a change of a setting."""

    type: str
    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    ignored: tuple[str, ...]


def test_every_type_that_the_program_registers_has_a_schema(bridge: Judge) -> None:
    registered = {question.type for each in questions().values() for question in each}
    assert registered == TYPES


@pytest.mark.parametrize("key", [*changes.CHANGES, *(f"endpoints.*.{key}" for key in changes.CHANGES_OF_AN_ENDPOINT)])
def test_both_answer_alike(bridge: Judge, stand_in: Judge, key: str) -> None:
    assert questions()[key], "a change that asks nothing"
    for question in questions()[key]:
        assert disagreement(bridge, stand_in, question) == {}, f"{question.type} {question.name}"


@pytest.mark.parametrize("question", [each for each in DIFFS if each[0] in TYPES], ids=lambda each: each[0])
def test_both_answer_alike_beyond_the_settings(
    bridge: Judge, stand_in: Judge, question: tuple[str, dict[str, Any], dict[str, Any], str]
) -> None:
    """What the tests of the stand-in say of its Diff, the real bridge says too."""
    type_, before, changed, expected = question
    after = {key: value for key, value in (before | changed).items() if value is not None}
    asked = Question(type_, "it", before, after, ())
    assert disagreement(bridge, stand_in, asked) == {}
    *_, real = _asked_of(bridge, asked)
    assert (REPLACE if real.replaces else UPDATE if real.changes else SAME) == expected


def disagreement(bridge: Judge, stand_in: Judge, question: Question) -> dict[str, Any]:
    """What the two answer differently: the bridge's answer first."""
    found: dict[str, Any] = {}
    (before, after, real), (our_before, our_after, ours) = (_asked_of(judge, question) for judge in (bridge, stand_in))
    for when, one, other in (("before", before, our_before), ("after", after, our_after)):
        if one.filled_in != other.filled_in:
            found[f"check {when}: filled in"] = (one.filled_in, other.filled_in)
        if one.failures != other.failures:
            found[f"check {when}: refused"] = (one.failures, other.failures)
        for name in sorted(one.inputs.keys() | other.inputs.keys()):
            pair = (_nameless(one.inputs.get(name)), _nameless(other.inputs.get(name)))
            if pair[0] != pair[1] and name not in EXPLAINED:
                found[f"check {when}: {name}"] = pair
    if real != ours:
        found["diff"] = (real, ours)
    return found


def _asked_of(judge: Judge, question: Question) -> tuple[Checked, Checked, Verdict]:
    """Check before, Check after, and the Diff between the two, as a deployment after the other asks."""
    first = judge.check(question.type, question.name, question.before, {})
    last = judge.check(question.type, question.name, question.after, inputs_of(first))
    state = read_back(question.type, checked(first).inputs)
    diff = judge.diff(question.type, question.name, state, inputs_of(first), inputs_of(last), question.ignored)
    return checked(first), checked(last), verdict(diff)


def _nameless(value: Any) -> Any:
    """An automatic name without its seven digits, which are made from the seed otherwise in the stand-in."""
    return re.sub(r"-[0-9a-f]{7}$", "-*", value) if isinstance(value, str) else value


@functools.cache
def questions() -> dict[str, list[Question]]:
    """By key of a setting: what its change asks a provider."""
    found: dict[str, list[Question]] = {}
    for key, (more, value) in changes.CHANGES.items():
        before = changes.STACK | more
        found[key] = list(_asked(before, changes.changed(before, key, value)))
    values = {key: value for key, (_, value) in changes.CHANGES_OF_AN_ENDPOINT.items()}
    values["model.path"] = str(_other_models())
    first = {
        changes.name_of(key): changes.endpoint_with(more) for key, (more, _) in changes.CHANGES_OF_AN_ENDPOINT.items()
    }
    second = {name: changes.changed(first[name], key, values[key]) for key in values if (name := changes.name_of(key))}
    all_of_them = list(_asked(changes.STACK | {"endpoints": first}, changes.STACK | {"endpoints": second}))
    for key in values:
        name = changes.name_of(key)
        found[f"endpoints.*.{key}"] = [each for each in all_of_them if f"{each.name}-".startswith(f"{name}-")]
    return found


def _asked(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Question]:
    old, new = (_aws(changes.deployed(stack)) for stack in (before, after))
    for key in sorted(old.keys() & new.keys()):
        yield _question(old[key], new[key])


def _other_models() -> Path:
    """The example with another file in it; the packed archive's name is over its contents."""
    models = Path(tempfile.mkdtemp()) / "models"
    shutil.copytree(ROOT / "examples/models", models)
    (models / "iris/1/notes.txt").write_text("changed")
    return models


def _aws(deployment: Deployment) -> dict[tuple[str, str], Registered]:
    return {(each.type, each.name): each for each in deployment.resources if each.type.startswith("aws:")}


def _question(old: Registered, new: Registered) -> Question:
    before, after = (plain(decode(each.request.object)) for each in (old, new))
    return Question(old.type, old.name, before, deepcopy(after), tuple(new.request.ignoreChanges))
