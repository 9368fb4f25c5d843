"""How a release can end other than well, in words for the person who started it."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import ClientError

CREATED_ANEW = "mend the cause and run `pulumi up` again; it creates the endpoint anew."


class ReleaseFailed(Exception):
    """SageMaker failed or rolled back; the message says why, what is live now and what to do."""


class ReleaseTimeout(Exception):
    """The release took longer than its `timeoutSeconds`. SageMaker goes on with it; nothing was undone."""

    def __init__(self, name: str, progress: str, timeout_seconds: int) -> None:
        super().__init__(
            f"endpoint {name}: still {progress} after {timeout_seconds} s (release.timeoutSeconds). SageMaker goes on; "
            "nothing was undone. Run the same command again: it attaches to what is under way and waits on."
        )


class EndpointNotOwned(Exception):
    """An endpoint of the requested name belongs to somebody else."""

    def __init__(self, name: str, owner: str | None, expected: str, tag: str) -> None:
        holder = f"belongs to stack {owner}" if owner else f"carries no tag {tag}"
        super().__init__(
            f"endpoint {name}: one of this name exists in the account and {holder}, not to {expected}. It was left "
            f"alone. Rename the endpoint's key in the settings, or take it over with the tag {tag}={expected}."
        )


def not_found(error: ClientError) -> bool:
    """Whether DescribeEndpoint says that there is no such endpoint: a ValidationException told apart by its text
    only."""
    answer = error.response["Error"]
    return answer["Code"] in ("ValidationException", "ResourceNotFound") and "Could not find" in answer["Message"]


def in_progress(error: ClientError) -> bool:
    """Whether a change was refused because another one has begun in the meantime."""
    return "in-progress" in error.response["Error"]["Message"].lower()


def rolled_back(name: str, requested: str, live: str, reason: str, log: Sequence[str]) -> ReleaseFailed:
    """An update that did not arrive. The old fleet answers."""
    return ReleaseFailed(
        f"endpoint {name}: the release of {requested} was rolled back; {live} is live and answers as before.\n"
        + _why(name, reason, log)
        + "  Next: mend the model or its settings and run `pulumi up` again. Nothing live was changed or deleted."
    )


def failed(name: str, requested: str, status: str, reason: str, log: Sequence[str], next_step: str) -> ReleaseFailed:
    """An endpoint that does not serve at all."""
    what = f"endpoint {name}: {requested} did not come up ({status})."
    return ReleaseFailed(f"{what}\n{_why(name, reason, log)}  Next: {next_step}")


def stuck(name: str, requested: str, reason: str, log: Sequence[str]) -> ReleaseFailed:
    """An update whose rollback failed too: SageMaker serves with a mix of both fleets and takes no other update."""
    return ReleaseFailed(
        f"endpoint {name}: the release of {requested} failed, and so did its rollback (UpdateRollbackFailed).\n"
        + _why(name, reason, log)
        + "  It goes on answering with a mix of old and new instances, so leave it until a replacement serves.\n"
        "  Next: release under another key, move the callers there, then take this endpoint out; or ask AWS Support."
    )


def _why(name: str, reason: str, log: Sequence[str]) -> str:
    lines = [f"  SageMaker says: {reason or 'nothing (no FailureReason was given).'}"]
    if log:
        lines += [f"  The container's log (/aws/sagemaker/Endpoints/{name}) ends:", *(f"    {line}" for line in log)]
    return "\n".join(lines) + "\n"
