"""Changes of an endpoint that take time: from one fleet to the next, of live capacity, and its end.

Each runs in a thread of its own, while `DescribeEndpoint` tells how far it is.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.aws.conditions import Conditions
from sandbox.aws.fleet import NO_CAPACITY, Fleet, ProvisioningError, Variant

if TYPE_CHECKING:
    from sandbox.aws.endpoint import Endpoint


class Deployment(threading.Thread):
    """From the fleet that serves an endpoint, or none yet, to a new one, all at once.

    The old fleet answers until the whole new one passes its health checks. A new fleet that does not pass them leaves
    the endpoint on the old one (Updating, RollingBack, InService), or Failed when there is none (CreateEndpoint).
    """

    def __init__(
        self, endpoint: Endpoint, fleet: Fleet, policy: Mapping[str, Any] | None, conditions: Conditions
    ) -> None:
        super().__init__(name=f"deployment of {fleet.config_name} to {endpoint.name}", daemon=True)
        self.fleet = fleet
        self.policy = policy
        self.began = datetime.now(UTC)
        self._endpoint = endpoint
        self._conditions = conditions

    def run(self) -> None:
        try:
            self.fleet.start(self._conditions)
            self._shift_traffic()
        except ProvisioningError as error:
            self._take_back(str(error))
        except Exception as error:
            traceback.print_exc()
            self._take_back(f"The sandbox failed: {error!r}")

    def _shift_traffic(self) -> None:
        """BlueGreenUpdatePolicy: all traffic at once, then bake, then wait before the old fleet ends."""
        policy = (self.policy or {}).get("BlueGreenUpdatePolicy", {})
        self._enter("ActivatingTraffic")
        self._endpoint.route_to(self.fleet)
        self._enter("Baking")
        self.fleet.wait(policy.get("TrafficRoutingConfiguration", {}).get("WaitIntervalInSeconds", 0))
        old = self._endpoint.fleet
        if old is not None:
            self.fleet.wait(policy.get("TerminationWaitInSeconds", 0))
            old.drain()
            old.stop()
        self._enter(None)
        self._endpoint.complete(self)

    def _take_back(self, reason: str) -> None:
        old = self._endpoint.fleet
        if old is not None:
            self._endpoint.enter("RollingBack", reason)
            self._endpoint.route_to(old)
            self._conditions.wait("rollbackSeconds", self._endpoint.closing)
            self.fleet.drain()
        self.fleet.stop()
        self._endpoint.abandon(reason)

    def _enter(self, status: str | None) -> None:
        for variant in self.fleet.variants:
            variant.enter(status)


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
        for variant, _ in self._changes:
            if variant.desired_count > variant.current_count and self._conditions.lacks_capacity(variant.instance_type):
                variant.desired_count = variant.current_count
                reason = NO_CAPACITY
            variant.current_count, variant.current_weight = variant.desired_count, variant.desired_weight
            variant.enter(None)
        self._endpoint.enter("InService", reason)
