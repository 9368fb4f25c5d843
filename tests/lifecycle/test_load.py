"""Requests that never stop, through release after release."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from time import monotonic
from typing import Any

import pytest

from sandbox.stacks import StackFailed
from tests.lifecycle.account import Account, Asking, consistent, development, eventually, nothing_to_do, write_model

RELEASES = 20
ROLLED_BACK = (3, 6, 9, 12, 18)
STRATEGIES: tuple[dict[str, Any], ...] = (
    {"strategy": "allAtOnce", "bakeSeconds": 300, "timeoutSeconds": 28800},
    {"strategy": "canary", "percent": 25, "bakeSeconds": 300, "timeoutSeconds": 28800},
    {"strategy": "linear", "percent": 50, "intervalSeconds": 300, "timeoutSeconds": 28800},
    {"strategy": "rolling", "percent": 25, "intervalSeconds": 150, "rollbackPercent": 50, "timeoutSeconds": 28800},
)


@pytest.mark.soak
def test_every_request_in_twenty_releases_is_answered_by_the_old_or_the_new_model(account: Account) -> None:
    name, alarm, model = account.name(), f"forced-{account.name()}", account.model(0)
    account.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm, Namespace="test", MetricName="never", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    endpoint = {"model": {"path": str(model)}, "initialInstanceCount": 4, "alarms": {"existing": [alarm]}}
    stack = account.stack(development({name: endpoint}))
    stack.up()

    live, began, right = 0, [monotonic()], [{0}]
    with Asking(account, name, threads=4, pause=0.03) as asking:
        for answer, release in zip(range(1, RELEASES + 1), cycle(STRATEGIES), strict=False):
            began.append(monotonic())
            right.append({live, answer})
            write_model(model, answer)
            stack.config = development({name: {**endpoint, "release": release}})
            if answer in ROLLED_BACK:
                account.impose(timeFactor=1)  # a bake lasts longer than it takes to force the alarm
                with forced(account, alarm, name, asking, answer), pytest.raises(StackFailed, match="was rolled back"):
                    stack.up()
                consistent(account, stack)
            else:
                account.impose(timeFactor=300)
                stack.up()
                live = answer
            assert account.ask(name) == live
    consistent(account, stack)
    nothing_to_do(stack)

    wrong = [each for each in asking.asked if each.answer not in right[bisect_right(began, each.at) - 1]]
    print(f"{len(asking.asked)} requests in {RELEASES} releases, {len(ROLLED_BACK)} of them rolled back")
    assert asking.failures == []
    assert wrong == []
    assert len(asking.answers) == RELEASES + 1, "each model answered, also those that were rolled back"


@contextlib.contextmanager
def forced(account: Account, alarm: str, endpoint: str, asking: Asking, answer: float) -> Iterator[None]:
    """Holds an alarm in ALARM from the first such answer in the `with` block until SageMaker rolls back."""

    def put(state: str) -> None:
        account.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="a test")

    def rolls_back() -> bool:
        put("ALARM")
        return bool(account.endpoint(endpoint)["EndpointStatus"] != "Updating")

    def hold() -> None:
        eventually(lambda: answer in asking.answers, f"{answer} is answered")
        eventually(rolls_back, f"{endpoint} is rolled back")

    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(hold)
        yield
        held.result()
    put("OK")
