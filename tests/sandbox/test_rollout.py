"""The steps in which a policy moves traffic, in whole instances (TrafficRoutingConfig, RollingUpdatePolicy)."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.aws.rollout import Rollout
from tests.sandbox.test_deployment import blue_green, instances, percent


def rolling(batch: dict[str, Any], rollback: dict[str, Any] | None = None) -> dict[str, Any]:
    policy = {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 0}
    return {"RollingUpdatePolicy": {**policy, **({"RollbackMaximumBatchSize": rollback} if rollback else {})}}


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        (None, [10]),
        (blue_green("ALL_AT_ONCE"), [10]),
        (blue_green("CANARY", CanarySize=percent(25)), [3, 10]),
        (blue_green("CANARY", CanarySize=instances(1)), [1, 10]),
        (blue_green("LINEAR", LinearStepSize=percent(33)), [4, 7, 10]),
        (blue_green("LINEAR", LinearStepSize=instances(4)), [4, 8, 10]),
        (rolling(percent(50)), [5, 10]),
        (rolling(instances(3)), [3, 6, 9, 10]),
    ],
)
def test_the_steps_of_each_policy(policy: dict[str, Any] | None, steps: list[int]) -> None:
    assert [step["A"] for step in Rollout.of(policy).steps({"A": 10})] == steps


def test_variants_of_different_sizes_take_the_same_steps() -> None:
    rollout = Rollout.of(blue_green("LINEAR", LinearStepSize=percent(25)))
    assert list(rollout.steps({"A": 2, "B": 8})) == [
        {"A": 1, "B": 2},
        {"A": 1, "B": 4},
        {"A": 2, "B": 6},
        {"A": 2, "B": 8},
    ]


def test_a_rollback_is_at_once_unless_its_batches_have_a_size() -> None:
    """RollbackMaximumBatchSize: "If this field is absent, the default value will be set to 100% of total capacity"."""
    assert list(Rollout.of(rolling(instances(1))).rollback_steps({"A": 3})) == [{"A": 3}]
    assert list(Rollout.of(rolling(instances(1), instances(2))).rollback_steps({"A": 3})) == [{"A": 2}, {"A": 3}]
