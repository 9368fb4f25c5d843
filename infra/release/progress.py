"""The step that a rollout is at. Pure: it is told what others have read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from infra.release import estimate
from infra.release.alarms import AlarmState
from infra.release.live import EndpointDescription
from infra.release.policy import ReleasePolicy

Requests = Mapping[float, int]
"""Requests by the minute that they were counted in, in seconds since 1970."""


@dataclass
class CurrentStep:
    """The number of the step that a rollout is at.

    DescribeEndpoint tells what is being done, and not which time. So the bakes that were seen are counted; and where
    the first ones were missed, the clock tells how many have passed since the new fleet's first request.
    """

    number: int | None = None
    """Of the step that moved traffic last, from 1; None if it is not known."""
    by_clock: bool = False
    """Whether it is inferred from the time that has passed."""
    _baking_since: float | None = field(default=None, init=False)

    def see(self, endpoint: EndpointDescription, policy: ReleasePolicy, requests: Requests) -> None:
        """Take in what a look at the endpoint found; `requests` are those of the new fleet."""
        if endpoint.status != "Updating":
            return
        fleet = endpoint.desired_instances
        if policy.strategy == "rolling" and policy.batch:
            self.number = _by_instances(endpoint, policy.batch.of(fleet))
        elif endpoint.stages == {"Creating"}:
            self.number = 0
        elif (since := endpoint.baking_since) is not None and (self.number is None or since != self._baking_since):
            self._baking_since = since
            if self.number is None:
                self.number, self.by_clock = _by_clock(policy, since, requests), policy.batch is not None
            else:
                self.number += 1
            self.number = self.number and min(self.number, estimate.steps(policy, fleet).most)


def _by_instances(endpoint: EndpointDescription, batch: int) -> int:
    """A rolling update starts a batch's instances when its turn has come."""
    batches = sum(each.current_instances for each in endpoint.variants) / batch
    if "Creating" in endpoint.stages:
        return math.floor(batches)
    return math.ceil(batches) - ("ActivatingTraffic" in endpoint.stages)


def _by_clock(policy: ReleasePolicy, baking_since: float, requests: Requests) -> int | None:
    """Requests are counted by the minute, and a shift takes up to one: too coarse for bakes of a few minutes."""
    if policy.batch is None:
        return 1
    if not any(requests.values()) or policy.wait_seconds < 4 * estimate.SHIFT_SECONDS[1]:
        return None
    first = min(minute for minute, count in requests.items() if count)
    shift = estimate.SHIFT_SECONDS[1] / 2
    return max(1, 1 + round((baking_since - first - shift) / (policy.wait_seconds + shift)))


Asked = Literal["create", "update"]


@dataclass(frozen=True)
class Bake:
    """A wait under alarms, in whole minutes."""

    passed: int
    of: int

    def __str__(self) -> str:
        return f"baked {self.passed} of {self.of} minutes"


@dataclass
class Rollout:
    """A rollout from the request, or from when it was attached to, until its end."""

    policy: ReleasePolicy
    alarm_names: Sequence[str]
    """Those that roll it back."""
    began: float = 0
    """Seconds since 1970; SageMaker's own time if it tells it."""
    from_config: str | None = None
    """The configuration that was live before; None for a first creation."""
    tried: bool = False
    """Whether there is something to release at all."""
    asked: Asked | None = None
    """What SageMaker was asked for, by this release or by the interrupted one that it attaches to."""
    note: str = ""
    """What is to be known of its success."""
    override: str | None = None
    """Why it goes through a freeze window."""
    bake_began: float | None = None
    """When the new fleet first had traffic and its alarms were watched."""
    fired: dict[str, AlarmState] = field(default_factory=dict)
    """Alarms that have been in ALARM, as they were then: they may be OK again when the rollback is over."""
    _step: CurrentStep = field(default_factory=CurrentStep)
    _baking_since: float | None = None
    _alarms: Sequence[AlarmState] = ()

    def begin(self, live: EndpointDescription | None, now: float) -> None:
        """Begin from what is live, before SageMaker is asked."""
        self.tried, self.began = True, now
        self.from_config = live.config_name if live else None
        self._step = CurrentStep(0)

    def attach(self, endpoint: EndpointDescription, now: float) -> None:
        """Take over what an interrupted release began."""
        self.tried, self.began = True, endpoint.rollout_began or now
        self.asked = "create" if endpoint.status == "Creating" else "update"
        self.from_config = endpoint.config_name if self.asked == "update" else None

    def found_over(self, from_config: str | None, now: float) -> None:
        """Take in that it was over when it was looked at, and is live: an interrupted deployment did not see its end,
        or did not take it for a success."""
        self.tried, self.asked, self.began, self.from_config = True, "update", now, from_config
        self.note = "live already when it was asked for again; how long it took is not known"

    def see(self, endpoint: EndpointDescription, alarms: Sequence[AlarmState], now: float) -> None:
        """Take in what the endpoint and the alarms are at `now`."""
        self._alarms = alarms
        self.began = endpoint.rollout_began or self.began
        self.fired |= {each.name: each for each in alarms if each.firing}
        baking = endpoint.status == "Updating" and "Baking" in endpoint.stages
        self._baking_since = (endpoint.baking_since or self._baking_since or now) if baking else None
        self.bake_began = self.bake_began or self._baking_since
        self._step.see(endpoint, self.policy, requests={})

    def line(self, endpoint: EndpointDescription) -> str:
        """The state in words that change only when something happens."""
        parts = [endpoint.progress]
        if endpoint.status == "Updating" and self._step.number:
            parts.append(self._traffic(endpoint.desired_instances, self._step.number))
        if self._alarms:
            parts.append(f"alarms: {_by_state(self._alarms)}")
        return "; ".join(parts)

    def _traffic(self, fleet: int, step: int) -> str:
        share = estimate.shifted_percent(self.policy, fleet, step)
        if share is None:
            return f"{self.policy.strategy} step {step}"
        steps = estimate.steps(self.policy, fleet).most
        return f"{self.policy.strategy} {min(step, steps)} of {steps}, {share} % of the traffic on the new fleet"

    def bake(self, now: float) -> Bake | None:
        """How far the present bake is; None outside one."""
        if self._baking_since is None or not self.policy.wait_seconds:
            return None
        baked = max(0, int(now - self._baking_since))  # this machine's clock may be behind SageMaker's
        return Bake(baked // 60, -(-self.policy.wait_seconds // 60))


def _by_state(alarms: Sequence[AlarmState]) -> str:
    """Those that fire by name, the others counted: `x-error-rate ALARM, 2 OK`."""
    counts = Counter(each.state for each in alarms if not each.firing)
    return ", ".join(
        [f"{each.name} ALARM" for each in alarms if each.firing]
        + [f"{count} {state}" for state, count in sorted(counts.items(), reverse=True)]
    )
