"""What an update would take from a production stack is warnings by comparing what it had with what it gets."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from infra.aws.session import AwsSession
from infra.dynamic import stack_guard
from infra.dynamic.stack_guard import StackGuardProvider, losses
from infra.errors import UserError
from infra.release.failure import ReleaseRefused
from infra.release.freeze import OVERRIDE_VARIABLE
from infra.release.live import EndpointDescription, EndpointReader
from tests.infra.release.fake_aws import ARN, FAILED, OLD, SageMaker

ALWAYS = [
    {"schedule": "0 0 * * *", "durationMinutes": 1000, "timeZone": "UTC", "reason": "night and day"},
    {"schedule": "0 12 * * *", "durationMinutes": 1000, "timeZone": "UTC", "reason": "night and day"},
]

HAD: dict[str, Any] = {
    "project": "p",
    "stack": "prod",
    "production": True,
    "bucket": "models",
    "repository": "triton",
    "endpoints": {"a": ["AllTraffic"], "b": []},
    "modes": {"a": "real time", "b": "real time"},
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
    sentences = [*losses(HAD, HAD | change)]
    assert len(sentences) == len(lost)
    assert all(f" the {what}" in sentence for sentence, what in zip(sentences, lost, strict=True))


def test_the_scalable_target_of_a_variant_that_leaves_serverless_is_replaced() -> None:
    serverless = HAD | {"modes": HAD["modes"] | {"a": "serverless", "b": "serverless"}}
    (sentence,) = losses(serverless, HAD)
    assert sentence.startswith("The update would replace the scalable target of endpoint a, variant AllTraffic")
    assert [*losses(serverless, serverless)] == []


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    stack_guard._warn_once.cache_clear()
    return warnings


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
    with pytest.raises(UserError, match="would delete the endpoint a"):
        StackGuardProvider().diff("prod", HAD, HAD | {"production": False, "endpoints": {"b": []}})


class Guarded(StackGuardProvider):
    """A guard of a stack with a freeze window that is open, some of whose endpoints serve."""

    def __init__(self, **endpoints: dict[str, Any] | None) -> None:
        self.stack_config = {"p:freezeWindows": json.dumps(ALWAYS)}
        self.asked: list[str] = []

        def client(service: str) -> SageMaker:
            return SageMaker(None)

        self.aws = AwsSession({"aws:region": "us-east-1"})
        self.aws.client = client  # type: ignore[assignment, method-assign]
        self.endpoints = endpoints


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> Guarded:
    guard = Guarded(a=OLD, b=FAILED, c=None)

    def endpoint(_self: EndpointReader, name: str) -> EndpointDescription | None:
        guard.asked.append(name)
        answer = guard.endpoints[name]
        return EndpointDescription.of({"EndpointName": name, "EndpointArn": ARN, **answer}) if answer else None

    monkeypatch.setattr(EndpointReader, "endpoint", endpoint)
    monkeypatch.delenv(OVERRIDE_VARIABLE, raising=False)
    return guard


STAGING = HAD | {"production": False, "endpoints": {"a": [], "b": [], "c": []}}


def test_an_update_that_deletes_a_live_endpoint_in_a_freeze_window_is_refused_before_anything_changes(
    guard: Guarded,
) -> None:
    for more in ((), ("renamed",)):
        after: dict[str, list[str]] = {name: [] for name in ("b", "c", *more)}
        with pytest.raises(ReleaseRefused, match="endpoint a: it was not deleted"):
            guard.diff("s", STAGING, STAGING | {"endpoints": after})


def test_what_does_not_serve_or_stays_is_deleted_and_changed_in_a_freeze_window(guard: Guarded) -> None:
    assert guard.diff("s", STAGING, STAGING | {"endpoints": {"a": []}}).changes
    assert guard.asked == ["b", "c"]
    assert guard.diff("s", STAGING, STAGING | {"bucket": "x"}).changes
    assert guard.asked == ["b", "c"], "AWS is asked of what is to be deleted alone"


def test_a_destroy_is_refused_in_a_freeze_window_and_an_update_that_replaces_the_guard_is_not(guard: Guarded) -> None:
    with pytest.raises(ReleaseRefused, match="endpoint a"):
        guard.delete("s", STAGING)
    guard.diff("s", STAGING, STAGING | {"bucket": "x"})
    guard.delete("s", STAGING)


def test_a_reason_goes_through_a_freeze_window_and_no_window_asks_nothing(
    guard: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as overridden:
        overridden.setenv(OVERRIDE_VARIABLE, "INC-42")
        guard.delete("s", STAGING)
    guard.stack_config = {}
    guard.delete("s", STAGING)
    assert guard.asked == []


SERVERLESS_LIVE = OLD | {
    "ProductionVariants": [
        {"VariantName": "AllTraffic", "CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}
    ]
}


@pytest.mark.parametrize(
    ("live", "before", "after", "refused"),
    [
        (OLD, "real time", "serverless", True),
        (OLD, "real time", "asynchronous", True),
        (OLD, "real time", "batch", True),
        (OLD | {"AsyncInferenceConfig": {}}, "asynchronous", "real time", True),
        (OLD | {"AsyncInferenceConfig": {}}, "asynchronous", "serverless", True),
        (SERVERLESS_LIVE, "serverless", "asynchronous", True),
        (SERVERLESS_LIVE, "serverless", "real time", False),
        (FAILED, "real time", "serverless", False),
        (None, "batch", "real time", False),
        (SERVERLESS_LIVE, "real time", "serverless", False),  # a release that failed after the state was updated
    ],
)
def test_a_change_of_mode_that_sagemaker_refuses_is_refused_before_anything_changes(
    guard: Guarded, warned: list[str], live: dict[str, Any] | None, before: str, after: str, refused: bool
) -> None:
    guard.endpoints["a"] = live
    had, gets = (STAGING | {"modes": HAD["modes"] | {"a": mode}} for mode in (before, after))
    if refused:
        with pytest.raises(ReleaseRefused, match="endpoint a"):
            guard.diff("s", had, gets)
    else:
        assert guard.diff("s", had, gets).changes
    assert len(warned) == ((live, after) == (SERVERLESS_LIVE, "real time"))


@pytest.mark.parametrize(
    ("live", "refused"),
    [(OLD, True), (SERVERLESS_LIVE, True), (OLD | {"AsyncInferenceConfig": {}}, False), (None, False)],
)
def test_an_endpoint_that_is_adopted_keeps_its_mode(
    guard: Guarded, warned: list[str], live: dict[str, Any] | None, refused: bool
) -> None:
    guard.endpoints |= {"a": OLD, "b": OLD, "new": live}
    added = STAGING | {"modes": HAD["modes"] | {"new": "asynchronous", "night": "batch"}}
    for change in (lambda: guard.diff("s", STAGING, added), lambda: guard.create(added)):
        guard.asked.clear()
        if refused:
            with pytest.raises(ReleaseRefused, match="endpoint new is"):
                change()
        else:
            change()
        assert guard.asked[-1] == "new"


def test_a_mode_that_stays_asks_nothing(guard: Guarded) -> None:
    guard.diff("s", STAGING, STAGING | {"bucket": "x"})
    assert guard.asked == []
