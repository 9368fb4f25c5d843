"""Stops a release: SageMaker has no API for it, so an alarm that rolls the release back is set to ALARM."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from infra import names
from infra.aws.errors import aws_calls
from infra.errors import UserError
from infra.release import alarms
from infra.release.failure import ReleaseTimeout
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import rollback_alarms
from infra.release.status import describes_rollout
from infra.release.waiting import Clock, Waiting


class CannotStop(UserError):
    """No release is in progress, or it has no alarm to stop it with."""

    exit_code = 2


class ReleaseStop:
    """Stops releases.

    Args:
        sagemaker: boto3's `sagemaker` client.
        cloudwatch: boto3's `cloudwatch` client.
        report: called with a line of progress after each change.
        clock: starts with the stop.
    """

    def __init__(
        self, sagemaker: Any, cloudwatch: Any, report: Callable[[str], None], clock: Callable[[], Clock] = Clock
    ) -> None:
        self._reader, self._cloudwatch = EndpointReader(sagemaker), cloudwatch
        self._report, self._new_clock = report, clock

    def alarm(self, endpoint: EndpointDescription) -> str:
        """The alarm that stops the release in progress.

        Raises:
            CannotStop: with the reason.
        """
        name, new = endpoint.name, endpoint.target_config
        if not endpoint.is_rolling_out:
            raise CannotStop(f"endpoint {name}: {_why_not(endpoint)}.")
        alarm = names.stop_alarm(new)
        if describes_rollout(endpoint):
            watches = alarm in rollback_alarms(endpoint.deployment)
        else:
            watches = endpoint.keeps_its_variants and bool(alarms.states(self._cloudwatch, [alarm]))
        if not watches:
            raise CannotStop(
                f"endpoint {name}: the release of {new} cannot be stopped. SageMaker has no API for it, and alarm "
                f"{alarm}, which would roll it back, does not exist: only a release with release.bakeSeconds or "
                "release.intervalSeconds above 0 has one, and a release of a serverless endpoint has none."
            )
        return alarm

    def run(self, endpoint: EndpointDescription, who: str, deadline_seconds: int) -> EndpointDescription | None:
        """Keep the alarm in ALARM until the rollback begins, and wait for its end. The result is the endpoint then;
        None if it is deleted.

        SageMaker evaluates alarms during a bake, so a release whose instances are still starting is stopped when the
        first bake begins; one whose last bake is over continues to its end.

        Raises:
            CannotStop: see `alarm`.
            ReleaseTimeout: SageMaker did not roll back within `deadline_seconds`.
        """
        alarm, clock = self.alarm(endpoint), self._new_clock()
        waiting = Waiting(self._reader, clock, self._report, lambda _: None, lambda _: [])
        began = datetime.fromtimestamp(clock.began, UTC)
        reason = f"{who} stopped the release of {endpoint.target_config} at {began:%Y-%m-%d %H:%M:%S}Z"
        try:
            self._report(f"{endpoint.name}: keeping alarm {alarm} in ALARM until SageMaker rolls back")
            with aws_calls(f"endpoint {endpoint.name}"):
                now: EndpointDescription | None = endpoint
                while now is not None and now.is_rolling_out and now.target_config == endpoint.target_config:
                    if clock.elapsed > deadline_seconds:
                        raise ReleaseTimeout(endpoint.name, now.status, deadline_seconds)
                    self._set(alarm, "ALARM", reason)
                    clock.pause()
                    now = self._reader.endpoint(endpoint.name)
                return waiting.wait_until_stable(now, deadline_seconds)
        finally:
            # an alarm that still fires would refuse the next release of the same configuration
            self._set(alarm, "OK", f"{reason}; the stop is over")

    def _set(self, alarm: str, state: str, reason: str) -> None:
        with aws_calls(f"alarm {alarm}"):
            self._cloudwatch.set_alarm_state(AlarmName=alarm, StateValue=state, StateReason=reason)


def _why_not(endpoint: EndpointDescription) -> str:
    match endpoint.status:
        case "Creating":
            return (
                "it is being created and has no earlier configuration to go back to. If the creation fails, "
                "`pulumi up` deletes the endpoint. If it succeeds, remove it from the stack file and run `pulumi up`, "
                "or run `pulumi destroy` if it is the only one; in production, both require --ignore-protect"
            )
        case "RollingBack":
            return f"the release is already being rolled back to {endpoint.config_name}"
        case status if endpoint.in_progress:
            return f"{status} is not a release; it ends by itself"
        case status:
            return f"no release is in progress ({status}, {endpoint.config_name} is live)"
