"""Stacks beside each other, what is protected, what is kept, and what a refresh finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.settings_files import PLACEHOLDER
from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    BROKEN,
    Account,
    changing,
    consistent,
    development,
    left,
    nothing_to_do,
    operations,
    production,
    state,
)


def test_two_stacks_live_side_by_side_and_neither_takes_what_is_the_others(account: Account) -> None:
    names = [account.name(), account.name()]
    settings = [{name: {"model": {"path": str(account.model(answer))}}} for answer, name in enumerate(names)]
    first, second = stacks = [account.stack(development(endpoints)) for endpoints in settings]
    outputs = [stack.up().output for stack in stacks]
    assert [account.ask(name) for name in names] == [0, 1]

    second.config = development(settings[0] | settings[1])
    with pytest.raises(StackFailed) as failed:
        second.up()
    assert "the account has an endpoint of this name, which belongs to stack triton-sagemaker/" in failed.value.output
    assert [account.ask(name) for name in names] == [0, 1]
    second.config = development(settings[1])
    second.up()

    bucket = first.outputs()["bucket"]
    first.destroy()
    assert left(account, names[0]) == []
    s3 = account.client("s3")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] is True
    kept = [each["Key"].split("/")[0] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(kept) == ["models", "releases", "releases"], f"artifact, release and deletion of {outputs[0]}"
    assert account.ask(names[1]) == 1


def test_a_model_with_a_secret_is_encrypted_in_the_state(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_SECRET_LICENSE_KEY", 'of"a-test')
    name = account.name()
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    secrets = {"LICENSE_KEY": PLACEHOLDER, "TOKEN": PLACEHOLDER}
    stack = account.stack(development(endpoints, secretEnvironment={name: secrets}))
    stack.up()
    assert account.ask(name) == 1
    (model,) = state(stack, ":Model")
    assert "ciphertext" in str(model["inputs"]["primaryContainer"])
    assert "a-test" not in stack.export_text()
    configuration = account.endpoint(name)["EndpointConfigName"]
    sagemaker = account.client("sagemaker")
    served = sagemaker.describe_endpoint_config(EndpointConfigName=configuration)["ProductionVariants"][0]["ModelName"]
    environment = sagemaker.describe_model(ModelName=served)["PrimaryContainer"]["Environment"]
    assert environment["LICENSE_KEY"] == 'of"a-test' and environment["TOKEN"] == PLACEHOLDER


def test_production_loses_nothing_by_mistake_and_all_of_it_on_purpose(account: Account) -> None:
    kept, other = account.name(), account.name()
    repository, model = f"triton-{kept}", {"path": str(account.model(1))}
    scaled = {"min": 2, "max": 4}
    endpoints = {kept: {"model": model, "autoscaling": scaled}, other: {"model": model}}
    stack = account.stack(production(endpoints, repository))
    stack.up()
    before, had = account.now(), outputs(stack)

    def refused(operation: Callable[[], object], *words: str) -> None:
        """See that the engine does nothing at all, and says what it would have lost."""
        with pytest.raises(StackFailed) as failed:
            operation()
        assert all(word in failed.value.output for word in words), failed.value.output
        assert changing(account.calls(before)) == []
        assert outputs(stack) == had

    refused(stack.destroy, "infra:StackGuard::last", "protected")
    fixed = {kept: {"model": model, "initialInstanceCount": 2}}
    stack.config = production(fixed, f"x/{kept}", bucket={"name": f"b-{kept}"})
    for operation in (stack.up, stack.preview):
        refused(
            operation,
            f"would delete the endpoint {other}",
            f"the scalable target of endpoint {kept}, variant AllTraffic,",
            f"replace the bucket of a generated name with the bucket b-{kept}",
            f"replace the repository {repository} with the repository x/{kept}",
            f"pulumi up -s {stack.name} --ignore-protect",
        )
    stack.config = development({kept: endpoints[kept]}, image={"version": "23.10-py3", "repository": repository})
    refused(stack.up, f"would delete the endpoint {other}", "change only environment", " UserError: ")

    # what one call restores is changed, and replaced, without more ado
    renamed = {"model": model, "autoscaling": scaled | {"policyName": "invocations"}}
    image = {"version": "23.10-py3", "repository": repository, "untaggedImageExpirationDays": 30}
    stack.config = production({kept: renamed, other: endpoints[other]}, repository, image=image)
    update = stack.up()
    touched = {type_ for types in operations(update).values() for type_ in types}
    assert touched.isdisjoint({"Endpoint", "Target", "Bucket", "Repository"})
    ecr = account.client("ecr")
    policy = json.loads(ecr.get_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"]["countNumber"] == 30
    assert [each["PolicyName"] for each in policies(account, kept)] == ["invocations"]

    # what it would lose by mistake, it loses by the command in the message, and after a failure by nothing less
    broken = {kept: {"model": {"path": str(account.model(1, initialize=BROKEN))}, "initialInstanceCount": 2}}
    stack.config = production(broken, f"x/{kept}", bucket={"name": f"b-{kept}"})
    old_bucket = stack.outputs()["bucket"]
    with pytest.raises(StackFailed, match="was rolled back"):
        stack.up(ignore_protect=True)
    stack.config = production(fixed, f"x/{kept}", bucket={"name": f"b-{kept}"})
    of_other = {urn for urn in outputs(stack) if urn.endswith((f"::{other}", f"::{other}-error-rate"))}
    with pytest.raises(StackFailed, match="StackGuard::last"):
        stack.up()
    assert of_other <= outputs(stack).keys()
    assert account.ask(kept) == account.ask(other) == 1
    stack.up(ignore_protect=True)
    nothing_to_do(stack)
    assert account.ask(kept) == 1
    assert (left(account, other), policies(account, kept)) == ([], [])
    assert account.client("s3").head_bucket(Bucket=old_bucket)
    assert {each["type"].split(":")[-1] for each in stack.resources() if each.get("protect")} == {
        *("StackGuard", "Bucket", "Repository", "Endpoint")
    }
    stack.destroy(ignore_protect=True)
    assert (left(account, kept), stack.resources()) == ([], [])
    assert account.client("s3").head_bucket(Bucket=f"b-{kept}")
    assert ecr.describe_images(repositoryName=f"x/{kept}")["imageDetails"]


def outputs(stack: Stack) -> dict[str, Any]:
    """What the state holds of each resource, without providers, which follow the configuration."""
    engines = ("pulumi:providers:aws", "pulumi:providers:pulumi-python", "pulumi:pulumi:Stack")
    return {each["urn"]: each.get("outputs") for each in stack.resources() if each["type"] not in engines}


def policies(account: Account, endpoint: str) -> list[dict[str, Any]]:
    """The scaling policies of an endpoint's only variant."""
    found: list[dict[str, Any]] = account.client("application-autoscaling").describe_scaling_policies(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{endpoint}/variant/AllTraffic"
    )["ScalingPolicies"]
    return found


def test_an_immutable_tag_that_holds_another_image_is_refused_before_a_byte_moves(account: Account) -> None:
    name, repository = account.name(), f"triton-{account.name()}"
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    stack = account.stack(production(endpoints, repository))
    stack.up()
    ecr = account.client("ecr")
    other = f"other/{name}"
    manifest = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "23.10-py3"}])["images"][0]

    another = account.stack(development(endpoints | {}, image={"version": "23.08-py3", "repository": other}))
    another.config["triton-sagemaker:endpoints"] = {account.name(): endpoints[name]}  # type: ignore[index]
    another.up()
    different = ecr.batch_get_image(repositoryName=other, imageIds=[{"imageTag": "23.08-py3"}])["images"][0]
    assert different["imageId"]["imageDigest"] != manifest["imageId"]["imageDigest"]
    ecr.put_image(repositoryName=other, imageTag="23.10-py3", imageManifest=different["imageManifest"])

    account_id = different["registryId"]
    source = f"{account_id}.dkr.ecr.ap-northeast-1.amazonaws.com/{other}:23.10-py3"
    stack.config = production(endpoints, repository) | {
        "triton-sagemaker:image": {"source": source, "repository": repository}
    }
    before = account.now()
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert "23.10-py3" in failed.value.output
    assert "immutable" in failed.value.output.lower()
    moved = {"InitiateLayerUpload", "UploadLayerPart", "PutImage"}
    assert [call for call in account.calls(before) if call["operation"] in moved] == []
    assert account.ask(name) == 1


@pytest.mark.soak
def test_a_tag_that_somebody_moved_is_found_by_refresh_and_mirrored_again_without_moving_a_layer(
    account: Account,
) -> None:
    name, repository = account.name(), f"triton-{account.name()}"
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    stack = account.stack(development(endpoints, image={"version": "23.08-py3", "repository": repository}))
    stack.up()
    stack.config = development(endpoints, image={"version": "23.10-py3", "repository": repository})
    stack.up()
    image = stack.outputs()["image"]

    ecr = account.client("ecr")
    older = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "23.08-py3"}])["images"][0]
    ecr.put_image(repositoryName=repository, imageTag="23.10-py3", imageManifest=older["imageManifest"])
    stack.refresh()
    assert state(stack, "infra:MirroredImage") == []

    before = account.now()
    stack.up()
    assert stack.outputs()["image"] == image
    moved = [call["operation"] for call in account.calls(before) if call["service"] == "ecr"]
    assert "PutImage" in moved
    assert "UploadLayerPart" not in moved
    assert account.ask(name) == 1


@pytest.mark.soak
def test_an_image_in_place_is_pulled_from_its_publisher_and_can_be_mirrored_later(account: Account) -> None:
    name = account.name()
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    stack = account.stack(development(endpoints, image={"version": "23.10-py3", "mirror": False}))
    before = account.now()
    stack.up()
    published = stack.outputs()["image"]
    assert published.startswith("941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver@sha256:")
    made = {call["operation"] for call in account.calls(before)}
    assert not {"CreateRepository", "GetAuthorizationToken", "PutImage"} & made
    assert account.ask(name) == 1
    nothing_to_do(stack)

    stack.config = development(endpoints, image={"version": "23.10-py3", "repository": f"triton-{name}"})
    stack.up()
    assert stack.outputs()["image"].endswith(published.partition("@")[2])
    assert f"/triton-{name}@" in stack.outputs()["image"]
    assert account.ask(name) == 1

    stack.config = development(endpoints, image={"version": "23.10-py3", "mirror": False})
    stack.up()
    assert stack.outputs()["image"] == published
    assert account.ask(name) == 1
    consistent(account, stack)
