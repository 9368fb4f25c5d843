"""The step that a rollout is at. Pure: it is told what others have read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.release import arithmetic
from infra.release.description import EndpointDescription
from infra.release.policy import ReleasePolicy

Requests = Mapping[float, int]
"""Requests by the minute that they were counted in, in seconds since 1970."""


@dataclass
class CurrentStep:
    """The number of the step that a rollout is at.

    DescribeEndpoint tells what is being done, and not which time. So the bakes that were seen are counted; and where
    the first ones were missed, the clock tells how many have passed since the new fleet's first request.
    """

    number: int | None = None
    """Of the step that moved traffic last, from 1; None if it is not known."""
    by_clock: bool = False
    """Whether it is inferred from the time that has passed."""
    _baking_since: float | None = field(default=None, init=False)

    def see(self, endpoint: EndpointDescription, policy: ReleasePolicy, requests: Requests) -> None:
        """Take in what a look at the endpoint found; `requests` are those of the new fleet."""
        if endpoint.status != "Updating":
            return
        fleet = endpoint.desired_instances
        if policy.strategy == "rolling" and policy.batch:
            self.number = _by_instances(endpoint, policy.batch.of(fleet))
        elif endpoint.stages == {"Creating"}:
            self.number = 0
        elif (since := endpoint.baking_since) is not None and (self.number is None or since != self._baking_since):
            self._baking_since = since
            if self.number is None:
                self.number, self.by_clock = _by_clock(policy, since, requests), policy.batch is not None
            else:
                self.number += 1
            self.number = self.number and min(self.number, arithmetic.steps(policy, fleet).most)


def _by_instances(endpoint: EndpointDescription, batch: int) -> int:
    """A rolling update starts a batch's instances when its turn has come."""
    batches = sum(each.current_instances for each in endpoint.variants) / batch
    if "Creating" in endpoint.stages:
        return math.floor(batches)
    return math.ceil(batches) - ("ActivatingTraffic" in endpoint.stages)


def _by_clock(policy: ReleasePolicy, baking_since: float, requests: Requests) -> int | None:
    """Requests are counted by the minute, and a shift takes up to one: too coarse for bakes of a few minutes."""
    if policy.batch is None:
        return 1
    if not any(requests.values()) or policy.wait_seconds < 4 * arithmetic.SHIFT_SECONDS[1]:
        return None
    first = min(minute for minute, count in requests.items() if count)
    shift = arithmetic.SHIFT_SECONDS[1] / 2
    return max(1, 1 + round((baking_since - first - shift) / (policy.wait_seconds + shift)))
