"""Settings of a stack: each example changes keys of a valid stack."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from infra.diagnostics.printable import printable
from infra.diagnostics.problem import ConfigurationError, Problem
from infra.settings.reference import written
from infra.stack import Stack, moved
from tests.messages import modes
from tests.messages.golden import Example

TITLE = "Settings"
PROJECT = "triton-sagemaker"

STACK: Mapping[str, Any] = {
    "aws:region": "ap-northeast-1",
    "environment": "staging",
    "tags": {"CostEnv": "staging", "CostService": "ranking"},
    "image": {"version": "24.05-py3"},
    "endpoints": {
        "ranking": {
            "model": {"artifact": "artifacts/model_7.tar.gz"},
            "instanceType": "ml.g5.xlarge",
            "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
            "autoscaling": {"min": 2, "max": 10},
            "alarms": {"errorRatePercent": 5},
            "release": {"strategy": "canary", "percent": 10, "bakeSeconds": 600},
        }
    },
}
"""A valid stack without a warning."""

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:releases"
SECRET = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:datadog-api-key-a1b2c3"
ROLE = "arn:aws:iam::123456789012:role/triton"
MODEL = {"artifact": "artifacts/model_7.tar.gz"}
WINDOW = {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "weekend"}
ENDPOINT, RELEASE = "endpoints.ranking", "endpoints.ranking.release"
NESTED: dict[str, Any] = functools.reduce(lambda inner, _: {"x": inner}, range(32), {})
MAX_SHOWN = 160
"""Characters of a change."""

LEFT_OUT = object()
"""In place of a value: the key is not given."""

EXAMPLES: list[dict[str, Any]] = [
    # values
    {f"{ENDPOINT}.autoscaling.max": "ten"},
    {f"{ENDPOINT}.autoscaling": [2, 10]},
    {f"{ENDPOINT}.alarms.existing": "pager"},
    {"environment": "prod"},
    {"environment": "live"},
    {"monitoring.logRetentionDays": 91},
    {"datadog": {"site": "us6.datadoghq.com", "apiKeySecretArn": SECRET}},
    {"datadog": {"site": "US1", "apiKeySecretArn": SECRET[:-7]}},
    {"datadog": {"site": "datadoghq.com"}},
    {"datadog": {"site": "datadoghq.com", "apiKeySecretArn": SECRET.replace("ap-northeast-1", "us-east-1")}},
    {"image.version": 23.1},
    {"image.version": "24.05"},
    {f"{ENDPOINT}.allowSingleInstance": "yes"},
    {f"{ENDPOINT}.allowSingleInstance": "true"},
    {f"{ENDPOINT}.volumeSizeGb": 600},
    {f"{ENDPOINT}.alarms.existing": [f"pager-{n}" for n in range(11)]},
    {f"{RELEASE}.strategy": "cannary"},
    {f"{ENDPOINT}.environment.OMP_NUM_THREADS": 4},
    # keys
    {f"{ENDPOINT}.autoscalling": {"min": 2, "max": 10}},
    {f"{ENDPOINT}.fleetSize": 3},
    {f"{ENDPOINT}.autoscaling.MinCapacity": 2},
    {f"{RELEASE}.strategy": "allAtOnce"},
    {"bucket": {"name": None}},
    {"tags": LEFT_OUT},
    {"aws:regoin": "ap-northeast-1"},
    {"pulumi:autonaming": {"mode": "disabled"}},
    {"aws:accountRegion": "x"},
    {"aws:sharedConfigFiles": ["a", "b"]},
    {"aws:secretKey": "hunter2"},
    {"secretEnvironment.ranking.LICENSE_KEY": "hunter2"},
    {"secretEnvironment": {"ranking": ["hunter2"]}},
    {f"{ENDPOINT}.environment": {"DB_PASSWORD": "hunter2"}},
    {"tags": {"secure": "v1:abc"}},
    {f"{ENDPOINT}.environment": NESTED},
    # stack
    {"environment": "production", f"{ENDPOINT}.autoscaling.min": 1},
    {"environment": "production", f"{ENDPOINT}.alarms": LEFT_OUT},
    {"aws:region": "eu-isoe-west-1"},
    {"image.version": "99.01-py3"},
    {"aws:region": "us-east-1", "image.version": "23.11-py3"},
    {"tags": {"CostEnv": "staging"}},
    {"tags.CostEnv": ""},
    {"tags": {"costEnv": "staging", "CostService": "ranking"}},
    {"tags.team": "a", "tags.Team": "b"},
    {"tags.aws:team": "a"},
    {"tags." + "x" * 129: "a"},
    {"tags.team": "x" * 257},
    {"tags.team": "a<b"},
    {f"tags.team-{n}": "a" for n in range(40)},
    # bucket, image, role, network
    {"bucket.name": "models--x-s3"},
    {"bucket.kmsKeyArn": KEY},
    {"image": {"source": "nvcr.io/NVIDIA/tritonserver:24.05"}},
    {"image.source": "nvcr.io/nvidia/tritonserver:24.05-py3"},
    {"image": {"source": "nvcr.io/nvidia/tritonserver:24.05-py3", "mirror": False}},
    {"image": {"source": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/triton:24.05-py3", "mirror": False}},
    {"image": {"mirror": False, "repository": "triton"}},
    {"image": {"mirror": False}, "adopt.repository": True},
    {"image.repository": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/triton"},
    {"image.version": "24.05-py3-cpu"},
    {"role": {"arn": ROLE, "name": "triton"}},
    {"role.statements": [{"actions": ["s3:Get*"], "resources": ["*"]}]},
    {"role.statements": [{"actions": ["s3:GetObject"], "resources": [f"arn:aws:s3:::{n:0>200}" for n in range(12)]}]},
    {"vpc": {"subnetIds": ["subnet-0a", "subnet-0a"], "securityGroupIds": ["sg-0a", "sg-0a"]}},
    {"cost": {"budget": {"monthlyLimit": 2500}}},
    {"cost": {"budget": {"monthlyLimit": 2500, "emailAddresses": ["ops"]}}},
    {"notifications.topicArn": "releases"},
    {"notifications.topicArn": f"{TOPIC}.fifo"},
    {"notifications.topicArn": TOPIC.replace("ap-northeast-1", "us-east-1")},
    {"notifications": {"topicArn": TOPIC, "subscriptions": [{"protocol": "email", "endpoint": "a@example.com"}]}},
    {"notifications": {"subscriptions": [{"protocol": "https", "endpoint": "pager.example.com"}]}},
    {"notifications": {"subscriptions": [{"protocol": "email", "endpoint": "a@example.com"}] * 2}},
    {"monitoring.runbookUrl": "wiki/triton"},
    {"environment": "production", "notifications.topicArn": TOPIC},
    {"monitoring.muteInFreezeWindows": True},
    {
        "monitoring.muteInFreezeWindows": True,
        "notifications.topicArn": TOPIC,
        "freezeWindows": [WINDOW | {"schedule": "0 18 L * *", "durationMinutes": 22_000}],
    },
    {f"{ENDPOINT}.instanceType": "ml.c5.xlarge", f"{ENDPOINT}.inferenceAmiVersion": LEFT_OUT}
    | {f"{ENDPOINT}.alarms.gpuUtilizationPercent": 95},
    {"freezeWindows": [WINDOW | {"schedule": "0 18 * *"}]},
    {"freezeWindows": [WINDOW | {"schedule": "0 25 * * FRI"}]},
    {"freezeWindows": [WINDOW | {"schedule": "0 0 */30 * MON#2"}]},
    {"freezeWindows": [WINDOW | {"durationMinutes": 20_000}]},
    {"freezeWindows": [WINDOW | {"timeZone": "tokyo"}]},
    # adopt
    {"adopt.bucket": True},
    {"adopt.bucket": True, "bucket.name": "sagemaker-models"},
    {"adopt.bucketPolicy": True},
    {"adopt.role": True},
    {"adopt.role": True, "role.arn": ROLE},
    {"adopt.endpoints": ["search"]},
    {"adopt.endpoints": ["ranking"]},
    {"adopt.autoscaling": True},
    # names of endpoints and variants
    {"endpoints": {f"{'x' * 40}-{n}": {"model": MODEL} for n in range(60)}},
    {"endpoints.my_endpoint": {"model": MODEL, "alarms": {"existing": ["pager"]}, "release": {"bakeSeconds": 60}}},
    {f"endpoints.{'x' * 56}": {"model": MODEL}},
    {"endpoints.Ranking": {"model": MODEL}},
    {ENDPOINT: {"variants": {"a_b": {"model": MODEL}}}},
    {f"endpoints.{'x' * 40}": {"variants": {"y" * 20: {"model": MODEL}}}},
    {ENDPOINT: {"variants": {"b": {"model": MODEL}}}, "endpoints.ranking-b": {"model": MODEL}},
    {
        ENDPOINT: {"model": MODEL, "alarms": {"errorRatePercent": 5}, "release": {"bakeSeconds": 60}},
        "endpoints.ranking-rollback": {
            "model": MODEL,
            "alarms": {"errorRatePercent": 5},
            "release": {"bakeSeconds": 60},
        },
    },
    # model
    {f"{ENDPOINT}.model": LEFT_OUT},
    {f"{ENDPOINT}.model": {"path": "models"}},
    {f"{ENDPOINT}.model": {"path": "x" * 300}},
    {f"{ENDPOINT}.model": {"path": "models", "artifact": "artifacts/model_7.tar.gz"}},
    {f"{ENDPOINT}.model.artifact": "artifacts/model_7.zip"},
    {f"{ENDPOINT}.model.artifact": "s3://models/model_7.tar.gz"},
    {f"{ENDPOINT}.model.artifact": "artifacts/model\x7f.tar.gz"},
    {f"{ENDPOINT}.model.artifact": "artifacts/${VERSION}.tar.gz"},
    {f"{ENDPOINT}.model.artifact": "models/model_7.tar.gz"},
    {f"{ENDPOINT}.model.artifact": f"artifacts/{'x' * 800}.tar.gz"},
    # instances
    {f"{ENDPOINT}.instanceType": "ml.c7g.xlarge"},
    {f"{ENDPOINT}.instanceType": "ml.g5.xlagre"},
    {f"{ENDPOINT}.instanceType": "ml.t2.medium", f"{ENDPOINT}.inferenceAmiVersion": LEFT_OUT},
    {f"{ENDPOINT}.instanceType": "ml.inf2.xlarge", f"{ENDPOINT}.inferenceAmiVersion": LEFT_OUT},
    {f"{ENDPOINT}.instanceType": "ml.inf1.xlarge", f"{ENDPOINT}.inferenceAmiVersion": LEFT_OUT},
    {f"{ENDPOINT}.inferenceAmiVersion": LEFT_OUT},
    {f"{ENDPOINT}.inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-9"},
    {f"{ENDPOINT}.instanceType": "ml.c5.xlarge"},
    {
        f"{ENDPOINT}.instanceType": "ml.p6-b200.48xlarge",
        f"{ENDPOINT}.inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
    },
    {f"{ENDPOINT}.instanceType": "ml.p6-b200.48xlarge", f"{ENDPOINT}.inferenceAmiVersion": LEFT_OUT},
    {f"{ENDPOINT}.volumeSizeGb": 50},
    {f"{ENDPOINT}.volumeKmsKeyArn": KEY},
    {f"{ENDPOINT}.volumeKmsKeyArn": KEY, f"{ENDPOINT}.instanceType": "ml.p3.2xlarge"},
    {f"{ENDPOINT}.initialInstanceCount": 20},
    {f"{ENDPOINT}.autoscaling.min": 12},
    # environment
    {f"{ENDPOINT}.environment": {"1ST": "x"}},
    {f"{ENDPOINT}.environment.SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": "64MB"},
    {f"{ENDPOINT}.environment.SAGEMAKER_TRITON_THREAD_COUNT": "8threads"},
    {f"{ENDPOINT}.environment": {"X" * 1025: "x"}},
    {f"{ENDPOINT}.environment": {f"X{n}": "x" for n in range(99)}},
    {f"{ENDPOINT}.environment": {f"X{n}": "x" * 1000 for n in range(32)}},
    {f"{ENDPOINT}.environment": {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "iris"}},
    {f"{ENDPOINT}.environment": {"SAGEMAKER_MULTI_MODEL": "true"}},
    {f"{ENDPOINT}.environment": {"SAGEMAKER_TRITON_DISABLE_MODEL_NAMESPACING": "true"}},
    {f"{ENDPOINT}.environment": {"SAGEMAKER_TRITON_OVERRIDE_PING_MODE": "live"}},
    {f"{ENDPOINT}.environment": {"SAGEMAKER_TRITON_LOG_VERBSE": "true"}},
    {"secretEnvironment": {"search": {"LICENSE_KEY": "x"}}},
    {"secretEnvironment": {"ranking": {"LICENSE_KEY": "x"}}, f"{ENDPOINT}.environment": {"LICENSE_KEY": "x"}},
    {"secretEnvironment": {"ranking": {"SAGEMAKER_MULTI_MODEL": "x"}}},
    {"secretEnvironment": {"ranking": {f"X{n}": "x" for n in range(99)}}},
    {"secretEnvironment": {"ranking": {f"X{n}": "x" * 1000 for n in range(32)}}},
    # alarms and releases
    {f"{ENDPOINT}.alarms.existing": ["arn:aws:cloudwatch:us-east-1:123456789012:alarm:pager"]},
    {f"{ENDPOINT}.alarms.existing": [" "]},
    {f"{ENDPOINT}.alarms.existing": ["pager", "pager"]},
    {f"{ENDPOINT}.alarms.existing": [f"pager-{n}" for n in range(10)]},
    {f"{ENDPOINT}.alarms": {"errorRatePercent": 0.05, "serverErrorRatePercent": 0.01}},
    {f"{ENDPOINT}.alarms.evaluationMinutes": 20},
    {f"{ENDPOINT}.alarms": LEFT_OUT},
    {f"{RELEASE}.bakeSeconds": 0},
    {RELEASE: {"strategy": "canary"}},
    {RELEASE: {"strategy": "canary", "percent": 50}, f"{ENDPOINT}.autoscaling": {"min": 1, "max": 10}},
    {RELEASE: {"strategy": "canary", "percent": 50}},
    {RELEASE: {"strategy": "rolling", "instances": 1}, f"{ENDPOINT}.autoscaling": {"min": 2, "max": 10}},
    {RELEASE: {"strategy": "linear", "instances": 2}, f"{ENDPOINT}.autoscaling": {"min": 4, "max": 20}},
    {f"{RELEASE}.timeoutSeconds": 700},
    {RELEASE: {"strategy": "linear", "percent": 10}},
    {f"{RELEASE}.timeoutSeconds": 3600, f"{ENDPOINT}.startupHealthCheckSeconds": 3600},
    # variants
    {f"{ENDPOINT}.variants": {"a": {"model": MODEL}}},
    {
        f"{ENDPOINT}": {
            "variants": {"a": {"model": MODEL, "autoscaling": {"min": 2, "max": 4}}, "b": {"model": MODEL}},
            "alarms": {"errorRatePercent": 5},
            "release": {"strategy": "rolling", "instances": 1, "intervalSeconds": 60},
        }
    },
]
"""Keys of the stack and other values for them."""


def examples() -> Iterator[Example]:
    """Every example with its problems."""
    with tempfile.TemporaryDirectory() as directory:
        for number in range(25):
            (Path(directory) / f"models/m{number:02}").mkdir(parents=True)
            (Path(directory) / f"models/m{number:02}/config.pbtxt").write_text("max_batch_size: one")
        for changes in [*EXAMPLES, *modes.EXAMPLES]:
            problems = _problems(_changed(changes), Path(directory))
            yield Example("\n".join(map(_line, changes.items())), tuple(problems))
    here = {"region": "ap-northeast-1", "accountId": "123456789012"}
    for now in ({"region": "us-east-1"}, {"accountId": "210987654321"}):
        yield Example(f"{here} at the first deployment, then {now}", (*moved(here, here | now),))


def _line(change: tuple[str, Any]) -> str:
    key, value = change
    if value is LEFT_OUT:
        return f"(without {key})"
    line = printable(f"{key}: {written(value)}")
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}…"


def _changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    stack = deepcopy(dict(STACK))
    for path, value in changes.items():
        *above, last = path.split(".", 1 if path.startswith("tags.") else -1)
        section: Any = stack
        for key in above:
            section = section.setdefault(key, {})
        if value is LEFT_OUT:
            del section[last]
        else:
            section[last] = value
    return stack


def _problems(stack: Mapping[str, Any], root: Path) -> list[Problem]:
    config = {key if ":" in key else f"{PROJECT}:{key}": value for key, value in stack.items()}
    secret = {key for key, value in config.items() if "hunter2" not in str(value) and "secretEnvironment" in key}
    secret |= {key for key, value in config.items() if "secure" in str(value)}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    try:
        return [*Stack.read(texts, PROJECT, secret, root, "dev").warnings]
    except ConfigurationError as error:
        return [*error.problems]
