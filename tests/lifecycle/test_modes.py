"""Changes of an endpoint's mode: those that SageMaker refuses, and the one that becomes a release."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import Account, changing, consistent, development, nothing_to_do

SERVERLESS = {"memoryMb": 2048, "maxConcurrency": 4}
PROVISIONED = {"provisionedConcurrency": 1, "autoscaling": {"min": 1, "max": 2}}
SCALED = {"min": 1, "max": 2}


def refused(stack: Stack, endpoints: dict[str, Any], command: str) -> str:
    """What a person sees of a change of modes."""
    stack.config = development(endpoints)
    with pytest.raises(StackFailed) as failed:
        getattr(stack, command)()
    assert "Traceback" not in failed.value.output
    return "\n".join(failed.value.errors)


def dimensions(account: Account, name: str) -> list[str]:
    """What autoscaling changes of the endpoint."""
    found = account.client("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{name}/variant/AllTraffic"]
    )
    return [target["ScalableDimension"].removeprefix("sagemaker:variant:") for target in found["ScalableTargets"]]


@pytest.mark.soak
def test_an_endpoint_keeps_its_mode_but_for_serverless_that_becomes_real_time(account: Account) -> None:
    plain, other = account.name(), account.name()
    model = {"model": {"path": str(account.model(1))}}
    real_time, serverless = model, model | {"serverless": SERVERLESS | PROVISIONED}
    stack = account.stack(development({plain: real_time, other: serverless}))
    stack.up()
    assert dimensions(account, other) == ["DesiredProvisionedConcurrency"]

    after = account.now()
    for name, endpoint, command in [
        (plain, model | {"serverless": SERVERLESS}, "up"),
        (plain, model | {"asynchronous": {}}, "preview"),
        (plain, model | {"batch": {}}, "preview"),
        (other, model | {"asynchronous": {}}, "preview"),
    ]:
        error = refused(stack, {plain: real_time, other: serverless} | {name: endpoint}, command)
        assert f"endpoint {name} is " in error and "cannot become" in error
    assert changing(account.calls(after)) == []

    stack.config = development({plain: real_time, other: model | {"autoscaling": SCALED}})
    release = stack.up()
    assert "does not roll this update back" in release.output
    (update,) = [call["params"] for call in account.calls(after) if call["operation"] == "UpdateEndpoint"]
    assert update["EndpointName"] == other and "DeploymentConfig" not in update
    assert account.ask(other) == 1
    assert dimensions(account, other) == ["DesiredInstanceCount"]
    nothing_to_do(stack)
    consistent(account, stack)
