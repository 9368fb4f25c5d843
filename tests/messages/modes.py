"""Examples of the modes of an endpoint: keys of the stack of `tests.messages.settings` and other values for them."""

from __future__ import annotations

from typing import Any

MODEL = {"artifact": "artifacts/model_7.tar.gz"}
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:answers"


QUEUE = {"min": 0, "max": 5, "backlogPerInstance": 5}


def asynchronous(**keys: Any) -> dict[str, Any]:
    """A change of the stack's endpoint to an asynchronous one."""
    return {"endpoints.ranking.asynchronous": keys, "endpoints.ranking.autoscaling": QUEUE}


def serverless(**keys: Any) -> dict[str, Any]:
    """A change of the stack's endpoint to a serverless one."""
    return {"endpoints.ranking": {"model": MODEL, "serverless": {"memoryMb": 4096, "maxConcurrency": 20} | keys}}


def batch(**keys: Any) -> dict[str, Any]:
    """A change of the stack's endpoint to a Model for batch transform."""
    return {"endpoints.ranking": {"model": MODEL, "batch": keys}}


VPC = {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}
OF_INSTANCES: dict[str, Any] = {
    "instanceType": "ml.m5.xlarge",
    "initialInstanceCount": 2,
    "autoscaling": {"min": 1, "max": 2},
    "allowSingleInstance": True,
    "startupHealthCheckSeconds": 600,
    "modelDataDownloadSeconds": 600,
    "volumeSizeGb": 50,
    "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
    "initialVariantWeight": 0.5,
}
"""Keys of a variant that only instances have."""

BOTH: dict[str, Any] = {"model": MODEL, "serverless": {"memoryMb": 4096, "maxConcurrency": 20}, "batch": {}}
VARIANTS: list[dict[str, Any]] = [
    {
        "a": {key: BOTH[key] for key in ("model", "serverless")},
        "b": {key: BOTH[key] for key in ("model", "serverless")},
    },
    {"a": {"model": MODEL, "batch": {}}, "b": {"model": MODEL, "batch": {}}},
    {"a": {"model": MODEL}, "b": {"model": MODEL, "batch": {}}},
]

EXAMPLES: list[dict[str, Any]] = [
    asynchronous(outputLocation="s3://results/${stack}"),
    asynchronous(failureLocation="s3://results/*"),
    asynchronous(includeResponseIn=["success"]),
    asynchronous(notify=True, successTopicArn=TOPIC, errorTopicArn=TOPIC),
    asynchronous(outputLocation="s3://models/models/ranking") | {"bucket.name": "models"},
    asynchronous(errorTopicArn=TOPIC.replace("ap-northeast-1", "us-east-1")),
    asynchronous() | {"endpoints.ranking.allowSingleInstance": True},
    asynchronous() | {"endpoints.ranking.autoscaling": {"min": 0, "max": 5}},
    asynchronous() | {"endpoints.ranking.autoscaling": {"min": 0, "max": 5, "invocationsPerInstance": 70}},
    {"endpoints.ranking.autoscaling": QUEUE},
    {"endpoints.ranking.alarms": {"backlogSize": 100}},
    serverless() | {"endpoints.ranking.alarms": {"existing": ["pager"]}},
    {**serverless(), **{f"endpoints.ranking.{key}": value for key, value in OF_INSTANCES.items()}},
    serverless() | {"endpoints.ranking.enableNetworkIsolation": True},
    serverless() | {"endpoints.ranking.asynchronous": {}},
    serverless() | {"endpoints.ranking.volumeKmsKeyArn": "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd"},
    serverless() | {"endpoints.ranking.release": {"strategy": "canary", "percent": 10}},
    serverless() | {"endpoints.ranking.release": {"bakeSeconds": 60, "terminationWaitSeconds": 60}},
    serverless() | {"vpc": VPC},
    serverless(provisionedConcurrency=21),
    serverless(autoscaling={"min": 1, "max": 21}),
    serverless(provisionedConcurrency=1, autoscaling={"min": 2, "max": 5}),
    serverless(),
    {**batch(), **{f"endpoints.ranking.{key}": value for key, value in OF_INSTANCES.items()}},
    batch() | {"endpoints.ranking.release": {}, "endpoints.ranking.alarms": {"errorRatePercent": 5}},
    batch() | {"adopt.endpoints": ["ranking"]},
    batch(instanceType="ml.r5.xlarge"),
    batch(instanceType="ml.p2.xlarge"),
    batch(instanceType="ml.g5.xlarge") | {"image.version": "25.08-py3"},
    batch(maxConcurrentTransforms=8, maxPayloadMb=20),
    batch(maxPayloadMb=80),
    batch(strategy="MultiRecord"),
    batch(environment={"API_KEY": "hunter2"}),
    batch(environment={"LABELS": "x" * 10_241}),
    {"endpoints": {f"queue-{number}": {"model": MODEL, "asynchronous": {"notify": True}} for number in range(80)}},
    {"endpoints": {f"queue-{number}": {"model": MODEL, "asynchronous": {"notify": True}} for number in range(20)}},
    {"endpoints.ranking": BOTH},
    *({"endpoints.ranking": {"variants": variants}} for variants in VARIANTS),
]
