"""How far a rollout is, from what has been observed of it. No calls are made here."""

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
from infra.release.request import EndpointRequest


@dataclass
class CurrentStep:
    """The step that a rollout is at.

    DescribeEndpoint shows the stage but not which step it belongs to, so the bakes are counted as they are observed.
    Where the first ones were missed, the number is not known. A rolling update is placed by its instances instead.
    """

    number: int | None = None
    """Of the step that moved traffic last, from 1; None if it is not known."""
    _baking_since: float | None = field(default=None, init=False)

    def observe(self, endpoint: EndpointDescription, policy: ReleasePolicy) -> None:
        """Take an observation of the endpoint into account."""
        if endpoint.status != "Updating":
            return
        fleet = endpoint.desired_instances
        if policy.strategy == "rolling" and policy.batch:
            self.number = _by_instances(endpoint, policy.batch.of(fleet))
        elif endpoint.stages == {"Creating"}:
            self.number = 0
        elif (since := endpoint.baking_since) is not None and since != self._baking_since:
            self._baking_since = since
            if self.number is not None:
                self.number = min(self.number + 1, estimate.steps(policy, fleet).most)
            elif policy.batch is None:
                self.number = 1


def _by_instances(endpoint: EndpointDescription, batch: int) -> int:
    """A rolling update starts the instances of a batch when its turn has come."""
    batches = sum(variant.current_instances for variant in endpoint.variants) / batch
    if "Creating" in endpoint.stages:
        return math.floor(batches)
    return math.ceil(batches) - ("ActivatingTraffic" in endpoint.stages)


@dataclass
class Rollout:
    """A rollout from its request, or from when the deployment attached to it, until its end."""

    request: EndpointRequest
    unguarded: str | None = None
    """Why deployment guardrails do not protect it, so that no alarm rolls it back; None if they do."""
    began: float = 0
    """Seconds since 1970; SageMaker's own time where it reports one."""
    from_config: str | None = None
    """The configuration that was live before; None for a first creation."""
    concurrency: Mapping[str, int] = field(default_factory=dict)
    """The provisioned concurrency of serverless variants before the update."""
    needed: bool = False
    """Whether the endpoint did not serve the requested configuration already."""
    requested: Literal["create", "update"] | None = None
    """The change that SageMaker was asked for, by this deployment or by the interrupted one that it attached to."""
    note: str = ""
    """A remark on its success."""
    override: str | None = None
    """The reason given to release during a freeze window."""
    bake_began: float | None = None
    """When the new fleet first had traffic and its alarms were watched."""
    fired: dict[str, AlarmState] = field(default_factory=dict)
    """Alarms that have been in ALARM, as they were then: they may be OK again when the rollback is over."""
    _step: CurrentStep = field(default_factory=CurrentStep)
    _baking_since: float | None = None
    _alarms: Sequence[AlarmState] = ()

    @property
    def alarm_names(self) -> Sequence[str]:
        """The alarms that roll it back."""
        return () if self.unguarded else self.request.rollback_alarms

    def begin(self, live: EndpointDescription | None, now: float) -> None:
        """Begin from the live endpoint, before SageMaker is asked."""
        self.needed, self.began = True, now
        self.from_config = live.config_name if live else None
        self.concurrency = {
            variant.name: variant.provisioned_concurrency
            for variant in (live.live_variants if live else ())
            if variant.provisioned_concurrency
        }
        self._step = CurrentStep(0)

    def attach(self, endpoint: EndpointDescription, now: float) -> None:
        """Continue the rollout of an interrupted deployment."""
        self.needed, self.began = True, endpoint.rollout_began or now
        self.requested = "create" if endpoint.status == "Creating" else "update"
        self.from_config = endpoint.config_name if self.requested == "update" else None

    def finished_unwatched(self, now: float) -> None:
        """Record a rollout that finished while no deployment was watching, or whose deployment reported a failure."""
        self.needed, self.requested, self.began = True, "update", now
        self.from_config = self.request.previous.config_name
        self.note = "it was live already when this deployment began; its duration is unknown"

    def observe(self, endpoint: EndpointDescription, alarms: Sequence[AlarmState], now: float) -> None:
        """Take an observation of the endpoint and of its alarms at `now` into account."""
        self._alarms = alarms
        self.began = endpoint.rollout_began or self.began
        self.fired |= {alarm.name: alarm for alarm in alarms if alarm.firing}
        baking = endpoint.status == "Updating" and "Baking" in endpoint.stages
        self._baking_since = (endpoint.baking_since or self._baking_since or now) if baking else None
        self.bake_began = self.bake_began or self._baking_since
        self._step.observe(endpoint, self.request.policy)

    def line(self, endpoint: EndpointDescription) -> str:
        """The progress in a line that changes only when something happens."""
        parts = [endpoint.progress]
        if endpoint.status == "Updating" and self._step.number:
            parts.append(self._traffic(endpoint.desired_instances, self._step.number))
        if self._alarms:
            parts.append(f"alarms: {_by_state(self._alarms)}")
        return "; ".join(parts)

    def _traffic(self, fleet: int, step: int) -> str:
        policy, share = self.request.policy, estimate.shifted_percent(self.request.policy, fleet, step)
        if share is None:
            return f"{policy.strategy} step {step}"
        steps = estimate.steps(policy, fleet).most
        return f"{policy.strategy} {min(step, steps)} of {steps}, {share} % of the traffic on the new fleet"

    def baked_minutes(self, now: float) -> int | None:
        """The full minutes of the present bake that have passed; None outside one."""
        if self._baking_since is None or not self.request.policy.wait_seconds:
            return None
        return max(0, int(now - self._baking_since)) // 60  # this machine's clock may be behind SageMaker's


def _by_state(alarms: Sequence[AlarmState]) -> str:
    """Those that fire by name, the others counted: `x-error-rate ALARM, 2 OK`."""
    counts = Counter(alarm.state for alarm in alarms if not alarm.firing)
    firing = [f"{alarm.name} ALARM" for alarm in alarms if alarm.firing]
    return ", ".join([*firing, *(f"{count} {state}" for state, count in sorted(counts.items(), reverse=True))])
