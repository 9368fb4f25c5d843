"""Each strategy of a release that goes well: what SageMaker is asked, who answers meanwhile, and what is kept."""

from __future__ import annotations

from typing import Any

from tests.lifecycle.account import (
    Account,
    Asking,
    consistent,
    development,
    left,
    nothing_to_do,
    operations,
    write_model,
)

CANARY = {"strategy": "canary", "instances": 1, "bakeSeconds": 300, "timeoutSeconds": 28800}
STRATEGIES: dict[str, dict[str, Any]] = {
    "ALL_AT_ONCE": {"strategy": "allAtOnce", "bakeSeconds": 300, "timeoutSeconds": 28800},
    "CANARY": {**CANARY, "terminationWaitSeconds": 60},
    "LINEAR": {"strategy": "linear", "percent": 50, "intervalSeconds": 300, "timeoutSeconds": 28800},
    "ROLLING": {
        "strategy": "rolling",
        "percent": 50,
        "intervalSeconds": 300,
        "rollbackPercent": 50,
        "timeoutSeconds": 28800,
    },
}
ALARMS = {"errorRatePercent": 5, "p99ModelLatencyMilliseconds": 5000}


def asked(account: Account, after: int) -> list[dict[str, Any]]:
    """The updates that SageMaker was asked for."""
    return [call["params"] for call in account.calls(after) if call["operation"] == "UpdateEndpoint"]


def routing(update: dict[str, Any]) -> str:
    """How an update was to move traffic."""
    deployment = update["DeploymentConfig"]
    if "RollingUpdatePolicy" in deployment:
        return "ROLLING"
    return str(deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"])


def test_each_strategy_brings_a_release_to_its_end_without_a_failed_request(account: Account) -> None:
    names, model = {kind: account.name() for kind in STRATEGIES}, account.model(1)
    stack = account.stack(
        development(
            {
                names[kind]: {
                    "model": {"path": str(model)}, "initialInstanceCount": 2, "release": release, "alarms": ALARMS
                }
                for kind, release in STRATEGIES.items()
            }
        )
    )  # fmt: skip
    stack.up()
    account.impose(timeFactor=100)
    before = account.now()
    write_model(model, answer=2)
    with Asking(account, names["CANARY"], threads=1) as canary, Asking(account, names["ROLLING"], threads=1) as rolling:
        release = stack.up()

    assert {each["EndpointName"]: routing(each) for each in asked(account, before)} == {
        name: kind for kind, name in names.items()
    }
    for asking in (canary, rolling):
        assert asking.answers == {1, 2}
        assert asking.failures == []
    assert "canary 1 of 2, 50 % of the traffic on the new fleet" in release.output
    assert {account.ask(name) for name in names.values()} == {2}
    consistent(account, stack)
    nothing_to_do(stack)


def test_a_changed_policy_is_no_rollout_and_serves_the_next_release(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 2}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    account.impose(timeFactor=600)
    before = account.now()

    stack.config = development({name: {**endpoint, "release": CANARY}})
    assert operations(stack.up())["update"] == ["Endpoint"]
    assert asked(account, before) == []
    consistent(account, stack)

    for answer in (2, 3):  # two in a row
        write_model(model, answer)
        stack.up()
        assert account.ask(name) == answer
    assert [routing(each) for each in asked(account, before)] == ["CANARY", "CANARY"]
    consistent(account, stack)
    nothing_to_do(stack)


def test_a_renamed_endpoint_is_made_before_the_old_one_goes(account: Account) -> None:
    old, new = account.name(), account.name()
    endpoint = {"model": {"path": str(account.model(1))}, "alarms": ALARMS, "autoscaling": {"min": 1, "max": 2}}
    stack = account.stack(development({old: endpoint}))
    stack.up()
    before = account.now()
    stack.config = development({new: endpoint})
    stack.up()
    made_and_gone = ["CreateEndpoint", "DeleteEndpoint"]
    assert [each["operation"] for each in account.calls(before) if each["operation"] in made_and_gone] == made_and_gone
    assert account.ask(new) == 1
    assert left(account, old) == []
    consistent(account, stack)
