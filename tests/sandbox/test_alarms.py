"""The state of an alarm from its datapoints, by the tables of the CloudWatch User Guide (alarms-and-missing-data)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.aws.alarms import Datapoint, State, Threshold

BEGAN = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


def datapoints(text: str) -> Sequence[Datapoint | None]:
    """As the guide writes them, the newest last: `0` within the threshold, `X` breaching, `-` missing."""
    values = {"0": 0.0, "X": 7.0}
    return [
        Datapoint(BEGAN + timedelta(minutes=minute), values[sign]) if sign in values else None
        for minute, sign in enumerate(text.split())
    ]


def evaluate(text: str, periods: int, **members: Any) -> State | None:
    alarm = Threshold("GreaterThanThreshold", 1.0, periods, **members)
    return alarm.state(datapoints(text))


@pytest.mark.parametrize(
    ("text", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0 - X - X", "OK", "OK", "OK", "OK"),
        ("- - - - 0", "OK", "OK", "OK", "OK"),
        ("- - - - -", "INSUFFICIENT_DATA", None, "ALARM", "OK"),
        ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("- - X - -", "ALARM", None, "ALARM", "OK"),
    ],
)
def test_three_of_three_datapoints(
    text: str, missing: str, ignore: str | None, breaching: str, not_breaching: str
) -> None:
    """User Guide, "How alarm state is evaluated when data is missing", the first table."""
    treated = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for treatment, expected in treated.items():
        state = evaluate(text, 3, treat_missing_data=treatment)
        assert (state and state.value) == expected, treatment


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0 - X - X", "ALARM"), ("0 0 X 0 X", "ALARM"), ("0 - X - -", "OK"), ("- - - - 0", "OK")],
)
def test_two_of_three_datapoints(text: str, expected: str) -> None:
    """The second table, where no treatment of missing data makes a difference in its first three rows but breaching."""
    for treatment in ("missing", "notBreaching"):
        state = evaluate(text, 3, datapoints_to_alarm=2, treat_missing_data=treatment)
        assert state is not None and state.value == expected


@pytest.mark.parametrize(
    ("comparison", "at_threshold", "above"),
    [
        ("GreaterThanThreshold", "OK", "ALARM"),
        ("GreaterThanOrEqualToThreshold", "ALARM", "ALARM"),
        ("LessThanThreshold", "OK", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM", "OK"),
    ],
)
def test_each_comparison(comparison: str, at_threshold: str, above: str) -> None:
    for value, expected in ((1.0, at_threshold), (2.0, above)):
        state = Threshold(comparison, 1.0, 1).state([None, None, Datapoint(BEGAN, value)])
        assert state is not None and state.value == expected


@pytest.mark.parametrize(
    ("text", "periods", "members", "reason"),
    [
        (
            "- - X",
            1,
            {"datapoints_to_alarm": 1},
            "Threshold Crossed: 1 out of the last 1 datapoints [7.0 (02/11/26 10:02:00)] was greater than the "
            "threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition).",
        ),
        (
            "- - 0",
            1,
            {"datapoints_to_alarm": 1},
            "Threshold Crossed: 1 out of the last 1 datapoints [0.0 (02/11/26 10:02:00)] was not greater than the "
            "threshold (1.0) (minimum 1 datapoint for ALARM -> OK transition).",
        ),
        (
            "- - X",
            1,
            {},
            "Threshold Crossed: 1 datapoint [7.0 (02/11/26 10:02:00)] was greater than the threshold (1.0).",
        ),
        (
            "- - X X",
            2,
            {},
            "Threshold Crossed: 2 datapoints [7.0 (02/11/26 10:03:00), 7.0 (02/11/26 10:02:00)] were greater than the "
            "threshold (1.0).",
        ),
        (
            "- - 0",
            1,
            {},
            "Threshold Crossed: 1 datapoint [0.0 (02/11/26 10:02:00)] was not greater than the threshold (1.0).",
        ),
        (
            "- - -",
            1,
            {"treat_missing_data": "notBreaching"},
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
            "[NonBreaching].",
        ),
        (
            "- - -",
            1,
            {"treat_missing_data": "breaching"},
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
            "[Breaching].",
        ),
        ("- - -", 1, {}, "Insufficient Data: 1 datapoint was unknown."),
    ],
)
def test_the_reason_is_in_cloudwatchs_words(text: str, periods: int, members: dict[str, Any], reason: str) -> None:
    """User Guide, cloudwatch-and-eventbridge (sample events), and notifications of alarms without DatapointsToAlarm."""
    state = evaluate(text, periods, **members)
    assert state is not None and state.reason == reason
