"""Stopping a release by an alarm, against a SageMaker that ends each change as a test decides."""

from __future__ import annotations

from typing import Any

import pytest

from infra.release.failure import ReleaseTimeout
from infra.release.live import EndpointDescription
from infra.release.stop import CannotStop, ReleaseStop
from tests.infra.release.fake_aws import (
    ARN,
    CANARY,
    CREATING,
    ELSEWHERE,
    FAILED,
    NEW,
    OLD,
    ROLLING_BACK,
    UPDATING,
    CloudWatch,
    FakeTime,
    SageMaker,
)

STOPPABLE = {**UPDATING, "LastDeploymentConfig": CANARY.deployment_config(["new-rate", "new-stop"])}
GONE_BACK = {**OLD, "FailureReason": "alarm new-stop"}


class Alarms(CloudWatch):
    """Keeps what each alarm was set to."""

    def __init__(self, **alarms: list[str]) -> None:
        super().__init__(None, **alarms)
        self.set: list[tuple[str, str]] = []
        self.reasons: list[str] = []

    def set_alarm_state(self, AlarmName: str, StateValue: str, StateReason: str) -> None:
        self.set.append((AlarmName, StateValue))
        self.reasons.append(StateReason)


def described(answer: dict[str, Any]) -> EndpointDescription:
    return EndpointDescription.of({"EndpointName": "e", "EndpointArn": ARN, **answer})


def stop(
    *states: dict[str, Any] | None, alarms: Alarms | None = None, deadline: int = 3600
) -> tuple[EndpointDescription | None, Alarms]:
    """Stop the release under way while DescribeEndpoint answers with `states`."""
    cloudwatch = alarms or Alarms()
    stopping = ReleaseStop(SageMaker(*states), cloudwatch, lambda _: None, FakeTime().clock)
    return stopping.run(described(STOPPABLE), "arn:me", deadline), cloudwatch


def test_the_alarm_is_kept_firing_until_the_rollback_is_seen_and_is_ok_afterwards() -> None:
    found, alarms = stop(STOPPABLE, STOPPABLE, ROLLING_BACK, ROLLING_BACK, GONE_BACK)
    assert found is not None and found.serves("old")
    assert alarms.set == [("new-stop", "ALARM")] * 3 + [("new-stop", "OK")]
    assert alarms.reasons[0] == "arn:me stopped the release of new at 1970-01-01 00:16:40Z"


def test_a_release_that_ended_before_is_told_as_it_is() -> None:
    found, alarms = stop(STOPPABLE, NEW)
    assert found is not None and found.serves("new")
    assert alarms.set[-1] == ("new-stop", "OK")


def test_an_endpoint_that_is_deleted_meanwhile_is_gone() -> None:
    assert stop(None)[0] is None


def test_another_release_that_begins_meanwhile_is_not_stopped() -> None:
    _, alarms = stop(ELSEWHERE, OLD)
    assert alarms.set == [("new-stop", "ALARM"), ("new-stop", "OK")]


def test_a_rollback_that_does_not_come_is_given_up_and_the_alarm_is_ok() -> None:
    alarms = Alarms()
    with pytest.raises(ReleaseTimeout):
        stop(STOPPABLE, alarms=alarms, deadline=60)
    assert alarms.set[-1] == ("new-stop", "OK")


def test_an_interrupted_stop_leaves_the_alarm_ok() -> None:
    class Interrupted(Alarms):
        def set_alarm_state(self, AlarmName: str, StateValue: str, StateReason: str) -> None:
            super().set_alarm_state(AlarmName, StateValue, StateReason)
            if StateValue == "ALARM":
                raise KeyboardInterrupt

    alarms = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        stop(STOPPABLE, alarms=alarms)
    assert alarms.set == [("new-stop", "ALARM"), ("new-stop", "OK")]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OLD, r"no release is in progress \(InService, old is live\)"),
        (FAILED, "no release is in progress"),
        (CREATING, "no earlier configuration"),
        (ROLLING_BACK, "already being rolled back to old"),
        ({**UPDATING, "EndpointStatus": "RollingBack"}, "already being rolled back to old"),
        ({**OLD, "EndpointStatus": "Updating"}, "Updating is not a release"),
        ({**OLD, "EndpointStatus": "SystemUpdating"}, "SystemUpdating is not a release"),
        (
            {**UPDATING, "LastDeploymentConfig": CANARY.deployment_config(["new-rate"])},
            "new-stop, .* does not exist",
        ),
        (UPDATING, "new-stop, .* does not exist"),
    ],
)
def test_what_cannot_be_stopped_is_said_with_the_reason(answer: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotStop, match=why):
        ReleaseStop(SageMaker(answer), Alarms(), lambda _: None).alarm(described(answer))


def test_an_alarm_that_sagemaker_does_not_name_yet_is_found_by_its_own_name() -> None:
    """Which rollout LastDeploymentConfig is of is not documented: it may be that of the release before."""
    before = {**UPDATING, "LastDeploymentConfig": CANARY.deployment_config(["old-rate", "old-stop"])}
    stopping = ReleaseStop(SageMaker(before), Alarms(**{"new-stop": ["OK"]}), lambda _: None)
    assert stopping.alarm(described(before)) == "new-stop"
