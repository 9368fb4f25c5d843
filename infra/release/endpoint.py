"""An endpoint brought to the configuration it is asked to serve, and the truth about whether it got there.

SageMaker answers a rolled-back update with the status InService. Success here means InService *and* serving the
requested configuration; everything else raises with SageMaker's reason and what is live now. A release may be
interrupted at any moment and asked for again: each one looks at the endpoint first and goes on from what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from infra.aws_error import AwsRequestRefused
from infra.release import alarms, failure
from infra.release.alarms import AlarmState, MinimumInvocations
from infra.release.arithmetic import SETTLING_SECONDS
from infra.release.description import EndpointDescription, excluded_properties
from infra.release.log import last_lines
from infra.release.policy import ReleasePolicy, deployment_config
from infra.release.rollout import Rollout

OWNER_TAG = "triton-sagemaker:stack"
"""Tag that says which stack an endpoint belongs to: `<project>/<stack>`."""

VISIBLE_WITHIN_SECONDS = 60
"""How long a new endpoint may be missing from DescribeEndpoint, which is eventually consistent."""


@dataclass(frozen=True)
class EndpointRequest:
    """What an endpoint is asked to be."""

    name: str
    config_name: str
    owner: str
    tags: Mapping[str, str]
    autoscaled: bool
    """Whether a scalable target moves the instance count, so that an edited initial count must not reset it."""
    deadline_seconds: int
    """How long to wait for SageMaker, for each change that is waited for."""
    policy: ReleasePolicy
    rollback_alarms: tuple[str, ...] = ()
    """Names of the alarms that roll an update back."""
    minimum_invocations: MinimumInvocations | None = None


@dataclass
class Clock:
    """Seconds since a release began. Between two looks at SageMaker a tenth of them passes, at least 0.5 and at most
    10 s, so that a short release is seen to end at once and a long one costs few calls."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def elapsed(self) -> float:
        return self.now() - self.began

    def pause(self) -> None:
        self.sleep(min(10.0, max(0.5, self.elapsed / 10)))


class EndpointRelease:
    """Releases and deletes endpoints through SageMaker's API.

    Args:
        sagemaker: boto3's `sagemaker` client.
        logs: boto3's `logs` client, for the containers' last words when a release fails.
        cloudwatch: boto3's `cloudwatch` client, for the alarms and the requests they have seen.
        report: called with a line of progress whenever something changed.
        report_passing: called with a line that is out of date in a minute.
        warn: called with what is wrong although the release succeeded.
        clock: makes the clock of one release.
    """

    def __init__(
        self,
        sagemaker: Any,
        logs: Any,
        cloudwatch: Any,
        report: Callable[[str], None],
        *,
        report_passing: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None] | None = None,
        clock: Callable[[], Clock] = Clock,
    ) -> None:
        self._sagemaker, self._logs, self._cloudwatch = sagemaker, logs, cloudwatch
        self._report, self._report_passing, self._warn = report, report_passing, warn or report
        self._new_clock = clock

    def release(self, request: EndpointRequest) -> EndpointDescription:
        """Create or update the endpoint, or attach to what is under way, until it serves the requested configuration.

        Raises:
            ReleaseFailed: SageMaker failed or rolled back.
            ReleaseTimeout: `deadline_seconds` passed; nothing is undone.
            AlarmNotReady: a rollback alarm is missing or fires already; the update was not begun.
            EndpointNotOwned: an endpoint of that name belongs to somebody else.
            AwsRequestRefused: SageMaker refused a call.
        """
        clock = self._new_clock()
        found = self._owned(request.name, request.owner)
        asked = found is not None and found.in_progress and found.heading_for == request.config_name
        if found is not None and found.in_progress:
            what = "it is attached to" if asked else "it is waited out first"
            self._report(f"{request.name}: {found.status}, heading for {found.heading_for}; {what}")
        created = found is not None and found.status == "Creating"
        began = (found and found.rollout_began) or clock.now()
        rollout = Rollout(request.policy, seen_from_the_start=False, began=began)
        watched = rollout if asked and not created else None
        found = self._settled(found, clock, request.deadline_seconds, request, watched)

        while found is None or not found.serves(request.config_name):
            if asked or (found is not None and found.status == "UpdateRollbackFailed"):
                raise self._failure(request, found, created, clock, rollout)
            rollout = Rollout(request.policy, seen_from_the_start=True, began=clock.now())
            if found is None:
                found, asked, created = self._create(request, clock), True, True
            elif found.status == "Failed":
                self._report(
                    f"{request.name}: Failed ({found.failure_reason}), which only a new endpoint mends; deleting"
                )
                found = self._delete(found, clock, request.deadline_seconds)
            else:
                (found, asked), created = self._update(request, found), False
            watched = rollout if asked and not created else None
            found = self._settled(found, clock, request.deadline_seconds, request, watched)

        self._tag(found, request)
        if asked and not created:
            self._require_invocations(found, request, rollout, clock)
        return found

    def delete(self, name: str, owner: str, deadline_seconds: int) -> None:
        """Delete the endpoint and wait until it is gone. A rollout under way is waited out; one already gone is
        fine."""
        clock = self._new_clock()
        found = self._owned(name, owner)
        if found is not None and found.in_progress:
            self._report(f"{name}: {found.status}; it can be deleted when that is over")
        found = self._settled(found, clock, deadline_seconds)
        while found is not None:
            found = self._delete(found, clock, deadline_seconds)

    def describe(self, name: str) -> EndpointDescription | None:
        """The endpoint as it is now; None if there is none."""
        try:
            return EndpointDescription.of(self._sagemaker.describe_endpoint(EndpointName=name))
        except ClientError as error:
            if failure.not_found(error):
                return None
            raise AwsRequestRefused(f"endpoint {name}", error) from None

    def tags(self, endpoint: EndpointDescription) -> dict[str, str]:
        """The endpoint's tags."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint.arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def _owned(self, name: str, owner: str) -> EndpointDescription | None:
        found = self.describe(name)
        if found is not None and (holder := self.tags(found).get(OWNER_TAG)) != owner:
            raise failure.EndpointNotOwned(name, holder, owner, OWNER_TAG)
        return found

    def _create(self, request: EndpointRequest, clock: Clock) -> EndpointDescription | None:
        self._report(f"{request.name}: creating with {request.config_name}")
        tags = {**request.tags, OWNER_TAG: request.owner}
        try:
            self._sagemaker.create_endpoint(
                EndpointName=request.name,
                EndpointConfigName=request.config_name,
                Tags=[{"Key": key, "Value": value} for key, value in sorted(tags.items())],
            )
        except ClientError as error:
            raise AwsRequestRefused(f"endpoint {request.name}", error) from None
        visible_by = clock.elapsed + VISIBLE_WITHIN_SECONDS
        while (found := self.describe(request.name)) is None and clock.elapsed < visible_by:
            clock.pause()
        return found

    def _update(self, request: EndpointRequest, live: EndpointDescription) -> tuple[EndpointDescription | None, bool]:
        """Ask for the update. False beside the endpoint when another change began first, which then has to be
        waited out."""
        found = alarms.states(self._cloudwatch, request.rollback_alarms)
        alarms.require_ready(request.name, request.config_name, request.rollback_alarms, found, live.where)
        self._report(f"{request.name}: updating from {live.config_name} to {request.config_name}")
        try:
            excluded = excluded_properties(
                self._sagemaker.describe_endpoint_config(EndpointConfigName=live.config_name),
                self._sagemaker.describe_endpoint_config(EndpointConfigName=request.config_name),
                autoscaled=request.autoscaled,
            )
            self._sagemaker.update_endpoint(
                EndpointName=request.name,
                EndpointConfigName=request.config_name,
                RetainAllVariantProperties=True,
                ExcludeRetainedVariantProperties=[{"VariantPropertyType": each} for each in excluded],
                DeploymentConfig=deployment_config(request.policy, request.rollback_alarms),
            )
            asked = True
        except ClientError as error:
            if not failure.in_progress(error):
                raise AwsRequestRefused(f"endpoint {request.name}", error) from None
            asked = False
        return self.describe(request.name), asked

    def _delete(self, found: EndpointDescription, clock: Clock, deadline_seconds: int) -> EndpointDescription | None:
        """Delete and wait. What is returned is None, or the endpoint when another change began first."""
        try:
            self._sagemaker.delete_endpoint(EndpointName=found.name)
        except ClientError as error:
            if not failure.not_found(error) and not failure.in_progress(error):
                raise AwsRequestRefused(f"endpoint {found.name}", error) from None
        return self._settled(self.describe(found.name), clock, deadline_seconds)

    def _settled(
        self,
        found: EndpointDescription | None,
        clock: Clock,
        deadline_seconds: int,
        request: EndpointRequest | None = None,
        rollout: Rollout | None = None,
    ) -> EndpointDescription | None:
        """The endpoint once nothing is in progress on it, with the last reason that was seen; None if it is gone.

        `rollout`, of `request`, takes in what is seen meanwhile."""
        if found is not None and found.execution_timeout_seconds:
            # a rollout that somebody else began, or an earlier `up` with another policy, has its own time
            deadline_seconds = max(deadline_seconds, found.execution_timeout_seconds + SETTLING_SECONDS)
        said, passing, reason, until = "", None, "", clock.elapsed + deadline_seconds
        while found is not None and found.in_progress:
            line = found.progress
            if request is not None and rollout is not None:
                rollout.see(found, self._alarms(request), clock.now())
                line = rollout.line(found)
            if line != said:
                said = line
                self._report(f"{found.name}: {said}")
            if rollout is not None and (bake := rollout.bake(clock.now())) and bake != passing:
                passing = bake
                self._report_passing(f"{found.name}: {bake}")
            if clock.elapsed > until:
                raise failure.ReleaseTimeout(found.name, found.status, deadline_seconds)
            clock.pause()
            reason = found.failure_reason or reason
            found = self.describe(found.name)
        return found and found.with_reason(reason)

    def _alarms(self, request: EndpointRequest) -> list[AlarmState]:
        """The rollback alarms as they are now. A rollout that is under way is not given up for a look at them."""
        try:
            return alarms.states(self._cloudwatch, request.rollback_alarms)
        except AwsRequestRefused:
            return []

    def _require_invocations(
        self, endpoint: EndpointDescription, request: EndpointRequest, rollout: Rollout, clock: Clock
    ) -> None:
        """See that the alarms had something to see."""
        minimum = request.minimum_invocations
        if minimum is None:
            return
        since, until = rollout.bake_began or rollout.began, clock.elapsed + alarms.METRIC_LAG_SECONDS
        while (seen := self._invocations(endpoint, since, clock)) < minimum.count and clock.elapsed < until:
            clock.pause()
        if seen >= minimum.count:
            return
        message = failure.too_few_invocations(request.name, request.config_name, seen, minimum.count)
        if minimum.otherwise == "fail":
            next_step = "run `pulumi up` again to accept it, or name the previous model to go back."
            raise failure.ReleaseFailed(f"{message}\n  Next: {next_step}")
        self._warn(message)

    def _invocations(self, endpoint: EndpointDescription, since: float, clock: Clock) -> int:
        return sum(
            alarms.invocations(
                self._cloudwatch, endpoint.name, variant.name, endpoint.config_name, since, until=clock.now()
            )
            for variant in endpoint.variants
        )

    def _tag(self, endpoint: EndpointDescription, request: EndpointRequest) -> None:
        """Bring the tags to what is asked. Tags that others put there are left alone."""
        has = self.tags(endpoint)
        if missing := {key: value for key, value in request.tags.items() if has.get(key) != value}:
            tags = [{"Key": key, "Value": value} for key, value in sorted(missing.items())]
            self._sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=tags)

    def _failure(
        self,
        request: EndpointRequest,
        found: EndpointDescription | None,
        created: bool,
        clock: Clock,
        rollout: Rollout,
    ) -> Exception:
        firing = [] if created else [each for each in self._alarms(request) if each.firing]
        fired = rollout.fired | {each.name: each for each in firing}
        log = last_lines(self._logs, request.name, int(clock.began * 1000))
        evidence = failure.Evidence(found.failure_reason if found else "", list(fired.values()), log)
        if found is None:
            gone = "run `pulumi up` again; it creates the endpoint anew."
            return failure.failed(
                request.name, request.config_name, "deleted by somebody else meanwhile", evidence, gone
            )
        if found.status == "InService":
            return failure.rolled_back(request.name, request.config_name, found.config_name, evidence)
        if found.status == "UpdateRollbackFailed":
            next_step = "SageMaker could not go back either; delete this endpoint, or ask AWS Support to mend it."
        elif created:
            # Nothing was live, and a Failed endpoint that no state knows of would outlive `pulumi destroy`.
            self._delete(found, clock, request.deadline_seconds)
            next_step = "mend the cause and run `pulumi up` again. The failed endpoint was deleted; its log is kept."
        else:
            next_step = "mend the cause and run `pulumi up` again; it deletes the failed endpoint and creates it anew."
        return failure.failed(request.name, request.config_name, found.status, evidence, next_step)
