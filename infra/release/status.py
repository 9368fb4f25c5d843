"""The status of an endpoint's release, from what has been read of it. No calls are made here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.alias_generators import to_camel

from infra.aws.mode import Mode
from infra.release import estimate
from infra.release.alarms import AlarmReading
from infra.release.estimate import Duration
from infra.release.live import IN_PROGRESS, EndpointDescription, VariantDescription
from infra.release.policy import ReleasePolicy, rollback_alarms
from infra.release.progress import CurrentStep
from infra.release.records import RESULTS, ReleaseRecord

Health = Literal["Healthy", "Progressing", "Degraded"]
"""The terms of Argo Rollouts."""

Role = Literal["live", "old", "new"]

EXIT_CODES: Mapping[Health, int] = {"Healthy": 0, "Degraded": 1, "Progressing": 3}

RECENT_SECONDS = 180
"""The time whose requests are shown: CloudWatch shows those of a minute up to a minute later."""

STEP_UNKNOWN = "step unknown (not watched from the beginning)"

_STAGES = {
    "Creating": "Creating instances",
    "ActivatingTraffic": "Activating traffic",
    "Baking": "Baking",
}
"""Stages of the API in words."""


@dataclass(frozen=True)
class Observation:
    """What one poll of an endpoint has read."""

    endpoint: EndpointDescription
    alarms: Sequence[AlarmReading]
    """Those that may roll the release back; if none is in progress, those of the live configuration."""
    requests: Mapping[str, int]
    """Of the last three minutes, by endpoint configuration; empty if their fleets cannot be distinguished."""
    record: ReleaseRecord | None
    """The last release that started. Its record is written a little after its end."""
    now: float
    """Seconds since 1970."""
    attempted: str | None = None
    """The configuration whose rollout earlier polls observed."""
    backlog: int | None = None
    """The requests in the queue of an asynchronous endpoint; None without one, or if no data is published."""


@dataclass(frozen=True)
class Stage:
    """The stage of a rollout, with its number as far as that is known."""

    name: str
    number: int | None = None
    of: int | None = None

    @property
    def words(self) -> str:
        """The name for people."""
        stage, _, step = self.name.partition(" ")
        words = _STAGES.get(stage)
        return ", ".join(filter(None, [words, step])) if words else self.name


@dataclass(frozen=True)
class FleetStatus:
    """The capacity of one endpoint configuration."""

    configuration: str
    role: Role
    current_instances: int | None
    """None for serverless variants."""
    desired_instances: int | None
    provisioned_concurrency: int | None
    """Of serverless variants."""
    traffic_percent: int | None
    """Its share by the strategy; None if the step is not known."""
    recent_requests: int | None
    """In the last three minutes; None if it is not known."""


@dataclass(frozen=True)
class ReleaseStatus:
    """Everything that `release status` shows."""

    endpoint: str
    mode: Mode
    status: Health
    endpoint_status: str
    """API `EndpointStatus`."""
    message: str
    policy: ReleasePolicy
    """Of the rollout in progress, else of the next one."""
    stage: Stage | None
    fleets: Sequence[FleetStatus]
    backlog: int | None
    """The requests in the queue of an asynchronous endpoint, which both fleets serve."""
    alarms: Sequence[AlarmReading]
    elapsed_seconds: int | None
    seconds_left: Duration | None
    last_release: ReleaseRecord | None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]

    @property
    def in_progress(self) -> bool:
        return self.endpoint_status in IN_PROGRESS

    @property
    def shown_stage(self) -> Stage | None:
        """The stage, if it says more than the status of the endpoint."""
        return self.stage if self.stage and self.stage.name != self.endpoint_status else None

    @property
    def line(self) -> str:
        """The status in a line that changes only when something happens."""
        stage = self.shown_stage
        parts = [f"{self.status} ({self.endpoint_status})", stage.words if stage else self.message]
        for fleet in self.fleets if self.stage else ():
            if fleet.role == "new" and fleet.current_instances is not None:
                instances = f"{fleet.current_instances} of {fleet.desired_instances} new instances"
                share = fleet.traffic_percent
                parts.append(instances if share is None else f"{instances} with {share} % of the traffic")
        parts += [f"alarm {alarm.name} fires" for alarm in self.alarms if alarm.firing]
        return "; ".join(parts)

    def facts(self) -> dict[str, Any]:
        """The same as JSON with camelCase keys; times in seconds, values in the metrics' own units."""
        facts: dict[str, Any] = _camel_case(dataclasses.asdict(self))
        return facts


def _camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_camel(key): _camel_case(entry) for key, entry in value.items()}
    return [_camel_case(entry) for entry in value] if isinstance(value, list | tuple) else value


def status(
    observed: Observation, step: CurrentStep, planned: ReleasePolicy, provisioning: Duration | None
) -> ReleaseStatus:
    """The status that an observation shows.

    Args:
        step: it has observed the endpoint too.
        planned: the policy in the settings.
        provisioning: how long new instances take to answer; None if it is not known.
    """
    endpoint = observed.endpoint
    policy = policy_in_progress(endpoint, planned)
    health, message = verdict(endpoint, observed.record, observed.attempted)
    current = step if endpoint.is_rolling_out else None
    return ReleaseStatus(
        endpoint=endpoint.name,
        mode=endpoint.mode,
        status=health,
        endpoint_status=endpoint.status,
        message=message,
        policy=policy,
        stage=_stage(endpoint, policy, current),
        fleets=_fleets(observed, policy, current),
        backlog=observed.backlog,
        alarms=observed.alarms,
        elapsed_seconds=_elapsed(endpoint, observed.now),
        seconds_left=_left(endpoint, policy, provisioning, current, observed.now) if current else None,
        last_release=observed.record,
    )


def describes_rollout(endpoint: EndpointDescription) -> bool:
    """Whether the endpoint's LastDeploymentConfig certainly belongs to the configuration that is being rolled out or
    live: only that one names alarms of this configuration."""
    return any(name.startswith(f"{endpoint.target_config}-") for name in rollback_alarms(endpoint.deployment))


def policy_in_progress(endpoint: EndpointDescription, planned: ReleasePolicy) -> ReleasePolicy:
    """The policy of the rollout in progress: SageMaker's where it certainly belongs to this one, else the settings'."""
    observed = endpoint.in_progress and describes_rollout(endpoint)
    return ReleasePolicy.of_deployment(endpoint.deployment) if observed else planned


def verdict(
    endpoint: EndpointDescription, record: ReleaseRecord | None, attempted: str | None = None
) -> tuple[Health, str]:
    """The health of the endpoint and of its last release, with the reason; see `Observation`."""
    live, new, reason = endpoint.config_name, endpoint.target_config, endpoint.failure_reason
    match endpoint.status:
        case "Creating":
            return "Progressing", f"the endpoint is being created with {new}"
        case "Updating" if endpoint.is_rolling_out:
            return "Progressing", f"{new} is being released; {live} is live until it has all traffic"
        case "Updating" | "SystemUpdating":
            what = "the instances of" if endpoint.status == "Updating" else "SageMaker updates"
            return "Progressing", f"{what} {live} are changing; this is not a release"
        case "Deleting":
            return "Progressing", "the endpoint is being deleted"
        case "RollingBack":
            return "Degraded", f"the release is being rolled back to {live}{_because(reason)}"
        case "UpdateRollbackFailed":
            return "Degraded", f"a release and its rollback failed; old and new instances answer{_because(reason)}"
        case "InService":
            return _verdict_in_service(endpoint, record, attempted)
        case _:
            return "Degraded", f"the endpoint does not answer ({endpoint.status}){_because(reason)}"


def _verdict_in_service(
    endpoint: EndpointDescription, record: ReleaseRecord | None, attempted: str | None
) -> tuple[Health, str]:
    """After a rollback SageMaker is InService too, and it may keep or clear its FailureReason. So the record of the
    last release decides, if it is about the live configuration and nothing has failed since."""
    live, reason = endpoint.config_name, endpoint.failure_reason
    if attempted not in (None, live) and (record is None or record.to_config != attempted):
        return "Degraded", f"the release of {attempted} did not succeed; {live} is live{_because(reason)}"
    if record is None or live not in (record.from_config, record.to_config):
        if reason:
            return "Degraded", f"the last change failed; {live} is live{_because(reason)}"
        if attempted:
            return "Healthy", f"{live} is live; `pulumi up` has not recorded the end of its release yet"
        return "Healthy", f"{live} is live; no release of it is on record (`pulumi up` records a release when it ends)"
    arrived = live == record.to_config and record.result in ("timedOut", "rolledBack")  # by a later attempt
    if record.result == "succeeded" or arrived:
        if reason and (endpoint.modified or 0) > record.ended:
            return "Degraded", f"the last change failed; {live} is live{_because(reason)}"
        return "Healthy", f"{live} is live, and its release succeeded"
    ended = RESULTS[record.result]
    return "Degraded", f"the release of {record.to_config} {ended}; {live} is live{_because(record.reason or reason)}"


def _because(reason: str) -> str:
    return f": {reason.removesuffix('.')}" if reason else ""


def _stage(endpoint: EndpointDescription, policy: ReleasePolicy, step: CurrentStep | None) -> Stage | None:
    if not endpoint.in_progress:
        return None
    if step is None:
        return Stage("Creating", 1, 1) if endpoint.status == "Creating" else Stage(endpoint.status)
    rolling, count = policy.strategy == "rolling", estimate.steps(policy, endpoint.desired_instances).most
    of = count if rolling else count + 2  # creating the new fleet before, terminating the old one after
    stages, number = endpoint.stages, step.number
    if not rolling and "Creating" in stages:
        return Stage("Creating", 1, of)
    if any("Deleting" in variant.stages for variant in endpoint.live_variants) and not stages:
        return Stage("Terminating the old fleet", of, of)
    current = next((stage for stage in ("Creating", "ActivatingTraffic", "Baking") if stage in stages), None)
    if current is None:
        return Stage(endpoint.status, None, of)
    if number is None:
        return Stage(f"{current} {policy.strategy}; {STEP_UNKNOWN}", None, of)
    number = min(number if current == "Baking" else number + 1, count)
    return Stage(f"{current} {policy.strategy} {number} of {count}", number if rolling else number + 1, of)


def _fleets(observed: Observation, policy: ReleasePolicy, step: CurrentStep | None) -> list[FleetStatus]:
    endpoint = observed.endpoint
    share = None
    if step is not None and step.number is not None:
        share = estimate.shifted_percent(policy, endpoint.desired_instances, step.number)

    def fleet(config: str, role: Role, variants: Sequence[VariantDescription], percent: int | None) -> FleetStatus:
        is_serverless = any(variant.is_serverless for variant in variants)
        return FleetStatus(
            configuration=config,
            role=role,
            current_instances=None if is_serverless else sum(variant.current_instances for variant in variants),
            desired_instances=None if is_serverless else sum(variant.desired_instances or 0 for variant in variants),
            provisioned_concurrency=sum(variant.provisioned_concurrency or 0 for variant in variants)
            if is_serverless
            else None,
            traffic_percent=percent,
            recent_requests=observed.requests.get(config),
        )

    if endpoint.target_config == endpoint.config_name:
        percent = 100 if endpoint.status == "InService" else None
        role: Role = "new" if endpoint.status == "Creating" else "live"
        return [fleet(endpoint.config_name, role, endpoint.variants, percent)]
    return [
        fleet(endpoint.config_name, "old", endpoint.live_variants, None if share is None else 100 - share),
        fleet(endpoint.target_config, "new", endpoint.variants, share),
    ]


def _elapsed(endpoint: EndpointDescription, now: float) -> int | None:
    if not endpoint.in_progress or endpoint.rollout_began is None:
        return None
    return max(0, int(now - endpoint.rollout_began))  # this machine's clock may be behind SageMaker's


def _left(
    endpoint: EndpointDescription, policy: ReleasePolicy, provisioning: Duration | None, step: CurrentStep, now: float
) -> Duration | None:
    """An estimate, at most until SageMaker gives up."""
    if endpoint.rollout_began is None or provisioning is None:
        return None
    fleet, elapsed = endpoint.desired_instances, max(0, int(now - endpoint.rollout_began))
    if step.number and endpoint.baking_since is not None:
        waited = max(0.0, now - endpoint.baking_since)
        left = estimate.remaining(policy, fleet, provisioning, step.number, waited)
    else:
        total = estimate.rollout(policy, fleet, provisioning)
        left = Duration(total.minimum - elapsed, total.maximum - elapsed)
    until_timeout = policy.timeout_seconds - elapsed
    return Duration(*(max(0, min(seconds, until_timeout)) for seconds in (left.minimum, left.maximum)))
