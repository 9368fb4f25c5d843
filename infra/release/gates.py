"""What a release must pass: before SageMaker is asked for an update, and once the new fleet is live."""

from __future__ import annotations

import shlex
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

from infra.aws.mode import Mode
from infra.names import stop_alarm
from infra.release import modes
from infra.release.alarms import AlarmState
from infra.release.failure import ReleaseRefused
from infra.release.policy import ReleasePolicy


@dataclass(frozen=True)
class MinimumInvocations:
    """How many requests the new fleet must receive during the bake."""

    count: int
    otherwise: Literal["warn", "fail"] = "warn"

    def problem(self, endpoint: str, config_name: str, invocations: int, mode: Mode) -> str | None:
        """Why the release of a configuration is not proven by its traffic; None if it is."""
        if invocations >= self.count:
            return None
        received = "the endpoint processed" if mode is Mode.ASYNCHRONOUS else "its fleet received"
        return (
            f"endpoint {endpoint}: {config_name} is live, but {received} {invocations} of the {self.count} "
            "requests that alarms.minimumInvocations requires during the bake. Check the model, and lower the count or "
            "send more requests during the next release."
        )


def require_mode(endpoint: str, live: Mode, requested: Mode) -> None:
    """Require that SageMaker accepts an update from one mode to the other.

    Raises:
        ReleaseRefused: it does not.
    """
    if problem := modes.refusal(endpoint, live, requested):
        raise ReleaseRefused(endpoint, [problem])


def unguarded(
    endpoint: str, policy: ReleasePolicy, live: Set[str], requested: Set[str], served_as: Set[Mode]
) -> str | None:
    """Why deployment guardrails do not protect an update from the variants `live` to `requested`; None if they do.
    Without them SageMaker moves all traffic at once and ignores alarms.

    Guardrails apply to real-time and asynchronous endpoints only (developer guide, "Deployment guardrails"), and both
    configurations must have the same variants ("Exclusions").

    Args:
        served_as: the modes of the two configurations.

    Raises:
        ReleaseRefused: they do not, and the strategy is not all at once.
    """
    if Mode.SERVERLESS in served_as:
        reason, limit = "it is serverless", "only between fleets of instances"
    elif live != requested:
        reason, limit = "its variants change", "only between the same variants"
    else:
        return None
    if policy.strategy == "allAtOnce":
        return reason
    raise ReleaseRefused(
        endpoint,
        [
            f"it serves {_names(live)}, and the release has {_names(requested)}; {reason}. SageMaker moves traffic by "
            f"{policy.strategy} {limit}. Set release.strategy: allAtOnce for this change."
        ],
    )


def require_ready(
    endpoint: str, config_name: str, names: Sequence[str], alarms: Sequence[AlarmState], where: str
) -> None:
    """Require that every alarm exists and that none fires, before the endpoint is updated to `config_name`.

    Args:
        names: the alarms that the update names.
        alarms: those of them that exist.
        where: the region and account that were searched.

    Raises:
        ReleaseRefused: with every alarm that is missing or fires.
    """
    existing = {alarm.name for alarm in alarms}
    problems = [
        f"alarm {name} does not exist in {where}; SageMaker accepts rollback alarms of the endpoint's own region and "
        "account only. Create it there, or remove it from alarms.existing."
        for name in names
        if name not in existing
    ]
    problems += [
        f"alarm {alarm.name} is in ALARM already ({alarm.reason or 'no reason given'}), so the release would be rolled "
        f"back at once. {_way_out(alarm.name, config_name)}"
        for alarm in alarms
        if alarm.firing
    ]
    if problems:
        raise ReleaseRefused(endpoint, problems)


def _way_out(alarm: str, config_name: str) -> str:
    if alarm == stop_alarm(config_name):
        return (
            "`python -m infra release stop` uses this alarm and sets it to OK when it ends, unless it is killed. Reset "
            f"it: aws cloudwatch set-alarm-state --alarm-name {shlex.quote(alarm)} --state-value OK "
            "--state-reason 'the release may begin'"
        )
    if alarm.startswith(f"{config_name}-"):
        return (
            "It fired during an earlier release of this same configuration. Change the model or its settings, which "
            "creates new alarms; or wait until it is OK, a few minutes after that fleet's last request, and run "
            "`pulumi up` again. The rates of an asynchronous endpoint watch the old fleet too: if that one fails, "
            "remove their keys for this release."
        )
    return (
        "Fix the cause and run `pulumi up` again; or, if it watches the old fleet that this release fixes, remove it "
        "from alarms.existing."
    )


def _names(variants: Set[str]) -> str:
    noun = "variant" if len(variants) == 1 else "variants"
    return f"{noun} {', '.join(sorted(variants))}"
