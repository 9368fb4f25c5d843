"""How a release can end other than well, in words for the person who started it."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from infra import names
from infra.aws import instance_types
from infra.diagnostics.printable import printable
from infra.errors import UserError
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


LINES = 12

MAX_EVENTS = 100_000
"""Lines of the log that are gone through for them; more would take minutes."""

MAX_STREAMS = 100
"""Log streams that one search takes (API `FilterLogEvents`, `logStreamNames`)."""

_WITHOUT_GPU = (
    "CudaDriverHelper has not been initialized",
    "Unable to allocate pinned system memory",
    "CUDA memory pool disabled",
)
"""What Triton logs at every start on an instance without GPU, the first one as an error."""

_STARTED = "Started Sagemaker HTTPService"
"""What Triton logs once it answers."""

_TRITON_LINE = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d(\.\d+ +\d+)?")
"""Triton's lines begin with a severity letter, month and day, the time and the thread (glog's format)."""

_ERRORS_OF_OTHERS = ("ERROR", "error:", "exec ", "Traceback (")
"""How the errors of the image's `serve` script, of Triton at its end, of the kernel and of Python begin."""


def container_log(logs: Any, endpoint_name: str, since_ms: int) -> list[str]:
    """What the instances that started since `since_ms` (milliseconds since 1970) have logged, which leaves the old
    fleet out; empty if the log cannot be read.

    It helps to understand a failure that is reported anyway; not being allowed to read it must not hide that failure.
    """
    group = names.log_group(endpoint_name)
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
        streams = [
            stream["logStreamName"]
            for page in pages
            for stream in page["logStreams"]
            if stream["creationTime"] >= since_ms
        ]
        if not streams:
            return []
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            logStreamNames=streams[:MAX_STREAMS],
            startTime=since_ms,
            PaginationConfig={"MaxItems": MAX_EVENTS},
        )
        events = deque((event for page in pages for event in page["events"]), maxlen=MAX_EVENTS // 10)
    except (ClientError, BotoCoreError):
        return []
    return [event["message"].rstrip() for event in sorted(events, key=lambda event: event["timestamp"])]


def telling(lines: Sequence[str], gpu: bool = False) -> list[str]:
    """At most 12 lines that explain a failure: Triton's errors with what belongs to them, else the last lines of a
    server that started those since then, without its tables of options. Equal messages come once, with their count.

    Args:
        gpu: whether the instances have a GPU, so that what Triton says of its absence is worth knowing.
    """
    messages = errors(lines)
    if not messages:
        started = next((at for at in range(len(lines), 0, -1) if _STARTED in lines[at - 1]), 0)
        noise = () if gpu else _WITHOUT_GPU
        messages = [
            [line]
            for line in lines[started:]
            if line.strip() and not line.startswith(("|", "+-")) and not any(each in line for each in noise)
        ]
    return [line for message in _counted(messages) for line in message][-LINES:]


def errors(lines: Sequence[str]) -> list[list[str]]:
    """The errors in a container's log, each with the lines that belong to it."""
    found: list[list[str]] = []
    in_error = False
    for line in lines:
        begins = bool(_TRITON_LINE.match(line))
        if begins:
            in_error = line[0] in "EF" and not any(each in line for each in _WITHOUT_GPU)
        elif line.startswith(_ERRORS_OF_OTHERS):
            begins, in_error = not in_error, True
        if in_error and line.strip():
            if begins:
                found.append([])
            found[-1].append(line)
    return found


def _counted(messages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each message where it came last; one that came several times, but for time and thread, says how often."""
    counts, latest = Counter(map(_without_time, messages)), dict[tuple[str, ...], Sequence[str]]()
    for message in messages:
        key = _without_time(message)
        latest.pop(key, None)
        latest[key] = message
    return [
        [f"{first} ({counts[key]} times)" if counts[key] > 1 else first, *others]
        for key, (first, *others) in latest.items()
    ]


def _without_time(message: Sequence[str]) -> tuple[str, ...]:
    first, *others = message
    return (_TRITON_LINE.sub("", first), *others)


_PING_FAILED = re.compile(r"container for production variant (\S+) did not pass the ping health check")
"""FailureReason in https://github.com/aws/amazon-sagemaker-examples/issues/210."""


def too_slow(reason: str, config: Mapping[str, Any] | None, log: Sequence[str]) -> str | None:
    """Which limit a container ran into that logged no error; None if its log says why it failed.

    Args:
        reason: SageMaker's FailureReason.
        config: the answer of DescribeEndpointConfig.
        log: what the containers logged; empty if it cannot be read.
    """
    found = _PING_FAILED.search(reason)
    if found is None or errors(log):
        return None
    variants = config["ProductionVariants"] if config else []
    limits = {each["VariantName"]: each.get("ContainerStartupHealthCheckTimeoutInSeconds") for each in variants}
    limit = limits.get(found[1])
    if limit is None:
        return None
    silent = "logged no error, and " if log else ""
    return (
        f"The container of variant {found[1]} {silent}did not answer /ping within startupHealthCheckSeconds "
        f"({limit} s). If the model needs longer to load, raise startupHealthCheckSeconds."
    )


def has_gpu(config: Mapping[str, Any] | None) -> bool:
    """Whether an instance of the configuration has a GPU; True if that is not known."""
    if config is None:
        return True
    return any(instance_types.has_gpu(each.get("InstanceType", "")) for each in config["ProductionVariants"])
