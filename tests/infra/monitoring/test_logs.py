"""The log of an endpoint: once, in order, from any number of pages and polls."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.errors import AwsRequestRefused
from infra.monitoring.logs import EndpointLog, InvalidFilter, NoLog, since

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Logs:
    """CloudWatch Logs; each poll answers with the next entry of `polls`: pages of events, or an error code."""

    def __init__(self, *polls: list[list[dict[str, Any]]] | str) -> None:
        self.polls, self.requests = [*polls], list[dict[str, Any]]()

    def get_paginator(self, _operation: str) -> Logs:
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.requests.append(request)
        poll = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
        if isinstance(poll, str):
            raise ClientError({"Error": {"Code": poll, "Message": "no."}}, "FilterLogEvents")
        yield from ({"events": page} for page in poll)


def event(second: int, message: str = "") -> dict[str, Any]:
    return {
        "eventId": f"{second}",
        "timestamp": second * 1000,
        "logStreamName": "AllTraffic/i-1",
        "message": f"{message or second}\n",
    }


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-11-28T11:58:30+00:00"),
        ("15m", "2026-11-28T11:45:00+00:00"),
        ("2h", "2026-11-28T10:00:00+00:00"),
        ("7d", "2026-11-21T12:00:00+00:00"),
        ("2026-11-28T09:00", "2026-11-28T09:00:00+00:00"),
        ("2026-11-28T09:00+09:00", "2026-11-28T09:00:00+09:00"),
    ],
)
def test_a_time_is_relative_or_absolute(text: str, moment: str) -> None:
    assert since(text, NOW).isoformat() == moment


@pytest.mark.parametrize("text", ["", "15", "m", "-5m", "1w", "yesterday", "0001-01-01", "30000d", "2026-11-28T12:01"])
def test_another_text_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError):
        since(text, NOW)


def test_all_pages_are_read_each_in_order_of_time() -> None:
    logs = Logs([[event(2), event(1)], [], [event(3)]])
    log = EndpointLog(logs, "iris", "ERROR")
    assert [event.message for event in log.events(since=1)] == ["1", "2", "3"]
    assert logs.requests == [
        {"logGroupName": "/aws/sagemaker/Endpoints/iris", "startTime": 1000, "filterPattern": "ERROR"}
    ]


def test_following_prints_a_late_event_too_and_each_event_once() -> None:
    logs = Logs(
        "ResourceNotFoundException", [[event(100)]], [[event(100), event(160)]], [[event(110), event(160), event(161)]]
    )
    events = EndpointLog(logs, "iris").follow(since=50, sleep=lambda _: None)
    assert [event.timestamp for event in islice(events, 4)] == [100, 160, 110, 161]
    assert [request["startTime"] for request in logs.requests] == [50_000, 50_000, 50_000, 100_000]


@pytest.mark.parametrize(
    ("code", "pattern", "error"),
    [
        ("ResourceNotFoundException", "", NoLog),
        ("InvalidParameterException", "a.b", InvalidFilter),
        ("InvalidParameterException", "", AwsRequestRefused),
        ("AccessDeniedException", "a", AwsRequestRefused),
    ],
)
def test_each_refusal_has_its_own_message(code: str, pattern: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        [*EndpointLog(Logs(code), "iris", pattern).events(since=0)]


def test_following_ends_at_an_invalid_filter() -> None:
    with pytest.raises(InvalidFilter):
        next(EndpointLog(Logs("InvalidParameterException"), "iris", "a.b").follow(0, sleep=lambda _: None))
