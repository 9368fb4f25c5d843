"""Several variants behind one endpoint: added, asked, and taken away under autoscaling."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stacks import StackFailed
from tests.lifecycle.account import Account, consistent, development, nothing_to_do


def scalable(account: Account, name: str) -> set[str]:
    """The variants of an endpoint that are autoscaled."""
    paginator = account.client("application-autoscaling").get_paginator("describe_scalable_targets")
    prefix = f"endpoint/{name}/variant/"
    pages = paginator.paginate(ServiceNamespace="sagemaker")
    found = [each["ResourceId"] for page in pages for each in page["ScalableTargets"]]
    return {each.removeprefix(prefix) for each in found if each.startswith(prefix)}


def test_a_variant_is_added_and_taken_away_while_the_other_keeps_its_autoscaling(account: Account) -> None:
    name = account.name()
    first: dict[str, Any] = {"model": {"path": str(account.model(1))}, "autoscaling": {"min": 1, "max": 3}}
    trial = {**first, "model": {"path": str(account.model(2))}}
    alarms = {"errorRatePercent": 5}
    stack = account.stack(development({name: {**first, "alarms": alarms}}))
    stack.up()
    weighted = {"AllTraffic": {**first, "initialVariantWeight": 0.9}, "Trial": {**trial, "initialVariantWeight": 0.1}}
    both: dict[str, Any] = {"variants": weighted, "alarms": alarms}

    canary = {"strategy": "canary", "percent": 50, "bakeSeconds": 60, "timeoutSeconds": 28800}
    pair = {"autoscaling": {"min": 2, "max": 2}}
    halves = {variant: {**each, **pair} for variant, each in both["variants"].items()}
    stack.config = development({name: {**both, "variants": halves, "release": canary}})
    before = account.now()
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert "release.strategy: allAtOnce" in failed.value.output
    assert "UpdateEndpoint" not in {call["operation"] for call in account.calls(before)}
    assert account.ask(name) == 1

    stack.config = development({name: both})
    stack.up()
    assert {account.ask(name, variant=variant) for variant in ("AllTraffic", "Trial")} == {1, 2}
    assert scalable(account, name) == {"AllTraffic", "Trial"}
    consistent(account, stack)
    nothing_to_do(stack)

    stack.config = development({name: {**first, "alarms": alarms}})
    stack.up()
    assert account.ask(name) == 1
    assert scalable(account, name) == {"AllTraffic"}
    consistent(account, stack)
    nothing_to_do(stack)
