"""Which lines of a container's log explain a failure."""

from __future__ import annotations

from botocore.exceptions import ClientError

from infra.release.log import LINES, last_lines, telling

LOADING = "I1122 03:30:00.000001 7 server.cc:604] loading"
ERROR = "E1122 03:30:00.000002 7 model_lifecycle.cc:654] failed to load 'iris' version 1: Internal: ModuleNotFoundError"


def test_errors_are_kept_with_the_lines_that_belong_to_them() -> None:
    assert telling([LOADING, ERROR, "At:", "  model.py(3): initialize", LOADING]) == [
        ERROR,
        "At:",
        "  model.py(3): initialize",
    ]


def test_what_triton_says_at_every_start_explains_nothing() -> None:
    harmless = 'E1122 03:30:00.000001 7 server.cc:241] "CudaDriverHelper has not been initialized."'
    assert telling([harmless, ERROR]) == [ERROR]


def test_without_errors_the_last_lines_are_kept() -> None:
    assert telling([f"line {i}" for i in range(30)]) == [f"line {i}" for i in range(30 - LINES, 30)]


def test_repeated_errors_are_said_once() -> None:
    assert telling([ERROR, LOADING, ERROR]) == [ERROR]


def test_a_log_that_may_not_be_read_hides_nothing_else() -> None:
    class Denied:
        def get_paginator(self, operation: str) -> object:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    assert last_lines(Denied(), "e", 0) == []
