"""A Triton under test: its server, what it logged, and waiting for what becomes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from infra.triton.server import TritonServer

# Auto-completion starts a Python model once more, for over a second; the tests' models say all in their config.pbtxt.
QUICK = {
    "SAGEMAKER_TRITON_LOG_VERBOSE": "false",
    "SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--disable-auto-complete-config",
}
START_SECONDS = 60


@dataclass(frozen=True)
class TritonContainer:
    server: TritonServer
    log: list[str]

    @classmethod
    def of(cls, archive: Path, directory: Path, **environment: str) -> TritonContainer:
        log: list[str] = []
        return cls(TritonServer(archive, {**QUICK, **environment}, directory, log.append), log)

    def becomes_ready(self) -> bool:
        """Waits until the server is healthy (True) or has ended (False)."""
        deadline = time.monotonic() + START_SECONDS
        while not self.server.ping():
            if self.server.exited is not None:
                return False
            assert time.monotonic() < deadline, "\n".join(self.log)
            time.sleep(0.02)
        return True

    def answers(self, body: bytes) -> int:
        """Waits until the server answers an invocation, in whatever way; returns the status."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.server.invoke(body, {"Content-Type": "application/json"})[0]
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "\n".join(self.log)
                time.sleep(0.02)
