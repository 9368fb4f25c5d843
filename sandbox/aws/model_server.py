"""What a container of a model is to SageMaker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from infra.triton.server import INVOKE_TIMEOUT_SECONDS


class Server(Protocol):
    """A model server: `TritonServer`, see `infra/triton/server.py`."""

    def start(self) -> None: ...
    def ping(self) -> bool: ...
    def invoke(
        self, body: bytes, headers: Mapping[str, str], timeout_seconds: float = INVOKE_TIMEOUT_SECONDS
    ) -> tuple[int, dict[str, str], bytes]: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def exited(self) -> int | None: ...
    def stop(self, grace_seconds: float) -> None: ...


Launch = Callable[[Path, Mapping[str, str], Path, Callable[[str], None]], Server]
"""Makes a server, not yet started, of an artifact, an environment, an empty directory and a log."""
