"""Waiting for SageMaker, which reports every change by DescribeEndpoint only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.release import failure
from infra.release.alarms import AlarmState
from infra.release.estimate import SETTLING_SECONDS
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.progress import Rollout

VISIBLE_WITHIN_SECONDS = 60
"""How long DescribeEndpoint, which is eventually consistent, may show an endpoint as it was before a change."""

LASTING_MINUTES = 5
"""How often a bake is told of where there is no terminal, on which each minute is."""


@dataclass
class Clock:
    """Seconds since a release began. Between two looks at SageMaker a tenth of them passes, at least 0.5 and at most
    10 s, so that a short release is seen to end at once and a long one costs few calls."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def elapsed(self) -> float:
        return self.now() - self.began

    def pause(self) -> None:
        self.sleep(min(10.0, max(0.5, self.elapsed / 10)))


@dataclass(frozen=True)
class Waiting:
    """Looks at an endpoint again and again, and tells what it sees."""

    reader: EndpointReader
    clock: Clock
    report: Callable[[str], None]
    """Called with a line of progress whenever something changed."""
    report_passing: Callable[[str], None]
    """Called with a line that is out of date in a minute."""
    alarms: Callable[[Sequence[str]], list[AlarmState]]
    """The rollback alarms of these names, as far as they can be read."""

    def until(self, seen: Callable[[EndpointDescription | None], bool], name: str) -> EndpointDescription | None:
        """The endpoint once a change of it is visible; a minute at most."""
        end = self.clock.elapsed + VISIBLE_WITHIN_SECONDS
        while not seen(found := self.reader.endpoint(name)) and self.clock.elapsed < end:
            self.clock.pause()
        return found

    def begun(self, before: EndpointDescription) -> EndpointDescription | None:
        """The endpoint once its update shows. Taken too early, the old picture would look like a rollback; instance
        counts and reasons come and go without an update."""
        return self.until(lambda found: found is None or found.version != before.version, before.name)

    def later(self, name: str, deadline_seconds: int) -> EndpointDescription | None:
        """The endpoint a little later, for a change that SageMaker does not take yet."""
        if self.clock.elapsed > deadline_seconds:
            raise failure.ReleaseTimeout(name, "busy with another change", deadline_seconds)
        self.clock.pause()
        return self.reader.endpoint(name)

    def settled(
        self, found: EndpointDescription | None, deadline_seconds: int, rollout: Rollout | None = None
    ) -> EndpointDescription | None:
        """The endpoint once nothing is in progress on it, with the last reason that was seen; None if it is gone.

        `rollout`, if it is one of ours, takes in what is seen meanwhile.

        Raises:
            ReleaseTimeout: it took longer than `deadline_seconds`, or than the rollout that somebody else began may.
        """
        if found is not None and found.execution_timeout_seconds:
            deadline_seconds = max(deadline_seconds, found.execution_timeout_seconds + SETTLING_SECONDS)
        said, passing, reason, end = "", None, "", self.clock.elapsed + deadline_seconds
        while found is not None and found.in_progress:
            line = found.progress
            if rollout is not None:
                rollout.see(found, self.alarms(rollout.alarm_names), self.clock.now())
                line = rollout.line(found)
            if line != said:
                said = line
                self.report(f"{found.name}: {line}")
            if rollout and (bake := rollout.bake(self.clock.now())) and bake != passing:
                passing = bake
                lasting = bake.passed and not bake.passed % LASTING_MINUTES
                (self.report if lasting else self.report_passing)(f"{found.name}: {bake}")
            if self.clock.elapsed > end:
                raise failure.ReleaseTimeout(found.name, found.status, deadline_seconds)
            self.clock.pause()
            reason = found.failure_reason or reason
            found = self.reader.endpoint(found.name)
        return found and found.with_reason(reason)
