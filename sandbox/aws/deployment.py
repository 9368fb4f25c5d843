"""Changes of an endpoint that take time: from one fleet to the next, of live capacity, and its end.

Each runs in a thread of its own, while `DescribeEndpoint` tells how far it is.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.aws.cloudwatch import backend_of
from sandbox.aws.conditions import Conditions
from sandbox.aws.fleet import Fleet, ProvisioningError, Variant
from sandbox.aws.rollout import Rollout

if TYPE_CHECKING:
    from sandbox.aws.endpoint import Endpoint

#: How often a deployment looks at its alarms and its time limit.
_WATCH_SECONDS = 0.02


class Deployment(threading.Thread):
    """From the fleet that serves an endpoint, or none yet, to a new one, as its rollout says.

    The old fleet answers until the new one passes its health checks, and goes on with its share of the requests until
    the new one has all. A new fleet that does not pass them, an alarm, or the end of the time limit leaves the endpoint
    on the old one (Updating, RollingBack, InService), or Failed when there is none (CreateEndpoint).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        fleet: Fleet,
        policy: Mapping[str, Any] | None,
        rollout: Rollout,
        conditions: Conditions,
    ) -> None:
        super().__init__(name=f"deployment of {fleet.config_name} to {endpoint.name}", daemon=True)
        self.fleet = fleet
        self.policy = policy
        self.began = datetime.now(UTC)
        self._endpoint = endpoint
        self._rollout = rollout
        self.conditions = conditions
        self._counts = {variant.name: variant.desired_count for variant in fleet.variants}

    def run(self) -> None:
        old = self._endpoint.fleet
        watch = Watch(self, self._rollout, self.conditions) if old is not None else None
        try:
            if old is None or watch is None:
                self.fleet.start(self.conditions)
                self._activate()
            else:
                watch.start()
                if self._rollout.is_rolling:
                    self._roll(old)
                else:
                    self._shift(old)
                watch.end_of_bake()
                self._enter(self.fleet, None)
                self.fleet.pass_time(self._rollout.termination_wait, self.conditions)
                watch.end()
                self.fleet.go_on()
                self._terminate(old)
            self._enter(self.fleet, None)
            self._endpoint.complete(self)
        except ProvisioningError as error:
            self._take_back(str(error))
        except Exception as error:
            traceback.print_exc()
            self._take_back(f"The sandbox failed: {error!r}")
        finally:
            if watch is not None and watch.ident is not None:
                watch.end()

    def fired_alarms(self) -> list[str]:
        """The alarms of the policy that have been in ALARM since the deployment began, however briefly."""
        place = self._endpoint.place
        return backend_of(place.account, place.region).alarms_fired(self._rollout.alarms, self.began)

    def _shift(self, old: Fleet) -> None:
        """Blue/green: the whole new fleet comes into service, then takes its requests step by step, with a bake after
        each (developer guide, deployment-guardrails-blue-green).
        """
        self.fleet.start(self.conditions)
        for active in self._rollout.steps(self._counts):
            self._activate(active)
            self._bake()

    def _roll(self, old: Fleet) -> None:
        """Batch by batch: new instances come into service and take their share of the requests, and after their bake
        as many of the old ones end (developer guide, deployment-guardrails-rolling).
        """
        before = {variant.name: variant.current_count for variant in old.variants}
        for step, active in enumerate(self._rollout.steps(self._counts)):
            self._enter(self.fleet, "Creating")
            if step == 0:
                self.fleet.start(self.conditions, active)
            else:
                self.fleet.grow(self.conditions, active)
            self._activate(active)
            self._bake()
            old.resize({name: count - round(count * self._share(name, active)) for name, count in before.items()})

    def _activate(self, active: Mapping[str, int] | None = None) -> None:
        self._enter(self.fleet, "ActivatingTraffic")
        is_partial = active is not None and active != self._counts
        shares = {name: self._share(name, active) for name in active} if active is not None and is_partial else None
        self._endpoint.route_to(self.fleet, shares)

    def _share(self, name: str, active: Mapping[str, int]) -> float:
        return active[name] / max(self._counts[name], 1)

    def _bake(self) -> None:
        self._enter(self.fleet, "Baking")
        self.fleet.pass_time(self._rollout.wait, self.conditions)

    def _terminate(self, old: Fleet) -> None:
        self._enter(old, "Deleting")
        old.drain()
        old.stop()

    def _enter(self, fleet: Fleet, status: str | None) -> None:
        for variant in fleet.variants:
            variant.enter(status)

    def _take_back(self, reason: str) -> None:
        """All requests go back to the old fleet: at once, or after a rolling deployment by its rollback batches."""
        old = self._endpoint.fleet
        if old is not None:
            self._endpoint.enter("RollingBack", reason)
            try:
                self._bring_back(old)
            except ProvisioningError as error:
                # "Both the rolling deployment and auto-rollback failed. Your endpoint is in service with a mix of the
                # old and new endpoint configurations" (DescribeEndpoint, EndpointStatus).
                self._endpoint.enter("UpdateRollbackFailed", f"{reason} The rollback failed: {error}")
                return
            self._endpoint.route_to(old)
            self.conditions.wait("rollbackSeconds", self._endpoint.closing)
            self.fleet.drain()
        self.fleet.stop()
        self._endpoint.abandon(reason)

    def _bring_back(self, old: Fleet) -> None:
        """The instances of the old fleet that a rolling deployment has ended already (RollbackMaximumBatchSize)."""
        left = {variant.name: variant.current_count for variant in old.variants}
        full = {variant.name: variant.desired_count for variant in old.variants}
        if left == full:
            return
        for batch in self._rollout.rollback_steps(full):
            back = {name: min(left[name] + count, full[name]) for name, count in batch.items()}
            old.grow(self.conditions, back)
            shares = {name: 1 - count / full[name] for name, count in back.items()}
            self._endpoint.route_to(self.fleet, shares)
            self.fleet.resize({name: round(self._counts[name] * share) for name, share in shares.items()})
            if back == full:
                return


class Watch(threading.Thread):
    """Cancels the fleet of a deployment when an alarm goes off before the last bake ends, or time is over."""

    def __init__(self, deployment: Deployment, rollout: Rollout, conditions: Conditions) -> None:
        super().__init__(name=f"watch over the {deployment.name}", daemon=True)
        self._deployment = deployment
        self._timeout = rollout.timeout
        self._conditions = conditions
        self._began = conditions.now()
        self._baked = threading.Event()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            if not self._baked.is_set():
                self._look_at_alarms()
            self._look_at_time()
            self._ended.wait(_WATCH_SECONDS)

    def end_of_bake(self) -> None:
        """From now on no alarm rolls back: they are monitored in "any baking period" (developer guide,
        deployment-guardrails-blue-green). Raises `ProvisioningError` when one has gone off, or time was over, before.
        """
        self._look_at_alarms()
        self._look_at_time()
        self._baked.set()
        self._deployment.fleet.go_on()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _look_at_alarms(self) -> None:
        if fired := self._deployment.fired_alarms():
            self._deployment.fleet.cancel(f"One or more configured alarms went into ALARM state: [{', '.join(fired)}].")

    def _look_at_time(self) -> None:
        if self._timeout is not None and self._conditions.now() - self._began > self._timeout:
            # Neither this wording nor that of the alarms is public.
            limit = f"MaximumExecutionTimeoutInSeconds ({self._timeout})"
            self._deployment.fleet.cancel(f"The deployment took longer than its {limit}.")


class CapacityUpdate(threading.Thread):
    """UpdateEndpointWeightsAndCapacities: live counts and weights of the serving fleet's variants."""

    def __init__(
        self, endpoint: Endpoint, changes: Iterable[tuple[Variant, Mapping[str, Any]]], conditions: Conditions
    ) -> None:
        super().__init__(name=f"capacity update of {endpoint.name}", daemon=True)
        self._endpoint = endpoint
        self._changes = list(changes)
        self._conditions = conditions
        for variant, change in self._changes:
            variant.desired_count = change.get("DesiredInstanceCount", variant.desired_count)
            variant.desired_weight = change.get("DesiredWeight", variant.desired_weight)
            variant.enter("Updating")

    def run(self) -> None:
        self._conditions.wait("provisioningSeconds", self._endpoint.closing)
        reason = None
        for variant, change in self._changes:
            if variant.serverless is not None:
                reason = _adjust(variant, change.get("ServerlessUpdateConfig", {})) or reason
            try:
                self._resize(variant)
            except ProvisioningError as error:
                variant.desired_count, reason = variant.current_count, str(error)
            variant.current_weight = variant.desired_weight
            variant.enter(None)
        self._endpoint.enter("InService", reason)

    def _resize(self, variant: Variant) -> None:
        """Raises `ProvisioningError` where the new instances do not come into service; the old ones stay."""
        fleet, queue = self._endpoint.fleet, self._endpoint.queue
        assert fleet is not None
        before, after = variant.current_count, variant.desired_count
        if after > before and self._conditions.lacks_capacity(str(variant.instance_type)):
            raise ProvisioningError(self._endpoint.place.no_capacity())
        if before == 0 and after > 0:
            fleet.wake(variant, self._conditions)
        variant.current_count = after
        if before > 0 and after == 0 and queue is not None:
            queue.finish(variant)
            fleet.put_to_sleep(variant)


def _adjust(variant: Variant, change: Mapping[str, int]) -> str | None:
    """Changes the concurrency of a serverless variant; the reason if its provisioned compute does not start."""
    assert variant.serverless is not None
    before = dict(variant.serverless)
    variant.serverless.update(change)
    if variant.function is None:
        return None
    try:
        variant.function.adjust()
    except OSError as error:
        variant.serverless.clear()
        variant.serverless.update(before)
        return f"The provisioned concurrency of variant {variant.name} is not available: {error}"
    return None
