"""A release stopped by hand: SageMaker has no call for it, so an alarm that rolls the release back is made to fire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra import names
from infra.aws.errors import aws_calls
from infra.errors import UserError
from infra.release import alarms
from infra.release.failure import ReleaseTimeout
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import rollback_alarms
from infra.release.status import tells_of_rollout
from infra.release.waiting import Clock, Waiting


class CannotStop(UserError):
    """There is nothing to stop, or nothing to stop it with."""

    exit_code = 2


class ReleaseStop:
    """Stops releases.

    Args:
        sagemaker: boto3's `sagemaker` client.
        cloudwatch: boto3's `cloudwatch` client.
        report: called with a line of progress whenever something changed.
        clock: makes the clock of one stop.
    """

    def __init__(
        self, sagemaker: Any, cloudwatch: Any, report: Callable[[str], None], clock: Callable[[], Clock] = Clock
    ) -> None:
        self._reader, self._cloudwatch = EndpointReader(sagemaker), cloudwatch
        self._report, self._new_clock = report, clock

    def alarm(self, endpoint: EndpointDescription) -> str:
        """The alarm that stops the release under way.

        Raises:
            CannotStop: saying why.
        """
        name, new = endpoint.name, endpoint.heading_for
        if not endpoint.is_rolling_out:
            raise CannotStop(f"endpoint {name}: {_why_not(endpoint)}.")
        alarm = names.stop_alarm(new)
        if tells_of_rollout(endpoint):
            found = alarm in rollback_alarms(endpoint.deployment)
        else:
            found = endpoint.keeps_its_variants and bool(alarms.states(self._cloudwatch, [alarm]))
        if not found:
            raise CannotStop(
                f"endpoint {name}: the release of {new} cannot be stopped. SageMaker has no call for it, and there is "
                f"no alarm {alarm} that would roll it back: one is made when a release waits anywhere "
                "(release.bakeSeconds or release.intervalSeconds above 0)."
            )
        return alarm

    def run(self, endpoint: EndpointDescription, who: str, deadline_seconds: int) -> EndpointDescription | None:
        """Keep the alarm firing until the rollback is seen, and wait for its end. What is returned is the endpoint
        then; None if it is gone.

        SageMaker looks at alarms in a bake, so a release whose instances are still starting is stopped when the first
        bake begins; and one whose last bake is over goes on to its end.

        Raises:
            CannotStop: see `alarm`.
            ReleaseTimeout: SageMaker did not go back within `deadline_seconds`.
        """
        alarm, clock = self.alarm(endpoint), self._new_clock()
        waiting = Waiting(self._reader, clock, self._report, lambda _: None, lambda _: [])
        reason = f"{who} stopped the release of {endpoint.heading_for}"
        try:
            self._report(f"{endpoint.name}: alarm {alarm} is kept in ALARM until SageMaker rolls back")
            with aws_calls(f"endpoint {endpoint.name}"):
                found: EndpointDescription | None = endpoint
                while found is not None and found.is_rolling_out and found.heading_for == endpoint.heading_for:
                    if clock.elapsed > deadline_seconds:
                        raise ReleaseTimeout(endpoint.name, found.status, deadline_seconds)
                    self._set(alarm, "ALARM", reason)
                    clock.pause()
                    found = self._reader.endpoint(endpoint.name)
                return waiting.settled(found, deadline_seconds)
        finally:
            # an alarm that still fires would keep the same configuration from its next release
            self._set(alarm, "OK", f"{reason}; that is over")

    def _set(self, alarm: str, state: str, reason: str) -> None:
        with aws_calls(f"alarm {alarm}"):
            self._cloudwatch.set_alarm_state(AlarmName=alarm, StateValue=state, StateReason=reason)


def _why_not(endpoint: EndpointDescription) -> str:
    match endpoint.status:
        case "Creating":
            return "it is being created, with nothing to go back to; `pulumi destroy` takes it away"
        case "RollingBack":
            return f"the release is being rolled back to {endpoint.config_name} already"
        case status if endpoint.in_progress:
            return f"{status} is no release, and ends by itself"
        case status:
            return f"no release is under way ({status}, {endpoint.config_name} is live)"
