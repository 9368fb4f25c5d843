"""A serverless endpoint from its first deployment to its end, with the real engine and a real Triton."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    BROKEN,
    Account,
    Config,
    Killable,
    consistent,
    development,
    left,
    nothing_to_do,
    operations,
    write_model,
)


def serverless(model: Any, **settings: Any) -> dict[str, Any]:
    """An endpoint in serverless mode."""
    return {"model": {"path": str(model)}, "serverless": {"memoryMb": 2048, "maxConcurrency": 2, **settings}}


def stack_of(name: str, model: Any, **settings: Any) -> Config:
    return development({name: serverless(model, **settings)})


def fail_with_a_broken_model(stack: Stack) -> None:
    """See that `up` fails with Triton's own reason."""
    with pytest.raises(StackFailed) as failed:
        stack.up()
    (error,) = [text for text in failed.value.errors if "did not pass the ping health check" in text]
    assert "the weights of this model are missing" in error


def test_a_serverless_endpoint_fails_at_first_is_created_released_and_destroyed(account: Account) -> None:
    name, model = account.name(), account.model(1, initialize=BROKEN)
    stack = account.stack(stack_of(name, model))
    fail_with_a_broken_model(stack)

    write_model(model, 2)
    stack.up()
    assert account.ask(name) == 2
    consistent(account, stack)
    nothing_to_do(stack)
    live = account.endpoint(name)["EndpointConfigName"]

    write_model(model, 3, initialize=BROKEN)
    fail_with_a_broken_model(stack)
    assert account.ask(name) == 2
    assert account.endpoint(name)["EndpointConfigName"] == live
    consistent(account, stack)

    write_model(model, 4)
    stack.config = stack_of(name, model, autoscaling={"min": 1, "max": 2})
    release = stack.up()
    assert "Endpoint" in operations(release)["update"]
    assert account.ask(name) == 4
    (variant,) = account.endpoint(name)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 1
    consistent(account, stack)

    write_model(model, 5)
    stack.up()
    assert account.ask(name) == 5
    autoscaling = account.client("application-autoscaling")
    resource = f"endpoint/{name}/variant/AllTraffic"
    (target,) = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])[
        "ScalableTargets"
    ]
    assert target["ScalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    nothing_to_do(stack)
    stack.destroy()
    assert left(account, name) == []


def test_a_kill_during_the_first_create_is_got_out_of(account: Account) -> None:
    name = account.name()
    stack = account.stack(stack_of(name, account.model(1)))
    account.impose(provisioningSeconds=8)
    before = account.now()
    running = Killable(account, stack)
    account.wait_for(lambda call: call["operation"] == "CreateEndpoint", before)
    running.kill_the_engine()

    stack.up()
    assert account.ask(name) == 1
    assert [call["operation"] for call in account.calls(before)].count("CreateEndpoint") == 1
    consistent(account, stack)
    nothing_to_do(stack)
