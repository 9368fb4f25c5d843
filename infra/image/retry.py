"""Repeat requests that failed: a bounded number of times, after pauses that grow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from infra.image.errors import RESUME, TransferFailed

T = TypeVar("T")


class Broken(Exception):
    """A request failed, but a retry may succeed.

    Args:
        tries: at most so many in all, if fewer than usual make sense.
    """

    def __init__(self, reason: str, tries: int | None = None) -> None:
        super().__init__(reason)
        self.tries = tries


class Busy(Broken):
    """The server asks for fewer requests.

    Args:
        pause: seconds that it asks to wait.
    """

    def __init__(self, reason: str, pause: float) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True)
class Retry:
    """How often a failed request is repeated, after pauses (in seconds) that double.

    Attributes:
        tries: including the first one.
        on_busy: called when a server asks for fewer requests.
    """

    tries: int = 8
    first_pause: float = 0.5
    max_pause: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    on_busy: Callable[[], None] = lambda: None

    def call(self, action: Callable[[], T], what: str) -> T:
        """The result of `action`, repeated while it raises Broken. The last one becomes a TransferFailed of `what`."""
        attempt = 1
        while True:
            try:
                return action()
            except Broken as broken:
                if attempt >= min(self.tries, broken.tries or self.tries):
                    again = f" Tried {attempt} times. {RESUME}"
                    raise TransferFailed(f"{what}: {broken}{again if attempt > 1 else ''}") from None
                pause = self._pause(attempt)
                if isinstance(broken, Busy):
                    self.on_busy()
                    pause = max(pause, min(self.max_pause, broken.pause))
            self.sleep(pause)
            attempt += 1

    def _pause(self, attempt: int) -> float:
        # random, so that clients which were disconnected together do not reconnect together
        return min(self.max_pause, self.first_pause * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
