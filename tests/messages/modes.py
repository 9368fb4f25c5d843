"""Examples of the modes of an endpoint: keys of the stack of `tests.messages.settings` and other values for them."""

from __future__ import annotations

from typing import Any

MODEL = {"artifact": "artifacts/model_7.tar.gz"}
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:answers"


def asynchronous(**keys: Any) -> dict[str, Any]:
    """A change of the stack's endpoint to an asynchronous one."""
    return {"endpoints.ranking.asynchronous": keys}


def serverless(**keys: Any) -> dict[str, Any]:
    """A change of the stack's endpoint to a serverless one."""
    return {"endpoints.ranking": {"model": MODEL, "serverless": {"memoryMb": 4096, "maxConcurrency": 20} | keys}}


def batch(**keys: Any) -> dict[str, Any]:
    """A change of the stack's endpoint to a Model for batch transform."""
    return {"endpoints.ranking": {"model": MODEL, "batch": keys}}


EXAMPLES: list[dict[str, Any]] = [
    asynchronous(outputLocation="s3://results/${stack}"),
    serverless() | {"endpoints.ranking.alarms": {"existing": ["pager"]}},
    asynchronous(failureLocation="s3://results/*"),
    asynchronous(includeResponseIn=["success"]),
    asynchronous(notify=True, successTopicArn=TOPIC, errorTopicArn=TOPIC),
    batch(instanceType="ml.r5.xlarge"),
    batch(maxConcurrentTransforms=8, maxPayloadMb=20),
    batch(strategy="MultiRecord"),
]
