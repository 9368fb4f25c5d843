"""Stacks beside each other, what is protected, what is kept, and what a refresh finds."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from sandbox.settings_files import PLACEHOLDER
from sandbox.stacks import StackFailed
from tests.lifecycle.account import Account, development, production, state


def test_two_stacks_live_side_by_side(account: Account) -> None:
    names = [account.name(), account.name()]
    stacks = [
        account.stack(development({name: {"model": {"path": str(account.model(answer))}}}))
        for answer, name in enumerate(names)
    ]
    for stack in stacks:
        stack.up()
    assert [account.ask(name) for name in names] == [0, 1]
    stacks[0].destroy()
    assert account.ask(names[1]) == 1
    assert stacks[1].preview().unchanged


def test_an_endpoint_of_another_stack_is_not_taken(account: Account) -> None:
    name = account.name()
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    account.stack(development(endpoints)).up()
    other = account.stack(development(endpoints))
    with pytest.raises(StackFailed) as failed:
        other.up()
    assert "one of this name exists in the account and belongs to stack triton-sagemaker/" in failed.value.output
    assert account.ask(name) == 1


def test_destroy_keeps_the_bucket_and_its_settings_and_deletes_the_rest(account: Account) -> None:
    name = account.name()
    stack = account.stack(development({name: {"model": {"path": str(account.model(1))}}}))
    stack.up()
    bucket = stack.outputs()["bucket"]
    stack.destroy()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        account.endpoint(name)
    s3 = account.client("s3")
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] is True
    kept = [each["Key"].split("/")[0] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(kept) == ["models", "releases"], "the artifact and the history"
    assert account.client("sagemaker").list_models(NameContains=name)["Models"] == []


def test_a_secret_of_a_stack_file_is_a_placeholder_that_the_state_encrypts(account: Account) -> None:
    name = account.name()
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    stack = account.stack(development(endpoints, secretEnvironment={name: {"LICENSE_KEY": PLACEHOLDER}}))
    stack.up()
    assert account.ask(name) == 1
    (model,) = state(stack, ":Model")
    assert "ciphertext" in str(model["inputs"]["primaryContainer"])


def test_what_production_protects_survives_a_destroy(account: Account) -> None:
    name = account.name()
    stack = account.stack(production({name: {"model": {"path": str(account.model(1))}}}, repository=f"triton-{name}"))
    stack.up()
    with pytest.raises(StackFailed) as failed:
        stack.destroy()
    assert "protected" in failed.value.output
    assert account.ask(name) == 1


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


def test_an_endpoint_that_somebody_deleted_is_found_by_refresh_and_made_again(account: Account) -> None:
    name = account.name()
    stack = account.stack(development({name: {"model": {"path": str(account.model(1))}}}))
    stack.up()
    account.client("sagemaker").delete_endpoint(EndpointName=name)
    account.client("sagemaker").get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1})
    stack.refresh()
    assert state(stack, "infra:Endpoint") == []
    stack.up()
    assert account.ask(name) == 1


def test_a_refresh_after_a_deployment_finds_no_drift(account: Account) -> None:
    name = account.name()
    stack = account.stack(
        development({name: {"model": {"path": str(account.model(1))}, "autoscaling": {"min": 1, "max": 2}}})
    )
    stack.up()
    assert stack.refresh().unchanged
    assert stack.preview().unchanged


def test_an_endpoint_taken_out_of_the_settings_is_deleted_with_what_it_had(account: Account) -> None:
    keep, drop = account.name(), account.name()
    endpoint = {"model": {"path": str(account.model(1))}, "autoscaling": {"min": 1, "max": 2}}
    stack = account.stack(development({keep: endpoint, drop: endpoint}))
    stack.up()
    stack.config = development({keep: endpoint})
    stack.up()
    with pytest.raises(ClientError, match="Could not find endpoint"):
        account.endpoint(drop)
    assert account.ask(keep) == 1
