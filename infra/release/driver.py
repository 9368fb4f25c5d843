"""Brings an endpoint to the configuration that it is asked to serve, and reports whether it got there.

SageMaker shows a rolled-back update as InService. Success here means InService *and* serving the requested
configuration; everything else raises, with SageMaker's reason and the live configuration. A release may be interrupted
at any moment and requested again: each one looks at the endpoint first and continues from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.aws.mode import Mode
from infra.release import alarms, failure, freeze, gates
from infra.release.alarms import AlarmState
from infra.release.autoscaling import EndpointAutoscaling, ScalingRecords, refused_under_autoscaling
from infra.release.failure import ReleaseFailed, ReleaseRefused
from infra.release.freeze import FreezeWindow
from infra.release.live import (
    EndpointDescription,
    EndpointReader,
    capacities,
    is_in_progress,
    is_not_found,
    mode_of,
)
from infra.release.progress import Rollout
from infra.release.records import ReleaseRecorder
from infra.release.request import OWNER_TAG, EndpointRequest
from infra.release.waiting import Clock, Waiting


class ReleaseDriver:
    """Releases or deletes one endpoint through SageMaker's API.

    Args:
        client: creates boto3's client of a service.
        scaling_records: keeps the autoscaling that is removed.
        recorder: records how the release ends.
        report: called with a line of progress after each change.
        report_ephemeral: called with a line that is outdated within a minute.
        warn: called with each problem of a release that succeeded.
        observed: called with the endpoint at each poll of a change in progress.
        clock: starts with the release.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        *,
        scaling_records: ScalingRecords,
        recorder: ReleaseRecorder,
        report: Callable[[str], None],
        report_ephemeral: Callable[[str], None] = lambda _: None,
        warn: Callable[[str], None],
        observed: Callable[[EndpointDescription], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        self._sagemaker, self._logs, self._cloudwatch = map(client, ("sagemaker", "logs", "cloudwatch"))
        self._report, self._warn, self._recorder = report, warn, recorder
        self._reader, self._clock = EndpointReader(self._sagemaker), clock or Clock()
        self._waiting = Waiting(self._reader, self._clock, report, report_ephemeral, self._alarm_states, observed)
        self._autoscaling = EndpointAutoscaling(
            client("application-autoscaling"), self._cloudwatch, scaling_records, report, warn
        )

    def release(self, request: EndpointRequest) -> EndpointDescription:
        """Create or update the endpoint, or attach to a rollout in progress, until it serves the requested
        configuration.

        Raises:
            ReleaseFailed: SageMaker failed or rolled back.
            ReleaseTimeout: `deadline_seconds` passed; nothing is undone.
            ReleaseRefused: a freeze window is open, the variants differ under a strategy that moves in steps, or a
                rollback alarm is missing or fires already; the update did not start.
            EndpointNotOwned: the endpoint of that name does not belong to the stack.
            AwsRequestRefused: AWS refused a call.
        """
        rollout = Rollout(request)
        with self._recorder.recording(rollout, self._clock), aws_calls(f"endpoint {request.name}"):
            live = self._owned(request.name, request.owner, request.accepted_owners)
            self._attach(live, rollout)
            live = self._wait_until_stable(live, rollout)
            if live is not None and live.serves(request.config_name) and request.resets_counts:
                live = self._reset_capacities(live, request.deadline_seconds)
            while live is None or not live.serves(request.config_name):
                if rollout.requested or (live is not None and live.status == "UpdateRollbackFailed"):
                    raise self._failure(live, rollout)
                rollout.begin(live, self._clock.now())
                live = self._wait_until_stable(self._change(live, rollout), rollout)
            live = self._keep_concurrency(live, rollout)
            self._finish(live, rollout)
            return live

    def delete(
        self,
        name: str,
        owner: str,
        deadline_seconds: int,
        freeze_windows: Sequence[FreezeWindow] = (),
        freeze_override: str | None = None,
    ) -> None:
        """Delete the endpoint and wait until it is gone, after a rollout in progress. It need not exist.

        Raises:
            ReleaseRefused: it serves, and a freeze window is open; the endpoint is unchanged.
        """
        with aws_calls(f"endpoint {name}"):
            before = live = self._owned(name, owner, {owner})
            window = freeze.require_deletable(live, freeze_windows, self._now(), freeze_override)
            if window:
                self._report(f"{name}: {window}; it is overridden: {freeze_override}")
            if live is not None and live.in_progress:
                self._report(f"{name}: {live.status}; waiting for it to finish before the deletion")
            live = self._waiting.wait_until_stable(live, deadline_seconds)
            while live is not None:
                live = self._delete(live, deadline_seconds)
                if live is not None:
                    live = self._waiting.poll_once(name, deadline_seconds)
            self._autoscaling.forget(name)
        if before is not None:
            self._recorder.deleted(before, self._clock.began, self._clock.now(), freeze_override if window else None)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def _owned(self, name: str, owner: str, accepted: Collection[str | None]) -> EndpointDescription | None:
        live = self._reader.endpoint(name)
        if live is None:
            return None
        actual = self._reader.tags(live).get(OWNER_TAG)
        if actual not in accepted:
            raise failure.EndpointNotOwned(name, actual, owner, OWNER_TAG)
        if actual is None:
            self._report(f"{name}: adopting the existing endpoint, which serves {live.config_name}")
        return live

    def _attach(self, live: EndpointDescription | None, rollout: Rollout) -> None:
        """Attach to a rollout of the requested configuration; an interrupted deployment may have begun it."""
        if live is None or not live.in_progress:
            return
        ours = live.rolls_out(rollout.request.config_name)
        action = "attaching" if ours else "waiting for it to finish first"
        self._report(f"{live.name}: {live.status} to {live.target_config}; {action}")
        if ours:
            rollout.attach(live, self._clock.now())

    def _wait_until_stable(self, live: EndpointDescription | None, rollout: Rollout) -> EndpointDescription | None:
        """The endpoint once no change is in progress. Only our own update is observed as a rollout."""
        request, ours = rollout.request, rollout if rollout.requested == "update" else None
        try:
            return self._waiting.wait_until_stable(live, request.deadline_seconds, ours)
        except failure.ReleaseTimeout:
            if self._autoscaling.is_removed(request.name):
                self._warn(f"{request.name}: its autoscaling is removed until the next `pulumi up` restores it")
            raise

    def _change(self, live: EndpointDescription | None, rollout: Rollout) -> EndpointDescription | None:
        """Ask SageMaker for the next change, and return the endpoint once it is visible."""
        request = rollout.request
        if live is None:
            self._report(f"{request.name}: creating with {request.config_name}")
            self._sagemaker.create_endpoint(
                EndpointName=request.name, EndpointConfigName=request.config_name, Tags=_tag_list(request.owned_tags)
            )
            rollout.requested = "create"
            return self._waiting.wait_until(lambda live: live is not None, request.name)
        if live.status == "Failed":
            self._report(f"{live.name}: Failed ({live.failure_reason}); deleting it to create it again")
            self._autoscaling.record(live.name)
            return self._delete(live, request.deadline_seconds)
        if self._update(live, rollout):
            return self._waiting.wait_until_changed(live)
        other = self._waiting.poll_once(live.name, request.deadline_seconds)
        self._attach(other, rollout)
        return other

    def _update(self, live: EndpointDescription, rollout: Rollout) -> bool:
        """Ask for the update. False if another change began first, which has to finish before. If the update is
        refused, autoscaling that is removed is restored."""
        try:
            self._request_update(live, rollout)
        except (ReleaseRefused, AwsRequestRefused, ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and is_in_progress(error):
                return False
            for note in self._autoscaling.restore_after_failure(live, rollout.request.registers_autoscaling):
                self._warn(note)
            raise
        rollout.requested = "update"
        return True

    def _request_update(self, live: EndpointDescription, rollout: Rollout) -> None:
        request = rollout.request
        new = self._sagemaker.describe_endpoint_config(EndpointConfigName=request.config_name)
        old = self._reader.configuration(live.config_name)
        self._pass_gates(live, old, new, rollout)
        how = f"; because {rollout.unguarded}, all traffic moves at once and no alarm rolls it back"
        self._report(
            f"{live.name}: updating from {live.config_name} to {request.config_name}{how if rollout.unguarded else ''}"
        )
        excluded = request.excluded_properties(old, new) if old else []
        if old is None or refused_under_autoscaling(old, new):
            self._autoscaling.deregister(live.name)
        guardrails = request.policy.deployment_config(rollout.alarm_names)
        self._sagemaker.update_endpoint(
            EndpointName=request.name,
            EndpointConfigName=request.config_name,
            RetainAllVariantProperties=True,
            ExcludeRetainedVariantProperties=[{"VariantPropertyType": name} for name in excluded],
            **({} if rollout.unguarded else {"DeploymentConfig": guardrails}),
        )

    def _pass_gates(
        self, live: EndpointDescription, old: Mapping[str, Any] | None, new: Mapping[str, Any], rollout: Rollout
    ) -> None:
        """Require that nothing prevents the update."""
        request = rollout.request
        modes = mode_of(old) if old else live.mode, mode_of(new)
        gates.require_mode(request.name, *modes)
        window = freeze.require_none_open(request.name, request.freeze_windows, self._now(), request.freeze_override)
        if window:
            rollout.override = request.freeze_override
            self._report(f"{request.name}: {window}; it is overridden: {rollout.override}")
        serving = {variant.name for variant in live.live_variants}
        requested = {variant["VariantName"] for variant in new["ProductionVariants"]}
        rollout.unguarded = gates.unguarded(request.name, request.policy, serving, requested, {*modes})
        states = alarms.states(self._cloudwatch, rollout.alarm_names)
        gates.require_ready(request.name, request.config_name, rollout.alarm_names, states, live.where)

    def _delete(self, live: EndpointDescription, deadline_seconds: int) -> EndpointDescription | None:
        """Delete and wait. The result is None, or the endpoint if another change began first."""
        try:
            self._sagemaker.delete_endpoint(EndpointName=live.name)
        except ClientError as error:
            if not is_not_found(error) and not is_in_progress(error):
                raise
        return self._waiting.wait_until_stable(self._reader.endpoint(live.name), deadline_seconds)

    def _reset_capacities(self, live: EndpointDescription, deadline_seconds: int) -> EndpointDescription | None:
        """The endpoint with the capacities of its configuration; a release does not set them, because it serves that
        one already."""
        config = self._sagemaker.describe_endpoint_config(EndpointConfigName=live.config_name)
        return self._set_capacities(live, capacities(config), "without autoscaling", deadline_seconds)

    def _keep_concurrency(self, live: EndpointDescription, rollout: Rollout) -> EndpointDescription:
        """The endpoint with the provisioned concurrency that autoscaling had set before the update: AWS documents that
        RetainAllVariantProperties retains instance counts and weights, and nothing else."""
        most = {variant.name: variant.max_concurrency for variant in live.live_variants}
        kept = {name: min(size, most[name]) for name, size in rollout.concurrency.items() if name in most}
        if rollout.requested != "update" or not rollout.request.autoscaled or live.mode is not Mode.SERVERLESS:
            return live
        return self._set_capacities(live, kept, "as before the update", rollout.request.deadline_seconds) or live

    def _set_capacities(
        self, live: EndpointDescription, wanted: Mapping[str, int], why: str, deadline_seconds: int
    ) -> EndpointDescription | None:
        """The endpoint with these capacities by variant; see `VariantDescription.capacity`."""
        if not (wrong := live.wrong_capacities(wanted)):
            return live
        sizes = ", ".join(f"{name} {size}" for name, size in wrong.items())
        what = "provisioned concurrency" if live.mode is Mode.SERVERLESS else "instance count"
        self._report(f"{live.name}: {why}, setting the {what}: {sizes}")
        self._sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=live.name,
            DesiredWeightsAndCapacities=[
                {"VariantName": name, "ServerlessUpdateConfig": {"ProvisionedConcurrency": size}}
                if live.mode is Mode.SERVERLESS
                else {"VariantName": name, "DesiredInstanceCount": size}
                for name, size in wrong.items()
            ],
        )
        scaled = self._waiting.wait_until_stable(self._waiting.wait_until_changed(live), deadline_seconds)
        if scaled is not None and scaled.wrong_capacities(wanted):
            raise failure.capacity_missed(live.name, f"{what} {sizes}", scaled.failure_reason)
        return scaled

    def _finish(self, live: EndpointDescription, rollout: Rollout) -> None:
        """Everything that follows once the endpoint serves the requested configuration."""
        request = rollout.request
        if request.restores_autoscaling:
            self._autoscaling.restore(live)
        else:
            self._autoscaling.discard(live.name)
        self._tag(live, request)
        if request.retags_targets:
            self._autoscaling.tag(live.name, request.tags, request.previous.tags)
        if rollout.needed and not live.has_instances and live.mode is Mode.ASYNCHRONOUS:
            rollout.note = "the endpoint has no instances, so nothing proves that the new model starts and answers"
            self._warn(f"{live.name}: {live.config_name} is live, but {rollout.note}; the next requests will show it")
        if rollout.requested == "update":
            self._require_invocations(live, rollout)
        elif not rollout.needed and request.previous.config_name not in ("", request.config_name):
            rollout.finished_unwatched(self._clock.now())

    def _tag(self, live: EndpointDescription, request: EndpointRequest) -> None:
        """Set the requested tags, and remove those of an earlier request; other tags are kept."""
        current, wanted = self._reader.tags(live), request.owned_tags
        if missing := {key: value for key, value in wanted.items() if current.get(key) != value}:
            self._sagemaker.add_tags(ResourceArn=live.arn, Tags=_tag_list(missing))
        if outdated := sorted(key for key in request.previous.tags if key in current and key not in wanted):
            self._sagemaker.delete_tags(ResourceArn=live.arn, TagKeys=outdated)

    def _require_invocations(self, live: EndpointDescription, rollout: Rollout) -> None:
        """Require that the alarms had enough requests to evaluate."""
        minimum = rollout.request.minimum_invocations
        if minimum is None:
            return
        since, end = rollout.bake_began or rollout.began, self._clock.elapsed + alarms.METRIC_LAG_SECONDS
        while (received := self._invocations(live, since)) < minimum.count and self._clock.elapsed < end:
            self._clock.pause()
        if not (problem := minimum.problem(live.name, live.config_name, received, live.mode)):
            return
        if minimum.otherwise == "fail":
            next_step = "run `pulumi up` again to accept it, or set the previous model again to go back."
            raise ReleaseFailed(f"{problem}\n  Next: {next_step}", "failed", problem)
        self._warn(problem)

    def _invocations(self, live: EndpointDescription, since: float) -> int:
        variants, until = [variant.name for variant in live.variants], self._clock.now()
        read = partial(alarms.invocations, self._cloudwatch, live.name)
        return sum(read(variant, live.config_name, since, until, live.mode) for variant in variants)

    def _alarm_states(self, names: Sequence[str]) -> list[AlarmState]:
        """The rollback alarms now; empty if they cannot be read, which must not end a rollout in progress."""
        try:
            return alarms.states(self._cloudwatch, names)
        except AwsRequestRefused:
            return []

    def _failure(self, live: EndpointDescription | None, rollout: Rollout) -> ReleaseFailed:
        request, name, config_name = rollout.request, rollout.request.name, rollout.request.config_name
        notes = self._read_fired_alarms(rollout) if rollout.requested == "update" else []
        if live and live.status == "InService":
            notes += self._autoscaling.restore_after_failure(live, request.registers_autoscaling)
        elif self._autoscaling.is_removed(name):
            notes.append("Its autoscaling is still removed: a `pulumi up` that finds it InService restores it.")
        reason = live.failure_reason if live else ""
        stop = failure.stop_alarm(config_name, rollout.fired, reason)
        if live and live.status == "InService" and stop:
            evidence = failure.Evidence(reason, [stop], notes=notes)
            return failure.stopped(name, config_name, live.config_name, evidence, stop)
        config: Mapping[str, Any] | None = None
        with contextlib.suppress(ClientError, BotoCoreError):  # an unreadable configuration must not hide the failure
            config = self._reader.configuration(config_name)
        log = failure.container_log(self._logs, name, since=rollout.began or self._clock.began)
        evidence = failure.Evidence(
            reason,
            alarms=list(rollout.fired.values()),
            log=failure.log_excerpt(log, failure.has_gpu(config)),
            notes=notes,
            hint=failure.hint(reason, config, log),
        )
        if live is None:
            return failure.failed(name, config_name, "deleted by someone else", evidence, failure.CREATED_AGAIN)
        if live.status == "UpdateRollbackFailed":
            return failure.stuck(name, config_name, evidence)
        if live.status == "InService":
            return failure.rolled_back(name, config_name, live.config_name, evidence)
        next_step = failure.CREATED_AGAIN
        if rollout.requested == "create":
            next_step += self._delete_failed(live, request.deadline_seconds)
        return failure.failed(name, config_name, live.status, evidence, next_step)

    def _read_fired_alarms(self, rollout: Rollout) -> list[str]:
        """Add the alarms that fire now, and those that fired between two polls; a failure to read them is a note on
        that of the release."""
        rollout.fired |= {alarm.name: alarm for alarm in self._alarm_states(rollout.alarm_names) if alarm.firing}
        others = [name for name in rollout.alarm_names if name not in rollout.fired]
        try:
            for alarm in alarms.fired_since(self._cloudwatch, others, rollout.began):
                rollout.fired[alarm.name] = alarm
        except AwsRequestRefused as error:
            return [f"An alarm that fired only briefly may be missing here: {error}."]
        return []

    def _delete_failed(self, live: EndpointDescription, deadline_seconds: int) -> str:
        """Delete an endpoint that never served: it is in no state, so `pulumi destroy` would leave it behind."""
        try:
            self._delete(live, deadline_seconds)
        except (ClientError, BotoCoreError, failure.ReleaseTimeout) as error:
            return f" (Deleting the failed endpoint failed: {error})"
        return " The failed endpoint was deleted; its log is kept."


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in the form of SageMaker's API."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
