"""Whatever key is misspelt, that key is named, with the one that was meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest

from infra.diagnostics.problem import ConfigurationError
from infra.diagnostics.suggest import AWS_WORDS, nearest
from infra.settings.load import load
from infra.settings.reference import Key, keys

FLEET: dict[str, Any] = {
    "instanceType": "ml.p3.2xlarge",
    "autoscaling": {
        "min": 2,
        "max": 4,
        "invocationsPerInstance": 70,
        "scaleInCooldown": 600,
        "scaleOutCooldown": 30,
        "policyName": "p",
    },
    "initialInstanceCount": 2,
    "allowSingleInstance": True,
    "initialVariantWeight": 1,
    "startupHealthCheckSeconds": 60,
    "modelDataDownloadSeconds": 60,
    "volumeSizeGb": 50,
    "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
    "enableNetworkIsolation": True,
    "environment": {"A": "b"},
}
RELEASE = {"timeoutSeconds": 28_800, "terminationWaitSeconds": 0}
PATH, ARTIFACT = {"path": "models"}, {"artifact": "artifacts/m.tar.gz"}
NAMED = {"defaultModelName": "iris"}
ALARMS = {
    "errorRatePercent": 5,
    "serverErrorRatePercent": 1,
    "p99ModelLatencyMilliseconds": 500,
    "evaluationMinutes": 1,
    "existing": ["pager"],
    "minimumInvocations": {"count": 1, "otherwise": "warn"},
}
WINDOW = {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "weekend"}

STACK: dict[str, Any] = {
    "region": "ap-northeast-1",
    "environment": "production",
    "tags": {"CostEnv": "prod", "CostService": "ranking"},
    "bucket": {
        "name": "models",
        "kmsKeyArn": "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd",
        "noncurrentVersionExpirationDays": 90,
        "releasesKept": 10,
        "abortIncompleteMultipartUploadDays": 7,
    },
    "image": {"version": "23.10-py3", "repository": "triton", "untaggedImageExpirationDays": 14},
    "role": {
        "name": "triton",
        "permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
        "statements": [
            {
                "actions": ["secretsmanager:GetSecretValue"],
                "resources": ["*"],
                "condition": {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}},
            }
        ],
    },
    "vpc": {"subnetIds": ["subnet-0a"], "securityGroupIds": ["sg-0a"]},
    "endpoints": {
        "canary": FLEET
        | {
            "model": PATH | NAMED,
            "alarms": ALARMS,
            "release": RELEASE | {"strategy": "canary", "percent": 50, "bakeSeconds": 60},
        },
        "linear": FLEET
        | {
            "model": ARTIFACT | NAMED,
            "alarms": ALARMS,
            "release": RELEASE | {"strategy": "linear", "percent": 50, "intervalSeconds": 60},
        },
        "rolling": FLEET
        | {
            "model": PATH,
            "alarms": ALARMS,
            "release": {
                "strategy": "rolling",
                "percent": 50,
                "intervalSeconds": 60,
                "rollbackPercent": 100,
                "timeoutSeconds": 28_800,
            },
        },
        "counted": {
            "model": PATH,
            "initialInstanceCount": 4,
            "volumeKmsKeyArn": "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd",
            "alarms": ALARMS,
            "release": RELEASE | {"strategy": "canary", "instances": 2},
        },
        "at-once": {
            "variants": {"A": FLEET | {"model": ARTIFACT | NAMED}, "B": FLEET | {"model": PATH}},
            "alarms": ALARMS,
            "release": RELEASE | {"strategy": "allAtOnce", "bakeSeconds": 60},
        },
    },
    "secretEnvironment": {"canary": {"LICENSE_KEY": "secret"}},
    "freezeWindows": [WINDOW],
    "notifications": {"topicArn": "arn:aws:sns:ap-northeast-1:123456789012:releases"},
    "adopt": {
        "bucket": True,
        "bucketPolicy": True,
        "bucketLifecycle": True,
        "repository": True,
        "role": True,
        "endpoints": ["canary"],
        "autoscaling": True,
    },
}
"""Every key that there is."""

WITH_SOURCE = STACK | {"image": {"source": "nvcr.io/nvidia/tritonserver:24.05-py3"}}
WITH_ARN = STACK | {"role": {"arn": "arn:aws:iam::123456789012:role/triton"}, "adopt": {"bucket": True}}


def copied(stack: dict[str, Any]) -> Any:
    """As text would be read, with nothing in it shared."""
    return json.loads(json.dumps(stack))


def problems(stack: dict[str, Any]) -> list[tuple[str, str]]:
    config = {("aws:region" if key == "region" else f"p:{key}"): value for key, value in stack.items()}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    try:
        load(texts, "p", {"p:secretEnvironment"})
    except ConfigurationError as error:
        return [(each.key, each.message) for each in error.problems]
    return []


def places(value: Any, path: tuple[str, ...], at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a key of the model is in a stack: in every endpoint, say."""
    if not path:
        yield at
        return
    first, *rest = path
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, each in items:
        if first in ("*", "[]", key):
            yield from places(each, tuple(rest), (*at, key))


def misspelt(key: str) -> list[str]:
    """With a letter doubled, one left out, in snake case and in capitals."""
    middle = len(key) // 2
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
    return [each for each in (key[:middle] + key[middle - 1 :], key[:-2] + key[-1], snake, key.upper()) if each != key]


def test_the_stack_of_this_test_is_valid() -> None:
    assert problems(STACK) == problems(WITH_SOURCE) == problems(WITH_ARN) == []


KEYS = {key.path: key for key in keys() if key.path != ("region",)}.values()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_misspelt_key_is_told_at_the_key_with_the_one_that_was_meant(key: Key) -> None:
    stack = {"image.source": WITH_SOURCE, "role.arn": WITH_ARN}.get(key.name, STACK)
    there = list(places(stack, key.path))
    assert there, "the stack of this test has no such key"
    for *above, last in there:
        for wrong in misspelt(str(last)):
            broken = copied(stack)
            section: Any = broken
            for part in above:
                section = section[part]
            section[wrong] = section.pop(last)
            written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*above, wrong))
            assert problems(broken) == [(f"p:{written[1:]}", f"unknown key; did you mean {last}?")]


def test_a_key_that_is_like_no_other_is_answered_with_all_of_its_section() -> None:
    broken = copied(STACK)
    broken["endpoints"]["canary"]["model"]["xyzzy"] = 1
    (problem,) = problems(broken)
    assert problem == (
        "p:endpoints.canary.model.xyzzy",
        "unknown key; known keys: artifact, checkArtifact, defaultModelName, path.",
    )


def test_beside_a_misspelt_key_the_other_problems_are_told_and_none_that_it_made() -> None:
    broken = copied(STACK)
    scaling = broken["endpoints"]["canary"]["autoscaling"]
    scaling["minn"], scaling["policyName"] = scaling.pop("min"), ""
    del broken["endpoints"]["counted"]["model"]
    assert [key for key, _ in problems(broken)] == [
        "p:endpoints.canary.autoscaling.minn",
        "p:endpoints.canary.autoscaling.policyName",
        "p:endpoints.counted.model",
    ]


def test_a_key_of_another_strategy_stands_for_none_and_hides_no_rule() -> None:
    broken = copied(STACK)
    broken["endpoints"]["rolling"]["release"] |= {"terminationWaitSeconds": 60}
    del broken["endpoints"]["rolling"]["release"]["timeoutSeconds"]
    broken["endpoints"]["rolling"]["alarms"]["existing"] = [f"pager-{n}" for n in range(10)]
    assert [key for key, _ in problems(broken)] == [
        "p:endpoints.rolling.release.terminationWaitSeconds",
        "p:endpoints.rolling.alarms.existing",
    ]


def test_a_key_that_stands_beside_its_misspelling_is_checked_too() -> None:
    broken = copied(STACK)
    broken["endpoints"]["canary"]["autoscaling"] |= {"minn": 2, "min": 12}
    assert {key for key, _ in problems(broken)} >= {
        "p:endpoints.canary.autoscaling.minn",
        "p:endpoints.canary.autoscaling.min",
    }


OURS = [(word, ours) for word, each in AWS_WORDS.items() for ours in each]


@pytest.mark.parametrize(("word", "ours"), OURS)
def test_a_word_of_aws_is_answered_with_ours(word: str, ours: str) -> None:
    sections = {key.path[:-1] for key in KEYS if key.path[-1] == ours}
    assert sections, "no key is called so"
    for section in sections:
        known = [key.path[-1] for key in KEYS if key.path[:-1] == section]
        assert word not in known
        assert nearest(word[0].lower() + word[1:], known) in AWS_WORDS[word]


@pytest.mark.parametrize("word", AWS_WORDS)
def test_a_word_of_aws_is_one(word: str) -> None:
    session = botocore.session.get_session()
    services = (session.get_service_model(name) for name in ("sagemaker", "application-autoscaling"))
    assert any(
        word in service.shape_for(name).members
        for service in services
        for name in service.shape_names
        if service.shape_for(name).type_name == "structure"
    )


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("env", ["environment", "endpoints"], "environment"),
        ("prod", ["production", "development"], "production"),
        ("instance_type", ["instanceType"], "instanceType"),
        ("containerStartupHealthCheckTimeoutInSeconds", ["startupHealthCheckSeconds"], "startupHealthCheckSeconds"),
        ("xyzzy", ["min", "max"], None),
    ],
)
def test_a_word_is_recognized_by_its_beginning_or_most_of_its_letters(
    word: str, known: list[str], expected: str | None
) -> None:
    assert nearest(word, known) == expected
