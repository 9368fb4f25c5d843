"""The concurrency of serverless endpoints: provisioned, changed, scaled, and limited for the account."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Host, eventually
from tests.sandbox.scripted_server import ScriptedServer
from tests.sandbox.test_sagemaker import refusal
from tests.sandbox.test_serverless import SMALL, counts, invoke, metrics, serverless


def test_provisioned_concurrency_stays_warm(scripted_host: Host) -> None:
    host = scripted_host
    host.aws.impose(serverlessIdleSeconds=0.0)
    name = host.endpoint(serverless(host, {"ANSWER": "yes"}, ProvisionedConcurrency=1))
    assert invoke(host, name) == b"yes"
    time.sleep(0.3)
    assert counts(host, name) == (1, 0)
    published = metrics(host, name)
    assert "ModelSetupTime" not in published
    assert published["ServerlessProvisionedConcurrencyUtilization"] == [1.0]
    assert published["ServerlessProvisionedConcurrencyInvocations"] == [1.0]
    assert published["ServerlessProvisionedConcurrencySpilloverInvocations"] == [0.0]


def scale(host: Host, endpoint: str, **change: Any) -> None:
    host.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", **change}]
    )


def test_live_concurrency_changes_without_a_new_configuration(scripted_host: Host) -> None:
    """API_ProductionVariantServerlessUpdateConfig."""
    host = scripted_host
    config = serverless(host, {"ANSWER": "yes"})
    name = host.endpoint(config)
    scale(host, name, ServerlessUpdateConfig={"MaxConcurrency": 5, "ProvisionedConcurrency": 4})
    described = host.wait(name, "InService")
    (live,) = described["ProductionVariants"]
    assert live["CurrentServerlessConfig"] == {**SMALL, "MaxConcurrency": 5, "ProvisionedConcurrency": 4}
    assert described["EndpointConfigName"] == config
    assert counts(host, name) == (2, 1)  # it is warm without a request
    stored = host.sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
    assert stored["ServerlessConfig"] == SMALL


CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"


def register(host: Host, endpoint: str, dimension: str = CONCURRENCY, low: int = 1, high: int = 2) -> None:
    host.aws.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
        ScalableDimension=dimension,
        MinCapacity=low,
        MaxCapacity=high,
    )


def put_policy(host: Host, endpoint: str, metric: str) -> dict[str, Any]:
    put: dict[str, Any] = host.aws.client("application-autoscaling").put_scaling_policy(
        PolicyName="policy",
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
        ScalableDimension=CONCURRENCY,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 0.5,
            "ScaleOutCooldown": 0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
        },
    )
    return put


def test_provisioned_concurrency_is_a_scalable_target(host: Host) -> None:
    """Developer guide, serverless-endpoints-autoscale; that the limits of both go together is inferred."""
    provisioned = host.endpoint(serverless(host, ProvisionedConcurrency=1))
    register(host, provisioned)
    assert "ProvisionedConcurrency" in refusal(register, host, host.endpoint(serverless(host)))
    assert "is serverless" in refusal(register, host, provisioned, "sagemaker:variant:DesiredInstanceCount")
    assert "has instances" in refusal(register, host, host.endpoint())
    assert "MinCapacity must be at least 1" in refusal(register, host, provisioned, low=0)
    assert "MaxCapacity at most 2" in refusal(register, host, provisioned, high=3)
    only = "only supports the following predefined metric types: SageMakerVariantProvisionedConcurrencyUtilization"
    assert only in refusal(put_policy, host, provisioned, "SageMakerVariantInvocationsPerInstance")


def test_target_tracking_scales_provisioned_concurrency(scripted_host: Host) -> None:
    host = scripted_host
    host.aws.impose(timeFactor=600)
    name = host.endpoint(serverless(host, {"ANSWER": "yes"}, ProvisionedConcurrency=1))
    register(host, name)
    assert len(put_policy(host, name, "SageMakerVariantProvisionedConcurrencyUtilization")["Alarms"]) == 2

    def is_scaled() -> bool:
        invoke(host, name)
        live = host.describe(name)["ProductionVariants"][0]["CurrentServerlessConfig"]
        return bool(live["ProvisionedConcurrency"] == 2)

    eventually(is_scaled)


def test_provisioned_concurrency_that_does_not_start_is_taken_back(
    scripted_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = scripted_host
    name = host.endpoint(serverless(host))
    monkeypatch.setattr(ScriptedServer, "exited", 1)
    monkeypatch.setattr(ScriptedServer, "ping", lambda server: False)
    scale(host, name, ServerlessUpdateConfig={"ProvisionedConcurrency": 1})
    described = host.wait(name, "InService")
    assert "is not available" in described["FailureReason"]
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"] == SMALL


def test_a_change_of_capacity_is_for_its_kind_of_variant(host: Host) -> None:
    name = host.endpoint(serverless(host))
    update = {"MaxConcurrency": 2, "ProvisionedConcurrency": 3}
    assert "at most MaxConcurrency 2" in refusal(scale, host, name, ServerlessUpdateConfig=update)
    assert "does not accept DesiredInstanceCount" in refusal(scale, host, name, DesiredInstanceCount=2)
    assert "does not accept ServerlessUpdateConfig" in refusal(
        scale, host, host.endpoint(), ServerlessUpdateConfig=update
    )


def test_serverless_endpoints_share_the_concurrency_of_the_account(host: Host) -> None:
    """Developer guide, serverless-endpoints, "Concurrent invocations": 1000 in ap-northeast-1."""
    created = []
    with pytest.raises(ClientError) as refused:
        for _ in range(6):
            created.append(host.endpoint(serverless(host, MaxConcurrency=200)))
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert created, "one at least"
    host.update(created[0], serverless(host, MaxConcurrency=199))  # its own counts no longer
    for name in created:
        host.sagemaker.delete_endpoint(EndpointName=name)
        host.wait_until_gone(name)
