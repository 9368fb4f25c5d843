"""The log of an endpoint's containers, as CloudWatch Logs keeps it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from infra import names
from infra.aws.errors import aws_calls, code
from infra.errors import UserError

POLL_SECONDS = 2.0
"""FilterLogEvents accepts five requests a second in the smallest regions (CloudWatch Logs quotas)."""

LATE_SECONDS = 60
"""How much later than others an event may become visible: the streams of several instances arrive independently."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class NoLog(UserError):
    """No container of the endpoint has written a line yet."""


class InvalidFilter(UserError):
    """CloudWatch Logs rejects the filter pattern."""

    exit_code = 2


@dataclass(frozen=True)
class LogEvent:
    """
    Attributes:
        timestamp: seconds since 1970.
        stream: `<variant>/<instance>`.
    """

    id: str
    timestamp: float
    stream: str
    message: str


def since(text: str, now: datetime) -> datetime:
    """A point in time, from `90s`, `15m`, `2h` or `7d` before now, or from an ISO 8601 time, by default in UTC.

    Raises:
        ValueError: the text is neither, or the time is before 1970 or after now.
    """
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        try:
            moment = now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        except OverflowError as error:
            raise ValueError(str(error)) from None
    else:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not 0 <= moment.timestamp() <= now.timestamp():
        raise ValueError(f"{text} is before 1970 or after now")
    return moment


class EndpointLog:
    """
    Args:
        logs: boto3's `logs` client.
        pattern: a CloudWatch Logs filter pattern; every event if empty.
    """

    def __init__(self, logs: Any, endpoint: str, pattern: str = "") -> None:
        self.group = names.log_group(endpoint)
        self._logs = logs
        self._pattern = {"filterPattern": pattern} if pattern else {}

    def events(self, since: float) -> Iterator[LogEvent]:
        """The events since then (seconds since 1970), oldest first.

        Raises:
            NoLog: the log group does not exist.
            InvalidFilter: the pattern is not valid.
            AwsRequestRefused: AWS refused the call.
        """
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self.group, startTime=int(since * 1000), **self._pattern
        )
        with aws_calls(f"log group {self.group}"):
            try:
                for page in pages:
                    events = sorted(page["events"], key=lambda event: event["timestamp"])
                    yield from map(_event, events)
            except ClientError as error:
                if code(error) == "ResourceNotFoundException":
                    raise NoLog(
                        f"log group {self.group} does not exist. SageMaker creates it when the first container of the "
                        "endpoint writes a line."
                    ) from None
                if self._pattern and code(error) == "InvalidParameterException":
                    raise InvalidFilter(
                        f"{self._pattern['filterPattern']!r}: {error.response['Error']['Message']} Put a "
                        "term with other characters than letters and digits in double quotes, such as '\"model.py\"'."
                    ) from None
                raise

    def follow(
        self,
        since: float,
        awaited: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        *,
        note: Callable[[str], None] = lambda _: None,
    ) -> Iterator[LogEvent]:
        """The events since then and all later ones, each once; it ends only by an exception.

        Args:
            awaited: whether a log group that does not exist yet is awaited.
            note: called once if it is.

        Raises:
            NoLog: the log group does not exist, and is not awaited.
            InvalidFilter: the pattern is not valid.
            AwsRequestRefused: AWS refused a call.
        """
        shown: dict[str, float] = {}
        noted = False
        while True:
            try:
                for event in self.events(since):
                    if event.id not in shown:
                        shown[event.id] = event.timestamp
                        yield event
            except NoLog as missing:
                if not awaited:
                    raise
                if not noted:
                    noted = True
                    note(f"waiting: {missing}")
            since = max(since, max(shown.values(), default=since) - LATE_SECONDS)
            shown = {id_: timestamp for id_, timestamp in shown.items() if timestamp >= since}
            sleep(POLL_SECONDS)


def _event(event: dict[str, Any]) -> LogEvent:
    return LogEvent(event["eventId"], event["timestamp"] / 1000, event["logStreamName"], event["message"].rstrip())
