"""What a person is shown of an endpoint's release. Pure: it is told what others have read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from infra.release import estimate
from infra.release.alarms import AlarmReading
from infra.release.estimate import Duration
from infra.release.live import EndpointDescription, VariantDescription
from infra.release.policy import ReleasePolicy, policy_of, rollback_alarms
from infra.release.progress import CurrentStep, Requests
from infra.release.records import ReleaseRecord

Health = Literal["Healthy", "Progressing", "Degraded"]
"""In the words of Argo Rollouts."""

EXIT_CODES: Mapping[Health, int] = {"Healthy": 0, "Degraded": 1, "Progressing": 3}

RECENT_SECONDS = 180
"""The time whose requests are told: CloudWatch shows a minute's up to a minute later."""


@dataclass(frozen=True)
class Observation:
    """What was read in one look at an endpoint."""

    endpoint: EndpointDescription
    alarms: Sequence[AlarmReading]
    """Those that may roll the release back; when none is under way, those of the live configuration."""
    requests: Mapping[str, Requests]
    """Of each fleet, by its endpoint configuration."""
    record: ReleaseRecord | None
    """The last release that began. Its record is written a little after its end."""
    now: float
    """Seconds since 1970."""
    attempted: str | None = None
    """The configuration that earlier looks saw being rolled out."""


@dataclass(frozen=True)
class Stage:
    """Where a rollout is: its stage `number` of `of`, as far as that is known."""

    name: str
    number: int | None = None
    of: int | None = None
    by_clock: bool = False
    """Whether the number of its step is inferred from the time that has passed."""

    @property
    def title(self) -> str:
        """Its name, with how its step is known if it was not seen."""
        return f"{self.name} (inferred from the time since its first request)" if self.by_clock else self.name


@dataclass(frozen=True)
class FleetStatus:
    """The instances of one endpoint configuration."""

    config_name: str
    current_instances: int
    desired_instances: int
    traffic_percent: int | None
    """Its share by the strategy; None where the step is not known."""
    recent_requests: int
    """Of the last three minutes."""


@dataclass(frozen=True)
class ReleaseStatus:
    """All that `release status` tells."""

    endpoint: str
    health: Health
    endpoint_status: str
    """API `EndpointStatus`."""
    message: str
    policy: ReleasePolicy
    """Of the rollout under way, else of the next one."""
    stage: Stage | None
    old: FleetStatus | None
    """The fleet in service; the old one while another is coming up."""
    new: FleetStatus | None
    alarms: Sequence[AlarmReading]
    elapsed_seconds: int | None
    left: Duration | None
    in_progress: bool
    record: ReleaseRecord | None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.health]

    @property
    def line(self) -> str:
        """The state in words that change only when something happens."""
        parts = [f"{self.health} ({self.endpoint_status})", self.stage.title if self.stage else self.message]
        if self.new and self.stage:
            new = f"{self.new.current_instances} of {self.new.desired_instances} new instances"
            share = self.share(self.new)
            parts.append(f"{new} with {share} of the traffic" if share else new)
        parts += [f"alarm {each.alarm.name} fires" for each in self.alarms if each.alarm.firing]
        return "; ".join(parts)

    def share(self, fleet: FleetStatus) -> str | None:
        """A fleet's share of the traffic in words; None where it is not known."""
        if fleet.traffic_percent is None:
            return None
        return f"{'about ' if self.stage and self.stage.by_clock else ''}{fleet.traffic_percent} %"

    def facts(self) -> dict[str, Any]:
        """The same as JSON's types, by camelCase keys; times in seconds, values in the metrics' own units."""
        return {
            "endpoint": self.endpoint,
            "status": self.health,
            "endpointStatus": self.endpoint_status,
            "message": self.message,
            "strategy": {
                "name": self.policy.strategy,
                "batch": self.policy.batch and {self.policy.batch.unit: self.policy.batch.value},
                "waitSeconds": self.policy.wait_seconds,
                "terminationWaitSeconds": self.policy.termination_wait_seconds,
                "timeoutSeconds": self.policy.timeout_seconds,
            },
            "stage": self.stage
            and {
                "name": self.stage.name,
                "number": self.stage.number,
                "of": self.stage.of,
                "byClock": self.stage.by_clock,
            },
            "fleets": [
                {
                    "configuration": each.config_name,
                    "role": role,
                    "currentInstances": each.current_instances,
                    "desiredInstances": each.desired_instances,
                    "trafficPercent": each.traffic_percent,
                    "recentRequests": each.recent_requests,
                }
                for role, each in (("old" if self.new else "live", self.old), ("new", self.new))
                if each
            ],
            "alarms": [
                {
                    "name": each.alarm.name,
                    "state": each.alarm.state,
                    "reason": each.alarm.reason,
                    "metric": each.metric or None,
                    "value": each.value,
                    "comparison": each.comparison or None,
                    "threshold": each.threshold,
                }
                for each in self.alarms
            ],
            "elapsedSeconds": self.elapsed_seconds,
            "secondsLeft": self.left and dataclasses.asdict(self.left),
            "lastRelease": self.record and json.loads(self.record.json()),
        }


def status(
    seen: Observation, step: CurrentStep, planned: ReleasePolicy, provisioning: Duration | None
) -> ReleaseStatus:
    """What to show of an observation.

    Args:
        step: which has seen this observation too.
        planned: how the settings say that the next release goes.
        provisioning: how long new instances take to answer; None if it is not known.
    """
    endpoint = seen.endpoint
    policy = policy_under_way(endpoint, planned)
    health, message = verdict(endpoint, seen.record, seen.attempted)
    elapsed = _elapsed(endpoint, seen.now)
    old, new = _fleets(seen, policy, step if endpoint.is_rolling_out else None)
    return ReleaseStatus(
        endpoint=endpoint.name,
        health=health,
        endpoint_status=endpoint.status,
        message=message,
        policy=policy,
        stage=_stage(endpoint, policy, step if endpoint.is_rolling_out else None),
        old=old,
        new=new,
        alarms=seen.alarms,
        elapsed_seconds=elapsed,
        left=_left(endpoint, policy, provisioning, step, seen.now) if endpoint.is_rolling_out else None,
        in_progress=endpoint.in_progress,
        record=seen.record,
    )


def tells_of_rollout(endpoint: EndpointDescription) -> bool:
    """Whether the endpoint's LastDeploymentConfig is certain to be of what is being rolled out, or is live: only that
    one names alarms of this configuration."""
    return any(name.startswith(f"{endpoint.heading_for}-") for name in rollback_alarms(endpoint.deployment))


def policy_under_way(endpoint: EndpointDescription, planned: ReleasePolicy) -> ReleasePolicy:
    """The policy of the rollout under way: SageMaker's word where it is certain to be about this one, else the
    settings'."""
    return policy_of(endpoint.deployment) if endpoint.in_progress and tells_of_rollout(endpoint) else planned


def verdict(
    endpoint: EndpointDescription, record: ReleaseRecord | None, attempted: str | None = None
) -> tuple[Health, str]:
    """How the endpoint and its last release are, with the reason; see `Observation`."""
    live, new, reason = endpoint.config_name, endpoint.heading_for, endpoint.failure_reason
    match endpoint.status:
        case "Creating":
            return "Progressing", f"the endpoint is being created with {new}"
        case "Updating" if endpoint.is_rolling_out:
            return "Progressing", f"{new} is being released; {live} is live until it has all traffic"
        case "Updating" | "SystemUpdating":
            what = "the instances of" if endpoint.status == "Updating" else "by SageMaker itself,"
            return "Progressing", f"no release: {what} {live} are being changed"
        case "Deleting":
            return "Progressing", "the endpoint is being deleted"
        case "RollingBack":
            return "Degraded", f"the release is being rolled back to {live}{_because(reason)}"
        case "UpdateRollbackFailed":
            return "Degraded", f"a release and its rollback failed; old and new instances answer{_because(reason)}"
        case "InService":
            return _verdict_in_service(endpoint, record, attempted or live)
        case _:
            return "Degraded", f"the endpoint does not answer ({endpoint.status}){_because(reason)}"


def _verdict_in_service(
    endpoint: EndpointDescription, record: ReleaseRecord | None, attempted: str
) -> tuple[Health, str]:
    """After a rollback SageMaker is InService too, and it may keep or drop its FailureReason. So the record of the last
    release decides, if it is about what is live and nothing failed since."""
    live, reason = endpoint.config_name, endpoint.failure_reason
    if attempted != live and (record is None or record.to_config != attempted):
        return "Degraded", f"the release of {attempted} did not arrive; {live} is live{_because(reason)}"
    if record is None or live not in (record.from_config, record.to_config):
        if reason:
            return "Degraded", f"the last change failed; {live} is live{_because(reason)}"
        return "Healthy", f"{live} is live; no release of it is on record"
    arrived = live == record.to_config and record.result in ("timedOut", "rolledBack")  # by a later try
    if record.result == "succeeded" or arrived:
        if reason and endpoint.modified_since(record.ended):
            return "Degraded", f"the last change failed; {live} is live{_because(reason)}"
        return "Healthy", f"{live} is live, and its release succeeded"
    ended = {"rolledBack": "was rolled back", "timedOut": "did not end in time"}.get(record.result, "failed")
    return "Degraded", f"the release of {record.to_config} {ended}; {live} is live{_because(record.reason or reason)}"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _stage(endpoint: EndpointDescription, policy: ReleasePolicy, step: CurrentStep | None) -> Stage | None:
    if not endpoint.in_progress:
        return None
    if step is None:
        return Stage("Creating", 1, 1) if endpoint.status == "Creating" else Stage(endpoint.status)
    rolling, count = policy.strategy == "rolling", estimate.steps(policy, endpoint.desired_instances).most
    of = count if rolling else count + 2  # the new fleet's start before, and the old one's end after
    stages, number = endpoint.stages, step.number
    if not rolling and "Creating" in stages:
        return Stage("Creating", 1, of)
    if any("Deleting" in each.stages for each in endpoint.live_variants) and not stages:
        return Stage("Terminating the old fleet", of, of)
    doing = next((each for each in ("Creating", "ActivatingTraffic", "Baking") if each in stages), None)
    if doing is None:
        return Stage(endpoint.status, None, of)
    if number is None:
        return Stage(f"{doing} {policy.strategy}", None, of)
    number = min(number if doing == "Baking" else number + 1, count)
    name = f"{doing} {policy.strategy} {number} of {count}"
    return Stage(name, number if rolling else number + 1, of, step.by_clock)


def _fleets(
    seen: Observation, policy: ReleasePolicy, step: CurrentStep | None
) -> tuple[FleetStatus | None, FleetStatus | None]:
    """The fleet in service, and the one coming up."""
    endpoint = seen.endpoint
    share = None
    if step is not None and step.number is not None:
        share = estimate.shifted_percent(policy, endpoint.desired_instances, step.number)

    def fleet(config: str, variants: Sequence[VariantDescription], percent: int | None) -> FleetStatus:
        requests, since = seen.requests.get(config, {}), seen.now - RECENT_SECONDS
        return FleetStatus(
            config_name=config,
            current_instances=sum(each.current_instances for each in variants),
            desired_instances=sum(each.desired_instances or 0 for each in variants),
            traffic_percent=percent,
            recent_requests=sum(count for minute, count in requests.items() if minute >= since),
        )

    if endpoint.heading_for == endpoint.config_name:
        whole = fleet(endpoint.config_name, endpoint.variants, 100 if endpoint.status == "InService" else None)
        return (None, whole) if endpoint.status == "Creating" else (whole, None)
    return (
        fleet(endpoint.config_name, endpoint.live_variants, None if share is None else 100 - share),
        fleet(endpoint.heading_for, endpoint.variants, share),
    )


def _elapsed(endpoint: EndpointDescription, now: float) -> int | None:
    if not endpoint.in_progress or endpoint.rollout_began is None:
        return None
    return max(0, int(now - endpoint.rollout_began))  # this machine's clock may be behind SageMaker's


def _left(
    endpoint: EndpointDescription, policy: ReleasePolicy, provisioning: Duration | None, step: CurrentStep, now: float
) -> Duration | None:
    """An estimate, and never more than SageMaker takes before it gives up."""
    if endpoint.rollout_began is None or provisioning is None:
        return None
    fleet, elapsed = endpoint.desired_instances, max(0, int(now - endpoint.rollout_began))
    if step.number and endpoint.baking_since is not None:
        waited = max(0.0, now - endpoint.baking_since)
        left = estimate.remaining(policy, fleet, provisioning, step.number, waited)
    else:
        whole = estimate.rollout(policy, fleet, provisioning)
        left = Duration(whole.minimum - elapsed, whole.maximum - elapsed)
    until_timeout = policy.timeout_seconds - elapsed
    return Duration(*(max(0, min(each, until_timeout)) for each in (left.minimum, left.maximum)))
