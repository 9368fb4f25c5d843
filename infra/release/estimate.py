"""How long a release takes, in how many steps, and which step sizes a fleet allows. Pure numbers; times in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from infra.release.policy import ReleasePolicy

INSTANCE_START_SECONDS = (120, 600)
"""What starting instances and pulling the image takes, at best and at worst. AWS promises neither; both are set wide
of what people report."""

SHIFT_SECONDS = (0, 60)
"""What moving traffic to one step's instances takes."""

SETTLING_SECONDS = 300
"""What SageMaker may need beyond its own deadline until the status says how it ended."""

BATCH_PERCENT = {"canary": (0, 50), "linear": (10, 50), "rolling": (5, 50)}
"""The share of a fleet that one step may move (API `TrafficRoutingConfig`, `RollingUpdatePolicy`)."""


@dataclass(frozen=True)
class Duration:
    """Seconds, at best and at worst."""

    minimum: int
    maximum: int

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.minimum + other.minimum, self.maximum + other.maximum)

    def __str__(self) -> str:
        low, high = math.ceil(self.minimum / 60), math.ceil(self.maximum / 60)
        return f"{low} minutes" if low == high else f"{low} to {high} minutes"


def provisioning(download_seconds: int, health_check_seconds: int) -> Duration:
    """Until new instances answer `/ping`: their start, then at most the artifact's download and the model's load."""
    start, slow_start = INSTANCE_START_SECONDS
    return Duration(start, slow_start + download_seconds + health_check_seconds)


@dataclass(frozen=True)
class Steps:
    """How many times traffic is moved: AWS does not say whether it rounds each step of a percentage, or their sum."""

    fewest: int
    most: int


def steps(policy: ReleasePolicy, fleet: int) -> Steps:
    """How many times traffic is moved to a new fleet of `fleet` instances."""
    if policy.batch is None:
        return Steps(1, 1)
    if policy.strategy == "canary":
        return Steps(2, 2)
    fewest = math.ceil(fleet / policy.batch.of(fleet))
    return Steps(fewest, math.ceil(100 / policy.batch.value) if policy.batch.unit == "percent" else fewest)


def shifted_percent(policy: ReleasePolicy, fleet: int, step: int) -> int | None:
    """The share of the traffic that the new fleet has after `step` steps; None where that depends on how AWS
    rounds."""
    of = steps(policy, fleet)
    if of.fewest != of.most:
        return None
    if policy.batch is None or step >= of.most:
        return 100 if step else 0
    return min(100, step * policy.batch.of(fleet) * 100 // fleet)


def rollout(policy: ReleasePolicy, fleet: int, provisioning: Duration) -> Duration:
    """A release to `fleet` instances from the request to its end. Rolling starts each batch's instances when its turn
    has come; the others start them all at first."""
    count, each_step = steps(policy, fleet), _each_step(policy, provisioning)
    once = Duration(policy.termination_wait_seconds, policy.termination_wait_seconds)
    if policy.strategy != "rolling":
        once += provisioning
    return once + Duration(each_step.minimum * count.fewest, each_step.maximum * count.most)


def remaining(policy: ReleasePolicy, fleet: int, provisioning: Duration, step: int, waited: float) -> Duration:
    """What is left of a release that waits since `waited` seconds after its step number `step`, counted from 1."""
    count, each_step = steps(policy, fleet), _each_step(policy, provisioning)
    left = policy.termination_wait_seconds + max(0, policy.wait_seconds - int(waited))
    return Duration(
        left + each_step.minimum * max(0, count.fewest - step), left + each_step.maximum * max(0, count.most - step)
    )


def _each_step(policy: ReleasePolicy, provisioning: Duration) -> Duration:
    shift = Duration(*SHIFT_SECONDS) + Duration(policy.wait_seconds, policy.wait_seconds)
    return shift + provisioning if policy.strategy == "rolling" else shift


def estimate(policy: ReleasePolicy, fleets: Iterable[int], provisioning: Duration) -> Duration:
    """A release of a fleet whose size is one of `fleets`: the best of the best and the worst of the worst."""
    each = [rollout(policy, fleet, provisioning) for fleet in fleets]
    return Duration(min(one.minimum for one in each), max(one.maximum for one in each))


def deadline_seconds(policy: ReleasePolicy, provisioning: Duration) -> int:
    """How long to wait for the end: SageMaker's own deadline, and the rollback that follows when it is missed.

    Blue/green goes back to a fleet that still runs. Rolling starts the old instances again, batch by batch.
    """
    rollback = 0
    if policy.strategy == "rolling":
        batches = math.ceil(100 / policy.rollback_percent)
        rollback = batches * (provisioning.maximum + SHIFT_SECONDS[1] + policy.wait_seconds)
    return policy.timeout_seconds + rollback + SETTLING_SECONDS


def batch_problem(policy: ReleasePolicy, fleet: int) -> str | None:
    """Why SageMaker would refuse the step size for a fleet of `fleet` instances; None if it would not."""
    if policy.batch is None:
        return None
    least, most = BATCH_PERCENT[policy.strategy]
    instances = policy.batch.of(fleet)
    share = f"{instances} of {fleet} instance{'' if fleet == 1 else 's'} = {100 * instances / fleet:.0f} %"
    said = f"{policy.batch} is {share}" if policy.batch.unit == "percent" else share
    if 100 * instances > most * fleet:
        return f"{policy.batch.unit}: {said}; {policy.strategy} moves at most {most} % at once."
    # a percentage is compared as given: it is within the range already, whatever whole instances it comes to
    if policy.batch.unit == "instances" and 100 * instances < least * fleet:
        return f"{policy.batch.unit}: {said}; {policy.strategy} moves at least {least} % at once."
    return None
