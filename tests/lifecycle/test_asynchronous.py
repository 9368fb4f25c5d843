"""An asynchronous endpoint under a backlog: releases, a rollback, zero instances and back, and modes it cannot get."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import pytest

from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    BROKEN,
    FAILING,
    QUESTION,
    Account,
    changing,
    consistent,
    development,
    eventually,
    nothing_to_do,
    sleeping,
    write_model,
)

SLOW = sleeping(0.4)


class Queued(NamedTuple):
    """A request in the queue, and where its answer or its failure will be."""

    output: str
    failure: str


class Results:
    """The objects that an endpoint writes."""

    def __init__(self, account: Account, endpoint: str) -> None:
        self._s3, self._prefix = account.client("s3"), f"async/{endpoint}/"

    def written(self, requests: list[Queued]) -> Counter[Queued]:
        """How often each request was answered or failed."""
        bucket = urlsplit(requests[0].output).netloc
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=self._prefix)
        objects = Counter(f"s3://{bucket}/{each['Key']}" for page in pages for each in page.get("Versions", []))
        return Counter({request: sum(objects[location] for location in request) for request in requests})

    def answer(self, request: Queued) -> float | None:
        """The answer; None if the request failed."""
        place = urlsplit(request.output)
        with contextlib.suppress(self._s3.exceptions.NoSuchKey):
            body = self._s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
            return float(json.loads(body)["outputs"][0]["data"][0])
        return None

    def all(self, requests: list[Queued]) -> set[float | None]:
        """The answers of all requests, each of which was answered, or failed, once."""
        eventually(lambda: min(self.written(requests).values()) > 0, "every request is answered")
        time.sleep(0.3)
        assert {*self.written(requests).values()} == {1}
        return {self.answer(request) for request in requests}


class Queueing:
    """Requests that are put into the endpoint's queue as long as the `with` block lasts."""

    def __init__(self, account: Account, endpoint: str, pause: float = 0.3) -> None:
        self.requests: list[Queued] = []
        self._account, self._endpoint, self._pause = account, endpoint, pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for _ in range(3):  # so that some wait from the beginning
            self.requests.append(put(self._account, self._endpoint))
        while not self._over.wait(self._pause):
            self.requests.append(put(self._account, self._endpoint))


def put(account: Account, endpoint: str) -> Queued:
    """A request in the endpoint's queue."""
    answer = account.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint, ContentType="application/json", Body=QUESTION
    )
    return Queued(answer["OutputLocation"], answer["FailureLocation"])


def instances(account: Account, name: str) -> int:
    """The instances in service of an endpoint that does not change."""
    endpoint = account.endpoint(name)
    count = int(endpoint["ProductionVariants"][0]["CurrentInstanceCount"])
    return count if endpoint["EndpointStatus"] == "InService" else -1


def action(account: Account, name: str) -> str:
    """What the alarm calls that brings the endpoint from zero instances to one."""
    described = account.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-backlog-without-capacity"])
    return str(described["MetricAlarms"][0]["AlarmActions"][0])


def step_policy(account: Account, name: str) -> str:
    """The step-scaling policy of the endpoint."""
    described = account.client("application-autoscaling").describe_scaling_policies(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{name}/variant/AllTraffic"
    )
    (arn,) = [each["PolicyARN"] for each in described["ScalingPolicies"] if each["PolicyType"] == "StepScaling"]
    return str(arn)


def refused(stack: Stack, endpoint: dict[str, Any], name: str, command: str) -> str:
    """What a person sees of a change of the endpoint's mode."""
    stack.config = development({name: endpoint})
    with pytest.raises(StackFailed) as failed:
        getattr(stack, command)()
    assert "Traceback" not in failed.value.output
    return "\n".join(failed.value.errors)


def test_an_asynchronous_endpoint_is_released_under_its_backlog_and_at_zero_instances(account: Account) -> None:
    name, model = account.name(), account.model(1, execute=SLOW)
    results = Results(account, name)
    endpoint = {
        "model": {"path": str(model)},
        "asynchronous": {"maxConcurrentInvocationsPerInstance": 2},
        "autoscaling": {"min": 1, "max": 2, "backlogPerInstance": 500},
        "alarms": {"errorRatePercent": 5, "backlogSize": 10_000},
        "release": {"bakeSeconds": 600, "timeoutSeconds": 28800},
    }
    stack = account.stack(development({name: endpoint}))
    stack.up()

    # a release while requests wait: each one is answered once, by the old or the new model
    account.impose(timeFactor=60)
    write_model(model, answer=2, execute=SLOW)
    with Queueing(account, name) as queueing:
        release = stack.up()
    assert "updating from" in release.output
    assert results.all(queueing.requests) == {1, 2}
    consistent(account, stack)

    # a model that fails its requests is rolled back by the failures that the queue counts
    live = account.endpoint(name)["EndpointConfigName"]
    write_model(model, answer=3, execute=FAILING)
    with Queueing(account, name) as queueing, pytest.raises(StackFailed) as failed:
        stack.up()
    error = "\n".join(failed.value.errors)
    assert "-error-rate fired: Threshold Crossed: " in error and f"{live} is live" in error
    assert account.endpoint(name)["EndpointConfigName"] == live
    assert {2} <= results.all(queueing.requests) <= {2, None}
    consistent(account, stack)

    # at zero instances nothing proves a release, and the count stays
    account.impose(timeFactor=600)
    endpoint["autoscaling"] = {"min": 0, "max": 2, "backlogPerInstance": 500}
    stack.config = development({name: endpoint})
    write_model(model, answer=2)
    stack.up()
    eventually(lambda: instances(account, name) == 0, "the endpoint has no instance")
    write_model(model, answer=4)
    release = stack.up()
    assert "has no instances, so nothing proves that the new model starts and answers" in release.output
    assert instances(account, name) == 0
    consistent(account, stack)

    # another instance type takes autoscaling off and restores it: the alarm calls the new policy and brings an instance
    before = action(account, name)
    endpoint["instanceType"] = "ml.m5.xlarge"
    stack.config = development({name: endpoint})
    stack.up()
    assert before != action(account, name) == step_policy(account, name)
    assert results.all([put(account, name)]) == {4}
    nothing_to_do(stack)
    consistent(account, stack)

    # the modes that SageMaker refuses are refused before anything changes
    account.relieve()
    after = account.now()
    plain = {"model": endpoint["model"]}
    for other, command in ({}, "up"), ({"serverless": {"memoryMb": 2048, "maxConcurrency": 2}}, "preview"):
        assert f"endpoint {name} is asynchronous and cannot become" in refused(stack, plain | other, name, command)
    assert changing(account.calls(after)) == []


@pytest.mark.soak
def test_a_release_that_fails_without_autoscaling_restores_it_and_the_alarm_that_leaves_zero(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoint = {
        "model": {"path": str(model)},
        "asynchronous": {},
        "autoscaling": {"min": 0, "max": 2, "backlogPerInstance": 5},
    }
    stack = account.stack(development({name: endpoint}))
    stack.up()
    before = action(account, name)
    assert before == step_policy(account, name)

    write_model(model, answer=2, initialize=BROKEN)
    stack.config = development({name: endpoint | {"instanceType": "ml.m5.xlarge"}})
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert "the weights of this model are missing" in "\n".join(failed.value.errors)
    assert before != action(account, name) == step_policy(account, name)
    assert Results(account, name).all([put(account, name)]) == {1}
    consistent(account, stack)
