"""Waiting for SageMaker, which reports changes by DescribeEndpoint only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.release.alarms import AlarmState
from infra.release.estimate import SETTLING_SECONDS
from infra.release.failure import ReleaseTimeout
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.progress import Rollout

VISIBLE_WITHIN_SECONDS = 60
"""How long DescribeEndpoint, which is eventually consistent, may show an endpoint as it was before a change."""

LASTING_MINUTES = 5
"""How often the progress of a bake is printed where lines stay; a terminal shows each minute."""


@dataclass
class Clock:
    """Seconds since a release began. It polls after a tenth of them, at least 0.5 and at most 10 s, so that the end of
    a short release is seen at once and a long one costs few calls."""

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
    """Polls an endpoint, and reports its progress."""

    reader: EndpointReader
    clock: Clock
    report: Callable[[str], None]
    """Called with a line of progress after each change."""
    report_ephemeral: Callable[[str], None]
    """Called with a line that is outdated within a minute."""
    alarms: Callable[[Sequence[str]], list[AlarmState]]
    """Reads the rollback alarms of these names, as far as it can."""
    observed: Callable[[EndpointDescription], None] = lambda _: None
    """Called with the endpoint at each poll of a change in progress."""

    def wait_until(
        self, condition: Callable[[EndpointDescription | None], bool], name: str
    ) -> EndpointDescription | None:
        """The endpoint once it meets a condition, or after a minute."""
        end = self.clock.elapsed + VISIBLE_WITHIN_SECONDS
        while not condition(endpoint := self.reader.endpoint(name)) and self.clock.elapsed < end:
            self.clock.pause()
        return endpoint

    def wait_until_changed(self, before: EndpointDescription) -> EndpointDescription | None:
        """The endpoint once its update is visible: an outdated answer would look like a rollback. Instance counts and
        reasons are ignored, because they change without an update."""
        return self.wait_until(lambda endpoint: endpoint is None or endpoint.version != before.version, before.name)

    def poll_once(self, name: str, deadline_seconds: int) -> EndpointDescription | None:
        """The endpoint after a pause, for a change that SageMaker does not accept yet."""
        if self.clock.elapsed > deadline_seconds:
            raise ReleaseTimeout(name, "busy with another change", deadline_seconds)
        self.clock.pause()
        return self.reader.endpoint(name)

    def wait_until_stable(
        self, endpoint: EndpointDescription | None, deadline_seconds: int, rollout: Rollout | None = None
    ) -> EndpointDescription | None:
        """The endpoint once no change is in progress, with the last reason that SageMaker gave; None if it is deleted.

        Args:
            rollout: the rollout in progress if it is ours; it observes the endpoint.

        Raises:
            ReleaseTimeout: it took longer than `deadline_seconds`, or than the timeout of another party's rollout.
        """
        if endpoint is not None and endpoint.execution_timeout_seconds:
            deadline_seconds = max(deadline_seconds, endpoint.execution_timeout_seconds + SETTLING_SECONDS)
        last_line, last_baked, reason, end = "", None, "", self.clock.elapsed + deadline_seconds
        while endpoint is not None and endpoint.in_progress:
            self.observed(endpoint)
            line = endpoint.progress
            if rollout is not None:
                rollout.observe(endpoint, self.alarms(rollout.alarm_names), self.clock.now())
                line = rollout.line(endpoint)
            if line != last_line:
                last_line = line
                self.report(f"{endpoint.name}: {line}")
            if rollout and (baked := rollout.baked_minutes(self.clock.now())) not in (None, last_baked):
                last_baked = baked
                report = self.report if baked and not baked % LASTING_MINUTES else self.report_ephemeral
                minutes = math.ceil(rollout.request.policy.wait_seconds / 60)
                report(f"{endpoint.name}: baked {baked} of {minutes} minutes")
            if self.clock.elapsed > end:
                raise ReleaseTimeout(endpoint.name, endpoint.status, deadline_seconds)
            self.clock.pause()
            reason = endpoint.failure_reason or reason
            endpoint = self.reader.endpoint(endpoint.name)
        return endpoint and endpoint.with_reason(reason)
