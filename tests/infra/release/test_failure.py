"""Which lines of a container's log explain a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.release.failure import container_log, has_gpu, hint, log_excerpt
from infra.triton.log_line import EXCERPT_LINES

LOADING = "I1122 03:30:00.000001 7 server.cc:604] loading"
ERROR = "E1122 03:30:00.000002 7 model_lifecycle.cc:654] failed to load 'iris' version 1: Internal: ModuleNotFoundError"


def test_errors_are_kept_with_the_lines_that_belong_to_them() -> None:
    assert log_excerpt([LOADING, ERROR, "At:", "  model.py(3): initialize", LOADING]) == [
        ERROR,
        "At:",
        "  model.py(3): initialize",
    ]


def test_what_triton_says_at_every_start_explains_nothing() -> None:
    harmless = 'E1122 03:30:00.000001 7 server.cc:241] "CudaDriverHelper has not been initialized."'
    assert log_excerpt([harmless, ERROR]) == [ERROR]


def test_what_triton_says_of_a_missing_gpu_explains_nothing_where_there_is_none() -> None:
    no_driver = 'W1122 03:30:00.000001 7 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, …"'
    no_pool = 'I1122 03:30:00.000001 7 cuda_memory_manager.cc:117] "CUDA memory pool disabled"'
    assert log_excerpt([no_driver, no_pool, LOADING]) == [LOADING]
    assert log_excerpt([no_driver, no_pool, LOADING], gpu=True) == [no_driver, no_pool, LOADING]


def test_without_errors_the_last_lines_are_kept() -> None:
    assert log_excerpt([f"line {i}" for i in range(30)]) == [f"line {i}" for i in range(30 - EXCERPT_LINES, 30)]


def at(second: int, thread: int, line: str) -> str:
    """The line as another container would log it."""
    return line.replace("03:30:00.000002 7", f"03:30:{second:02}.000002 {thread}")


def test_equal_messages_come_once_with_their_count() -> None:
    again = at(9, 311, ERROR)
    assert log_excerpt([ERROR, "At:", LOADING, at(5, 8, ERROR), "At:", LOADING, again, "At:"]) == [
        f"{again} (3 times)",
        "At:",
    ]
    assert log_excerpt([ERROR, "At: a", LOADING, again, "At: b"]) == [ERROR, "At: a", again, "At: b"]
    assert log_excerpt(["waiting"] * 20) == ["waiting (20 times)"]


@pytest.mark.parametrize("line", ["ERROR: no model", "exec /opt/x.sh: exec format error", "Traceback (most"])
def test_errors_of_others_than_triton_are_errors(line: str) -> None:
    assert log_excerpt([LOADING, line]) == [line]


def test_a_log_that_may_not_be_read_hides_nothing_else() -> None:
    class Denied:
        def get_paginator(self, operation: str) -> object:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

    assert container_log(Denied(), "e", 0) == []


class Logs:
    """CloudWatch Logs with one line in each stream."""

    def __init__(self, **created_ms: int) -> None:
        self.created_ms = created_ms

    def get_paginator(self, operation: str) -> Any:
        pages: dict[str, Callable[..., dict[str, Any]]] = {
            "describe_log_streams": self.streams,
            "filter_log_events": self.events,
        }
        return Pages(pages[operation])

    def streams(self, **_: Any) -> dict[str, Any]:
        return {"logStreams": [{"logStreamName": name, "creationTime": at} for name, at in self.created_ms.items()]}

    def events(self, logStreamNames: list[str], **_: Any) -> dict[str, Any]:
        return {
            "events": [{"message": f"{name} says\n", "timestamp": self.created_ms[name]} for name in logStreamNames]
        }


class Pages:
    def __init__(self, page: Callable[..., dict[str, Any]]) -> None:
        self.page = page

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        yield self.page(**request)


def test_only_instances_of_the_new_fleet_have_a_say() -> None:
    assert container_log(Logs(old=1_000, new=2_000), "e", 1.5) == ["new says"]
    assert container_log(Logs(old=1_000), "e", 1.5) == []


def test_tables_of_options_explain_nothing() -> None:
    assert log_excerpt(["+------+", "| Option | Value |", "Signal (15) received."]) == ["Signal (15) received."]


def test_the_start_of_a_server_that_started_explains_nothing() -> None:
    started = 'I1122 03:30:00.000003 7 sagemaker_server.cc:293] "Started Sagemaker HTTPService at 0.0.0.0:8080"'
    assert log_excerpt([LOADING, started, "the model says"]) == ["the model says"]
    assert log_excerpt([LOADING, started]) == []


REASON = (
    "The primary container for production variant blue did not pass the ping health check. Please check CloudWatch "
    "logs for this endpoint."
)


def config(*variants: str, seconds: int | None = 90, instance_type: str = "ml.c5.xlarge") -> dict[str, Any]:
    limit = {"ContainerStartupHealthCheckTimeoutInSeconds": seconds} if seconds else {}
    each = {"InstanceType": instance_type, **limit}
    return {"ProductionVariants": [{"VariantName": name, **each} for name in variants]}


def test_a_container_that_was_silent_until_its_time_was_over_is_put_down_to_the_limit() -> None:
    limit = hint(REASON, config("green", "blue"), [LOADING]) or ""
    assert "variant blue logged no error" in limit
    assert "startupHealthCheckSeconds (90 s)" in limit


def test_a_log_that_cannot_be_read_is_not_said_to_hold_no_error() -> None:
    limit = hint(REASON, config("blue"), []) or ""
    assert "startupHealthCheckSeconds (90 s)" in limit
    assert "logged" not in limit


@pytest.mark.parametrize(
    ("reason", "configuration", "log"),
    [
        (REASON, config("blue"), [LOADING, ERROR]),
        (REASON, config("green"), [LOADING]),
        (REASON, config("blue", seconds=None), [LOADING]),
        (REASON, None, [LOADING]),
        ("Failed to download model data", config("blue"), []),
        ("", config("blue"), []),
    ],
)
def test_any_other_failure_is_not(reason: str, configuration: dict[str, Any] | None, log: list[str]) -> None:
    assert hint(reason, configuration, log) is None


def test_the_instances_of_a_configuration_have_a_gpu_or_not() -> None:
    assert has_gpu(config("a", instance_type="ml.g5.xlarge"))
    assert not has_gpu(config("a"))
    assert has_gpu(None), "what is limit of a missing one may matter"


def test_a_silent_serverless_container_is_explained_with_its_own_limit() -> None:
    described = {"ProductionVariants": [{"VariantName": "blue", "ServerlessConfig": {"MemorySizeInMB": 2048}}]}
    limit = hint(REASON, described, []) or ""
    assert "180 s" in limit and "serverless.memoryMb" in limit and "startupHealthCheckSeconds" not in limit


def test_the_log_of_asynchronous_requests_explains_no_container() -> None:
    streams = [{"logStreamName": f"AllTraffic/i-1{end}", "creationTime": 2000} for end in ("", "/data-log")]
    asked: list[str] = []

    class Logs:
        def get_paginator(self, operation: str) -> Any:
            class Pages:
                def paginate(self, logStreamNames: list[str] | None = None, **_: Any) -> Iterator[dict[str, Any]]:
                    asked.extend(logStreamNames or ())
                    yield {"logStreams": streams, "events": []}

            return Pages()

    container_log(Logs(), "e", since=1)
    assert asked == ["AllTraffic/i-1"]


def test_an_image_that_is_too_large_for_serverless_is_explained() -> None:
    reason = "Image size 13357824205 is greater than supported size 10737418240"
    assert "at most 10 GB" in (hint(reason, None, []) or "")
