"""An endpoint brought to the configuration it is asked to serve, and the truth about whether it got there.

SageMaker answers a rolled-back update with the status InService. Success here means InService *and* serving the
requested configuration; everything else raises with SageMaker's reason and what is live now. A release may be
interrupted at any moment and asked for again: each one looks at the endpoint first and goes on from what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import ClientError

from infra.aws_error import aws_calls
from infra.release import failure
from infra.release.description import EndpointDescription, excluded_properties
from infra.release.log import last_lines
from infra.release.scaling import (
    RECORD_TAG,
    EndpointAutoscaling,
    Record,
    as_tags,
    from_tags,
    refused_under_autoscaling,
)

Asked = Literal["create", "update"] | None
"""What SageMaker was asked for, by this release or by the interrupted one that it attaches to."""

OWNER_TAG = "triton-sagemaker:stack"
"""Tag that says which stack an endpoint belongs to: `<project>/<stack>`."""

VISIBLE_WITHIN_SECONDS = 60
"""How long DescribeEndpoint, which is eventually consistent, may show an endpoint as it was before a change."""


@dataclass(frozen=True)
class EndpointRequest:
    """What an endpoint is asked to be."""

    name: str
    config_name: str
    owner: str
    tags: Mapping[str, str]
    autoscaled: bool
    """Whether a scalable target moves the instance count, so that an edited initial count must not reset it."""
    timeout_seconds: int
    former_owner: str | None = None
    """What the owning stack was called before it was renamed."""
    former_tags: Mapping[str, str] = field(default_factory=dict)
    """Tags that an earlier request put there; those that are no longer asked for go."""


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
        autoscaling: boto3's `application-autoscaling` client, for updates that AWS refuses under autoscaling.
        report: called with a line of progress whenever something changed.
        clock: makes the clock of one release.
    """

    def __init__(
        self,
        sagemaker: Any,
        logs: Any,
        autoscaling: Any,
        report: Callable[[str], None],
        clock: Callable[[], Clock] = Clock,
    ) -> None:
        self._sagemaker, self._logs, self._report, self._new_clock = sagemaker, logs, report, clock
        self._autoscaling = EndpointAutoscaling(autoscaling)

    def release(self, request: EndpointRequest) -> EndpointDescription:
        """Create or update the endpoint, or attach to what is under way, until it serves the requested configuration.

        Raises:
            ReleaseFailed: SageMaker failed or rolled back.
            ReleaseTimeout: `timeout_seconds` passed; nothing is undone.
            EndpointNotOwned: an endpoint of that name belongs to somebody else.
            AwsRequestRefused: AWS refused a call.
        """
        with aws_calls(f"endpoint {request.name}"):
            clock = self._new_clock()
            found = self._owned(request.name, request.owner, request.former_owner)
            asked = self._attached(found, request)
            found = self._settled(found, clock, request.timeout_seconds)
            scaling: Record = {}

            while found is None or not found.serves(request.config_name):
                if asked or (found is not None and found.status == "UpdateRollbackFailed"):
                    raise self._failure(request, found, asked, clock)
                if found is None:
                    found, asked = self._create(request, scaling, clock), "create"
                elif found.status == "Failed":
                    self._report(f"{request.name}: Failed ({found.failure_reason}), which only a new endpoint mends")
                    scaling = self._autoscaling.record(request.name)
                    found = self._delete(found, clock, request.timeout_seconds)
                elif asked := self._update(request, found):
                    found = self._begun(found, clock)
                else:
                    found = self._later(request.name, clock, request.timeout_seconds)
                found = self._settled(found, clock, request.timeout_seconds)

            self._put_autoscaling_back(found)
            self._tag(found, request)
            return found

    def delete(self, name: str, owner: str, timeout_seconds: int) -> None:
        """Delete the endpoint and wait until it is gone. A rollout under way is waited out; one already gone is
        fine."""
        with aws_calls(f"endpoint {name}"):
            clock = self._new_clock()
            found = self._owned(name, owner)
            if found is not None and found.in_progress:
                self._report(f"{name}: {found.status}; it can be deleted when that is over")
            found = self._settled(found, clock, timeout_seconds)
            while found is not None:
                found = self._delete(found, clock, timeout_seconds)
                if found is not None:
                    found = self._later(name, clock, timeout_seconds)

    def describe(self, name: str) -> EndpointDescription | None:
        """The endpoint as it is now; None if there is none."""
        try:
            return EndpointDescription.of(self._sagemaker.describe_endpoint(EndpointName=name))
        except ClientError as error:
            if failure.not_found(error):
                return None
            raise

    def tags(self, endpoint: EndpointDescription) -> dict[str, str]:
        """The endpoint's tags."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint.arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def _owned(self, name: str, owner: str, former_owner: str | None = None) -> EndpointDescription | None:
        found = self.describe(name)
        if found is not None and (holder := self.tags(found).get(OWNER_TAG)) not in (owner, former_owner or owner):
            raise failure.EndpointNotOwned(name, holder, owner, OWNER_TAG)
        return found

    def _attached(self, found: EndpointDescription | None, request: EndpointRequest) -> Asked:
        """Whether what is under way is what would be asked for now; an interrupted deployment may have begun it."""
        if found is None or not found.in_progress:
            return None
        mine = found.heading_for == request.config_name
        what = "it is attached to" if mine else "it is waited out first"
        self._report(f"{request.name}: {found.status}, heading for {found.heading_for}; {what}")
        if not mine:
            return None
        return "create" if found.status == "Creating" else "update"

    def _create(self, request: EndpointRequest, scaling: Record, clock: Clock) -> EndpointDescription | None:
        self._report(f"{request.name}: creating with {request.config_name}")
        tags = {**request.tags, OWNER_TAG: request.owner, **(as_tags(scaling) if scaling else {})}
        self._sagemaker.create_endpoint(
            EndpointName=request.name, EndpointConfigName=request.config_name, Tags=_tag_list(tags)
        )
        return self._until(lambda found: found is not None, request.name, clock)

    def _update(self, request: EndpointRequest, live: EndpointDescription) -> Asked:
        """Ask for the update. None when another change began first, which then has to be waited out."""
        self._report(f"{request.name}: updating from {live.config_name} to {request.config_name}")
        excluded: list[str] = []
        if (old := self._configuration(live.config_name)) is not None:
            new = self._sagemaker.describe_endpoint_config(EndpointConfigName=request.config_name)
            excluded = excluded_properties(old, new, autoscaled=request.autoscaled)
            if refused_under_autoscaling(old, new):
                self._take_autoscaling_off(live)
        try:
            self._sagemaker.update_endpoint(
                EndpointName=request.name,
                EndpointConfigName=request.config_name,
                RetainAllVariantProperties=True,
                ExcludeRetainedVariantProperties=[{"VariantPropertyType": each} for each in excluded],
            )
        except ClientError as error:
            if failure.in_progress(error):
                return None
            self._put_autoscaling_back(live)
            raise
        return "update"

    def _configuration(self, name: str) -> Mapping[str, Any] | None:
        """An endpoint configuration; None if somebody deleted it, which must not keep the endpoint from its next
        release."""
        try:
            described: Mapping[str, Any] = self._sagemaker.describe_endpoint_config(EndpointConfigName=name)
        except ClientError as error:
            if failure.not_found(error):
                return None
            raise
        return described

    def _take_autoscaling_off(self, live: EndpointDescription) -> None:
        record = self._autoscaling.record(live.name)
        if record and not from_tags(self.tags(live)):  # a record of an interrupted release is the true one
            self._sagemaker.add_tags(ResourceArn=live.arn, Tags=_tag_list(as_tags(record)))
        if record:
            self._report(f"{live.name}: autoscaling is taken off for this update and put back after it")
            self._autoscaling.take_off(record)

    def _put_autoscaling_back(self, live: EndpointDescription) -> None:
        tags = self.tags(live)
        if record := from_tags(tags):
            self._autoscaling.put_back(record)
            recorded = [key for key in tags if key.startswith(RECORD_TAG)]
            self._sagemaker.delete_tags(ResourceArn=live.arn, TagKeys=recorded)
            self._report(f"{live.name}: autoscaling is back")

    def _delete(self, found: EndpointDescription, clock: Clock, timeout_seconds: int) -> EndpointDescription | None:
        """Delete and wait. What is returned is None, or the endpoint when another change began first."""
        try:
            self._sagemaker.delete_endpoint(EndpointName=found.name)
        except ClientError as error:
            if not failure.not_found(error) and not failure.in_progress(error):
                raise
        return self._settled(self.describe(found.name), clock, timeout_seconds)

    def _until(
        self, seen: Callable[[EndpointDescription | None], bool], name: str, clock: Clock
    ) -> EndpointDescription | None:
        """The endpoint once DescribeEndpoint, which is eventually consistent, shows a change; a minute at most."""
        until = clock.elapsed + VISIBLE_WITHIN_SECONDS
        while not seen(found := self.describe(name)) and clock.elapsed < until:
            clock.pause()
        return found

    def _begun(self, before: EndpointDescription, clock: Clock) -> EndpointDescription | None:
        """The endpoint once its update shows. Taken too early, the old picture would look like a rollback."""
        return self._until(lambda found: found != before, before.name, clock)

    def _later(self, name: str, clock: Clock, timeout_seconds: int) -> EndpointDescription | None:
        if clock.elapsed > timeout_seconds:
            raise failure.ReleaseTimeout(name, "busy with another change", timeout_seconds)
        clock.pause()
        return self.describe(name)

    def _settled(
        self, found: EndpointDescription | None, clock: Clock, timeout_seconds: int
    ) -> EndpointDescription | None:
        """The endpoint once nothing is in progress on it, with the last reason that was seen; None if it is gone."""
        said, reason = "", ""
        while found is not None and found.in_progress:
            if found.progress != said:
                said = found.progress
                self._report(f"{found.name}: {said}")
            if clock.elapsed > timeout_seconds:
                raise failure.ReleaseTimeout(found.name, found.status, timeout_seconds)
            clock.pause()
            reason = found.failure_reason or reason
            found = self.describe(found.name)
        return found and found.with_reason(reason)

    def _tag(self, endpoint: EndpointDescription, request: EndpointRequest) -> None:
        """Bring the tags to what is asked. Tags that others put there are left alone."""
        has, wanted = self.tags(endpoint), {**request.tags, OWNER_TAG: request.owner}
        if missing := {key: value for key, value in wanted.items() if has.get(key) != value}:
            self._sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=_tag_list(missing))
        if gone := sorted(key for key in request.former_tags if key in has and key not in wanted):
            self._sagemaker.delete_tags(ResourceArn=endpoint.arn, TagKeys=gone)

    def _failure(
        self, request: EndpointRequest, found: EndpointDescription | None, asked: Asked, clock: Clock
    ) -> failure.ReleaseFailed:
        name, config = request.name, request.config_name
        log = last_lines(self._logs, name, int(clock.began * 1000))
        if found is None:
            return failure.failed(name, config, "deleted by somebody else meanwhile", "", log, failure.CREATED_ANEW)
        if found.status == "UpdateRollbackFailed":
            return failure.stuck(name, config, found.failure_reason, log)
        if found.status == "InService":
            self._put_autoscaling_back(found)
            return failure.rolled_back(name, config, found.config_name, found.failure_reason, log)
        next_step = self._deleted_after_failure(found, request) if asked == "create" else failure.CREATED_ANEW
        return failure.failed(name, config, found.status, found.failure_reason, log, next_step)

    def _deleted_after_failure(self, found: EndpointDescription, request: EndpointRequest) -> str:
        """Delete an endpoint that never served: no state knows of it, so it would outlive `pulumi destroy`."""
        try:
            self._delete(found, self._new_clock(), request.timeout_seconds)
        except (ClientError, failure.ReleaseTimeout) as error:
            return f"{failure.CREATED_ANEW} (The failed endpoint could not be deleted now: {error})"
        return f"{failure.CREATED_ANEW} The failed endpoint was deleted; its log is kept."


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
