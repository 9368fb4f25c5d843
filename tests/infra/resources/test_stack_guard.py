"""What an update would take from a production stack is found by comparing what it had with what it gets."""

from __future__ import annotations

from typing import Any

import pytest

from infra.resources import stack_guard
from infra.resources.stack_guard import StackGuardProvider, StillProtected, losses

HAD: dict[str, Any] = {
    "stack": "prod",
    "production": True,
    "bucket": "models",
    "repository": "triton",
    "endpoints": {"a": ["AllTraffic"], "b": []},
}


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({}, []),
        ({"stack": "renamed"}, []),
        ({"endpoints": {"a": ["AllTraffic"], "b": ["AllTraffic"], "c": []}}, []),
        ({"bucket": "others"}, ["bucket models"]),
        ({"bucket": ""}, ["bucket models"]),
        ({"repository": "triton-2"}, ["repository triton"]),
        ({"endpoints": {"b": []}}, ["endpoint a"]),
        ({"endpoints": {"renamed": ["AllTraffic"], "b": []}}, ["endpoint a"]),
        ({"endpoints": {"a": [], "b": []}}, ["scalable target of endpoint a, variant AllTraffic"]),
        ({"endpoints": {"a": ["Trial"], "b": []}}, ["scalable target of endpoint a, variant AllTraffic"]),
        ({"bucket": "others", "endpoints": {}}, ["bucket models", "endpoint a", "endpoint b"]),
        ({"production": False, "repository": "triton-staging", "bucket": ""}, []),
        ({"production": False, "endpoints": {"a": ["AllTraffic"]}}, ["endpoint b"]),
    ],
)
def test_what_is_lost(change: dict[str, Any], lost: list[str]) -> None:
    found = [*losses(HAD, HAD | change)]
    assert len(found) == len(lost)
    assert all(sentence.startswith(f"The {what}") for sentence, what in zip(found, lost, strict=True))


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(stack_guard, "warn", found.append)
    stack_guard._warn_once.cache_clear()
    return found


def test_in_production_a_loss_replaces_the_guard_and_both_guards_warn_of_it_once(warned: list[str]) -> None:
    for _ in ("first", "last"):
        diff = StackGuardProvider().diff("prod", HAD, HAD | {"endpoints": {"b": []}})
        assert (diff.changes, diff.replaces) == (True, ["endpoints"])
    assert len(warned) == 1
    assert "pulumi up -s prod --ignore-protect" in warned[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HAD, HAD | {"endpoints": HAD["endpoints"] | {"c": []}}),
        (HAD, HAD | {"production": False, "repository": "triton-staging"}),
        (HAD | {"production": False}, HAD | {"endpoints": {}}),
        (HAD | {"production": False}, HAD | {"production": False, "bucket": "others"}),
    ],
)
def test_what_is_added_or_not_protected_updates_the_guard(
    warned: list[str], before: dict[str, Any], after: dict[str, Any]
) -> None:
    diff = StackGuardProvider().diff("prod", before, after)
    assert (diff.changes, diff.replaces, warned) == (True, None, [])


def test_a_stack_does_not_leave_production_and_lose_an_endpoint_in_the_same_update() -> None:
    with pytest.raises(StillProtected, match="endpoint a is deleted"):
        StackGuardProvider().diff("prod", HAD, HAD | {"production": False, "endpoints": {"b": []}})
