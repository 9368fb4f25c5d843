"""The last words of an endpoint's containers, from CloudWatch Logs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra import names

LINES = 12

MAX_EVENTS = 100_000
"""Lines of the log that are gone through for them; more would take minutes."""

MAX_STREAMS = 100
"""Log streams that one search takes (API `FilterLogEvents`, `logStreamNames`)."""

_HARMLESS = "CudaDriverHelper has not been initialized"
"""Triton logs this as an error at every start on an instance without GPU."""

_STARTED = "Started Sagemaker HTTPService"
"""What Triton logs once it answers."""

_TRITON_LINE = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d")
"""Triton's lines begin with a severity letter, month and day, and the time (glog's format)."""


def last_lines(logs: Any, endpoint_name: str, since_ms: int) -> list[str]:
    """The most telling lines of the instances that started since `since_ms` (milliseconds since 1970), which leaves
    the old fleet's out; none if the log cannot be read.

    They help to understand a failure that is reported anyway; not being allowed to read them must not hide that
    failure.
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
    return telling([event["message"].rstrip() for event in sorted(events, key=lambda event: event["timestamp"])])


def telling(lines: Sequence[str]) -> list[str]:
    """At most the last 12 different lines that explain a failure: Triton's errors with what belongs to them, else
    the last ones, of a server that started those since then, without its tables of options."""
    errors, in_error = [], False
    for line in lines:
        if _TRITON_LINE.match(line):
            in_error = line[0] in "EF" and _HARMLESS not in line
        elif line.startswith(("ERROR", "error:")):
            in_error = True
        if in_error and line.strip():
            errors.append(line)
    started = next((at for at in range(len(lines), 0, -1) if _STARTED in lines[at - 1]), 0)
    others = [line for line in lines[started:] if line.strip() and not line.startswith(("|", "+-"))]
    return list(dict.fromkeys(errors or others))[-LINES:]
