"""An engine that is killed in the middle: its providers end, and the next `up` goes on."""

from __future__ import annotations

import re

import psutil
import pytest

from sandbox.stacks import Stack
from tests.lifecycle.account import Account, Killable, consistent, development, nothing_to_do, state, write_model

CANARY = {"strategy": "canary", "instances": 1, "bakeSeconds": 300, "timeoutSeconds": 28800}


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended, within the time that a provider takes to see that its engine is gone."""
    _, alive = psutil.wait_procs(processes, timeout=15)
    return not alive


def killed_while_creating_the_model(account: Account, stack: Stack) -> str:
    """The name of the Model that the engine was killed in creating."""
    account.impose(answerSeconds={"sagemaker.CreateModel": 30})
    before = account.now()
    running = Killable(account, stack)
    made = account.wait_for(lambda call: call["operation"] == "CreateModel", before)["params"]["ModelName"]
    assert gone(running.kill_the_engine())
    account.impose(answerSeconds={})
    return str(made)


def test_a_kill_during_the_first_create_is_got_out_of(account: Account) -> None:
    name = account.name()
    stack = account.stack(development({name: {"model": {"path": str(account.model(1))}}}))
    account.impose(provisioningSeconds=8)
    before = account.now()
    running = Killable(account, stack)
    account.wait_for(lambda call: call["operation"] == "CreateEndpoint", before)
    providers = running.kill_the_engine()
    assert gone(providers), "a provider goes on without its engine"

    stack.up()
    assert account.ask(name) == 1
    created = [call for call in account.calls(before) if call["operation"] == "CreateEndpoint"]
    assert len(created) == 1, "the endpoint under way was attached to"
    consistent(account, stack)
    nothing_to_do(stack)


@pytest.mark.soak
def test_a_kill_during_the_mirror_costs_only_time(account: Account) -> None:
    name = account.name()
    image = {"version": "23.10-py3", "repository": f"mirror-{name}"}
    stack = account.stack(development({name: {"model": {"path": str(account.model(1))}}}, image=image))
    account.impose(uploadPartSeconds=2)
    before = account.now()
    running = Killable(account, stack)
    account.wait_for(lambda call: call["operation"] == "UploadLayerPart", before)
    assert gone(running.kill_the_engine())

    account.impose(uploadPartSeconds=0)
    stack.up()
    assert account.ask(name) == 1


@pytest.mark.soak
def test_what_was_being_made_when_the_engine_was_killed_is_named_by_the_next_up(account: Account) -> None:
    name, model = account.name(), account.model(1)
    stack = account.stack(development({name: {"model": {"path": str(model)}}}))
    stack.up()
    write_model(model, 2)
    made = killed_while_creating_the_model(account, stack)

    update = stack.up()
    assert re.search(rf":Model::{name}, interrupted while creating", update.output)
    assert account.ask(name) == 2
    consistent(account, stack)
    assert made not in [each["id"] for each in state(stack, ":Model")]
    account.client("sagemaker").delete_model(ModelName=made)  # as somebody would who read it; it costs nothing
    stack.refresh()
    consistent(account, stack)
    nothing_to_do(stack)


@pytest.mark.parametrize(
    "meanwhile", ["updated", *(pytest.param(each, marks=pytest.mark.soak) for each in ("refreshed", "deleted"))]
)
def test_a_kill_while_autoscaling_is_off_brings_it_back_with_the_next_up(account: Account, meanwhile: str) -> None:
    name = account.name()
    endpoint = {"model": {"path": str(account.model(1))}, "autoscaling": {"min": 2, "max": 4}, "release": CANARY}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    stack.config = development({name: {**endpoint, "instanceType": "ml.m5.xlarge"}})
    account.impose(provisioningSeconds=8)
    before = account.now()
    running = Killable(account, stack)
    account.wait_for(lambda call: call["operation"] == "UpdateEndpoint", before)
    assert gone(running.kill_the_engine())
    sagemaker, autoscaling = account.client("sagemaker"), account.client("application-autoscaling")
    target = {"ServiceNamespace": "sagemaker", "ResourceIds": [f"endpoint/{name}/variant/AllTraffic"]}
    assert autoscaling.describe_scalable_targets(**target)["ScalableTargets"] == []

    account.impose(provisioningSeconds=0, timeFactor=300)
    if meanwhile == "refreshed":
        stack.refresh()
        assert state(stack, "appautoscaling/target:Target") == []
    if meanwhile == "deleted":
        account.wait_for_status(name, "InService")
        sagemaker.delete_endpoint(EndpointName=name)
        sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    stack.up()
    (found,) = autoscaling.describe_scalable_targets(**target)["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (2, 4)
    assert account.ask(name) == 1
    consistent(account, stack)
    nothing_to_do(stack)


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [0.5, 2, 3, 4, 5, 6, 7, 8, 10])
def test_a_kill_at_any_moment_is_got_out_of_by_the_next_up(account: Account, seconds: float) -> None:
    other, name, model = account.name(), account.name(), account.model(1)
    endpoint = {
        "model": {"path": str(model)}, "initialInstanceCount": 2, "release": CANARY, "alarms": {"errorRatePercent": 5}
    }  # fmt: skip
    stack = account.stack(development({other: {"model": {"path": str(account.model(0))}}}))
    stack.up()  # what has a name of its own and is the aws provider's, such as the repository, is there already
    stack.config = development({**(stack.config or {})["triton-sagemaker:endpoints"], name: endpoint})
    account.impose(provisioningSeconds=2, timeFactor=150)
    for answer in (1, 2):
        write_model(model, answer)
        Killable(account, stack).kill_the_engine(after=seconds)
        stack.up()
        assert account.ask(name) == answer
        consistent(account, stack)
        nothing_to_do(stack)
