"""How much of an instance a container uses, as CloudWatch has it (developer guide, monitoring-cloudwatch, "Endpoint
Instance Metrics"): CPU in percent of one core, summed over all cores, and memory in percent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import psutil


def memory_bytes(pid: int | None) -> float:
    """Of a process and all that it started; 0 where there is none any more."""
    total = 0
    for process in _processes(pid):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return float(total)


def cpu_seconds(pid: int | None) -> float:
    """Of a process and of all that it started and that still runs."""
    total = 0.0
    for process in _processes(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _processes(pid: int | None) -> Iterator[psutil.Process]:
    if pid is None:
        return
    try:
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)
    except psutil.Error:
        return


class Meter(threading.Thread):
    """Publishes the use of a container every so many seconds, and once when it ends.

    Args:
        memory: bytes of the instance.
        publish: called with the values by the names of their metrics.
    """

    def __init__(
        self, pid: int | None, memory: float, publish: Callable[[Mapping[str, float]], None], seconds: float = 1.0
    ) -> None:
        super().__init__(name=f"meter of {pid}", daemon=True)
        self._pid = pid
        self._memory = memory
        self._publish = publish
        self._seconds = seconds
        self._ended = threading.Event()
        self._began, self._cpu = time.monotonic(), cpu_seconds(pid)

    def run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._measure()

    def end(self) -> None:
        self._ended.set()
        self.join()
        self._measure()

    def _measure(self) -> None:
        now, cpu = time.monotonic(), cpu_seconds(self._pid)
        percent = 100 * max(cpu - self._cpu, 0.0) / max(now - self._began, 0.001)
        self._began, self._cpu = now, cpu
        self._publish({"CPUUtilization": percent, "MemoryUtilization": 100 * memory_bytes(self._pid) / self._memory})
