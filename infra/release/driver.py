"""An endpoint brought to the configuration it is asked to serve, and the truth about whether it got there.

SageMaker answers a rolled-back update with the status InService. Success here means InService *and* serving the
requested configuration; everything else raises with SageMaker's reason and what is live now. A release may be
interrupted at any moment and asked for again: each one looks at the endpoint first and goes on from what it finds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.release import alarms, failure, freeze, gates
from infra.release.alarms import AlarmState
from infra.release.autoscaling import EndpointAutoscaling, ScalingRecords, refused_under_autoscaling
from infra.release.failure import container_log, has_gpu, telling, too_slow
from infra.release.freeze import FreezeWindow
from infra.release.gates import ReleaseRefused
from infra.release.live import EndpointDescription, EndpointReader, excluded_properties, missing_counts
from infra.release.policy import deployment_config
from infra.release.progress import Rollout
from infra.release.records import ReleaseRecorder
from infra.release.request import OWNER_TAG, EndpointRequest
from infra.release.waiting import Clock, Waiting


class EndpointRelease:
    """Releases and deletes endpoints through SageMaker's API.

    Args:
        sagemaker: boto3's `sagemaker` client.
        logs: boto3's `logs` client, for the containers' last words when a release fails.
        autoscaling: boto3's `application-autoscaling` client, for updates that AWS refuses under autoscaling.
        cloudwatch: boto3's `cloudwatch` client, for the alarms and the requests they have seen.
        scaling_records: keeps the autoscaling that is off.
        recorder: keeps how each release ends.
        report: called with a line of progress whenever something changed.
        report_passing: called with a line that is out of date in a minute.
        warn: called with what is wrong although the release succeeded.
        clock: makes the clock of one release.
    """

    def __init__(
        self,
        *,
        sagemaker: Any,
        logs: Any,
        autoscaling: Any,
        cloudwatch: Any,
        scaling_records: ScalingRecords,
        recorder: ReleaseRecorder,
        report: Callable[[str], None],
        report_passing: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None] | None = None,
        clock: Callable[[], Clock] = Clock,
    ) -> None:
        self._sagemaker, self._logs, self._cloudwatch = sagemaker, logs, cloudwatch
        self._report, self._report_passing, self._warn = report, report_passing, warn or report
        self._recorder, self._new_clock = recorder, clock
        self._reader = EndpointReader(sagemaker)
        self._autoscaling = EndpointAutoscaling(autoscaling, scaling_records, report, self._warn)

    def release(self, request: EndpointRequest) -> EndpointDescription:
        """Create or update the endpoint, or attach to what is under way, until it serves the requested configuration.

        Raises:
            ReleaseFailed: SageMaker failed or rolled back.
            ReleaseTimeout: `deadline_seconds` passed; nothing is undone.
            ReleaseRefused: a freeze window is open, the variants differ under a strategy that moves in steps, or a
                rollback alarm is missing or fires already; the update was not begun.
            EndpointNotOwned: an endpoint of that name belongs to somebody else.
            AwsRequestRefused: AWS refused a call.
        """
        waiting, rollout = self._waiting(), Rollout(request.policy, request.rollback_alarms)
        recording = self._recorder.recording(request.name, request.config_name, rollout, waiting.clock)
        with recording, aws_calls(f"endpoint {request.name}"):
            found = self._owned(request.name, request.owner, request.holders)
            self._attach(found, request, rollout, waiting.clock)
            found = self._settled(found, request, rollout, waiting)
            if found is not None and found.serves(request.config_name) and request.fixes_counts:
                found = self._with_fixed_counts(found, request, waiting)

            while found is None or not found.serves(request.config_name):
                if rollout.asked or (found is not None and found.status == "UpdateRollbackFailed"):
                    raise self._failure(request, found, rollout, waiting)
                rollout.begin(found, waiting.clock.now())
                if found is None:
                    found = self._create(request, rollout, waiting)
                elif found.status == "Failed":
                    self._report(f"{request.name}: Failed ({found.failure_reason}), which only a new endpoint mends")
                    self._autoscaling.record(request.name)
                    found = self._delete(found, request.deadline_seconds, waiting)
                elif self._update(request, found, rollout):
                    found = waiting.begun(found)
                else:
                    found = waiting.later(request.name, request.deadline_seconds)
                    self._attach(found, request, rollout, waiting.clock)
                found = self._settled(found, request, rollout, waiting)

            if request.keeps_autoscaling:
                self._autoscaling.put_back(found)
            else:
                self._autoscaling.leave_off(found.name)
            self._tag(found, request)
            if request.changes_tags_of_targets:
                self._autoscaling.tag(found.name, request.tags, request.former_tags)
            if rollout.asked == "update":
                self._require_invocations(found, request, rollout, waiting.clock)
            elif not rollout.tried and request.former_config_name not in (None, request.config_name):
                rollout.found_over(request.former_config_name, waiting.clock.now())
            return found

    def delete(
        self,
        name: str,
        owner: str,
        deadline_seconds: int,
        freeze_windows: Sequence[FreezeWindow] = (),
        freeze_override: str | None = None,
    ) -> None:
        """Delete the endpoint and wait until it is gone. A rollout under way is waited out; one already gone is
        fine.

        Raises:
            ReleaseFrozen: it serves, and a freeze window is open; nothing was changed.
        """
        with aws_calls(f"endpoint {name}"):
            waiting = self._waiting()
            before = found = self._owned(name, owner, {owner})
            at = datetime.fromtimestamp(waiting.clock.now(), UTC)
            window = freeze.require_deletable(found, freeze_windows, at, freeze_override)
            if window:
                self._report(f"{name}: {window}; it is overridden: {freeze_override}")
            if found is not None and found.in_progress:
                self._report(f"{name}: {found.status}; it can be deleted when that is over")
            found = waiting.settled(found, deadline_seconds)
            while found is not None:
                found = self._delete(found, deadline_seconds, waiting)
                if found is not None:
                    found = waiting.later(name, deadline_seconds)
            self._autoscaling.forget(name)
        if before is not None:
            clock = waiting.clock
            self._recorder.deleted(before, clock.began, clock.now(), freeze_override if window else None)

    def _waiting(self) -> Waiting:
        return Waiting(self._reader, self._new_clock(), self._report, self._report_passing, self._alarms)

    def _owned(self, name: str, owner: str, holders: Collection[str | None]) -> EndpointDescription | None:
        found = self._reader.endpoint(name)
        if found is None:
            return None
        holder = self._reader.tags(found).get(OWNER_TAG)
        if holder not in holders:
            raise failure.EndpointNotOwned(name, holder, owner, OWNER_TAG)
        if holder is None:
            self._report(f"{name}: it belongs to no stack and serves {found.config_name}; it is adopted")
        return found

    def _attach(
        self, found: EndpointDescription | None, request: EndpointRequest, rollout: Rollout, clock: Clock
    ) -> None:
        """Attach to what is under way if it would be asked for now; an interrupted deployment may have begun it."""
        if found is None or not found.in_progress:
            return
        mine = found.rolls_out(request.config_name)
        what = "it is attached to" if mine else "it is waited out first"
        self._report(f"{request.name}: {found.status}, heading for {found.heading_for}; {what}")
        if mine:
            rollout.attach(found, clock.now())

    def _settled(
        self, found: EndpointDescription | None, request: EndpointRequest, rollout: Rollout, waiting: Waiting
    ) -> EndpointDescription | None:
        """The endpoint once nothing is in progress on it. Only a rollout that was asked for is told of as such."""
        try:
            return waiting.settled(found, request.deadline_seconds, rollout if rollout.asked == "update" else None)
        except failure.ReleaseTimeout:
            if self._autoscaling.is_off(request.name):
                self._warn(f"{request.name}: its autoscaling is off until the next `pulumi up` puts it back")
            raise

    def _create(self, request: EndpointRequest, rollout: Rollout, waiting: Waiting) -> EndpointDescription | None:
        self._report(f"{request.name}: creating with {request.config_name}")
        self._sagemaker.create_endpoint(
            EndpointName=request.name, EndpointConfigName=request.config_name, Tags=_tag_list(request.owned_tags)
        )
        rollout.asked = "create"
        return waiting.until(lambda found: found is not None, request.name)

    def _update(self, request: EndpointRequest, live: EndpointDescription, rollout: Rollout) -> bool:
        """Ask for the update. False when another change began first, which then has to be waited out. Where there is
        none to be had, the autoscaling that is off is put back."""
        try:
            self._ask_for_update(request, live, rollout)
        except (ReleaseRefused, AwsRequestRefused, ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and failure.in_progress(error):
                return False
            for note in self._autoscaling_put_back(live, request):
                self._warn(note)
            raise
        rollout.asked = "update"
        return True

    def _ask_for_update(self, request: EndpointRequest, live: EndpointDescription, rollout: Rollout) -> None:
        new = self._sagemaker.describe_endpoint_config(EndpointConfigName=request.config_name)
        guarded = self._pass_gates(request, live, new, rollout)
        how = "" if guarded else "; as its variants change, all traffic moves at once and no alarm rolls it back"
        self._report(f"{request.name}: updating from {live.config_name} to {request.config_name}{how}")
        old = self._reader.configuration(live.config_name)
        excluded = excluded_properties(old, new, request.autoscaled, request.fixes_counts) if old else []
        if old is None or refused_under_autoscaling(old, new):
            self._autoscaling.take_off(live.name)
        self._sagemaker.update_endpoint(
            EndpointName=request.name,
            EndpointConfigName=request.config_name,
            RetainAllVariantProperties=True,
            ExcludeRetainedVariantProperties=[{"VariantPropertyType": each} for each in excluded],
            **({"DeploymentConfig": deployment_config(request.policy, request.rollback_alarms)} if guarded else {}),
        )

    def _with_fixed_counts(
        self, live: EndpointDescription, request: EndpointRequest, waiting: Waiting
    ) -> EndpointDescription | None:
        """The endpoint with the counts of its configuration, which no release brings: it serves that already."""
        config = self._sagemaker.describe_endpoint_config(EndpointConfigName=live.config_name)
        missing = missing_counts(live, config)
        if not missing:
            return live
        counts = ", ".join(f"{name} {count}" for name, count in missing.items())
        self._report(f"{live.name}: without autoscaling the instance count is that of the settings: {counts}")
        self._sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=live.name,
            DesiredWeightsAndCapacities=[
                {"VariantName": name, "DesiredInstanceCount": count} for name, count in missing.items()
            ],
        )
        found = waiting.settled(waiting.begun(live), request.deadline_seconds)
        if found is not None and missing_counts(found, config):
            raise failure.counts_missed(live.name, counts, found.failure_reason)
        return found

    def _pass_gates(
        self, request: EndpointRequest, live: EndpointDescription, new: Mapping[str, Any], rollout: Rollout
    ) -> bool:
        """See that nothing keeps the update from beginning. Whether guardrails watch over it is returned."""
        at = datetime.fromtimestamp(rollout.began, UTC)
        window = freeze.require_none_open(request.name, request.freeze_windows, at, request.freeze_override)
        if window:
            rollout.override = request.freeze_override
            self._report(f"{request.name}: {window}; it is overridden: {rollout.override}")
        serving = {variant.name for variant in live.live_variants}
        requested = {variant["VariantName"] for variant in new["ProductionVariants"]}
        guarded = gates.guard(request.name, request.policy, serving, requested)
        rollout.alarm_names = request.rollback_alarms if guarded else ()
        found = alarms.states(self._cloudwatch, rollout.alarm_names)
        gates.require_ready(request.name, request.config_name, rollout.alarm_names, found, live.where)
        return guarded

    def _delete(
        self, found: EndpointDescription, deadline_seconds: int, waiting: Waiting
    ) -> EndpointDescription | None:
        """Delete and wait. What is returned is None, or the endpoint when another change began first."""
        try:
            self._sagemaker.delete_endpoint(EndpointName=found.name)
        except ClientError as error:
            if not failure.not_found(error) and not failure.in_progress(error):
                raise
        return waiting.settled(self._reader.endpoint(found.name), deadline_seconds)

    def _alarms(self, names: Sequence[str]) -> list[AlarmState]:
        """The rollback alarms as they are now. A rollout that is under way is not given up for a look at them."""
        try:
            return alarms.states(self._cloudwatch, names)
        except AwsRequestRefused:
            return []

    def _require_invocations(
        self, endpoint: EndpointDescription, request: EndpointRequest, rollout: Rollout, clock: Clock
    ) -> None:
        """See that the alarms had something to see."""
        minimum = request.minimum_invocations
        if minimum is None:
            return
        since, end = rollout.bake_began or rollout.began, clock.elapsed + alarms.METRIC_LAG_SECONDS
        while (seen := self._invocations(endpoint, since, clock)) < minimum.count and clock.elapsed < end:
            clock.pause()
        if seen >= minimum.count:
            return
        message = failure.too_few_invocations(request.name, request.config_name, seen, minimum.count)
        if minimum.otherwise == "fail":
            next_step = "run `pulumi up` again to accept it, or name the previous model to go back."
            raise failure.ReleaseFailed(f"{message}\n  Next: {next_step}", "failed", message)
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
        has, wanted = self._reader.tags(endpoint), request.owned_tags
        if missing := {key: value for key, value in wanted.items() if has.get(key) != value}:
            self._sagemaker.add_tags(ResourceArn=endpoint.arn, Tags=_tag_list(missing))
        if gone := sorted(key for key in request.former_tags if key in has and key not in wanted):
            self._sagemaker.delete_tags(ResourceArn=endpoint.arn, TagKeys=gone)

    def _failure(
        self,
        request: EndpointRequest,
        found: EndpointDescription | None,
        rollout: Rollout,
        waiting: Waiting,
    ) -> failure.ReleaseFailed:
        name, config = request.name, request.config_name
        notes = self._alarms_looked_back_at(rollout) if rollout.asked == "update" else []
        if found and found.status == "InService":
            notes += self._autoscaling_put_back(found, request)
        elif self._autoscaling.is_off(name):
            notes.append("Its autoscaling is still off: it is put back by a `pulumi up` that finds it InService.")
        reason = found.failure_reason if found else ""
        requested = self._requested_configuration(config)
        log = container_log(self._logs, name, int((rollout.began or waiting.clock.began) * 1000))
        evidence = failure.Evidence(
            reason=reason,
            alarms=list(rollout.fired.values()),
            log=telling(log, has_gpu(requested)),
            notes=notes,
            too_slow=too_slow(reason, requested, log),
        )
        if found is None:
            return failure.failed(name, config, "deleted by somebody else meanwhile", evidence, failure.CREATED_ANEW)
        if found.status == "UpdateRollbackFailed":
            return failure.stuck(name, config, evidence)
        if found.status == "InService":
            return failure.rolled_back(name, config, found.config_name, evidence)
        next_step = self._deleted_after_failure(found, request) if rollout.asked == "create" else failure.CREATED_ANEW
        return failure.failed(name, config, found.status, evidence, next_step)

    def _requested_configuration(self, name: str) -> Mapping[str, Any] | None:
        """What was to be served; not being able to read it must not hide the failure."""
        with contextlib.suppress(ClientError, BotoCoreError):
            return self._reader.configuration(name)
        return None

    def _alarms_looked_back_at(self, rollout: Rollout) -> list[str]:
        """Take in the alarms that fire at the end, and those that did between two looks only; what kept it from that is
        told beside the failure of the release, not instead of it."""
        rollout.fired |= {each.name: each for each in self._alarms(rollout.alarm_names) if each.firing}
        unseen = [name for name in rollout.alarm_names if name not in rollout.fired]
        try:
            for each in alarms.fired_since(self._cloudwatch, unseen, rollout.began):
                rollout.fired[each.name] = each
        except AwsRequestRefused as error:
            return [f"An alarm that fired for a moment only may be missing here: {error}."]
        return []

    def _autoscaling_put_back(self, live: EndpointDescription, request: EndpointRequest) -> list[str]:
        """Put it back; what kept it from that is told beside the failure of the release, not instead of it."""
        if request.begins_autoscaling:
            off = self._autoscaling.is_off(live.name)
            return ["Its autoscaling is off. The next `pulumi up` that succeeds registers it."] if off else []
        try:
            with aws_calls(f"endpoint {live.name}"):
                self._autoscaling.put_back(live)
        except AwsRequestRefused as error:
            return [f"Its autoscaling is still off: {error}. The next `pulumi up` puts it back."]
        return []

    def _deleted_after_failure(self, found: EndpointDescription, request: EndpointRequest) -> str:
        """Delete an endpoint that never served: no state knows of it, so it would outlive `pulumi destroy`."""
        try:
            self._delete(found, request.deadline_seconds, self._waiting())
        except (ClientError, BotoCoreError, failure.ReleaseTimeout) as error:
            return f"{failure.CREATED_ANEW} (The failed endpoint could not be deleted now: {error})"
        return f"{failure.CREATED_ANEW} The failed endpoint was deleted; its log is kept."


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as SageMaker's API takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
