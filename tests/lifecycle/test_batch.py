"""A model for transform jobs alone: deployed, changed, used and destroyed, without an endpoint."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sandbox.stacks import Stack, StackFailed
from tests.lifecycle.account import (
    QUESTION,
    Account,
    development,
    left,
    nothing_to_do,
    operations,
    state,
    write_model,
)
from tests.lifecycle.test_interrupted import killed_while_creating_the_model


def transform(account: Account, stack: Stack, endpoint: str, records: int) -> list[float]:
    """The answers of a job on the stack's Model, whose records and answers are in the stack's bucket."""
    bucket, (model,) = stack.outputs()["bucket"], [resource["id"] for resource in state(stack, ":Model")]
    s3, sagemaker, job = account.client("s3"), account.client("sagemaker"), account.name()
    prefix = f"batch/{endpoint}/{job}"
    s3.put_object(Bucket=bucket, Key=f"{prefix}/in/records.jsonl", Body=f"{QUESTION}\n" * records)
    uri: dict[str, Any] = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{prefix}/in/"}
    sagemaker.create_transform_job(
        TransformJobName=job,
        ModelName=model,
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=2,
        TransformInput={
            "DataSource": {"S3DataSource": uri},
            "ContentType": "application/json",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": f"s3://{bucket}/{prefix}/out", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    )
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName=job, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    output = s3.get_object(Bucket=bucket, Key=f"{prefix}/out/records.jsonl.out")["Body"].read()
    return [json.loads(line)["outputs"][0]["data"][0] for line in output.splitlines()]


def test_a_first_create_that_fails_and_one_that_is_killed_are_got_out_of(account: Account) -> None:
    name, sagemaker = account.name(), account.client("sagemaker")
    endpoints: dict[str, Any] = {name: {"model": {"path": str(account.model(1))}, "batch": {}}}
    stack = account.stack(development(endpoints, role={"arn": "arn:aws:iam::123456789012:role/not-there"}))
    with pytest.raises(StackFailed, match="Could not access model data"):
        stack.up()
    assert left(account, name) == []

    stack.config = development(endpoints)
    made = killed_while_creating_the_model(account, stack)
    assert re.search(rf":Model::{name}, interrupted while creating", stack.up().output)
    sagemaker.delete_model(ModelName=made)  # as somebody would who read it
    assert transform(account, stack, name, 3) == [1.0] * 3
    stack.refresh()
    nothing_to_do(stack)


def test_a_model_for_batch_is_deployed_changed_and_destroyed(account: Account) -> None:
    name, model = account.name(), account.model(1)
    endpoint: dict[str, Any] = {"model": {"path": str(model)}, "batch": {"instanceType": "ml.m5.xlarge"}}
    stack = account.stack(development({name: endpoint}))
    before = account.now()
    stack.up()
    created = [call["operation"] for call in account.calls(before)]
    assert "CreateModel" in created
    assert "CreateEndpointConfig" not in created
    assert "CreateEndpoint" not in created
    assert transform(account, stack, name, 20) == [1.0] * 20
    nothing_to_do(stack)

    write_model(model, 2)
    update = stack.up()
    assert "Model" in operations(update)["create-replacement"]
    assert transform(account, stack, name, 3) == [2.0] * 3

    stack.config = development({name: {**endpoint, "batch": {"instanceType": "ml.c5.xlarge"}}})
    stack.up()
    nothing_to_do(stack)
    stack.destroy(ignore_protect=True)
    assert left(account, name) == []
