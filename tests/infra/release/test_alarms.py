"""What a person is told of alarms that keep a release from beginning."""

from __future__ import annotations

import pytest

from infra.release.alarms import AlarmNotReady, AlarmState, require_ready, stop_alarm_name


def test_a_stop_alarm_that_a_killed_stop_left_firing_says_how_to_set_it_to_ok() -> None:
    alarm = stop_alarm_name("new")
    with pytest.raises(AlarmNotReady) as refused:
        require_ready("e", "new", [alarm], [AlarmState(alarm, "ALARM", "arn:me stopped the release of new")], "here")
    assert "alarm new-stop is in ALARM already (arn:me stopped the release of new)" in str(refused.value)
    assert "aws cloudwatch set-alarm-state --alarm-name new-stop --state-value OK" in str(refused.value)
