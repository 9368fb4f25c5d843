"""What UpdateEndpoint is sent for each strategy, checked against botocore's own shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from infra.release.policy import BatchSize, ReleasePolicy, rollback_alarms

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
    report = ParamValidator().validate(policy.deployment_config(alarms), shape)
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
    assert policy.deployment_config([]) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": policy.termination_wait_seconds,
            "MaximumExecutionTimeoutInSeconds": 3600,
        }
    }


def test_rolling_has_a_policy_of_its_own() -> None:
    assert POLICIES[3].deployment_config([]) == {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": CAPACITY,
            "WaitIntervalInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": 7200,
            "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        }
    }


def test_alarms_roll_back_and_without_them_nothing_is_sent() -> None:
    assert POLICIES[1].deployment_config(["a"])["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "a"}]}
    assert "AutoRollbackConfiguration" not in POLICIES[1].deployment_config([])


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.strategy)
def test_a_policy_is_read_from_the_state_though_pulumi_makes_numbers_floats(policy: ReleasePolicy) -> None:
    stored = json.loads(json.dumps(policy.fields), parse_int=float)
    assert ReleasePolicy.of(stored) == policy
    assert type(ReleasePolicy.of(stored).timeout_seconds) is int, "botocore accepts no float for an integer"


@pytest.mark.parametrize(("percent", "fleet", "instances"), [(10, 2, 1), (10, 10, 1), (10, 11, 2), (50, 3, 2)])
def test_a_percentage_is_rounded_up_to_whole_instances(percent: int, fleet: int, instances: int) -> None:
    assert BatchSize("percent", percent).of(fleet) == instances


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.strategy)
def test_a_policy_is_read_back_from_what_sagemaker_was_sent(policy: ReleasePolicy) -> None:
    sent = policy.deployment_config(["a", "b"])
    assert ReleasePolicy.of_deployment(sent) == policy
    assert rollback_alarms(sent) == ["a", "b"]


def test_without_a_policy_sagemaker_moves_all_at_once() -> None:
    assert ReleasePolicy.of_deployment({}) == ReleasePolicy("allAtOnce")
    assert rollback_alarms({}) == []
