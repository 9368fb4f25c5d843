"""Jobs in parallel: how many at once, and how they end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from infra.image.parallel import MOST, STOP_SECONDS, Lanes, run_all


class Jobs:
    """Jobs that wait until as many run at once as are expected."""

    def __init__(self) -> None:
        self.running = self.most = self.ended = 0
        self._lock = threading.Lock()

    def job(self, work: Callable[[], None] = lambda: time.sleep(0.01)) -> Callable[[], None]:
        def run() -> None:
            with self._lock:
                self.running += 1
                self.most = max(self.most, self.running)
            try:
                work()
            finally:
                with self._lock:
                    self.running -= 1
                    self.ended += 1

        return run


def test_every_job_runs_and_more_at_once_while_all_goes_well() -> None:
    jobs, lanes = Jobs(), Lanes()
    for _ in range(3):
        lanes.halve()
    run_all([jobs.job() for _ in range(60)], lanes, threading.Event())
    assert (jobs.ended, jobs.running) == (60, 0)
    assert 1 < jobs.most <= MOST


def test_a_busy_registry_halves_what_runs_at_once() -> None:
    jobs, lanes, go = Jobs(), Lanes(most=8), threading.Event()
    lanes.halve()

    def wait() -> None:
        go.wait(30)

    eight = [jobs.job(wait) for _ in range(8)]
    runner = threading.Thread(target=run_all, args=(eight, lanes, threading.Event()))
    runner.start()
    deadline = time.monotonic() + 20
    while jobs.running < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    running = jobs.running
    go.set()
    runner.join()
    assert running == 4
    assert jobs.ended == 8


@pytest.mark.parametrize("times", [1, 9])
def test_at_least_one_job_runs(times: int) -> None:
    jobs, lanes = Jobs(), Lanes()
    for _ in range(times):
        lanes.halve()
    run_all([jobs.job()], lanes, threading.Event())
    assert jobs.ended == 1


def test_no_job_is_no_wait() -> None:
    run_all([], Lanes(), threading.Event())


def test_the_first_error_stops_the_others_and_starts_no_more() -> None:
    jobs, stop = Jobs(), threading.Event()

    def fail() -> None:
        raise OSError("broken")

    def wait() -> None:
        stop.wait(60)

    waiting = [jobs.job(wait) for _ in range(40)]
    began = time.monotonic()
    with pytest.raises(OSError, match="broken"):
        run_all([*waiting[:2], jobs.job(fail), *waiting[2:]], Lanes(most=3), stop)
    assert time.monotonic() - began < 30
    assert stop.is_set()
    assert jobs.ended <= 5


@pytest.mark.parametrize("kind", [IndexError, KeyError, SystemExit])
def test_an_error_of_any_kind_ends_the_wait(kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("broken")

    errors: list[BaseException] = []

    def run() -> None:
        try:
            run_all([fail], Lanes(), threading.Event())
        except BaseException as error:
            errors.append(error)

    runner = threading.Thread(target=run, daemon=True)
    runner.start()
    runner.join(60)
    assert [type(error) for error in errors] == [kind]


def test_a_job_that_does_not_stop_is_left() -> None:
    stay = threading.Event()

    def wait() -> None:
        stay.wait(60)

    def fail() -> None:
        raise OSError("broken")

    began = time.monotonic()
    with pytest.raises(OSError, match="broken"):
        run_all([wait, fail], Lanes(), threading.Event())
    assert STOP_SECONDS <= time.monotonic() - began < 30
    stay.set()
