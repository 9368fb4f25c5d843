"""The release of an endpoint, and the alarms that watch it."""

from __future__ import annotations

from typing import Any

import pytest

from infra.release.policy import BatchSize, ReleasePolicy
from tests.infra.settings.config import assert_broken, broken, changed, endpoint, problems, warnings, with_keys

ALARM = "arn:aws:cloudwatch:us-east-1:210987654321:alarm:a"


@pytest.mark.parametrize(
    ("release", "key", "rule"),
    [
        ({"strategy": "canari", "percent": 10}, "strategy", "unknown-value"),
        ({"type": "canary", "percent": 10}, "type", "unknown-key"),
        ({"bakeSeconds": "15m"}, "bakeSeconds", "wrong-type"),
        ({"strategy": "allAtOnce", "percent": 5}, "percent", "unknown-key"),
        ({"strategy": "canary"}, "percent", "percent-or-instances"),
        ({"strategy": "linear", "percent": 10, "instances": 1}, "percent", "percent-or-instances"),
        ({"strategy": "linear", "percent": 9}, "percent", "out-of-range"),
        ({"strategy": "rolling", "percent": 10, "terminationWaitSeconds": 1}, "terminationWaitSeconds", "unknown-key"),
        ({"strategy": "canary", "instances": 2}, "instances", "step-size"),
        ({"strategy": "linear", "percent": 10, "intervalSeconds": 3600}, "timeoutSeconds", "timeout-too-short"),
    ],
)
def test_a_wrong_release_is_refused(release: dict[str, Any], key: str, rule: str) -> None:
    assert_broken("ranking.release", release, rule, f"ranking.release.{key}")


@pytest.mark.parametrize(
    ("path", "value", "at", "rule"),
    [
        ("errorRatePercent", 0, "errorRatePercent", "out-of-range"),
        ("p99ModelLatencyMilliseconds", float("inf"), "p99ModelLatencyMilliseconds", "out-of-range"),
        ("existing", "pager", "existing", "wrong-type"),
        ("existing", [" "], "existing[0]", "alarm-name"),
        ("existing", [ALARM], "existing[0]", "alarm-arn"),
        ("minimumInvocations", {"count": 1, "otherwise": "stop"}, "minimumInvocations.otherwise", "unknown-value"),
    ],
)
def test_a_wrong_alarm_is_refused(path: str, value: Any, at: str, rule: str) -> None:
    assert_broken(f"ranking.alarms.{path}", value, rule, f"ranking.alarms.{at}")


def test_alarms_are_a_mapping_with_at_most_ten_for_rollbacks() -> None:
    assert_broken("ranking.alarms", [{"errorRatePercent": 5}], "wrong-type")
    many = {"errorRatePercent": 1, "existing": [f"a{n}" for n in range(10)]}
    assert_broken("ranking.alarms", many, "too-many-rollback-alarms", "ranking.alarms.existing")


def test_a_strategy_in_the_words_of_aws_is_answered_with_ours() -> None:
    unknown, value = problems(changed("ranking.release", {"type": "CANARY", "percent": 10}))
    assert unknown.path == value.path == ("triton-sagemaker:endpoints", "ranking", "release", "type")
    assert (unknown.rule, value.rule) == ("unknown-key", "unknown-value")
    assert "canary?" in value.message


def test_a_slow_start_must_fit_the_timeout() -> None:
    at = "ranking.release.timeoutSeconds"
    assert_broken("ranking.startupHealthCheckSeconds", 3600, "timeout-shorter-than-start", at)


def test_the_step_size_must_fit_the_largest_fleet_too() -> None:
    config = with_keys(autoscaling={"min": 2, "max": 12}, release={"strategy": "linear", "instances": 1})
    assert broken(config) == [("endpoints.ranking.release.instances", "step-size")]


def test_inferentia_1_shifts_all_at_once() -> None:
    config = with_keys(instanceType="ml.inf1.xlarge", release={"strategy": "canary", "percent": 10})
    assert broken(config) == [("endpoints.ranking.release.strategy", "inf1-strategy")]


@pytest.mark.parametrize(
    ("release", "policy"),
    [
        ({"timeoutSeconds": 7200}, ReleasePolicy(timeout_seconds=7200)),
        ({"strategy": "canary", "percent": 10}, ReleasePolicy("canary", 600, BatchSize("percent", 10))),
        (
            {"strategy": "linear", "instances": 1, "intervalSeconds": 60, "terminationWaitSeconds": 30},
            ReleasePolicy("linear", 60, BatchSize("instances", 1), termination_wait_seconds=30),
        ),
        (
            {"strategy": "rolling", "percent": 50, "rollbackPercent": 25},
            ReleasePolicy("rolling", 300, BatchSize("percent", 50), rollback_percent=25),
        ),
    ],
)
def test_each_strategy_is_a_policy_of_the_release(release: dict[str, Any], policy: ReleasePolicy) -> None:
    assert endpoint(release=release).release.policy == policy


def test_the_estimate_counts_starts_waits_and_termination() -> None:
    canary = {"strategy": "canary", "percent": 10, "bakeSeconds": 600, "terminationWaitSeconds": 60}
    assert str(endpoint(release=canary).release_estimate) == "23 to 39 minutes"


@pytest.mark.parametrize(
    ("alarms", "release", "warned"),
    [
        ({}, {}, {}),
        ({}, {"strategy": "canary", "percent": 10}, {"alarms": "no-rollback-alarm"}),
        ({"existing": ["a"]}, {}, {"release.bakeSeconds": "no-time-for-alarms"}),
        (
            {"errorRatePercent": 5, "evaluationMinutes": 5},
            {"strategy": "linear", "percent": 10, "intervalSeconds": 60},
            {"alarms.evaluationMinutes": "evaluation-longer-than-bake"},
        ),
        ({"existing": ["a"]}, {"bakeSeconds": 3000}, {"release.timeoutSeconds": "timeout-may-be-too-short"}),
        ({"errorRatePercent": 5}, {"strategy": "canary", "percent": 10}, {}),
        (
            {"errorRatePercent": 5},
            {"strategy": "canary", "percent": 50},
            {"release.percent": "step-size-between-limits"},
        ),
        ({"errorRatePercent": 0.1}, {"bakeSeconds": 60}, {}),
        (
            {"errorRatePercent": 0.02, "serverErrorRatePercent": 0.09},
            {"bakeSeconds": 60},
            {
                "alarms.errorRatePercent": "error-rate-fraction",
                "alarms.serverErrorRatePercent": "server-error-rate-fraction",
            },
        ),
    ],
)
def test_probable_mistakes_are_warnings(
    alarms: dict[str, Any], release: dict[str, Any], warned: dict[str, str]
) -> None:
    shown = warnings(with_keys(alarms=alarms, release=release))
    assert {".".join(map(str, warning.path[2:])): warning.rule for warning in shown} == warned
