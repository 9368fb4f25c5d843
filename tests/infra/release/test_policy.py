"""What UpdateEndpoint is sent for each strategy, checked against botocore's own shapes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from infra.release.policy import BatchSize, ReleasePolicy, deployment_config, policy_of, rollback_alarms

CAPACITY = {"Type": "CAPACITY_PERCENT", "Value": 10}
POLICIES = [
    ReleasePolicy("allAtOnce", wait_seconds=60),
    ReleasePolicy("canary", 600, BatchSize("percent", 10)),
    ReleasePolicy("linear", 300, BatchSize("instances", 2), termination_wait_seconds=30),
    ReleasePolicy("rolling", 120, BatchSize("percent", 10), rollback_percent=50, timeout_seconds=7200),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.strategy)
@pytest.mark.parametrize("alarms", [[], ["a", "b"]])
def test_every_deployment_config_is_of_awss_shape(policy: ReleasePolicy, alarms: list[str]) -> None:
    shape = ServiceModel(Loader().load_service_model("sagemaker", "service-2")).shape_for("DeploymentConfig")
    report = ParamValidator().validate(deployment_config(policy, alarms), shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize(
    ("policy", "routing"),
    [
        (POLICIES[0], {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}),
        (POLICIES[1], {"Type": "CANARY", "WaitIntervalInSeconds": 600, "CanarySize": CAPACITY}),
        (
            POLICIES[2],
            {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 300,
                "LinearStepSize": {"Type": "INSTANCE_COUNT", "Value": 2},
            },
        ),
    ],
    ids=["allAtOnce", "canary", "linear"],
)
def test_blue_green_strategies_route_traffic(policy: ReleasePolicy, routing: dict[str, Any]) -> None:
    assert deployment_config(policy, []) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": policy.termination_wait_seconds,
            "MaximumExecutionTimeoutInSeconds": 3600,
        }
    }


def test_rolling_has_a_policy_of_its_own() -> None:
    assert deployment_config(POLICIES[3], []) == {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": CAPACITY,
            "WaitIntervalInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": 7200,
            "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        }
    }


def test_alarms_roll_back_and_without_them_nothing_is_sent() -> None:
    assert deployment_config(POLICIES[1], ["a"])["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "a"}]}
    assert "AutoRollbackConfiguration" not in deployment_config(POLICIES[1], [])


def test_a_policy_is_read_from_the_settings_keys_though_pulumi_makes_numbers_floats() -> None:
    release = {
        "strategy": "rolling",
        "percent": 10.0,
        "intervalSeconds": 120.0,
        "rollbackPercent": 50.0,
        "timeoutSeconds": 7200.0,
    }
    assert ReleasePolicy.of(release) == POLICIES[3]
    assert type(ReleasePolicy.of(release).timeout_seconds) is int, "botocore takes no float for an integer"
    canary = {
        "strategy": "canary",
        "instances": 1,
        "bakeSeconds": 60,
        "terminationWaitSeconds": 5,
        "timeoutSeconds": 600,
    }
    assert ReleasePolicy.of(canary) == ReleasePolicy("canary", 60, BatchSize("instances", 1), 100, 5, 600)


@pytest.mark.parametrize(("percent", "fleet", "instances"), [(10, 2, 1), (10, 10, 1), (10, 11, 2), (50, 3, 2)])
def test_a_percentage_is_rounded_up_to_whole_instances(percent: int, fleet: int, instances: int) -> None:
    assert BatchSize("percent", percent).of(fleet) == instances


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.strategy)
def test_a_policy_is_read_back_from_what_sagemaker_was_sent(policy: ReleasePolicy) -> None:
    sent = deployment_config(policy, ["a", "b"])
    assert policy_of(sent) == policy
    assert rollback_alarms(sent) == ["a", "b"]


def test_without_a_policy_sagemaker_moves_all_at_once() -> None:
    assert policy_of({}) == ReleasePolicy("allAtOnce")
    assert rollback_alarms({}) == []
