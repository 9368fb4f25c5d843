"""A model server without a model: it does what its environment says."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from infra.triton.serve_script import ServeError


class Gate:
    """Holds requests until it is opened, and counts those that have come."""

    _gates: ClassVar[dict[str, Gate]] = {}

    def __init__(self) -> None:
        self.waiting = 0
        self._admitted = 0.0
        self._changed = threading.Condition()

    @classmethod
    def of(cls, name: str) -> Gate:
        return cls._gates.setdefault(name, cls())

    def pass_through(self) -> None:
        with self._changed:
            self.waiting += 1
            self._changed.wait_for(lambda: self._admitted > 0, 60)
            self._admitted -= 1

    def open(self, requests: float = math.inf) -> None:
        """For all requests, or for so many."""
        with self._changed:
            self._admitted += requests
            self._changed.notify_all()


class ScriptedServer:
    """A model server that gives the answer, with the status and after the seconds, that its environment says.

    `ANSWER` of `*` is the request itself, `#` the number of requests in process; an answer is repeated `TIMES`. A
    request that contains the text in `BAD` gets 400. `STATUSES` are those of the first answers, as `500,200`. With
    `GATE` a request waits until the gate of this name opens. The log shows when the server starts and ends, and with
    `SHOW` its environment.
    """

    pid = None

    def __init__(
        self, archive: Path, environment: Mapping[str, str], directory: Path, log: Callable[[str], None]
    ) -> None:
        self.environment = environment
        self.log = log
        self.running = 0
        self.statuses = iter(environment.get("STATUSES", "").split(",")) if "STATUSES" in environment else iter(())

    def start(self) -> None:
        self.log("started")
        if "SHOW" in self.environment:
            self.log(f"environment {dict(self.environment)}")
        if "BROKEN" in self.environment:
            raise ServeError("no")

    def ping(self) -> bool:
        return "UNHEALTHY" not in self.environment

    def invoke(
        self, body: bytes, headers: Mapping[str, str], timeout_seconds: float = 60
    ) -> tuple[int, dict[str, str], bytes]:
        seconds = float(self.environment.get("SECONDS", "0"))
        self.running += 1
        running = self.running
        if "GATE" in self.environment:
            Gate.of(self.environment["GATE"]).pass_through()
        time.sleep(min(seconds, timeout_seconds))
        self.running -= 1
        if seconds > timeout_seconds:
            raise TimeoutError("timed out")
        status = int(next(self.statuses, self.environment.get("STATUS", "200")))
        if "BAD" in self.environment and self.environment["BAD"].encode() in body:
            status = 400
        if status == 0:
            raise TimeoutError("timed out")
        answer = self.environment.get("ANSWER", "").replace("#", str(running)) * int(self.environment.get("TIMES", "1"))
        return status, {"Content-Type": "text/plain"}, body if answer == "*" else answer.encode()

    @property
    def exited(self) -> int | None:
        return None

    def stop(self, grace_seconds: float = 0) -> None:
        self.log("ended")
