"""Releases with the real engine and a real Triton: what is made, what is replaced, what is live, and what is never
deleted."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.release.request import OWNER_TAG
from sandbox import aftermath
from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    BROKEN,
    Account,
    consistent,
    development,
    nothing_to_do,
    operations,
    state,
    write_model,
)

CANARY = {"strategy": "canary", "percent": 50, "bakeSeconds": 600, "timeoutSeconds": 28800}
RELEASED = ["PackedModel", "Model", "EndpointConfiguration"]


def released_artifacts(account: Account, stack: Stack, name: str) -> list[str]:
    """The keys of what was released to an endpoint and is still there."""
    found = account.client("s3").list_objects_v2(Bucket=stack.outputs()["bucket"], Prefix=f"models/{name}/")
    return [each["Key"] for each in found.get("Contents", [])]


def scale_out(account: Account, name: str, count: int) -> None:
    """Have autoscaling's way with an endpoint, and wait until it is over."""
    sagemaker = account.client("sagemaker")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})


def test_a_model_is_deployed_then_released_anew_and_taken_back(account: Account) -> None:
    name, model = account.name(), account.model(1)
    stack = account.stack(development({name: {"model": {"path": str(model)}}}))

    account.impose(throttle={"sagemaker.DescribeEndpoint": 2, "sagemaker.CreateEndpoint": 1})
    before = account.now()
    stack.up()
    assert account.ask(name) == 1
    throttled = [call for call in account.calls(before) if "ThrottlingException" in (call["error"] or "")]
    assert len(throttled) == 3, "and was tried again"
    first = account.endpoint(name)["EndpointConfigName"]

    again = stack.up()
    assert again.unchanged, operations(again)

    write_model(model, answer=2)
    before = account.now()
    release = stack.up()
    assert account.ask(name) == 2
    assert operations(release)["create-replacement"] == RELEASED
    assert operations(release)["update"] == ["Endpoint"]
    assert operations(release)["delete-replaced"] == ["EndpointConfiguration", "Model", "PackedModel"]
    assert [call["operation"] for call in account.calls(before) if call["service"] == "sagemaker"][-2:] == [
        "DeleteEndpointConfig",
        "DeleteModel",
    ], "the old ones are deleted last"
    assert len(account.deleted(before)) == 2, "one Model, one EndpointConfiguration"
    assert first in account.deleted(before)
    assert account.endpoint(name)["EndpointConfigName"] == state(stack, "EndpointConfiguration")[0]["id"]

    write_model(model, answer=1)
    stack.up()
    assert account.ask(name) == 1
    consistent(account, stack)


def test_a_broken_model_fails_with_tritons_reason_while_the_old_one_answers(account: Account) -> None:
    name, model = account.name(), account.model(1)
    stack = account.stack(development({name: {"model": {"path": str(model)}}}, bucket={"releasesKept": 1}))
    stack.up()
    (first,) = released_artifacts(account, stack, name)
    live, outputs = account.endpoint(name)["EndpointConfigName"], stack.outputs()
    before = account.now()

    for answer in (2, 3):  # twice: what the first failure leaves must not be deleted by the second
        write_model(model, answer, initialize=BROKEN)
        with pytest.raises(StackFailed) as failed:
            stack.up()
        (error,) = [text for text in failed.value.errors if "rolled back" in text]
        assert "the weights of this model are missing" in error
        assert "did not pass the ping health check" in error
        assert f"{live} is live" in error
        assert "Traceback" not in failed.value.output
        *_, repeated, serves = aftermath.summary(stack, failed.value)
        assert (repeated, serves) == (error, f"{name}: InService, serves {live}")
        assert account.ask(name) == 1
        assert stack.outputs() == outputs, "they describe what is live"
        assert "\n  - endpoints" not in failed.value.output
        assert "\n    endpoints: {" in failed.value.output
        assert live not in account.deleted(before)
        consistent(account, stack)

    write_model(model, answer=4)
    stack.up()
    assert account.ask(name) == 4
    assert stack.outputs() != outputs
    assert len(account.client("sagemaker").list_models(NameContains=name)["Models"]) == 1
    consistent(account, stack)
    assert len(released_artifacts(account, stack, name)) == 4, "as long as a Model named them"

    write_model(model, answer=1)
    stack.up()
    assert account.ask(name) == 1
    assert first in (left := released_artifacts(account, stack, name))
    assert len(left) == 2, "the live one, and that of the Model which was to be deleted"
    scale_out(account, name, 2)
    consistent(account, stack)


def test_a_changed_setting_replaces_what_depends_on_it_and_updates_the_endpoint(account: Account) -> None:
    name = account.name()
    endpoint: dict[str, Any] = {"model": {"path": str(account.model(1))}}
    image = {"version": "23.08-py3"}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    changes: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
        ({"instanceType": "ml.m5.large"}, {}, ["EndpointConfiguration"]),
        ({"environment": {"SAGEMAKER_TRITON_THREAD_COUNT": "2"}}, {}, ["Model", "EndpointConfiguration"]),
        ({"initialInstanceCount": 3}, {}, ["EndpointConfiguration"]),
        ({}, {"image": image}, ["MirroredImage", "Model", "EndpointConfiguration"]),
    ]
    for change, section, replaced in changes:
        endpoint |= change
        stack.config = development({name: endpoint}, **section)
        update = stack.up()
        assert operations(update)["create-replacement"] == replaced
        assert operations(update)["update"] == ["Endpoint"]
        assert account.ask(name) == 1
    assert account.endpoint(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 3
    (model,) = state(stack, "model:Model")
    container = account.client("sagemaker").describe_model(ModelName=model["id"])["PrimaryContainer"]
    assert container["Image"] == stack.outputs()["image"]
    consistent(account, stack)
    nothing_to_do(stack)


def test_an_instance_type_change_under_autoscaling_keeps_the_autoscaling(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoint = {"model": {"path": str(model)}, "autoscaling": {"min": 2, "max": 10}, "release": CANARY}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    account.impose(timeFactor=600)
    autoscaling, resource = account.client("application-autoscaling"), f"endpoint/{name}/variant/AllTraffic"

    def registered() -> tuple[object, object]:
        targets = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])
        policies = autoscaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=resource)
        (target,), (policy,) = targets["ScalableTargets"], policies["ScalingPolicies"]
        return (target["MinCapacity"], target["MaxCapacity"]), policy["TargetTrackingScalingPolicyConfiguration"]

    before = registered()
    stack.config = development({name: {**endpoint, "instanceType": "ml.m5.xlarge"}})
    write_model(model, answer=2, initialize=BROKEN)
    with pytest.raises(StackFailed):
        stack.up()
    assert account.ask(name) == 1
    assert registered() == before
    consistent(account, stack)

    write_model(model, answer=3)
    stack.up()
    assert account.ask(name) == 3
    assert registered() == before
    consistent(account, stack)

    # the target has another ARN than in the state by now
    tags, default = {"CostEnv": "test", "CostService": "moved"}, {"Team": "ml"}
    stack.config = development({name: {**endpoint, "instanceType": "ml.m5.xlarge"}}, tags=tags)
    stack.config["aws:defaultTags"] = {"tags": default}
    untagged = account.now()
    stack.up()
    (target,) = autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])[
        "ScalableTargets"
    ]
    assert autoscaling.list_tags_for_resource(ResourceARN=target["ScalableTargetARN"])["Tags"] == tags | default
    of_endpoint = account.client("sagemaker").list_tags(ResourceArn=account.endpoint(name)["EndpointArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in of_endpoint if tag["Key"] != OWNER_TAG} == tags | default
    assert "UpdateEndpoint" not in [call["operation"] for call in account.calls(untagged)]
    nothing_to_do(stack)
    assert stack.refresh().unchanged

    autoscaling.register_scalable_target(  # as a scheduled action does
        ServiceNamespace="sagemaker",
        ResourceId=resource,
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=5,
    )
    nothing_to_do(stack)
    stack.refresh()
    assert operations(stack.up())["update"] == ["Target"]
    assert registered() == before
    consistent(account, stack)

    burstable = {"instanceType": "ml.t2.medium", "initialInstanceCount": 2}  # AWS scales none of these
    stack.config = development({name: {"model": {"path": str(model)}, "release": CANARY, **burstable}})
    stack.up()
    assert (
        autoscaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[resource])["ScalableTargets"]
        == []
    )
    consistent(account, stack)
    nothing_to_do(stack)


def test_a_fleet_that_was_scaled_out_is_released_as_it_is_until_its_autoscaling_goes(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoint = {"model": {"path": str(model)}, "autoscaling": {"min": 2, "max": 10}, "release": CANARY}
    stack = account.stack(development({name: endpoint}))
    stack.up()
    scale_out(account, name, 8)
    write_model(model, answer=2)
    account.impose(timeFactor=600)
    stack.up()
    (variant,) = account.endpoint(name)["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["CurrentInstanceCount"]) == (8, 8)
    assert account.ask(name) == 2
    consistent(account, stack)

    fixed = {"model": {"path": str(model)}, "initialInstanceCount": 2, "release": CANARY}
    stack.config = development({name: fixed})
    stack.up()
    (variant,) = account.endpoint(name)["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["CurrentInstanceCount"]) == (2, 2)
    consistent(account, stack)
    nothing_to_do(stack)


def test_an_artifact_is_missed_then_deployed_then_released_at_its_next_version(account: Account) -> None:
    name, key = account.name(), "artifacts/model_7.tar.gz"
    stack = account.stack(development({name: {"model": {"artifact": key}}}))
    with pytest.raises(StackFailed) as failed:
        stack.up()
    (bucket,) = [each["outputs"]["bucket"] for each in state(stack, "bucket:Bucket")]
    assert f"aws s3 cp model_7.tar.gz s3://{bucket}/{key}" in failed.value.output
    assert state(stack, "model:Model") == []

    def upload(answer: float) -> None:
        from infra.triton.repository import ModelRepository

        archive = account.directory / "model_7.tar.gz"
        ModelRepository.read(account.model(answer)).pack(archive)
        account.client("s3").upload_file(str(archive), bucket, key)

    account.client("s3").put_object(Bucket=bucket, Key=key, Body=b"PK\x03\x04 a zip file")
    for command in (stack.preview, stack.up):
        with pytest.raises(StackFailed) as failed:
            command()
        assert "[archive-format]" in failed.value.output
        assert "Traceback" not in failed.value.output
    assert state(stack, "model:Model") == []

    upload(7)
    stack.up()
    assert account.ask(name) == 7
    assert stack.up().unchanged

    upload(8)
    assert not stack.preview().unchanged, "a preview shows the release that a new version causes"
    release = stack.up()
    assert account.ask(name) == 8
    assert operations(release)["create-replacement"] == ["Model", "EndpointConfiguration"]
    consistent(account, stack)


def test_a_failed_first_create_leaves_nothing_in_the_way_of_the_next_up(account: Account) -> None:
    name, model = account.name(), account.model(1, initialize=BROKEN)
    endpoint = {"model": {"path": str(model)}, "instanceType": "ml.p3.16xlarge"}
    stack = account.stack(development({name: endpoint}))

    def fails() -> str:
        with pytest.raises(StackFailed) as failed:
            stack.up()
        with pytest.raises(ClientError, match="Could not find endpoint"):
            account.endpoint(name)
        return failed.value.output

    account.impose(insufficientCapacity=["ml.p3.16xlarge"])
    assert "Unable to provision requested ML compute capacity due to InsufficientInstanceCap" in fails()
    account.relieve()
    assert "the weights of this model are missing" in fails()
    write_model(model, answer=1)
    stack.up()
    assert account.ask(name) == 1
    consistent(account, stack)


def test_five_endpoints_live_in_one_stack_whose_outputs_tell_how_to_ask_them(account: Account) -> None:
    names = [account.name() for _ in range(5)]
    model = str(account.model(5))
    stack = account.stack(development({name: {"model": {"path": model}} for name in names}))
    stack.up()
    assert [account.ask(name) for name in names] == [5] * 5

    name = names[-1]
    endpoint = stack.outputs()["endpoints"][name]
    assert endpoint["arn"] == account.endpoint(name)["EndpointArn"]
    (model_name,) = [each["id"] for each in state(stack, "model:Model") if each["id"].startswith(f"{name}-")]
    container = account.client("sagemaker").describe_model(ModelName=model_name)["PrimaryContainer"]
    assert endpoint["artifacts"]["AllTraffic"] == container["ModelDataUrl"]
    assert endpoint["image"] == container["Image"]
    answer = subprocess.run(
        ["bash", "-c", endpoint["invoke"]],
        env=account.command_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"data":[5.0]' in answer.stdout.replace(" ", ""), "the command line can be pasted as it is"


def test_a_wrong_setting_is_told_once_without_a_traceback_and_makes_nothing(account: Account) -> None:
    name = account.name()
    stack = account.stack(
        development({name: {"model": {"path": str(account.model(1))}, "instanceType": "ml.c7g.xlarge"}})
    )
    before = account.now()
    with pytest.raises(StackFailed) as failed:
        stack.up()
    message = f"triton-sagemaker:endpoints.{name}.instanceType: ml.c7g.xlarge is an Arm type"
    assert message in failed.value.output
    assert "Traceback" not in failed.value.output
    assert [call for call in account.calls(before) if call["operation"].startswith(("Create", "Put"))] == []
