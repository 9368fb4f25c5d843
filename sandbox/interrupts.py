"""^C during an operation of the engine: the engine ends it in order, and we wait for that."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

import psutil


@contextlib.contextmanager
def left_to_the_engine() -> Iterator[None]:
    """Let a signal to stop reach the engine exactly once and end nothing else; a second one makes it stop at once."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT or not has_the_terminal():
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.name() == "pulumi":
                        child.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def has_the_terminal() -> bool:
    """Whether ^C on the terminal goes to this process, and so to the engine, its child, as well."""
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
