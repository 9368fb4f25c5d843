"""How a release can end other than well, in words for the person who started it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from botocore.exceptions import ClientError

from infra import names
from infra.errors import UserError
from infra.printable import printable
from infra.release.alarms import AlarmState

CREATED_ANEW = "mend the cause and run `pulumi up` again; it creates the endpoint anew."


class ReleaseFailed(Exception):
    """SageMaker failed or rolled back; the message says why, what is live now and what to do."""

    def __init__(self, message: str, result: Literal["rolledBack", "failed"], reason: str = "") -> None:
        super().__init__(message)
        self.result = result
        self.reason = reason


class ReleaseTimeout(UserError):
    """The release took longer than SageMaker may take for it and for its rollback. Nothing was undone."""

    exit_code = 2

    def __init__(self, name: str, progress: str, deadline_seconds: int) -> None:
        super().__init__(
            f"endpoint {name}: still {progress} after {deadline_seconds} s, longer than release.timeoutSeconds and a "
            "rollback allow. SageMaker goes on; nothing was undone. Run the same command again: it attaches to what is "
            "under way and waits on."
        )


class EndpointNotOwned(Exception):
    """An endpoint of the requested name belongs to somebody else."""

    def __init__(self, name: str, owner: str | None, expected: str, tag: str) -> None:
        holder = f"belongs to stack {owner}, not to {expected}" if owner else f"carries no tag {tag}"
        adopt = f"adopt it with adopt.endpoints: [{name}]"
        way_out = f"take it out of that stack and tag it {tag}={expected}" if owner else adopt
        super().__init__(
            f"endpoint {name}: one of this name exists in the account and {holder}. It was left alone. Rename the "
            f"endpoint's key in the settings, or {way_out}."
        )


def not_found(error: ClientError) -> bool:
    """Whether DescribeEndpoint says that there is no such endpoint: a ValidationException told apart by its text
    only."""
    answer = error.response["Error"]
    return answer["Code"] in ("ValidationException", "ResourceNotFound") and "Could not find" in answer["Message"]


def in_progress(error: ClientError) -> bool:
    """Whether a change was refused because another one has begun in the meantime."""
    return "in-progress" in error.response["Error"]["Message"].lower()


@dataclass(frozen=True)
class Evidence:
    """What is known of why a release failed."""

    reason: str
    """SageMaker's FailureReason; may be empty."""
    alarms: Sequence[AlarmState]
    """Those that were in ALARM during the release."""
    log: Sequence[str]
    """The last lines of the containers' log."""
    notes: Sequence[str] = ()
    """What else there is to know."""
    too_slow: str | None = None
    """Which limit a container ran into that logged no error."""


def rolled_back(name: str, requested: str, live: str, evidence: Evidence) -> ReleaseFailed:
    """An update that did not arrive. The old fleet answers."""
    return ReleaseFailed(
        f"endpoint {name}: the release of {requested} was rolled back; {live} is live and answers as before.\n"
        + _why(name, evidence)
        + "  Next: fix the model or its settings and run `pulumi up` again. The live endpoint is unchanged.",
        "rolledBack",
        evidence.reason,
    )


def failed(name: str, requested: str, status: str, evidence: Evidence, next_step: str) -> ReleaseFailed:
    """An endpoint that does not serve at all."""
    what = f"endpoint {name}: {requested} did not come up ({status})."
    return ReleaseFailed(f"{what}\n{_why(name, evidence)}  Next: {next_step}", "failed", evidence.reason)


def stuck(name: str, requested: str, evidence: Evidence) -> ReleaseFailed:
    """An update whose rollback failed too: SageMaker serves with a mix of both fleets and takes no other update."""
    return ReleaseFailed(
        f"endpoint {name}: the release of {requested} failed, and so did its rollback (UpdateRollbackFailed).\n"
        + _why(name, evidence)
        + "  It goes on answering with a mix of old and new instances, so leave it until a replacement serves.\n"
        "  Next: release under another key, move the callers there, then take this endpoint out; or ask AWS Support.",
        "failed",
        evidence.reason,
    )


def counts_missed(name: str, counts: str, reason: str) -> ReleaseFailed:
    """A fleet that did not get the size that the settings give it."""
    return ReleaseFailed(
        f"endpoint {name}: its autoscaling ends, and the instance count of the settings did not arrive ({counts}).\n"
        + _why(name, Evidence(reason, alarms=[], log=[]))
        + "  Next: run `pulumi up` again, or name another instance count. It answers as before.",
        "failed",
        reason,
    )


def too_few_invocations(name: str, requested: str, seen: int, minimum: int) -> str:
    """A release that went well without the traffic that would have shown that it does not."""
    return (
        f"endpoint {name}: {requested} is live, but its fleet saw {seen} of the {minimum} requests that the bake needs "
        "to prove anything (alarms.minimumInvocations)."
    )


def _why(name: str, evidence: Evidence) -> str:
    log = evidence.log
    lines = [f"  SageMaker says: {printable(evidence.reason) or 'nothing (no FailureReason was given).'}"]
    lines += [f"  {evidence.too_slow}"] if evidence.too_slow else []
    lines += [f"  Alarm {each.name} fired: {printable(each.reason) or 'no reason given'}" for each in evidence.alarms]
    if log:
        ends = f"  The container's log ({names.log_group(name)}) ends:"
        lines += [ends, *(f"    {printable(line.expandtabs())}" for line in log)]
    lines += [f"  {note}" for note in evidence.notes]
    return "\n".join(lines) + "\n"
