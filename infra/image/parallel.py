"""Run jobs in parallel: fewer at once when a registry asks for that, and then more again while all goes well."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue

MOST = 8
"""Jobs that run at once at most. Each has two connections, and 1 MiB in memory."""


class Lanes:
    """How many jobs run at once: half as many when a registry is busy, one more after each that ends well."""

    def __init__(self, most: int = MOST) -> None:
        self._limit = self._most = most
        self._running = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running < self._limit)
            self._running += 1

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self._changed:
            self._running -= 1
            self._limit = min(self._limit + (error is None), self._most)
            self._changed.notify_all()

    def halve(self) -> None:
        """Let fewer jobs run at once, from the next one on."""
        with self._changed:
            self._limit = max(self._limit // 2, 1)


STOP_SECONDS = 0.5
"""How long jobs may take to end after an error or Ctrl-C."""


def run_all(jobs: Iterable[Callable[[], None]], lanes: Lanes, stop: threading.Event) -> None:
    """Run all jobs, and return when all have ended. The first error of a job is raised at once.

    Args:
        stop: set when the jobs that run are no longer needed. Those that do not end then end with the process.
    """
    waiting = deque(jobs)
    count = len(waiting)
    results: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        while True:
            try:
                with lanes:
                    if (job := _next(waiting)) is None:
                        return
                    job()
            except BaseException as error:
                results.put(error)
            else:
                results.put(None)

    threads = [threading.Thread(target=work, name="layer", daemon=True) for _ in range(min(MOST, count))]
    for thread in threads:
        thread.start()
    try:
        for _ in range(count):
            if error := results.get():
                raise error
    finally:
        waiting.clear()
        stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _next(waiting: deque[Callable[[], None]]) -> Callable[[], None] | None:
    """Another thread may have removed the last job."""
    try:
        return waiting.popleft()
    except IndexError:
        return None
