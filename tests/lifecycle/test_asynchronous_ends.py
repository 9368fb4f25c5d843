"""An asynchronous endpoint where it begins and ends: a first create that fails, a killed release, a full queue."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.stacks import StackFailed
from tests.lifecycle.account import (
    BROKEN,
    QUESTION,
    Account,
    Killable,
    consistent,
    development,
    eventually,
    left,
    nothing_to_do,
    sleeping,
    write_model,
)
from tests.sandbox.conftest import ACCOUNT


def put(account: Account, endpoint: str, number: int) -> list[str]:
    """Addresses in S3 where the answers of so many new requests will be."""
    ask = account.client("sagemaker-runtime").invoke_endpoint_async
    request: dict[str, Any] = {"EndpointName": endpoint, "ContentType": "application/json", "Body": QUESTION}
    return [str(ask(**request)["OutputLocation"]) for _ in range(number)]


def written(account: Account, locations: list[str]) -> list[int]:
    """How often each answer was written."""
    s3 = account.client("s3")
    places = [location.removeprefix("s3://").split("/", 1) for location in locations]
    listed = [s3.list_object_versions(Bucket=bucket, Prefix=key) for bucket, key in places]
    return [len(answer.get("Versions", [])) for answer in listed]


def topics(account: Account, name: str) -> list[str]:
    pages = account.client("sns").get_paginator("list_topics").paginate()
    arns = [topic["TopicArn"] for page in pages for topic in page["Topics"]]
    return [arn for arn in arns if arn.split(":")[-1].startswith(f"{name}-")]


def test_an_asynchronous_endpoint_from_a_failed_create_to_a_destroy_with_a_full_queue(account: Account) -> None:
    name, model = account.name(), account.model(1, initialize=BROKEN)
    settings = {"notify": True, "maxConcurrentInvocationsPerInstance": 1}
    stack = account.stack(development({name: {"model": {"path": str(model)}, "asynchronous": settings}}))
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert "the weights of this model are missing" in "\n".join(failed.value.errors)
    assert "Traceback" not in failed.value.output
    write_model(model, answer=1, execute=sleeping(0.1))
    stack.up()
    consistent(account, stack)

    # the stack's own topics get the messages
    (success,) = [arn for arn in topics(account, name) if "-success" in arn]
    sqs, sns = account.client("sqs"), account.client("sns")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    region = success.split(":")[3]
    sns.subscribe(TopicArn=success, Protocol="sqs", Endpoint=f"arn:aws:sqs:{region}:{ACCOUNT}:{name}")
    put(account, name, 1)
    eventually(lambda: bool(sqs.receive_message(QueueUrl=url).get("Messages")), "the answer is announced")

    # the engine is killed in a release while requests wait: each one is answered once, and the next `up` goes on
    write_model(model, answer=2, execute=sleeping(0.2))
    account.impose(provisioningSeconds=5)
    before, locations = account.now(), put(account, name, 60)
    running = Killable(account, stack)
    account.wait_for(lambda call: call["operation"] == "UpdateEndpoint", before)
    running.kill_the_engine()
    locations += put(account, name, 5)
    account.impose(provisioningSeconds=0)
    stack.up()
    eventually(lambda: set(written(account, locations)) == {1}, "every request is answered once")
    consistent(account, stack)
    nothing_to_do(stack)

    # what waits goes with the endpoint
    put(account, name, 200)
    stack.destroy()
    assert left(account, name) == []
    assert topics(account, name) == []
