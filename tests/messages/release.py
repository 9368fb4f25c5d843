"""Releases: each example is a way in which a release or a deletion ends, with the error that Pulumi prints."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from infra.aws.mode import Mode
from infra.errors import UserError
from infra.names import stop_alarm
from infra.release import failure, freeze, gates
from infra.release.alarms import AlarmState
from infra.release.driver import ReleaseDriver
from infra.release.failure import Evidence
from infra.release.freeze import FreezeWindow
from infra.release.live import EndpointDescription
from infra.release.policy import ReleasePolicy
from infra.release.request import OWNER_TAG
from infra.release.waiting import Clock, Waiting
from tests.messages.golden import Example, Printed

TITLE = "Releases"

NAME, OLD, NEW = "ranking", "ranking-1a2b3c4", "ranking-5d6e7f8"
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
WINDOWS = [FreezeWindow("0 18 * * FRI", timedelta(hours=62), "Asia/Tokyo", "weekend")]
LIVE = EndpointDescription(
    NAME, "arn:aws:sagemaker:ap-northeast-1:123456789012:endpoint/ranking", "InService", OLD, OLD, ""
)
EVIDENCE = Evidence(
    reason="The primary container for production variant AllTraffic did not pass the ping health check.",
    log=["E1122 03:30:00.000002 7 model_lifecycle.cc:654] failed to load 'iris' version 1"],
    notes=["Its autoscaling is still removed: AccessDenied. The next `pulumi up` restores it."],
)
FIRED = AlarmState(f"{NEW}-error-rate", "ALARM", "Threshold Crossed: 1 datapoint [63.6] was greater than 5.0.")
OPERATOR = "arn:aws:sts::123456789012:assumed-role/operator/mika"
FIRING = [AlarmState(name, "ALARM", "no data") for name in (stop_alarm(NEW), f"{NEW}-error-rate", "pager")]


def _raised(check: Callable[[], object]) -> UserError:
    try:
        check()
    except UserError as error:
        return error
    raise AssertionError("the check refused nothing")


def _minimum() -> UserError:
    minimum = gates.MinimumInvocations(100, "fail")
    rollout: Any = SimpleNamespace(request=SimpleNamespace(minimum_invocations=minimum), bake_began=1.0)
    driver: Any = SimpleNamespace(_clock=Clock(now=itertools.count().__next__, sleep=lambda _: None))
    driver._invocations = lambda *_: 7
    serving = replace(LIVE, config_name=NEW)
    return _raised(lambda: ReleaseDriver._require_invocations(driver, serving, rollout))


def _errors() -> Iterator[tuple[str, str, UserError]]:
    alarm = Evidence("One or more configured alarms went into ALARM state.", alarms=[FIRED])
    yield "rolled-back", "an alarm fired", failure.rolled_back(NAME, NEW, OLD, alarm)
    stop = AlarmState(stop_alarm(NEW), "ALARM", f"{OPERATOR} stopped the release of {NEW} at 2026-11-27 09:30:00Z")
    by_hand = Evidence(alarm.reason, alarms=[stop])
    yield "stopped", "an operator stopped it", failure.stopped(NAME, NEW, OLD, by_hand, stop)
    yield "rolled-back", "the new fleet did not start", failure.rolled_back(NAME, NEW, OLD, EVIDENCE)
    yield "not-created", "a first release failed", failure.failed(NAME, NEW, "Failed", EVIDENCE, failure.CREATED_AGAIN)
    yield "rollback-failed", "a rollback failed", failure.stuck(NAME, NEW, Evidence(""))
    yield (
        "counts-missed",
        "autoscaling ended without capacity",
        failure.capacity_missed(NAME, "instance count AllTraffic 2", "no capacity"),
    )
    yield "too-few-invocations", "a bake without traffic", _minimum()
    updating = replace(LIVE, status="Updating")
    reader: Any = SimpleNamespace(endpoint=lambda _: updating, tags=lambda _: {})
    hours = Clock(itertools.count(step=3600).__next__, lambda _: None)
    waiting = Waiting(reader, hours, lambda _: None, lambda _: None, lambda _: [])
    yield "timeout", "SageMaker did not finish", _raised(lambda: waiting.wait_until_stable(updating, 3900))
    yield "timeout", "another change did not finish", _raised(lambda: waiting.poll_once(NAME, 3900))
    driver: Any = SimpleNamespace(_reader=reader)
    yield "not-owned", "an untagged endpoint", _raised(lambda: ReleaseDriver._owned(driver, NAME, "p/dev", ["p/dev"]))
    reader.tags = lambda _: {OWNER_TAG: "p/other"}
    yield "not-owned", "another stack's", _raised(lambda: ReleaseDriver._owned(driver, NAME, "p/dev", ["p/dev"]))
    canary = ReleasePolicy("canary")
    variants = {"A", "B"}, {"B", "C"}
    yield "variants-differ", "other variants", _raised(lambda: gates.unguarded(NAME, canary, *variants, set()))
    yield "mode", "another mode", _raised(lambda: gates.require_mode(NAME, Mode.ASYNCHRONOUS, Mode.REAL_TIME))
    names = ["queue", *(state.name for state in FIRING)]
    where = "ap-northeast-1, account 123456789012"
    yield "alarm-not-ready", "alarms", _raised(lambda: gates.require_ready(NAME, NEW, names, FIRING, where))
    yield "frozen", "an update", _raised(lambda: freeze.require_none_open(NAME, WINDOWS, FRIDAY, None))
    yield "frozen", "a deletion", _raised(lambda: freeze.require_deletable(LIVE, WINDOWS, FRIDAY, None))
    yield "freeze-windows", 'freezeWindows: "["', _raised(lambda: freeze.windows_in({"p:freezeWindows": "["}, "p"))


def examples() -> Iterator[Example]:
    """Every example with its error."""
    for rule, written, error in _errors():
        yield Example(written, (Printed(rule, str(error)),))
