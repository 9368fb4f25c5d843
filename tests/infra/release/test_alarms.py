"""What a person is told of alarms that keep a release from beginning, and what an alarm's history tells."""

from __future__ import annotations

from typing import Any

import pytest

from infra.names import stop_alarm
from infra.release.alarms import AlarmNotReady, AlarmState, last_fired, require_ready
from tests.infra.release.fake_aws import state_update


def test_a_stop_alarm_that_a_killed_stop_left_firing_says_how_to_set_it_to_ok() -> None:
    alarm = stop_alarm("new")
    with pytest.raises(AlarmNotReady) as refused:
        require_ready("e", "new", [alarm], [AlarmState(alarm, "ALARM", "arn:me stopped the release of new")], "here")
    assert "alarm new-stop is in ALARM already (arn:me stopped the release of new)" in str(refused.value)
    assert "aws cloudwatch set-alarm-state --alarm-name new-stop --state-value OK" in str(refused.value)


# The example of `aws cloudwatch describe-alarm-history` in the AWS CLI's own documentation.
EXAMPLE: list[dict[str, Any]] = [
    {
        "Timestamp": "2014-04-09T18:59:06.442Z",
        "HistoryItemType": "StateUpdate",
        "AlarmName": "myalarm",
        "HistoryData": '{"version":"1.0","oldState":{"stateValue":"ALARM","stateReason":"testing purposes"},'
        '"newState":{"stateValue":"OK","stateReason":"Threshold Crossed: 2 datapoints were not greater than the '
        'threshold (70.0). The most recent datapoints: [38.958, 40.292].","stateReasonData":{"version":"1.0",'
        '"queryDate":"2014-04-09T18:59:06.419+0000","startDate":"2014-04-09T18:44:00.000+0000","statistic":"Average",'
        '"period":300,"recentDatapoints":[38.958,40.292],"threshold":70.0}}}',
        "HistorySummary": "Alarm updated from ALARM to OK",
    },
    {
        "Timestamp": "2014-04-09T18:59:05.805Z",
        "HistoryItemType": "StateUpdate",
        "AlarmName": "myalarm",
        "HistoryData": '{"version":"1.0","oldState":{"stateValue":"OK","stateReason":"Threshold Crossed: 2 datapoints '
        'were not greater than the threshold (70.0)."},"newState":{"stateValue":"ALARM","stateReason":"testing '
        'purposes"}}',
        "HistorySummary": "Alarm updated from OK to ALARM",
    },
]


def test_the_history_of_an_alarm_tells_that_it_fired_and_why() -> None:
    assert last_fired(EXAMPLE) == AlarmState("myalarm", "ALARM", "testing purposes")
    assert last_fired(EXAMPLE[:1]) is None


def test_of_several_firings_the_last_one_counts() -> None:
    history = [state_update("a", "OK", ""), state_update("a", "ALARM", "second"), state_update("a", "ALARM", "first")]
    assert last_fired(history) == AlarmState("a", "ALARM", "second")


@pytest.mark.parametrize("data", ['{"version":"1.0","oldSt', "{}", "[]", None])
def test_an_item_of_another_form_is_passed_over(data: str | None) -> None:
    other = {"AlarmName": "a", "HistoryItemType": "StateUpdate"} | ({"HistoryData": data} if data else {})
    assert last_fired([other, state_update("a", "ALARM", "they fail")]) == AlarmState("a", "ALARM", "they fail")
