"""Stacks beside each other, what is protected, what is kept, and what a refresh finds."""

from __future__ import annotations

import pytest

from sandbox.settings_files import PLACEHOLDER
from sandbox.stacks import StackFailed
from tests.lifecycle.account import Account, development, left, production, state


def test_two_stacks_live_side_by_side_and_neither_takes_what_is_the_others(account: Account) -> None:
    names = [account.name(), account.name()]
    settings = [{name: {"model": {"path": str(account.model(answer))}}} for answer, name in enumerate(names)]
    first, second = stacks = [account.stack(development(endpoints)) for endpoints in settings]
    outputs = [stack.up().output for stack in stacks]
    assert [account.ask(name) for name in names] == [0, 1]

    second.config = development(settings[0] | settings[1])
    with pytest.raises(StackFailed) as failed:
        second.up()
    assert "one of this name exists in the account and belongs to stack triton-sagemaker/" in failed.value.output
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
    assert sorted(kept) == ["models", "releases"], f"the artifact and the history of {outputs[0]}"
    assert account.ask(names[1]) == 1


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
