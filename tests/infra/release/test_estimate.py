"""Steps, minutes and step sizes of a release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.release import estimate
from infra.release.estimate import Duration, Steps
from infra.release.policy import BatchSize, ReleasePolicy, Strategy

START = Duration(100, 400)
BATCHES = st.builds(BatchSize, st.sampled_from(["percent", "instances"]), st.integers(5, 50))
POLICIES = st.builds(
    ReleasePolicy,
    strategy=st.sampled_from(["canary", "linear", "rolling"]),
    wait_seconds=st.integers(0, 3600),
    batch=BATCHES,
    rollback_percent=st.integers(5, 100),
    termination_wait_seconds=st.integers(0, 3600),
    timeout_seconds=st.integers(600, 28800),
)
FLEETS = st.integers(1, 200)


def policy(strategy: Strategy, size: str = "", wait: int = 300, **changes: int) -> ReleasePolicy:
    batch = None
    if size:
        batch = BatchSize("percent", int(size[:-1])) if size.endswith("%") else BatchSize("instances", int(size))
    return ReleasePolicy(strategy, wait, batch, **changes)


@pytest.mark.parametrize(
    ("of", "fleet", "steps"),
    [
        (policy("allAtOnce"), 10, (1, 1)),
        (policy("canary", "10%"), 10, (2, 2)),
        (policy("canary", "1"), 2, (2, 2)),
        (policy("linear", "20%"), 10, (5, 5)),
        (policy("linear", "30%"), 10, (4, 4)),
        (policy("linear", "10%"), 2, (2, 10)),
        (policy("linear", "10%"), 15, (8, 10)),
        (policy("rolling", "3"), 10, (4, 4)),
    ],
)
def test_steps(of: ReleasePolicy, fleet: int, steps: tuple[int, int]) -> None:
    assert estimate.steps(of, fleet) == Steps(*steps)


def test_a_canary_waits_twice_and_starts_its_instances_once() -> None:
    canary = policy("canary", "50%", wait=600, termination_wait_seconds=30)
    assert estimate.rollout(canary, 2, START) == Duration(100 + 2 * 600 + 30, 400 + 2 * 660 + 30)


def test_rolling_starts_instances_for_each_batch() -> None:
    assert estimate.rollout(policy("rolling", "1"), 4, START) == Duration(4 * 400, 4 * (400 + 360))


def test_the_estimate_spans_every_fleet_size() -> None:
    each = policy("linear", "1", wait=60)
    assert estimate.rollouts(each, range(2, 11), START) == Duration(
        estimate.rollout(each, 2, START).minimum, estimate.rollout(each, 10, START).maximum
    )


def test_minutes_are_rounded_up_and_said_once_when_they_are_the_same() -> None:
    assert str(Duration(61, 300)) == "2 to 5 minutes"
    assert str(Duration(61, 120)) == "2 minutes"


def test_the_deadline_is_sagemakers_own_and_rollings_rollback() -> None:
    settling = estimate.SETTLING_SECONDS
    assert estimate.deadline_seconds(policy("canary", "10%", timeout_seconds=3600), START) == 3600 + settling
    rolling = policy("rolling", "10%", wait=60, rollback_percent=50, timeout_seconds=3600)
    assert estimate.deadline_seconds(rolling, START) == 3600 + 2 * (400 + 60 + 60) + settling


def test_the_share_of_the_traffic_follows_the_steps() -> None:
    canary, linear = policy("canary", "10%"), policy("linear", "30%")
    assert [estimate.shifted_percent(canary, 10, step) for step in (0, 1, 2)] == [0, 10, 100]
    assert [estimate.shifted_percent(linear, 10, step) for step in (1, 2, 3, 4)] == [30, 60, 90, 100]
    assert estimate.shifted_percent(policy("allAtOnce"), 3, 1) == 100
    assert estimate.shifted_percent(policy("linear", "10%"), 2, 1) is None, "it depends on how AWS rounds"


@pytest.mark.parametrize(
    ("of", "fleet", "words"),
    [
        (policy("canary", "10%"), 1, "percent: 10 % is 1 of 1 instance = 100 %; canary accepts at most 50 %."),
        (policy("canary", "50%"), 3, "percent: 50 % is 2 of 3 instances = 67 %; canary accepts at most 50 %."),
        (policy("canary", "2"), 3, "instances: 2 of 3 instances = 67 %; canary accepts at most 50 %."),
        (policy("linear", "1"), 11, "instances: 1 of 11 instances = 9 %; linear accepts at least 10 %."),
        (policy("rolling", "1"), 21, "instances: 1 of 21 instances = 5 %; rolling accepts at least 5 %."),
    ],
)
def test_a_step_that_sagemaker_refuses_is_said_in_whole_instances(of: ReleasePolicy, fleet: int, words: str) -> None:
    assert estimate.batch_problem(of, fleet) == words


@pytest.mark.parametrize(
    ("of", "fleet"),
    [
        (policy("allAtOnce"), 1),
        (policy("canary", "10%"), 2),
        (policy("canary", "50%"), 4),
        (policy("linear", "10%"), 15),
        (policy("linear", "1"), 10),
        (policy("rolling", "5%"), 2),
        (policy("rolling", "1"), 20),
    ],
)
def test_a_step_within_awss_range_is_no_problem(of: ReleasePolicy, fleet: int) -> None:
    assert estimate.batch_problem(of, fleet) is None


@given(POLICIES, FLEETS)
def test_all_traffic_has_moved_after_the_last_step_and_never_moves_back(of: ReleasePolicy, fleet: int) -> None:
    count = estimate.steps(of, fleet)
    shares = [estimate.shifted_percent(of, fleet, step) for step in range(count.most + 1)]
    if count.fewest == count.most:
        known = [share for share in shares if share is not None]
        assert (known[0], known[-1]) == (0, 100)
        assert known == sorted(known)
    else:
        assert set(shares) == {None}


@given(POLICIES, FLEETS)
def test_a_step_is_no_problem_only_if_it_moves_at_most_half(of: ReleasePolicy, fleet: int) -> None:
    assert of.batch is not None
    if estimate.batch_problem(of, fleet) is None:
        assert 1 <= of.batch.of(fleet) <= fleet / 2


@given(POLICIES, FLEETS)
def test_a_release_takes_at_least_its_waits_and_the_worst_is_no_better_than_the_best(
    of: ReleasePolicy, fleet: int
) -> None:
    duration = estimate.rollout(of, fleet, START)
    waits = estimate.steps(of, fleet).fewest * of.wait_seconds + of.termination_wait_seconds
    assert waits + START.minimum <= duration.minimum <= duration.maximum


@given(POLICIES)
def test_the_deadline_leaves_sagemaker_its_own(of: ReleasePolicy) -> None:
    assert estimate.deadline_seconds(of, START) > of.timeout_seconds
