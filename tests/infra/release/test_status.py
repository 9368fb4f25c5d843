"""What is shown of a release, from what SageMaker and CloudWatch say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.release import estimate
from infra.release.alarms import AlarmReading
from infra.release.estimate import Duration
from infra.release.live import EndpointDescription
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.progress import CurrentStep
from infra.release.records import ReleaseRecord, Result
from infra.release.status import (
    EXIT_CODES,
    STEP_UNKNOWN,
    Observation,
    ReleaseStatus,
    policy_in_progress,
    status,
    verdict,
)
from tests.infra.release.fake_aws import ARN, CREATING, FAILED, OLD, ROLLING_BACK

BEGAN = 10_020.0
"""A full minute."""
START = Duration(120, 600)
CANARY = ReleasePolicy("canary", wait_seconds=600, batch=BatchSize("percent", 25))
LINEAR = ReleasePolicy("linear", wait_seconds=300, batch=BatchSize("percent", 25), termination_wait_seconds=60)
ROLLING = ReleasePolicy("rolling", wait_seconds=300, batch=BatchSize("instances", 1))
IN_TWOS = ReleasePolicy("rolling", wait_seconds=300, batch=BatchSize("instances", 2))
ALL_AT_ONCE = ReleasePolicy("allAtOnce", wait_seconds=300)


def fleet(*stages: str, since: float | None = None, current: int = 4) -> dict[str, Any]:
    start = {"StartTime": datetime.fromtimestamp(since, UTC)} if since is not None else {}
    counts = {"CurrentInstanceCount": current, "DesiredInstanceCount": 4}
    return {"VariantName": "AllTraffic", **counts, "VariantStatus": [{"Status": stage, **start} for stage in stages]}


def described(**answer: Any) -> EndpointDescription:
    return EndpointDescription.of({"EndpointName": "e", "EndpointArn": ARN, **answer})


def rolling_out(*stages: str, since: float | None = None, current: int = 4, old: str = "") -> EndpointDescription:
    """While the new fleet is in a stage; in service are four instances of the old one."""
    return described(
        EndpointStatus="Updating",
        EndpointConfigName="old",
        ProductionVariants=[fleet(*filter(None, [old]))],
        PendingDeploymentSummary={
            "EndpointConfigName": "new",
            "ProductionVariants": [fleet(*stages, since=since, current=current)],
            "StartTime": datetime.fromtimestamp(BEGAN, UTC),
        },
    )


def shown(
    *looks: EndpointDescription,
    policy: ReleasePolicy = CANARY,
    requests: int = 0,
    now: float = BEGAN,
    record: ReleaseRecord | None = None,
    alarms: tuple[AlarmReading, ...] = (),
) -> ReleaseStatus:
    """What is shown at the last of these looks."""
    step = CurrentStep()
    for endpoint in looks:
        step.observe(endpoint, policy)
    return status(Observation(looks[-1], alarms, {"new": requests}, record, now), step, policy, START)


def record(result: Result = "succeeded", from_config: str | None = "older", to_config: str = "old") -> ReleaseRecord:
    return ReleaseRecord("e", result, from_config, to_config, 0.0, 60.0, "arn:ci", "canary", reason="alarm fired")


CREATING_NEW = rolling_out("Creating", current=0)


@pytest.mark.parametrize(
    ("policy", "looks", "name", "number", "of"),
    [
        (CANARY, [CREATING_NEW], "Creating", 1, 4),
        (CANARY, [CREATING_NEW, rolling_out("ActivatingTraffic")], "ActivatingTraffic canary 1 of 2", 2, 4),
        (CANARY, [CREATING_NEW, rolling_out("Baking", since=1)], "Baking canary 1 of 2", 2, 4),
        (
            CANARY,
            [CREATING_NEW, rolling_out("Baking", since=1), rolling_out("ActivatingTraffic")],
            "ActivatingTraffic canary 2 of 2",
            3,
            4,
        ),
        (
            CANARY,
            [CREATING_NEW, *(rolling_out("Baking", since=since) for since in (1, 1, 2))],
            "Baking canary 2 of 2",
            3,
            4,
        ),
        (LINEAR, [CREATING_NEW, rolling_out("Baking", since=1)], "Baking linear 1 of 4", 2, 6),
        (CANARY, [CREATING_NEW, rolling_out(old="Deleting")], "Terminating the old fleet", 4, 4),
        (ALL_AT_ONCE, [rolling_out("Baking", since=1)], "Baking allAtOnce 1 of 1", 2, 3),
        (ROLLING, [rolling_out("Creating", current=0)], "Creating rolling 1 of 4", 1, 4),
        (ROLLING, [rolling_out("Creating", current=2)], "Creating rolling 3 of 4", 3, 4),
        (IN_TWOS, [rolling_out("Creating", current=1)], "Creating rolling 1 of 2", 1, 2),
        (ROLLING, [rolling_out("ActivatingTraffic", current=3)], "ActivatingTraffic rolling 3 of 4", 3, 4),
        (ROLLING, [rolling_out("Baking", since=1, current=3)], "Baking rolling 3 of 4", 3, 4),
        (CANARY, [rolling_out("Baking", since=1)], f"Baking canary; {STEP_UNKNOWN}", None, 4),
        (CANARY, [rolling_out()], "Updating", None, 4),
        (CANARY, [described(**CREATING)], "Creating", 1, 1),
        (CANARY, [described(**ROLLING_BACK)], "RollingBack", None, None),
    ],
)
def test_the_stage_is_named_and_numbered_as_far_as_it_is_known(
    policy: ReleasePolicy, looks: list[EndpointDescription], name: str, number: int | None, of: int | None
) -> None:
    stage = shown(*looks, policy=policy).stage
    assert stage is not None
    assert (stage.name, stage.number, stage.of) == (name, number, of)


def test_a_watch_that_begins_during_a_bake_does_not_guess_step_or_share() -> None:
    late = shown(rolling_out("Baking", since=BEGAN))
    assert [fleet.traffic_percent for fleet in late.fleets] == [None, None]
    assert late.line == f"Progressing (Updating); Baking, canary; {STEP_UNKNOWN}; 4 of 4 new instances"


def test_both_fleets_are_shown_with_their_share_of_traffic_and_requests() -> None:
    old, new = shown(CREATING_NEW, rolling_out("Baking", since=BEGAN), requests=10).fleets
    assert (old.configuration, old.role, old.current_instances, old.traffic_percent) == ("old", "old", 4, 75)
    assert (new.configuration, new.role, new.traffic_percent, new.recent_requests) == ("new", "new", 25, 10)


def test_a_batch_has_its_share_of_traffic_once_it_is_activated() -> None:
    for stage, share in (("ActivatingTraffic", 50), ("Baking", 75)):
        assert shown(rolling_out(stage, since=BEGAN, current=3), policy=ROLLING).fleets[1].traffic_percent == share


def test_an_endpoint_at_rest_has_one_fleet() -> None:
    rest = shown(described(**{**OLD, "ProductionVariants": [fleet()]}))
    (live,) = rest.fleets
    assert (rest.stage, live.role, live.configuration, live.desired_instances) == (None, "live", "old", 4)
    assert live.traffic_percent == 100


def test_a_first_creation_has_a_new_fleet_only() -> None:
    creating = shown(described(**CREATING))
    assert ([fleet.role for fleet in creating.fleets], creating.status) == (["new"], "Progressing")


def test_time_left_counts_from_the_present_bake() -> None:
    current = shown(CREATING_NEW, rolling_out("Baking", since=BEGAN + 300), now=BEGAN + 400)
    assert current.elapsed_seconds == 400
    assert current.seconds_left == Duration(500 + 600, 500 + 660)


POLICIES = st.sampled_from([CANARY, LINEAR, ROLLING, ALL_AT_ONCE])


@given(
    policy=POLICIES,
    elapsed=st.integers(-60, 10_000),
    stages=st.sampled_from([[], ["Creating"], ["Baking"], ["ActivatingTraffic"]]),
    seen=st.booleans(),
)
def test_what_is_left_is_never_more_than_sagemaker_takes(
    policy: ReleasePolicy, elapsed: int, stages: list[str], seen: bool
) -> None:
    last = rolling_out(*stages, since=BEGAN)
    current = shown(*([CREATING_NEW] if seen else []), last, policy=policy, now=BEGAN + elapsed)
    assert current.seconds_left is not None and current.elapsed_seconds is not None
    assert 0 <= current.seconds_left.minimum <= current.seconds_left.maximum
    assert current.seconds_left.maximum <= max(0, policy.timeout_seconds - max(0, elapsed))


@given(policy=POLICIES, fleet=st.integers(1, 40), waited=st.floats(0, 10_000))
def test_what_remains_after_the_first_step_is_less_than_the_whole_release(
    policy: ReleasePolicy, fleet: int, waited: float
) -> None:
    remaining, total = estimate.remaining(policy, fleet, START, 1, waited), estimate.rollout(policy, fleet, START)
    assert remaining.minimum <= total.minimum and remaining.maximum <= total.maximum
    assert remaining.minimum >= policy.termination_wait_seconds


LIVE = described(**OLD)
BEFORE, AFTER = datetime.fromtimestamp(60, UTC), datetime.fromtimestamp(61, UTC)
"""The end of what is on record, and a second later."""
REVERTED = described(**OLD, FailureReason="ping failed")


@pytest.mark.parametrize(
    ("endpoint", "last", "health", "words"),
    [
        (LIVE, None, "Healthy", "old is live; no release of it is on record"),
        (LIVE, record(), "Healthy", "its release succeeded"),
        (REVERTED, None, "Degraded", "the last change failed; old is live: ping failed"),
        (LIVE, record("rolledBack", "old", "new"), "Degraded", "new was rolled back; old is live: alarm fired"),
        (LIVE, record("failed"), "Degraded", "the release of old failed; old is live"),
        (LIVE, record("timedOut", "old", "new"), "Degraded", "new did not end in time"),
        (LIVE, record("timedOut"), "Healthy", "its release succeeded"),
        (LIVE, record("rolledBack", "a", "b"), "Healthy", "no release of it is on record"),
        (described(**OLD, FailureReason="x", LastModifiedTime=BEFORE), record(), "Healthy", "its release succeeded"),
        (described(**OLD, FailureReason="x", LastModifiedTime=AFTER), record(), "Degraded", "the last change failed"),
        (described(**OLD, LastModifiedTime=AFTER), record(), "Healthy", "its release succeeded"),
        (described(**FAILED), record(), "Degraded", "does not answer (Failed): ping failed"),
        (described(**{**OLD, "EndpointStatus": "UpdateRollbackFailed"}), record(), "Degraded", "old and new instances"),
        (described(**{**OLD, "EndpointStatus": "OutOfService"}), record(), "Degraded", "OutOfService"),
        (described(**ROLLING_BACK), None, "Degraded", "rolled back to old: ping failed"),
        (rolling_out("Baking"), record(), "Progressing", "new is being released; old is live"),
        (described(**{**OLD, "EndpointStatus": "Updating"}), None, "Progressing", "the instances of old"),
        (described(**{**OLD, "EndpointStatus": "SystemUpdating"}), None, "Progressing", "SageMaker updates old"),
    ],
)
def test_the_verdict(endpoint: EndpointDescription, last: ReleaseRecord | None, health: str, words: str) -> None:
    current, message = verdict(endpoint, last)
    assert (current, words in message) == (health, True), message


def test_a_rollback_that_was_watched_is_known_before_it_is_on_record() -> None:
    assert verdict(LIVE, record(), attempted="new") == ("Degraded", "the release of new did not succeed; old is live")
    assert verdict(LIVE, record(), attempted="old")[0] == "Healthy"
    on_record = verdict(LIVE, record("rolledBack", "old", "new"), attempted="new")
    assert on_record == ("Degraded", "the release of new was rolled back; old is live: alarm fired")


@given(
    result=st.sampled_from(get_args(Result)),
    configs=st.tuples(*[st.sampled_from(["old", "new", "other"])] * 2),
    reason=st.sampled_from(["", "ping failed"]),
)
def test_an_endpoint_in_service_is_never_in_progress(result: Result, configs: tuple[str, str], reason: str) -> None:
    endpoint = described(**OLD, FailureReason=reason)
    assert EXIT_CODES[verdict(endpoint, record(result, *configs))[0]] in (0, 1)


def test_exit_codes_tell_served_failed_and_under_way_apart() -> None:
    assert shown(LIVE).exit_code == 0
    assert shown(LIVE, record=record("rolledBack", "old", "new")).exit_code == 1
    assert shown(CREATING_NEW).exit_code == 3


def test_the_policy_is_sagemakers_where_its_alarms_show_that_it_is_of_this_rollout() -> None:
    answer = {"EndpointStatus": "Updating", "EndpointConfigName": "old"}
    pending = {"PendingDeploymentSummary": {"EndpointConfigName": "new"}}
    this = described(**answer, **pending, LastDeploymentConfig=LINEAR.deployment_config(["pager", "new-stop"]))
    before = described(**answer, **pending, LastDeploymentConfig=LINEAR.deployment_config(["pager", "old-stop"]))
    assert policy_in_progress(this, CANARY) == LINEAR
    assert policy_in_progress(before, CANARY) == CANARY


def test_the_line_changes_when_something_happens_and_not_with_time() -> None:
    bake = rolling_out("Baking", since=BEGAN)
    lines = {shown(CREATING_NEW, bake, now=BEGAN + passed).line for passed in (0, 60, 120)}
    assert lines == {"Progressing (Updating); Baking, canary 1 of 2; 4 of 4 new instances with 25 % of the traffic"}
    fired = AlarmReading("new-error-rate", "ALARM", "")
    assert shown(CREATING_NEW, bake, alarms=(fired,)).line.endswith("; alarm new-error-rate fires")


def test_facts_are_json_with_camel_case_keys() -> None:
    reading = AlarmReading("new-error-rate", "OK", "fine", "errors", ">", 5.0, 1.5)
    facts = shown(CREATING_NEW, rolling_out("Baking", since=BEGAN), alarms=(reading,)).facts()
    assert facts["stage"] == {"name": "Baking canary 1 of 2", "number": 2, "of": 4}
    assert facts["policy"]["batch"] == {"unit": "percent", "value": 25}
    assert [fleet["role"] for fleet in facts["fleets"]] == ["old", "new"]
    assert facts["alarms"][0]["threshold"] == 5.0
    assert shown(LIVE, record=record()).facts()["lastRelease"]["toConfig"] == "old"
    assert json.loads(json.dumps(facts)) == facts
