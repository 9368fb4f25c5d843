"""Updates of serverless endpoints: what replaces what, and what AWS refuses."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Host
from tests.sandbox.test_sagemaker import refusal
from tests.sandbox.test_serverless import counts, invoke, serverless


def test_an_update_replaces_the_model(scripted_host: Host) -> None:
    host = scripted_host
    name = host.endpoint(serverless(host, {"ANSWER": "old"}))
    assert invoke(host, name) == b"old"
    host.update(name, serverless(host, {"ANSWER": "new"}))
    assert invoke(host, name) == b"new"
    started, ended = counts(host, name)
    assert (started, ended) == (4, 3)


def test_an_update_that_fails_leaves_the_old_model(scripted_host: Host) -> None:
    host = scripted_host
    old = serverless(host, {"ANSWER": "old"})
    name = host.endpoint(old)
    host.update(name, serverless(host, {"BROKEN": "1"}))
    described = host.describe(name)
    assert described["EndpointConfigName"] == old
    assert "did not pass the ping health check" in described["FailureReason"]
    assert invoke(host, name) == b"old"


def test_instances_never_become_serverless(host: Host) -> None:
    """Developer guide, serverless-endpoints: "You cannot convert your instance-based, real-time endpoint"."""
    name = host.endpoint()
    assert refusal(host.update, name, serverless(host)).startswith("Cannot update the real-time endpoint")
    assert host.describe(name)["EndpointStatus"] == "InService"


def test_serverless_becomes_instances_and_stays_so(scripted_host: Host) -> None:
    """Developer guide, serverless-endpoints: "once you make the update, you cannot roll it back to serverless"."""
    host = scripted_host
    old = serverless(host, {"ANSWER": "serverless"})
    name = host.endpoint(old)
    new = host.config({"ModelName": host.model(b"", {"ANSWER": "instances"}), "InitialInstanceCount": 2})
    host.update(name, new, RetainAllVariantProperties=True)
    assert invoke(host, name) == b"instances"
    assert host.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert refusal(host.update, name, old).startswith("Cannot update the real-time endpoint")


@pytest.mark.parametrize(
    "policy",
    [
        {
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
                "WaitIntervalInSeconds": 0,
            }
        },
        {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {
                    "Type": "CANARY",
                    "WaitIntervalInSeconds": 0,
                    "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
                }
            }
        },
        {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "alarm"}]}},
    ],
)
def test_guardrails_are_not_for_serverless_endpoints(host: Host, policy: dict[str, Any]) -> None:
    """Developer guide, deployment-guardrails: they "only apply to" asynchronous and real-time endpoints. That AWS
    refuses them is inferred."""
    name = host.endpoint(serverless(host))
    for config in (serverless(host), host.config()):
        assert "not supported for serverless" in refusal(host.update, name, config, DeploymentConfig=policy)
    host.update(
        name,
        serverless(host),
        DeploymentConfig={
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
            }
        },
    )


def test_the_end_of_an_endpoint_ends_its_container(scripted_host: Host) -> None:
    host = scripted_host
    name = host.endpoint(serverless(host, {"ANSWER": "yes"}))
    invoke(host, name)
    host.sagemaker.delete_endpoint(EndpointName=name)
    host.wait_until_gone(name)
    assert counts(host, name) == (2, 2)
    with pytest.raises(ClientError, match="not found"):
        invoke(host, name)
