"""Throughput and percentiles."""

from __future__ import annotations

import math
import signal
import threading
import time

import pytest

from infra.invocation.bench import BenchResult, bench


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (90, 90), (99, 99), (99.5, 100), (100, 100), (0, 1)])
def test_percentiles_by_the_nearest_rank(percent: float, value: int) -> None:
    assert BenchResult(10, range(1, 101), {}).percentile(percent) == value


def test_one_latency_is_every_percentile_and_none_is_none() -> None:
    assert BenchResult(1, [7.0], {}).percentile(99) == 7.0
    assert math.isnan(BenchResult(1, [], {"x": 1}).percentile(50))


def test_clients_send_at_the_same_time_until_the_end() -> None:
    together = threading.Barrier(3, timeout=60)
    first = threading.local()

    def ask() -> None:
        if not hasattr(first, "met"):
            first.met = True
            together.wait()
        time.sleep(0.02)

    result = bench(ask, 0.2, 3)
    assert result.seconds >= 0.2
    assert len(result.latencies) >= 3
    assert list(result.latencies) == sorted(result.latencies)
    assert result.throughput == pytest.approx(len(result.latencies) / result.seconds)


def test_a_client_sends_one_request_after_the_other_and_its_errors_have_no_latency(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, answers = 0.0, iter([None, "busy", None, "busy", None])

    def ask() -> str | None:
        nonlocal now
        now += 2
        return next(answers)

    monkeypatch.setattr("time.perf_counter", lambda: now)
    result = bench(ask, 9, 1)
    assert (result.seconds, result.latencies, result.errors) == (10, [2, 2, 2], {"busy": 2})


def test_ctrl_c_does_not_wait_for_an_answer() -> None:
    stay = threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores the signal
    began = time.monotonic()

    def ask() -> str:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return str(stay.wait(60))

    try:
        with pytest.raises(KeyboardInterrupt):
            bench(ask, 1, 1)
    finally:
        signal.signal(signal.SIGINT, before)
        stay.set()
    assert time.monotonic() - began < 30


def test_an_error_of_a_client_is_raised() -> None:
    def ask() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench(ask, 10, 2)
