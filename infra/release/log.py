"""The last words of an endpoint's containers, from CloudWatch Logs."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import names

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
