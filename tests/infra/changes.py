"""A change of each key of a stack file."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from typing import Any
from unittest.mock import patch

from infra.cost.price_list import PriceList
from tests.infra.cost.products import PRODUCTS
from tests.infra.mock_runtime import Deployment, run

ENDPOINT: dict[str, Any] = {
    "model": {"artifact": "artifacts/a.tar.gz"},
    "allowSingleInstance": True,
    "alarms": {"existing": ["watchdog"]},
}
"""What production accepts too."""

STACK: dict[str, Any] = {
    "environment": "staging",
    "tags": {"CostEnv": "test", "CostService": "x"},
    "image": {"version": "23.10-py3"},
    "endpoints": {"e": ENDPOINT},
}
SCALED = {"autoscaling": {"min": 2, "max": 10}}
CANARY = {"release": {"strategy": "canary", "percent": 10}}
LINEAR = {"release": {"strategy": "linear", "percent": 10}}
ROLLING = {"release": {"strategy": "rolling", "percent": 10}}
COUNTED = {"alarms": {"errorRatePercent": 5, "minimumInvocations": {"count": 10}}}
GPU = {"instanceType": "ml.g5.xlarge"}
ASYNCHRONOUS: dict[str, Any] = {"asynchronous": {}, "allowSingleInstance": None}
BACKLOG = ASYNCHRONOUS | {"autoscaling": {"min": 0, "max": 5, "backlogPerInstance": 5}}
WITHOUT_INSTANCES = {"allowSingleInstance": None, "alarms": None}
SERVERLESS = {"serverless": {"memoryMb": 2048, "maxConcurrency": 10}} | WITHOUT_INSTANCES
PROVISIONED = {
    "serverless": {
        "memoryMb": 2048,
        "maxConcurrency": 10,
        "provisionedConcurrency": 2,
        "autoscaling": {"min": 1, "max": 5},
    }
} | WITHOUT_INSTANCES
BATCH: dict[str, Any] = {"batch": {}} | WITHOUT_INSTANCES

FROZEN = {
    "freezeWindows": [
        {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "weekend"}
    ]
}

MODELS_OWN = {
    "role": {
        "statements": [
            {
                "actions": ["secretsmanager:GetSecretValue"],
                "resources": ["arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:a"],
            }
        ]
    }
}
SECRET = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:datadog-a1b2c3"
DATADOG = {"datadog": {"site": "datadoghq.com", "apiKeySecretArn": SECRET}}
ALARMED = {"endpoints": {"e": ENDPOINT | {"alarms": {"errorRatePercent": 5}}}}
BUDGET = {"cost": {"budget": {"monthlyLimit": 2500, "emailAddresses": ["ops@example.com"]}}}
SUBSCRIBED: dict[str, Any] = ALARMED | {
    "notifications": {"subscriptions": [{"protocol": "email", "endpoint": "https://a@example.com"}]}
}
"""An address that either protocol accepts."""

ADOPTED = {"bucket": {"name": "models"}, "role": {"name": "triton"}}

CHANGES: dict[str, Any] = {
    "environment": ({}, "production"),
    "tags": ({}, {"CostEnv": "test", "CostService": "y"}),
    "bucket.name": ({}, "models"),
    "bucket.kmsKeyArn": ({}, "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"),
    "bucket.noncurrentVersionExpirationDays": ({}, 30),
    "bucket.releasesKept": ({}, 3),
    "bucket.resultExpirationDays": ({}, 7),
    "bucket.abortIncompleteMultipartUploadDays": ({}, 2),
    "image.version": ({}, "23.08-py3"),
    "image.source": ({"image": {"source": "nvcr.io/nvidia/tritonserver:24.05-py3"}}, "ghcr.io/x/triton:24.05-py3"),
    "image.mirror": ({}, False),
    "image.repository": ({}, "triton"),
    "image.untaggedImageExpirationDays": ({}, 30),
    "role.name": ({}, "triton"),
    "role.arn": ({}, "arn:aws:iam::123456789012:role/triton"),
    "role.permissionsBoundary": ({}, "arn:aws:iam::123456789012:policy/boundary"),
    "role.statements[].actions": (MODELS_OWN, ["secretsmanager:DescribeSecret"]),
    "role.statements[].resources": (MODELS_OWN, ["arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:b"]),
    "role.statements[].condition": (MODELS_OWN, {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}),
    "vpc.subnetIds": ({"vpc": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}}, ["subnet-2"]),
    "vpc.securityGroupIds": ({"vpc": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}}, ["sg-2"]),
    "freezeWindows[].schedule": (FROZEN, "0 19 * * FRI"),
    "freezeWindows[].durationMinutes": (FROZEN, 61),
    "freezeWindows[].timeZone": (FROZEN, "Europe/Berlin"),
    "freezeWindows[].reason": (FROZEN, "rest"),
    "notifications.topicArn": (ALARMED, "arn:aws:sns:ap-northeast-1:123456789012:releases"),
    "notifications.subscriptions[].protocol": (SUBSCRIBED, "https"),
    "notifications.subscriptions[].endpoint": (SUBSCRIBED, "https://b@example.com"),
    "notifications.subscriptions[].receives": (SUBSCRIBED, ["releases"]),
    "monitoring.logRetentionDays": ({"monitoring": {"dashboard": True}}, 90),
    "datadog.integration": (DATADOG, "existing"),
    "datadog.site": (DATADOG, "datadoghq.eu"),
    "datadog.apiKeySecretArn": (DATADOG, SECRET.replace("datadog", "key")),
    "monitoring.dashboard": ({}, True),
    "monitoring.runbookUrl": (
        SUBSCRIBED | FROZEN | {"monitoring": {"muteInFreezeWindows": True, "dashboard": True}},
        "https://wiki.example.com/triton",
    ),
    "monitoring.muteInFreezeWindows": (SUBSCRIBED | FROZEN, True),
    "cost.monthlyLimit": ({}, 10_000),
    "cost.warningPercent": ({}, 50),
    "cost.budget.monthlyLimit": (BUDGET, 3000),
    "cost.budget.actualPercent": (BUDGET, 90),
    "cost.budget.forecastedPercent": (BUDGET, 120),
    "cost.budget.emailAddresses": (BUDGET, ["finance@example.com"]),
    "cost.budget.topicArn": (BUDGET, "arn:aws:sns:us-east-1:123456789012:cost"),
    "secretEnvironment": ({}, {"e": {"KEY": "value"}}),
    "adopt.bucket": (ADOPTED, True),
    "adopt.bucketPolicy": (ADOPTED | {"adopt": {"bucket": True}}, True),
    "adopt.bucketLifecycle": (ADOPTED | {"adopt": {"bucket": True}}, True),
    "adopt.repository": ({}, True),
    "adopt.role": (ADOPTED, True),
    "adopt.endpoints": ({}, ["e"]),
    "adopt.autoscaling": ({"adopt": {"endpoints": ["e"]}}, True),
}
"""By key: what the stack has before, and the key's value after."""

CHANGES_OF_AN_ENDPOINT: dict[str, Any] = {
    "instanceType": ({}, "ml.r5.xlarge"),
    "autoscaling.min": (SCALED, 3),
    "autoscaling.max": (SCALED, 9),
    "autoscaling.invocationsPerInstance": (SCALED, 71),
    "autoscaling.backlogPerInstance": (BACKLOG, 6),
    "autoscaling.scaleInCooldown": (SCALED, 601),
    "autoscaling.scaleOutCooldown": (SCALED, 31),
    "autoscaling.policyName": (SCALED, "invocations"),
    "initialInstanceCount": ({}, 2),
    "allowSingleInstance": ({"initialInstanceCount": 2, "allowSingleInstance": False}, True),
    "initialVariantWeight": ({}, 2.0),
    "startupHealthCheckSeconds": ({}, 61),
    "modelDataDownloadSeconds": ({}, 61),
    "volumeSizeGb": ({}, 10),
    "volumeKmsKeyArn": ({}, "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"),
    "enableNetworkIsolation": ({}, True),
    "inferenceAmiVersion": (GPU, "al2-ami-sagemaker-inference-gpu-3-1"),
    "environment": ({}, {"KEY": "value"}),
    "model.defaultModelName": ({}, "iris"),
    "model.path": ({"model": {"path": "examples/models"}}, "a copy with another file in it"),
    "model.artifact": ({}, "artifacts/b.tar.gz"),
    "model.checkArtifact": ({}, False),
    "alarms.errorRatePercent": ({"alarms": {"errorRatePercent": 5}}, 6),
    "alarms.serverErrorRatePercent": ({}, 6),
    "alarms.p99ModelLatencyMilliseconds": ({}, 6),
    "alarms.ageOfOldestRequestSeconds": (ASYNCHRONOUS, 600),
    "alarms.backlogSize": (ASYNCHRONOUS, 10),
    "alarms.concurrencyUtilizationPercent": (SERVERLESS, 80),
    "alarms.p99ModelSetupTimeMilliseconds": (SERVERLESS, 5000),
    "alarms.cpuUtilizationPercent": ({}, 70),
    "alarms.gpuUtilizationPercent": (GPU, 90),
    "alarms.gpuMemoryUtilizationPercent": (GPU, 90),
    "alarms.memoryUtilizationPercent": ({}, 70),
    "alarms.diskUtilizationPercent": ({}, 90),
    "alarms.saturationMinutes": ({"alarms": {"existing": ["watchdog"], "cpuUtilizationPercent": 90}}, 5),
    "alarms.noTrafficMinutes": ({}, 60),
    "alarms.scalingLimitMinutes": (SCALED, 15),
    "alarms.failedRelease": ({"alarms": {"existing": ["watchdog"], "failedRelease": False}}, True),
    "alarms.evaluationMinutes": ({"alarms": {"errorRatePercent": 5}}, 2),
    "alarms.existing": ({}, ["pager"]),
    "alarms.minimumInvocations.count": (COUNTED, 11),
    "alarms.minimumInvocations.otherwise": (COUNTED, "fail"),
    "release.strategy": (LINEAR | SCALED, "canary"),
    "release.timeoutSeconds": ({}, 7200),
    "release.terminationWaitSeconds": ({}, 60),
    "release.bakeSeconds": (CANARY | SCALED, 300),
    "release.percent": (CANARY | SCALED, 20),
    "release.instances": ({"release": {"strategy": "rolling", "instances": 1}, "initialInstanceCount": 4}, 2),
    "release.intervalSeconds": (LINEAR | SCALED, 60),
    "release.rollbackPercent": (ROLLING | SCALED, 50),
    "asynchronous.maxConcurrentInvocationsPerInstance": (ASYNCHRONOUS, 4),
    "asynchronous.outputLocation": (ASYNCHRONOUS, "s3://results/answers"),
    "asynchronous.failureLocation": (ASYNCHRONOUS, "s3://results/failures"),
    "asynchronous.inputLocations": (ASYNCHRONOUS, ["s3://documents/scans"]),
    "asynchronous.kmsKeyArn": (ASYNCHRONOUS, "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"),
    "asynchronous.notify": (ASYNCHRONOUS, True),
    "asynchronous.successTopicArn": (ASYNCHRONOUS, "arn:aws:sns:ap-northeast-1:123456789012:answers"),
    "asynchronous.errorTopicArn": (ASYNCHRONOUS, "arn:aws:sns:ap-northeast-1:123456789012:failures"),
    "asynchronous.includeResponseIn": (ASYNCHRONOUS | {"asynchronous": {"notify": True}}, ["success"]),
    "serverless.memoryMb": (SERVERLESS, 4096),
    "serverless.maxConcurrency": (SERVERLESS, 20),
    "serverless.provisionedConcurrency": (SERVERLESS, 1),
    "serverless.autoscaling.min": (PROVISIONED, 2),
    "serverless.autoscaling.max": (PROVISIONED, 4),
    "serverless.autoscaling.utilization": (PROVISIONED, 0.5),
    "batch.instanceType": (BATCH, "ml.m5.xlarge"),
    "batch.instanceCount": (BATCH, 2),
    "batch.maxConcurrentTransforms": (BATCH, 2),
    "batch.maxPayloadMb": (BATCH, 20),
    "batch.strategy": (BATCH, "SingleRecord"),
    "batch.environment": (BATCH, {"KEY": "value"}),
    "batch.invocationTimeoutSeconds": (BATCH, 900),
    "batch.maxRetries": (BATCH, 1),
    "batch.inputLocations": (BATCH, ["s3://records/orders"]),
    "batch.outputLocations": (BATCH, ["s3://records/answers"]),
    "batch.kmsKeyArn": (BATCH, "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"),
}
"""The same below `endpoints.*`."""


def endpoint_with(more: dict[str, Any]) -> dict[str, Any]:
    """The endpoint with more keys, and without those that are None."""
    return {key: value for key, value in (ENDPOINT | more).items() if value is not None}


def name_of(key: str) -> str:
    """A name that no other one begins with."""
    return f"e{list(CHANGES_OF_AN_ENDPOINT).index(key):02}"


def changed(settings: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value set."""
    copy = deepcopy(settings)
    *parents, last = key.split(".")
    place: Any = copy
    for part in parents:
        place = place[part[:-2]][0] if part.endswith("[]") else place.setdefault(part, {})
    place[last] = value
    return copy


def deployed(stack: dict[str, Any]) -> Deployment:
    """What the program registers for these settings."""
    return _deployed(json.dumps(stack))


@cache
def _deployed(stack: str) -> Deployment:
    config = {f"triton-sagemaker:{key}": value for key, value in json.loads(stack).items()}
    with (  # a limit on the cost requires prices
        patch("infra.cost.price_file.read", lambda *_: PriceList.of_answers(PRODUCTS)),
        patch("infra.cost.live.deployed_items", lambda *_: []),
        patch("infra.components.cost.AwsSession"),  # to make its clients takes a quarter of the time
    ):
        return run("x", config | {"aws:region": "ap-northeast-1"}, secret_keys=["triton-sagemaker:secretEnvironment"])
