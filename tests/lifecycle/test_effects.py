"""What the documentation says of a change is what the engine plans in a production stack."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from infra.settings.reference import keys
from infra.settings.section import Effect
from sandbox.settings_files import PLACEHOLDER
from sandbox.stacks import StackFailed, Step
from tests.infra.changes import (
    ADOPTED,
    BUDGET,
    CHANGES,
    CHANGES_OF_AN_ENDPOINT,
    DATADOG,
    ENDPOINT,
    FROZEN,
    MODELS_OWN,
    STACK,
    SUBSCRIBED,
    changed,
    endpoint_with,
    name_of,
)
from tests.lifecycle.account import Account, Config, write_model

EFFECTS = {key.name: key.effect for key in keys() if not key.below}
PRODUCTION = STACK | {"environment": "production"}
GUARDED = {key.name for key in keys() if "--ignore-protect" in key.description}
VPC = {"vpc": {"subnetIds": ["subnet-1"], "securityGroupIds": ["sg-1"]}}
RELEASED = {"Model", "EndpointConfiguration"}
NAMED = {"Bucket", "Repository", "Role"}
BESIDE_THE_FLEET = {"LogGroup", "MetricAlarm", "Target", "Policy"}
BESIDE_THE_FLEET |= {"CompositeAlarm", "AlarmMuteRule", "Topic", "TopicSubscription"}


def effect(steps: Iterable[Step]) -> Effect:
    """The most that the planned steps do to an endpoint."""
    planned = {(step.operation, step.type.split(":")[-1]) for step in steps if step.operation not in ("same", "read")}
    replaced = {kind for operation, kind in planned if "replace" in operation}
    if replaced & NAMED:
        return Effect.REPLACEMENT
    if replaced & RELEASED:
        return Effect.NEW_RELEASE
    return Effect.IN_PLACE if {kind for _, kind in planned} & BESIDE_THE_FLEET else Effect.NOTHING


def config(stack: dict[str, Any]) -> Config:
    return {"aws:region": "ap-northeast-1"} | {f"triton-sagemaker:{key}": value for key, value in stack.items()}


@pytest.mark.soak
def test_in_production_the_engine_plans_what_is_written_of_each_key(account: Account) -> None:
    name = account.name()
    endpoint = ENDPOINT | {"model": {"path": str(account.model(1))}, "alarms": {"errorRatePercent": 5}}
    scaled = endpoint | {"autoscaling": {"min": 2, "max": 10, "policyName": "invocations"}}
    image = {"version": "23.10-py3", "repository": f"triton-{name}"}
    adopted = {"bucket": {"name": f"{name}-models"}, "role": {"name": f"{name}-role"} | MODELS_OWN["role"]}
    assert adopted.keys() == ADOPTED.keys()
    base = PRODUCTION | VPC | FROZEN | BUDGET | SUBSCRIBED | adopted | {"image": image, "endpoints": {name: scaled}}
    stack = account.stack(config(base))
    stack.up()

    more: dict[str, Any] = {
        "adopt.bucketPolicy": {"adopt": {"bucket": True}},
        "adopt.bucketLifecycle": {"adopt": {"bucket": True}},
        "role.arn": {"role": {}},
        "image.source": {"image": {"repository": image["repository"]}},
        "notifications.topicArn": {"notifications": {}},
        "datadog.integration": DATADOG,
        "datadog.site": DATADOG,
        "datadog.apiKeySecretArn": DATADOG,
    }
    values = {key: value for key, (_, value) in CHANGES.items()} | {
        "secretEnvironment": {name: {"KEY": PLACEHOLDER}},
        "adopt.endpoints": [name],
        "environment": "staging",
        "bucket.name": f"{name}-others",
        "image.repository": f"triton-{name}-2",
        "role.name": f"{name}-role-2",
    }
    del values["adopt.autoscaling"]  # the targets are the stack's own
    del values["image.mirror"]  # excludes image.repository: tests/lifecycle/test_stacks.py
    del values["cost.monthlyLimit"]  # requires prices: tests/infra/test_effects.py

    planned: dict[str, Effect] = {}
    refused = set()
    for key, value in values.items():
        stack.config = config(changed(base | more.get(key, {}), key, value))
        try:
            planned[key] = effect(stack.preview().steps)
        except StackFailed as failed:
            assert "StackGuard::first" in failed.output, failed.output
            refused.add(key)
            planned[key] = effect(stack.preview(ignore_protect=True).steps)
    # a stack that leaves production keeps its image.repository, and loses alarms that are on by default there
    assert planned.pop("environment") == Effect.IN_PLACE
    assert planned == {key: EFFECTS[key] for key in planned}
    assert refused == GUARDED & values.keys()


@pytest.mark.soak
def test_in_production_the_engine_plans_what_is_written_of_each_key_of_an_endpoint(
    account: Account, tmp_path: Path
) -> None:
    models, other = write_model(tmp_path / "models", 1), write_model(tmp_path / "other", 2)
    for each in ("answer", "second"):
        shutil.copytree(models / "answer", tmp_path / "two" / each)
    second = tmp_path / "two/second/config.pbtxt"
    second.write_text(second.read_text().replace("answer", "second"))
    values = {key: value for key, (_, value) in CHANGES_OF_AN_ENDPOINT.items()}
    values |= {"model.path": str(other), "model.defaultModelName": "second"}
    del values["model.artifact"], values["model.checkArtifact"]  # they need an upload: tests/lifecycle/test_release.py
    model = {"model": {"path": str(models)}}
    prefix = account.name()
    names = {key: f"{prefix}{name_of(key)}" for key in values}
    before = {names[key]: endpoint_with(CHANGES_OF_AN_ENDPOINT[key][0] | model) for key in values}
    before[names["model.defaultModelName"]]["model"] = {"path": str(tmp_path / "two"), "defaultModelName": "answer"}
    after = {names[key]: changed(before[names[key]], key, value) for key, value in values.items()}
    base = PRODUCTION | {"image": {"version": "23.10-py3", "repository": f"triton-{prefix}"}}
    stack = account.stack(config(base | {"endpoints": before}))
    stack.up()

    stack.config = config(base | {"endpoints": after})
    steps = stack.preview().steps
    planned = {
        key: effect(each for each in steps if each.name == name or each.name.startswith(f"{name}-"))
        for key, name in names.items()
    }
    assert planned == {key: EFFECTS[f"endpoints.*.{key}"] for key in values}
