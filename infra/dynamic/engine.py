"""Pulumi's engine, as a dynamic provider sees it: what it prints, and its end."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time

import pulumi


def report(message: str) -> None:
    """A line of progress in the engine's output."""
    pulumi.log.info(message)


def report_passing(message: str) -> None:
    """A line that the next one replaces on a terminal, and that is left out elsewhere."""
    pulumi.log.info(message, ephemeral=True)


def warn(message: str) -> None:
    """What is wrong although the deployment goes on; the engine repeats it at the end."""
    pulumi.log.warn(message)


def exit_with_the_engine() -> None:
    """A killed engine leaves this process running; going on without it would act on AWS with nobody recording it.

    The parent process tells nothing: it is a shell where Pulumi starts providers by a script. The engine's own address,
    which it gives to every provider, is refused once it is gone.
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
            except OSError:  # a slow machine is no dead engine
                pass
            time.sleep(1)

    threading.Thread(target=watch, name="engine-watch", daemon=True).start()
