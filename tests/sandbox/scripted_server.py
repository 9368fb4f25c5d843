"""A model server without a model: it does what its environment says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path


class ScriptedServer:
    """A model server that gives the answer, with the status and after the seconds, that its environment says."""

    def __init__(
        self, archive: Path, environment: Mapping[str, str], directory: Path, log: Callable[[str], None]
    ) -> None:
        self.environment = environment

    def start(self) -> None:
        pass

    def ping(self) -> bool:
        return True

    def invoke(
        self, body: bytes, headers: Mapping[str, str], timeout_seconds: float = 60
    ) -> tuple[int, dict[str, str], bytes]:
        seconds = float(self.environment.get("SECONDS", "0"))
        time.sleep(min(seconds, timeout_seconds))
        if seconds > timeout_seconds:
            raise TimeoutError("timed out")
        status = int(self.environment.get("STATUS", "200"))
        if status == 0:
            raise TimeoutError("timed out")
        return status, {"Content-Type": "text/plain"}, self.environment.get("ANSWER", "").encode()

    @property
    def exited(self) -> int | None:
        return None

    def stop(self, grace_seconds: float = 0) -> None:
        pass
