"""The state that a real deployment leaves, in the eyes of the real bridge."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.bridge.judge import NOT_BUILT, PROGRAM, running, verdict
from tests.lifecycle.account import Account, development

pytestmark = pytest.mark.bridge


def test_the_real_bridge_finds_nothing_to_do_after_a_deployment(account: Account) -> None:
    """As the engine asks at a second `up` of the same program: the state as AWS answered it, and the same inputs."""
    if (command := PROGRAM.cached(os.environ)) is None:
        pytest.skip(NOT_BUILT)
    variant: dict[str, Any] = {"model": {"path": str(account.model(1))}, "autoscaling": {"min": 1, "max": 3}}
    halves = {"Stable": {**variant, "initialVariantWeight": 0.9}, "Trial": {**variant, "initialVariantWeight": 0.1}}
    alarms = {"errorRatePercent": 5, "p99ModelLatencyMilliseconds": 500, "minimumInvocations": {"count": 1}}
    vpc = {"subnetIds": ["subnet-2", "subnet-1"], "securityGroupIds": ["sg-1"]}
    stack = account.stack(development({account.name(): {"variants": halves, "alarms": alarms}}, vpc=vpc))
    stack.up()
    resources = [each for each in stack.resources() if each["type"].startswith("aws:")]
    with running(command) as bridge:
        for each in resources:
            name = each["urn"].rpartition("::")[2]
            answer = bridge.diff(each["type"], name, each["outputs"], each["inputs"], each["inputs"])
            assert not verdict(answer).changes, f"{each['urn']}: {answer.detailedDiff}"
    assert {each["type"].split(":")[-1] for each in resources} > {"EndpointConfiguration", "MetricAlarm", "Target"}
