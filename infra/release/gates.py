"""What a release must pass before SageMaker is asked for anything."""

from __future__ import annotations

import shlex
from collections.abc import Sequence, Set

from infra.names import stop_alarm
from infra.release.alarms import AlarmState
from infra.release.policy import ReleasePolicy


class ReleaseRefused(Exception):
    """A gate kept a release or a deletion from beginning. The message has every problem with its way out."""

    def __init__(self, endpoint: str, problems: Sequence[str], what: str = "the release was not begun") -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"endpoint {endpoint}: {what}; nothing live was changed.\n{lines}")
        self.reason = problems[0]


class VariantsDiffer(ReleaseRefused):
    """A strategy that moves traffic in steps was asked for, from one set of variants to another."""


def guard(endpoint: str, policy: ReleasePolicy, live: Set[str], requested: Set[str]) -> bool:
    """Whether guardrails watch over an update from the variants `live` to `requested`: both must have the same names
    (developer guide, "Deployment guardrails", Exclusions). Without them SageMaker moves all traffic at once and looks
    at no alarm.

    Raises:
        VariantsDiffer: the names differ, and the strategy is another than all at once.
    """
    if live == requested:
        return True
    if policy.strategy != "allAtOnce":
        raise VariantsDiffer(
            endpoint,
            [
                f"it serves {_names(live)}, and the release is of {_names(requested)}. SageMaker moves traffic by "
                f"{policy.strategy} only between the same variants. Set release.strategy: allAtOnce for this change."
            ],
        )
    return False


def _names(variants: Set[str]) -> str:
    noun = "variant" if len(variants) == 1 else "variants"
    return f"{noun} {', '.join(sorted(variants))}"


class AlarmNotReady(ReleaseRefused):
    """A release cannot begin with its alarms as they are: SageMaker would refuse it or roll it back at once."""


def require_ready(
    endpoint: str, config_name: str, names: Sequence[str], found: Sequence[AlarmState], where: str
) -> None:
    """See that every alarm exists and none fires, before the endpoint is updated to `config_name`.

    Args:
        where: the region, and the account, that were looked in.

    Raises:
        AlarmNotReady: with every alarm that is missing or fires.
    """
    there = {each.name for each in found}
    problems = [
        f"alarm {name} does not exist in {where}; SageMaker finds rollback alarms in the endpoint's own region and "
        "account only. Make it there, or take it off alarms.existing."
        for name in names
        if name not in there
    ]
    problems += [
        f"alarm {each.name} is in ALARM already ({each.reason or 'no reason given'}), so the release would be rolled "
        f"back at once. {_way_out(each.name, config_name)}"
        for each in found
        if each.firing
    ]
    if problems:
        raise AlarmNotReady(endpoint, problems)


def _way_out(alarm: str, config_name: str) -> str:
    if alarm == stop_alarm(config_name):
        return (
            "It is there for `python -m infra release stop`, which sets it to OK when it ends, unless it is killed. Do "
            f"so by hand: aws cloudwatch set-alarm-state --alarm-name {shlex.quote(alarm)} --state-value OK "
            "--state-reason 'the release may begin'"
        )
    if alarm.startswith(f"{config_name}-"):
        return (
            "It fired when this very configuration was released before. Change the model or its settings, which brings "
            "new alarms; or wait until it is OK, a few minutes after that fleet's last request, and run `pulumi up` "
            "again."
        )
    return (
        "Mend the cause and run `pulumi up` again; or, if it watches the old fleet that this release is to mend, take "
        "it off alarms.existing."
    )
