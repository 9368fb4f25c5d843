"""What the documentation says of a change is what the program does with it."""

from __future__ import annotations

import shutil
from copy import deepcopy
from typing import Any

import pytest

from infra.settings.effect import Effect
from infra.settings.keys import keys
from tests.infra.mock_runtime import ROOT, Deployment, Registered, run

STACK: dict[str, Any] = {
    "environment": "staging",
    "tags": {"CostEnv": "test", "CostService": "x"},
    "image": {"version": "23.10-py3"},
    "endpoints": {"e": {"model": {"artifact": "artifacts/a.tar.gz"}}},
}
SCALED = {"autoscaling": {"min": 2, "max": 10}}
CANARY = {"release": {"strategy": "canary", "percent": 10}}
LINEAR = {"release": {"strategy": "linear", "percent": 10}}
ROLLING = {"release": {"strategy": "rolling", "percent": 10}}
COUNTED = {"alarms": {"errorRatePercent": 5, "minimumInvocations": {"count": 10}}}
GPU = {"instanceType": "ml.g5.xlarge"}

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

ADOPTED = {"bucket": {"name": "models"}, "role": {"name": "triton"}}

CHANGES: dict[str, Any] = {
    "environment": ({}, "production"),
    "tags": ({}, {"CostEnv": "test", "CostService": "y"}),
    "bucket.name": ({}, "models"),
    "bucket.kmsKeyArn": ({}, "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"),
    "bucket.noncurrentVersionExpirationDays": ({}, 30),
    "bucket.releasesKept": ({}, 3),
    "bucket.abortIncompleteMultipartUploadDays": ({}, 2),
    "image.version": ({}, "23.08-py3"),
    "image.source": ({"image": {"source": "nvcr.io/nvidia/tritonserver:24.05-py3"}}, "ghcr.io/x/triton:24.05-py3"),
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
    "notifications.topicArn": ({}, "arn:aws:sns:ap-northeast-1:123456789012:releases"),
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
    "autoscaling.scaleInCooldown": (SCALED, 601),
    "autoscaling.scaleOutCooldown": (SCALED, 31),
    "autoscaling.policyName": (SCALED, "invocations"),
    "initialInstanceCount": ({}, 2),
    "allowSingleInstance": ({}, True),
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
    "alarms.errorRatePercent": ({"alarms": {"errorRatePercent": 5}}, 6),
    "alarms.serverErrorRatePercent": ({}, 6),
    "alarms.p99ModelLatencyMilliseconds": ({}, 6),
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
}
"""The same below `endpoints.*`."""

RELEASED = {"Model", "EndpointConfiguration", "MirroredImage", "ReleasedArtifact", "PackedModel"}
NAMES = {"Bucket": "bucket", "Repository": "name", "Role": "name"}
BESIDE_THE_FLEET = {"MetricAlarm", "Target", "Policy"}


EFFECTS = {key.name: key.effect for key in keys() if not key.below}


def test_every_key_is_among_the_changes() -> None:
    changes = {*CHANGES, *(f"endpoints.*.{key}" for key in CHANGES_OF_AN_ENDPOINT)}
    assert {name for name in EFFECTS if "variants" not in name} - {"aws:region"} == changes


def test_a_variants_keys_do_what_those_of_an_endpoint_do() -> None:
    for name, effect in EFFECTS.items():
        assert EFFECTS[name.replace(".variants.*", "")] == effect


@pytest.mark.parametrize("key", CHANGES)
def test_a_change_does_what_is_written(key: str) -> None:
    more, value = CHANGES[key]
    before = STACK | more
    after = changed(before, key, value)
    if key == "environment":
        survives = {"allowSingleInstance": True, "alarms": {"existing": ["pager"]}}
        before, after = (changed(stack, "endpoints.e", STACK["endpoints"]["e"] | survives) for stack in (before, after))
    assert observed(deployed(before), deployed(after)) == EFFECTS[key]


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, Deployment]:
    """Two deployments of one stack with an endpoint for each key, which changes in the second."""
    other = tmp_path_factory.mktemp("other") / "models"
    shutil.copytree(ROOT / "examples/models", other)
    (other / "iris/1/notes.txt").write_text("changed")
    values = {key: value for key, (_, value) in CHANGES_OF_AN_ENDPOINT.items()} | {"model.path": str(other)}
    before = {name_of(key): STACK["endpoints"]["e"] | more for key, (more, _) in CHANGES_OF_AN_ENDPOINT.items()}
    after = {name_of(key): changed(before[name_of(key)], key, value) for key, value in values.items()}
    first, second = (deployed(STACK | {"endpoints": each}) for each in (before, after))
    return first, second


@pytest.mark.parametrize("key", CHANGES_OF_AN_ENDPOINT)
def test_a_change_of_an_endpoint_does_what_is_written(endpoints: tuple[Deployment, Deployment], key: str) -> None:
    name = name_of(key)
    first, second = (
        Deployment([each for each in run.resources if each.name == name or each.name.startswith(f"{name}-")])
        for run in endpoints
    )
    assert observed(first, second) == EFFECTS[f"endpoints.*.{key}"]


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
    config = {f"triton-sagemaker:{key}": value for key, value in stack.items()}
    return run("x", config | {"aws:region": "ap-northeast-1"}, secret_keys=["triton-sagemaker:secretEnvironment"])


def observed(before: Deployment, after: Deployment) -> Effect:
    """The most that happens to an endpoint when one deployment follows the other."""
    # a bucket or role that gets a name from the settings is called otherwise in the program, and is the same
    old, new = (
        {(each.type, "" if kind_of(each) in NAMES else each.name): each for each in run.resources}
        for run in (before, after)
    )
    both = [(old[key], new[key]) for key in old.keys() & new.keys()]
    kinds = {kind.split(":")[-1] for kind, _ in old.keys() ^ new.keys()}
    kinds |= {kind_of(one) for one, other in both if inputs(one) != inputs(other)}
    names = [(one.inputs.get(key), other.inputs.get(key)) for one, other in both if (key := NAMES.get(kind_of(one)))]
    if any(one != other for one, other in names):
        return Effect.REPLACEMENT
    if kinds & RELEASED:
        return Effect.NEW_RELEASE
    tagged = any(one.inputs.get("tags") != other.inputs.get("tags") for one, other in both)
    return Effect.IN_PLACE if tagged or kinds & BESIDE_THE_FLEET else Effect.NOTHING


def kind_of(resource: Registered) -> str:
    return resource.type.split(":")[-1]


def inputs(resource: Registered) -> dict[str, Any]:
    """What a resource is made of, without tags and what the engine is told to ignore."""
    found = deepcopy({key: value for key, value in resource.inputs.items() if key != "tags"})
    for ignored in resource.request.ignoreChanges:
        if ignored in ("path", "maxSessionDuration", "permissionsBoundary"):  # of the role, which are not given
            continue
        if ignored in ("tags", "tagsAll"):  # of the scalable target: Endpoint brings a change to it
            continue
        if ignored == "input":  # of the Stash, which keeps the Region
            continue
        assert ignored == "productionVariants[0].initialInstanceCount"
        del found["productionVariants"][0]["initialInstanceCount"]
    return found
