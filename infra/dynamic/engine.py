"""Pulumi's engine as a dynamic provider sees it: what is worth a line of its output, and its exit."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time


class Tenths:
    """The tenths of a transfer, each of which is worth a line on a terminal and in CI."""

    def __init__(self) -> None:
        self._passed = 0

    def passed(self, done: int, total: int) -> int | None:
        """The percentage done if another tenth has passed since the last call; else None."""
        tenths = done * 10 // max(total, 1)
        if tenths <= self._passed:
            return None
        self._passed = tenths
        return tenths * 10


def exit_with_the_engine() -> None:
    """Exit when the engine is killed: continuing would change AWS without a record in the state.

    Watching the parent process is not enough: it is a shell where Pulumi starts providers by a script. Every provider
    knows the engine's own address, which refuses connections once the engine has exited.
    """
    watched = any(thread.name == "engine-watch" for thread in threading.enumerate())
    if watched or not re.fullmatch(r"[\w.-]+:\d+", sys.argv[-1]):  # flags of the engine's log come before it
        return
    host, port = sys.argv[-1].rsplit(":", 1)

    def watch() -> None:
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=10).close()
            except ConnectionError:
                os._exit(1)
            except OSError:  # such as a timeout on a slow machine
                pass
            time.sleep(1)

    threading.Thread(target=watch, name="engine-watch", daemon=True).start()
