"""How long a release takes, in how many steps, and which step sizes a fleet allows. Times are in seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from infra.release.policy import BATCH_PERCENT, ReleasePolicy

INSTANCE_START_SECONDS = (120, 600)
"""Starting instances and pulling the image, at best and at worst. AWS documents neither; the range is wider than what
people report."""

SERVERLESS_START_SECONDS = 180
"""Until a serverless container answers `/ping`, with the download of the artifact, at worst (SageMaker guide, Invoke a
serverless endpoint)."""

SHIFT_SECONDS = (0, 60)
"""Moving traffic to the instances of one step."""

SETTLING_SECONDS = 300
"""How long after its own deadline SageMaker may take to report the result."""


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
    """Until new instances answer `/ping`: their start, and at most the artifact's download and the model's load."""
    start, slow_start = INSTANCE_START_SECONDS
    return Duration(start, slow_start + download_seconds + health_check_seconds)


@dataclass(frozen=True)
class Steps:
    """How many times traffic moves: AWS does not document whether it rounds each step of a percentage, or their sum."""

    fewest: int
    most: int


def steps(policy: ReleasePolicy, fleet: int) -> Steps:
    """How many times traffic moves to a new fleet of `fleet` instances."""
    if policy.batch is None:
        return Steps(1, 1)
    if policy.strategy == "canary":
        return Steps(2, 2)
    fewest = math.ceil(fleet / policy.batch.of(fleet))
    return Steps(fewest, math.ceil(100 / policy.batch.value) if policy.batch.unit == "percent" else fewest)


def shifted_percent(policy: ReleasePolicy, fleet: int, step: int) -> int | None:
    """The new fleet's share of the traffic after `step` steps; None if it depends on how AWS rounds."""
    count = steps(policy, fleet)
    if count.fewest != count.most:
        return None
    if policy.batch is None or step >= count.most:
        return 100 if step else 0
    return min(100, step * policy.batch.of(fleet) * 100 // fleet)


def rollout(policy: ReleasePolicy, fleet: int, provisioning: Duration) -> Duration:
    """A release of `fleet` instances from the request to its end. A rolling update starts the instances of each batch
    when its turn has come; the other strategies start all of them first."""
    count, step_duration = steps(policy, fleet), _step_duration(policy, provisioning)
    once = Duration(policy.termination_wait_seconds, policy.termination_wait_seconds)
    if policy.strategy != "rolling":
        once += provisioning
    return once + Duration(step_duration.minimum * count.fewest, step_duration.maximum * count.most)


def remaining(policy: ReleasePolicy, fleet: int, provisioning: Duration, step: int, waited: float) -> Duration:
    """The rest of a release that has waited for `waited` seconds after step `step`, counted from 1."""
    count, step_duration = steps(policy, fleet), _step_duration(policy, provisioning)
    left = policy.termination_wait_seconds + max(0, policy.wait_seconds - int(waited))
    fewest, most = max(0, count.fewest - step), max(0, count.most - step)
    return Duration(left + step_duration.minimum * fewest, left + step_duration.maximum * most)


def _step_duration(policy: ReleasePolicy, provisioning: Duration) -> Duration:
    shift = Duration(*SHIFT_SECONDS) + Duration(policy.wait_seconds, policy.wait_seconds)
    return shift + provisioning if policy.strategy == "rolling" else shift


def rollouts(policy: ReleasePolicy, fleets: Iterable[int], provisioning: Duration) -> Duration:
    """A release of a fleet whose size is one of `fleets`: the shortest minimum and the longest maximum."""
    durations = [rollout(policy, fleet, provisioning) for fleet in fleets]
    return Duration(min(one.minimum for one in durations), max(one.maximum for one in durations))


def deadline_seconds(policy: ReleasePolicy, provisioning: Duration) -> int:
    """How long to wait for the end: SageMaker's own deadline, and the rollback that follows it.

    A blue/green rollback returns to a fleet that still runs. A rolling one starts the old instances again, in batches.
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
    unit, instances = policy.batch.unit, policy.batch.of(fleet)
    share = f"{instances} of {fleet} instance{'' if fleet == 1 else 's'} = {100 * instances / fleet:.0f} %"
    size = f"{policy.batch} is {share}" if unit == "percent" else share
    if 100 * instances > most * fleet:
        return f"{unit}: {size}; {policy.strategy} accepts at most {most} %."
    # a percentage is compared as given, before it is rounded to instances; for a canary there is only a maximum
    if unit == "instances" and policy.strategy != "canary" and 100 * instances < least * fleet:
        return f"{unit}: {size}; {policy.strategy} accepts at least {least} %."
    return None
