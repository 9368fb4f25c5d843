"""Releases: each example is a way in which a release or a deletion ends, with the error that Pulumi prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.aws.mode import Mode
from infra.diagnostics.problem import Problem
from infra.errors import UserError
from infra.names import stop_alarm
from infra.release import failure, freeze, gates
from infra.release.alarms import AlarmState
from infra.release.failure import Evidence, ReleaseFailed
from infra.release.freeze import FreezeWindow
from infra.release.live import EndpointDescription
from infra.release.policy import ReleasePolicy
from infra.release.request import OWNER_TAG
from tests.messages.golden import Example

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
FIRING = [AlarmState(name, "ALARM", "no data") for name in (stop_alarm(NEW), f"{NEW}-error-rate", "pager")]


@dataclass(frozen=True)
class Printed(Problem):
    """An error as it is printed, which may have several lines."""

    def __str__(self) -> str:
        return "\n> ".join(self.message.splitlines())


def _raised(check: Callable[[], object]) -> UserError:
    try:
        check()
    except UserError as error:
        return error
    raise AssertionError("the check refused nothing")


def _minimum() -> ReleaseFailed:
    problem = gates.MinimumInvocations(100, "fail").problem(NAME, NEW, 7, Mode.REAL_TIME) or ""
    return ReleaseFailed(problem, "failed", problem)


def _errors() -> Iterator[tuple[str, str, UserError]]:
    alarm = Evidence("One or more configured alarms went into ALARM state.", alarms=[FIRED])
    yield "rolled-back", "an alarm fired", failure.rolled_back(NAME, NEW, OLD, alarm)
    yield "rolled-back", "the new fleet did not start", failure.rolled_back(NAME, NEW, OLD, EVIDENCE)
    yield "not-created", "a first release failed", failure.failed(NAME, NEW, "Failed", EVIDENCE, failure.CREATED_AGAIN)
    yield "rollback-failed", "a rollback failed", failure.stuck(NAME, NEW, Evidence(""))
    yield (
        "counts-missed",
        "autoscaling ended without capacity",
        failure.capacity_missed(NAME, "instance count AllTraffic 2", "no capacity"),
    )
    yield "too-few-invocations", "a bake without traffic", _minimum()
    yield "timeout", "SageMaker did not finish", failure.ReleaseTimeout(NAME, "Updating", 3900)
    yield "not-owned", "another stack's endpoint", failure.EndpointNotOwned(NAME, "p/other", "p/dev", OWNER_TAG)
    yield "not-owned", "an untagged endpoint", failure.EndpointNotOwned(NAME, None, "p/dev", OWNER_TAG)
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
