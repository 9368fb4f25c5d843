"""The throughput of an endpoint, and the latency of its answers."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class BenchResult:
    """What several clients measured.

    Attributes:
        seconds: from the first request to the last response.
        latencies: the seconds of each answered request, ascending.
        errors: how often each error occurred.
    """

    seconds: float
    latencies: Sequence[float]
    errors: Mapping[str, int]

    @property
    def throughput(self) -> float:
        """Responses a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """The latency that `percent` of the answers do not exceed, by the nearest rank; NaN without answers."""
        if not self.latencies:
            return math.nan
        return self.latencies[max(0, math.ceil(len(self.latencies) * percent / 100) - 1)]


def bench(ask: Callable[[], str | None], seconds: float, concurrency: int) -> BenchResult:
    """Send requests for some seconds. Each client sends its next request when it has the response to the last one.

    Args:
        ask: sends a request, and returns why there is no answer; None if there is one.
        concurrency: the number of clients.
    """
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    failures: list[BaseException] = []
    lock, stopped = threading.Lock(), threading.Event()
    started = time.perf_counter()
    end = started + seconds

    def client() -> None:
        try:
            while not stopped.is_set() and (began := time.perf_counter()) < end:
                error = ask()
                took = time.perf_counter() - began
                with lock:
                    if error is None:
                        latencies.append(took)
                    else:
                        errors[error] += 1
        except BaseException as error:
            failures.append(error)
            stopped.set()

    # daemons, because the answer to an asynchronous request may be hours away at Ctrl-C
    clients = [threading.Thread(target=client, daemon=True) for _ in range(concurrency)]
    try:
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
    finally:
        stopped.set()
    if failures:
        raise failures[0]
    return BenchResult(time.perf_counter() - started, sorted(latencies), errors)
