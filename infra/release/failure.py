"""How a release fails: the errors that people read, and the evidence that explains them."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from infra import names
from infra.aws import instance_types
from infra.diagnostics.printable import printable
from infra.errors import UserError
from infra.release.alarms import AlarmState
from infra.release.estimate import SERVERLESS_START_SECONDS
from infra.triton.log_line import EXCERPT_LINES, OTHER_ERRORS, TRITON_LINE, is_table

Failure = Literal["rolledBack", "failed"]

CREATED_AGAIN = "fix the cause and run `pulumi up` again; it creates the endpoint again."

MAX_EVENTS = 100_000
"""Lines of the log that are searched; more would take minutes."""

MAX_STREAMS = 100
"""Log streams that one search accepts (API `FilterLogEvents`, `logStreamNames`)."""

_OF_REQUESTS = "/data-log"
"""The end of the streams in which SageMaker logs asynchronous requests, not their containers (SageMaker guide, Monitor
an asynchronous endpoint)."""

_IMAGE_TOO_LARGE = "is greater than supported size"
"""FailureReason in https://github.com/aws-solutions/qnabot-on-aws/issues/691."""

_WITHOUT_GPU = (
    "CudaDriverHelper has not been initialized",
    "Unable to allocate pinned system memory",
    "CUDA memory pool disabled",
)
"""What Triton logs at every start on an instance without GPU, the first one as an error."""

_STARTED = "Started Sagemaker HTTPService"
"""What Triton logs once it answers."""

_PING_FAILED = re.compile(r"container for production variant (\S+) did not pass the ping health check")
"""FailureReason in https://github.com/aws/amazon-sagemaker-examples/issues/210."""


class ReleaseRefused(UserError):
    """A gate refused a release or a deletion before it started. The message has every problem with its way out."""

    def __init__(self, endpoint: str, problems: Sequence[str], what: str = "the release did not start") -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"endpoint {endpoint}: {what}; the live endpoint is unchanged.\n{lines}")
        self.reason = problems[0]


class ReleaseFailed(UserError):
    """SageMaker failed or rolled back; the message says why, what is live now and what to do."""

    def __init__(self, message: str, result: Failure, reason: str = "") -> None:
        super().__init__(message)
        self.result = result
        self.reason = reason


class ReleaseTimeout(UserError):
    """The release took longer than SageMaker may take for it and for its rollback. Nothing was undone."""

    exit_code = 2

    def __init__(self, name: str, progress: str, deadline_seconds: int) -> None:
        super().__init__(
            f"endpoint {name}: still {progress} after {deadline_seconds} s, longer than release.timeoutSeconds and a "
            "rollback allow. SageMaker continues, and nothing was undone. Run the same command again: it attaches to "
            "the change in progress and waits for its end."
        )


class EndpointNotOwned(UserError):
    """An endpoint of the requested name does not belong to this stack."""

    def __init__(self, name: str, owner: str | None, expected: str, tag: str) -> None:
        actual = f"belongs to stack {owner}, not to {expected}" if owner else f"has no tag {tag}"
        adopt = f"adopt it with adopt.endpoints: [{name}]"
        way_out = f"remove it from that stack and tag it {tag}={expected}" if owner else adopt
        super().__init__(
            f"endpoint {name}: the account has an endpoint of this name, which {actual}. It is unchanged. Rename the "
            f"endpoint's key in the settings, or {way_out}."
        )


@dataclass(frozen=True)
class Evidence:
    """What explains a failed release."""

    reason: str
    """SageMaker's FailureReason; may be empty."""
    alarms: Sequence[AlarmState] = ()
    """Those that were in ALARM during the release."""
    log: Sequence[str] = ()
    """Lines of the containers' log."""
    notes: Sequence[str] = ()
    """Further facts, one a sentence."""
    hint: str | None = None
    """What SageMaker's reason means, where it does not say so itself."""


def rolled_back(name: str, requested: str, live: str, evidence: Evidence) -> ReleaseFailed:
    """An update that was rolled back; the old fleet serves."""
    what = f"the release of {requested} was rolled back; {live} is live and answers as before."
    next_step = "fix the model or its settings and run `pulumi up` again. The live endpoint is unchanged."
    return _failed(name, what, evidence, next_step, "rolledBack")


def stop_alarm(requested: str, fired: Mapping[str, AlarmState], reason: str) -> AlarmState | None:
    """The alarm of `release stop`, if only that rolled the release back.

    Args:
        fired: the alarms that fired, by name.
        reason: SageMaker's FailureReason. AWS does not document its words; that of a container names no alarm.
    """
    alarm = fired.get(names.stop_alarm(requested))
    return alarm if len(fired) == 1 and (not reason or "alarm" in reason.lower()) else None


def stopped(name: str, requested: str, live: str, evidence: Evidence, stop: AlarmState) -> ReleaseFailed:
    """An update that a person stopped."""
    what = f"the release of {requested} was stopped by `release stop`; {live} is live and answers as before."
    next_step = (
        f"restore the previous model and settings to keep {live}, or run `pulumi up` again, which releases {requested}."
    )
    return _failed(name, what, evidence, next_step, "rolledBack", stop.reason)


def failed(name: str, requested: str, status: str, evidence: Evidence, next_step: str) -> ReleaseFailed:
    """An endpoint that does not serve."""
    return _failed(name, f"{requested} did not reach InService ({status}).", evidence, next_step)


def stuck(name: str, requested: str, evidence: Evidence) -> ReleaseFailed:
    """An update that failed and was not rolled back: SageMaker serves from both fleets and accepts no other update."""
    what = f"the release of {requested} failed, and so did its rollback (UpdateRollbackFailed)."
    note = "Old and new instances keep answering, so keep the endpoint until a replacement serves."
    next_step = "add an endpoint under another key, move the callers to it, then remove this one; or ask AWS Support."
    return _failed(name, what, replace(evidence, notes=[*evidence.notes, note]), next_step)


def capacity_missed(name: str, capacity: str, reason: str) -> ReleaseFailed:
    """A fleet that did not reach the capacity that it must have."""
    what = f"SageMaker did not provide the requested capacity ({capacity})."
    next_step = (
        "run `pulumi up` again, or lower initialInstanceCount or serverless.provisionedConcurrency. The endpoint "
        "answers as before."
    )
    return _failed(name, what, Evidence(reason), next_step)


def _failed(
    name: str, what: str, evidence: Evidence, next_step: str, result: Failure = "failed", reason: str = ""
) -> ReleaseFailed:
    message = f"endpoint {name}: {what}\n{_explanation(name, evidence)}  Next: {next_step}"
    return ReleaseFailed(message, result, reason or evidence.reason)


def _explanation(name: str, evidence: Evidence) -> str:
    lines = [f"  SageMaker says: {printable(evidence.reason) or 'nothing (it gave no FailureReason).'}"]
    if evidence.hint:
        lines.append(f"  {evidence.hint}")
    for alarm in evidence.alarms:
        lines.append(f"  Alarm {alarm.name} fired: {printable(alarm.reason) or 'no reason given'}")
    if evidence.log:
        lines.append(f"  The container's log ({names.log_group(name)}) ends:")
        lines += [f"    {printable(line.expandtabs())}" for line in evidence.log]
    lines += [f"  {note}" for note in evidence.notes]
    return "\n".join(lines) + "\n"


def container_log(logs: Any, endpoint_name: str, since: float) -> list[str]:
    """The log of the instances that started since then (seconds since 1970), which excludes the old fleet.

    It is empty if it cannot be read: a log that is not accessible must not hide the failure that it would explain.
    """
    group, since_ms = names.log_group(endpoint_name), int(since * 1000)
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
        streams = [
            stream["logStreamName"]
            for page in pages
            for stream in page["logStreams"]
            if stream["creationTime"] >= since_ms and not stream["logStreamName"].endswith(_OF_REQUESTS)
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


def log_excerpt(lines: Sequence[str], gpu: bool = False) -> list[str]:
    """At most 12 lines that explain a failure: Triton's errors with their details. A log without errors gives its last
    lines since the server started, without tables of options. Equal messages appear once, with their count.

    Args:
        gpu: whether the instances have a GPU; if not, messages about a missing one are left out.
    """
    messages = errors(lines)
    if not messages:
        started = next((at for at in range(len(lines), 0, -1) if _STARTED in lines[at - 1]), 0)
        noise = () if gpu else _WITHOUT_GPU
        messages = [
            [line]
            for line in lines[started:]
            if line.strip() and not is_table(line) and not any(text in line for text in noise)
        ]
    return [line for message in _counted(messages) for line in message][-EXCERPT_LINES:]


def errors(lines: Sequence[str]) -> list[list[str]]:
    """The errors in a container's log, each with the lines that belong to it."""
    messages: list[list[str]] = []
    in_error = False
    for line in lines:
        begins = bool(TRITON_LINE.match(line))
        if begins:
            in_error = line[0] in "EF" and not any(text in line for text in _WITHOUT_GPU)
        elif line.startswith(OTHER_ERRORS):
            begins, in_error = not in_error, True
        if in_error and line.strip():
            if begins:
                messages.append([])
            messages[-1].append(line)
    return messages


def _counted(messages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each message at its last occurrence, with a count if it occurred several times, but for time and thread."""
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
    return (TRITON_LINE.sub("", first), *others)


def hint(reason: str, config: Mapping[str, Any] | None, log: Sequence[str]) -> str | None:
    """The limit that an image exceeded, or a container without logging an error; None if it is not known, or the log
    says why the container failed.

    Args:
        reason: SageMaker's FailureReason.
        config: the configuration, as DescribeEndpointConfig returns it.
        log: the containers' log; empty if it cannot be read.
    """
    if _IMAGE_TOO_LARGE in reason:
        return (
            "Serverless endpoints accept images of at most 10 GB, uncompressed. Use an image for CPUs alone "
            "(image.version with -cpu), or serve the model on instances."
        )
    match = _PING_FAILED.search(reason)
    if match is None or errors(log):
        return None
    variants = config["ProductionVariants"] if config else []
    variant: Mapping[str, Any] = next((one for one in variants if one["VariantName"] == match[1]), {})
    silent = "logged no error, and " if log else ""
    if "ServerlessConfig" in variant:
        return (
            f"The container of variant {match[1]} {silent}did not answer /ping within {SERVERLESS_START_SECONDS} s, "
            "with the download of its model. Use a smaller model or more serverless.memoryMb, or serve the model on "
            "instances."
        )
    if (limit := variant.get("ContainerStartupHealthCheckTimeoutInSeconds")) is None:
        return None
    return (
        f"The container of variant {match[1]} {silent}did not answer /ping within startupHealthCheckSeconds "
        f"({limit} s). If the model needs longer to load, raise startupHealthCheckSeconds."
    )


def has_gpu(config: Mapping[str, Any] | None) -> bool:
    """Whether an instance of the configuration has a GPU; True if the configuration is not known."""
    if config is None:
        return True
    return any(instance_types.has_gpu(variant.get("InstanceType", "")) for variant in config["ProductionVariants"])
