"""The log of every AWS call that the embedded AWS answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox.aws.registry import Body

#: A longer text is a blob in base64, of a request that was refused before its shapes were looked at.
_LONGEST_TEXT = 100_000


class CallLog:
    """Calls in the order of their answers; readers can wait for the next one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[dict[str, Any]] = []

    def add(
        self, began: float, service: str, operation: str, params: Mapping[str, Any], status: int, error: str | None
    ) -> None:
        """`began` is the time of the request's arrival, in seconds since the epoch."""
        call = {
            "time": began,
            "service": service,
            "operation": operation,
            "params": _loggable(params),
            "status": status,
            "error": error,
        }
        with self._changed:
            self._calls.append({"n": len(self._calls) + 1, **call})
            self._changed.notify_all()

    def after(self, n: int, wait: float = 0.0) -> list[dict[str, Any]]:
        """The calls numbered above `n`; with none there yet, waits up to `wait` seconds for the next."""
        deadline = time.monotonic() + wait
        with self._changed:
            while len(self._calls) <= n and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._calls[n:]


def _loggable(value: Any) -> Any:
    """A parameter as JSON; bytes and very long texts by their number only, so that the log stays small."""
    if isinstance(value, Mapping):
        return {str(k): _loggable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_loggable(v) for v in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Body):
        return "<body>"
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"<{len(value)} characters>"
    return value.isoformat() if isinstance(value, datetime) else value
