"""An endpoint that is not at rest, or not as the stack left it, when `up`, `refresh` or `destroy` comes to it."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import Account, Killable, consistent, development, left, nothing_to_do, state, write_model

CANARY = {"strategy": "canary", "instances": 1, "bakeSeconds": 600, "timeoutSeconds": 28800}


def configuration_made_by_hand(account: Account, endpoint: str) -> str:
    """The name of a configuration like the endpoint's own that the stack knows nothing of."""
    sagemaker, name = account.client("sagemaker"), f"by-hand-{account.name()}"
    live = sagemaker.describe_endpoint_config(EndpointConfigName=account.endpoint(endpoint)["EndpointConfigName"])
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=live["ProductionVariants"])
    return name


@pytest.mark.soak
def test_a_rollout_that_somebody_else_began_is_waited_out_and_found_by_refresh_once_it_is_live(
    account: Account,
) -> None:
    name, model = account.name(), account.model(1)
    stack = account.stack(development({name: {"model": {"path": str(model)}}}))
    stack.up()
    sagemaker, by_hand = account.client("sagemaker"), configuration_made_by_hand(account, name)
    account.impose(provisioningSeconds=120)
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=by_hand)
    assert stack.refresh().unchanged, "what is live is what was"

    write_model(model, answer=2)
    with account.once("DescribeEndpoint", provisioningSeconds=0):
        release = stack.up()
    assert f"{name}: Updating to {by_hand}; waiting for it to finish first" in release.output
    assert account.ask(name) == 2
    consistent(account, stack)

    by_hand = configuration_made_by_hand(account, name)
    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=by_hand)
    account.wait_for_status(name, "InService")
    stack.refresh()
    assert state(stack, "infra:Endpoint")[0]["outputs"]["endpointConfigName"] == by_hand
    stack.up()
    assert account.endpoint(name)["EndpointConfigName"] != by_hand
    consistent(account, stack)
    nothing_to_do(stack)


@pytest.mark.soak
def test_an_endpoint_that_somebody_deleted_or_that_failed_is_found_by_refresh_and_made_anew(account: Account) -> None:
    name, sagemaker = account.name(), account.client("sagemaker")
    endpoint = {"model": {"path": str(account.model(1))}, "instanceType": "ml.c5.xlarge"}
    stack = account.stack(development({name: endpoint}))
    stack.up()

    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    stack.refresh()
    assert state(stack, "infra:Endpoint") == []
    stack.up()
    assert account.ask(name) == 1
    consistent(account, stack)

    fail_anew(account, name)
    stack.refresh()
    assert state(stack, "infra:Endpoint")[0]["outputs"]["endpointConfigName"] == ""
    account.relieve()
    stack.up()
    assert account.ask(name) == 1
    consistent(account, stack)


def fail_anew(account: Account, name: str) -> None:
    """Replace an endpoint by one of the same name, tags and configuration that does not come up."""
    sagemaker, live = account.client("sagemaker"), account.endpoint(name)
    tags = sagemaker.list_tags(ResourceArn=live["EndpointArn"])["Tags"]
    account.impose(insufficientCapacity=["ml.c5.xlarge"])
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=live["EndpointConfigName"], Tags=tags)
    account.wait_for_status(name, "Failed")


def killed_during_a_canary(account: Account, alarms: dict[str, Any]) -> tuple[str, Stack]:
    """An endpoint, and its stack whose engine was killed while SageMaker bakes the canary of the answer 2 in the place
    of 1."""
    name, model = account.name(), account.model(1)
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 2, "release": CANARY, "alarms": alarms}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    write_model(model, answer=2)
    running = Killable(account, stack)
    account.wait_for_stage(name, "Baking")
    running.kill_the_engine()
    return name, stack


def test_a_kill_during_a_canary_is_seen_by_refresh_and_ended_by_the_next_up(account: Account) -> None:
    before = account.now()
    name, stack = killed_during_a_canary(account, {"errorRatePercent": 5})
    live = account.endpoint(name)["EndpointConfigName"]
    stack.refresh()
    assert state(stack, "infra:Endpoint")[0]["outputs"]["endpointConfigName"] == live

    with account.once("DescribeEndpoint", timeFactor=600):
        release = stack.up()
    assert "; attaching" in release.output
    assert account.ask(name) == 2
    assert len([call for call in account.calls(before) if call["operation"] == "UpdateEndpoint"]) == 1
    consistent(account, stack)
    nothing_to_do(stack)


@pytest.mark.soak
def test_an_up_that_attaches_to_a_canary_tells_that_it_is_rolled_back(account: Account) -> None:
    name, stack = killed_during_a_canary(account, {"errorRatePercent": 5})
    live, canary = account.endpoint(name), account.endpoint(name)["PendingDeploymentSummary"]["EndpointConfigName"]
    account.impose(rollbackSeconds=120)
    account.client("cloudwatch").set_alarm_state(
        AlarmName=f"{canary}-error-rate", StateValue="ALARM", StateReason="it fails"
    )
    account.wait_for_status(name, "RollingBack")
    with account.once("DescribeEndpoint", rollbackSeconds=0), pytest.raises(StackFailed) as failed:
        stack.up()
    (error,) = [text for text in failed.value.errors if "rolled back" in text]
    assert f"the release of {canary} was rolled back; {live['EndpointConfigName']} is live" in error
    assert f"Alarm {canary}-error-rate fired: it fails" in error
    assert account.ask(name) == 1
    consistent(account, stack)


@pytest.mark.soak
def test_a_destroy_waits_for_the_canary_that_a_killed_engine_left(account: Account) -> None:
    name, stack = killed_during_a_canary(account, {})
    with account.once("DescribeEndpoint", timeFactor=600):
        destroyed = stack.destroy()
    assert f"{name}: Updating; waiting for it to finish before the deletion" in destroyed.output
    assert left(account, name) == []
