"""What has a name of its own is replaced behind an endpoint that answers all the while."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.cost import price_file
from sandbox.home import PROJECT, Sandbox
from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    BROKEN,
    Account,
    Asking,
    Config,
    changing,
    consistent,
    development,
    left,
    nothing_to_do,
    state,
    write_model,
)


def deleted_after_the_move(account: Account, name: str, after: int) -> list[str]:
    """The operations that deleted something since call number `after`, once all of them are seen to come after the last
    UpdateEndpoint of the endpoint."""
    calls = account.calls(after)
    moves = [c["n"] for c in calls if c["operation"] == "UpdateEndpoint" and c["params"]["EndpointName"] == name]
    assert moves, "the endpoint was not released"
    deletions = [call for call in calls if call["operation"].startswith("Delete")]
    assert [call for call in deletions if call["n"] < moves[-1]] == []
    assert [call for call in deletions if call["error"]] == []
    return [call["operation"] for call in deletions]


def needed(account: Account, name: str) -> dict[str, Any]:
    """What the live fleet runs on: its role with the names of its policies, its image and its artifact, which exist."""
    sagemaker, iam, ecr = account.client("sagemaker"), account.client("iam"), account.client("ecr")
    configuration = account.endpoint(name)["EndpointConfigName"]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=configuration)["ProductionVariants"]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    role = model["ExecutionRoleArn"].rpartition("/")[2]
    image = model["PrimaryContainer"]["Image"]
    repository, _, digest = image.partition("/")[2].partition("@")
    ecr.describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    bucket, _, key = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://").partition("/")
    account.client("s3").head_object(Bucket=bucket, Key=key)
    return {
        "configuration": configuration,
        "role": role,
        "policies": sorted(iam.list_role_policies(RoleName=role)["PolicyNames"]),
        "repository": repository,
        "bucket": bucket,
    }


def test_a_new_name_or_environment_deletes_nothing_before_the_endpoint_has_moved(account: Account) -> None:
    name = account.name()
    endpoints = {name: {"model": {"path": str(account.model(1))}, "alarms": {"errorRatePercent": 5}}}
    endpoints[name]["allowSingleInstance"] = True
    stack = account.stack(development(endpoints))
    stack.up()

    def changed(deleted: set[str]) -> dict[str, Any]:
        before = account.now()
        with Asking(account, name) as asking:
            stack.up()
        assert (asking.answers, asking.failures) == ({1}, [])
        assert deleted <= {*deleted_after_the_move(account, name, before)}
        consistent(account, stack)
        return needed(account, name)

    released = {"DeleteModel", "DeleteEndpointConfig", "DeleteRolePolicy"}
    named = {"bucket": {"name": f"{name}-models"}, "image": {"repository": f"{name}-triton"}}
    stack.config = development(endpoints, **named)
    now = changed(released | {"DeleteRepository"})
    assert (now["bucket"], now["repository"]) == (f"{name}-models", f"{name}-triton")

    stack.config = development(endpoints, role={"name": name}) | {"triton-sagemaker:environment": "production"}
    now = changed(released | {"DeleteRole", "DeleteRepository"})
    assert (now["role"], now["repository"]) == (name, "sagemaker-tritonserver")

    stack.config = development(endpoints) | {"triton-sagemaker:environment": "staging"}
    now = changed(released | {"DeleteRole"})
    assert now["repository"] == f"sagemaker-tritonserver-{stack.name}"
    assert account.client("ecr").describe_images(repositoryName="sagemaker-tritonserver")["imageDetails"]

    stack.rename(f"renamed-{name}")
    now = changed(released | {"DeleteRole", "DeleteRepository"})
    assert now["repository"] == f"sagemaker-tritonserver-renamed-{name}"
    nothing_to_do(stack)


@pytest.mark.soak
def test_after_a_rollback_the_live_fleet_has_all_that_it_runs_on(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoints = {name: {"model": {"path": str(model)}}}

    def named(suffix: str) -> Config:
        names = {"role": {"name": f"{name}-{suffix}"}, "bucket": {"name": f"{name}-models-{suffix}"}}
        return development(endpoints, **names, image={"repository": f"{name}-triton-{suffix}"})

    stack = account.stack(named("a"))
    stack.up()
    live, before = needed(account, name), account.now()

    write_model(model, answer=2, initialize=BROKEN)
    stack.config = named("b")
    fails(stack)
    assert needed(account, name) == live
    consistent(account, stack)

    write_model(model, answer=1)
    stack.config = named("a")
    assert "from before a rolled-back release under a new name, set the new name again" in fails(stack)
    assert needed(account, name) == live
    consistent(account, stack)
    assert [call for call in account.calls(before) if call["operation"].startswith("Delete")] == []

    write_model(model, answer=2)
    stack.config = named("b")
    stack.up()
    assert account.ask(name) == 2
    now = needed(account, name)
    assert (now["role"], now["bucket"], now["repository"]) == (f"{name}-b", f"{name}-models-b", f"{name}-triton-b")
    assert len(now["policies"]) == len(live["policies"])
    assert {"DeleteRole", "DeleteRepository"} <= {*deleted_after_the_move(account, name, before)}
    consistent(account, stack)
    nothing_to_do(stack)


def test_what_would_replace_misname_or_cost_too_much_is_refused_before_anything_changes(
    account: Account, tmp_path: Path
) -> None:
    account = with_prices(account, tmp_path)
    name = account.name()
    endpoint: dict[str, Any] = {"model": {"path": str(account.model(1))}, "autoscaling": {"min": 1, "max": 2}}
    budget: dict[str, Any] = {"monthlyLimit": 500, "emailAddresses": ["ops@example.com"]}
    stack = account.stack(development({name: endpoint}, cost={"budget": budget}))
    stack.up()
    config = development({name: endpoint}, cost={"budget": budget | {"monthlyLimit": 600, "actualPercent": 90}})
    stack.config = config
    assert [step.operation for step in stack.up().steps if step.type.endswith(":Budget")] == ["update"]
    (of_budget,) = state(stack, "aws:budgets/budget:Budget")
    asked = dict(zip(("AccountId", "BudgetName"), of_budget["id"].split(":"), strict=True))
    budgets = account.client("budgets")
    assert budgets.describe_budget(**asked)["Budget"]["BudgetLimit"] == {"Amount": "600.0", "Unit": "USD"}
    notifications = budgets.describe_notifications_for_budget(**asked)["Notifications"]
    assert sorted(each["Threshold"] for each in notifications) == [90, 100]
    made, before = custom_resources(stack), account.now()

    stack.config = {**config, "pulumi:autonaming": {"mode": "verbatim"}}
    for operation in (stack.preview, stack.up):
        assert "pulumi:autonaming: must leave names to Pulumi" in refused(operation)
    stack.config = {**config, "aws:region": "us-east-1"}
    for operation in (stack.preview, stack.up):
        assert "aws:region: is us-east-1, but the stack was created in ap-northeast-1" in refused(operation)

    larger = {name: endpoint | {"autoscaling": {"min": 1, "max": 5}}}
    stack.config = development(larger, cost={"budget": budget})
    shown = stack.preview().output
    assert f"{name}: +$481.80 a month at the largest fleet, because of autoscaling.max" in shown
    assert "made up" in shown
    stack.config = development({f"{name}-next": larger[name]}, cost={"budget": budget})
    shown = stack.preview().output
    removed = f"-$160.60 a month, -$321.20 a month at the largest fleet, because of endpoints.{name} (removed)"
    assert f"{name}: {removed}" in shown
    assert f"{name}-next: +$160.60 a month, +$803.00 a month at the largest fleet, because of new endpoint" in shown
    stack.config = development(larger, cost={"budget": budget, "monthlyLimit": 500})
    for operation in (stack.preview, stack.up):
        assert f"endpoints.{name}.autoscaling.max" in refused(operation)

    assert changing(account.calls(before)) == []
    assert custom_resources(stack) == made
    stack.destroy()  # goes by the providers in the state, whatever the file says
    assert left(account, name) == []
    with pytest.raises(ClientError, match="NotFoundException"):
        budgets.describe_budget(**asked)


def with_prices(account: Account, root: Path) -> Account:
    """The account, for stacks of a project with a price file."""
    for file in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(PROJECT / file, root)
    region = "ap-northeast-1"
    price_file.write(price_file.path(root, region), price_file.fetch(account.client("pricing"), region, print))
    return replace(account, sandbox=Sandbox(account.sandbox.home, root))


def custom_resources(stack: Stack) -> dict[str, Any]:
    custom = [each for each in stack.resources() if each["custom"] and ":providers:" not in each["type"]]
    return {each["urn"]: each["outputs"] for each in custom}


def fails(stack: Stack) -> str:
    """What a person reads when `up` fails."""
    return refused(stack.up)


def refused(operation: Callable[[], object]) -> str:
    with pytest.raises(StackFailed) as failed:
        operation()
    assert "Traceback" not in failed.value.output
    return failed.value.output
