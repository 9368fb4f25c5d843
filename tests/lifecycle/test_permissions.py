"""A stack with a role that exists, then with one of its own below a boundary: what its documents allow suffices."""

from __future__ import annotations

import json

import pytest

from infra.policies.principals import StackNames, execution_role
from infra.settings.load import load
from sandbox.stacks import StackFailed
from tests.infra.mock_runtime import ACCOUNT, texts
from tests.infra.policies.stack_settings import KEY
from tests.lifecycle.account import Account, Config, development, nothing_to_do, state

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/triton-serving-boundary"
SECRET = {"actions": ["secretsmanager:GetSecretValue"], "resources": ["arn:aws:secretsmanager:*:*:secret:ranking-*"]}
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_an_existing_role_then_one_below_a_boundary_then_autoscaling_that_changes(account: Account) -> None:
    name, model = account.name(), account.model(1)

    def config(role: Config, **endpoint: object) -> Config:
        return development({name: {"model": {"path": str(model)}, **endpoint}}, role=role)

    elsewhere = account.stack(config({"arn": "arn:aws:iam::999999999999:role/triton"}))
    with pytest.raises(StackFailed, match=f"is not a role of account {ACCOUNT}"):
        elsewhere.preview()

    iam, role = account.client("iam"), f"{name}-role"
    document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    arn = iam.create_role(RoleName=role, Path="/platform/", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    stack = account.stack(config({"arn": arn}))
    settings = load(texts(stack.config or {}), "triton-sagemaker")
    for number, each in enumerate(execution_role(StackNames(settings, stack.name, "aws", ACCOUNT))):
        iam.put_role_policy(RoleName=role, PolicyName=f"{number}", PolicyDocument=json.dumps(each))
    before = account.now()
    stack.up()
    assert account.ask(name) == 1
    assert state(stack, ":Role") == state(stack, ":RolePolicy") == []
    assert {call["operation"] for call in account.calls(before) if call["service"] == "iam"} == set()
    nothing_to_do(stack)

    own = {"permissionsBoundary": BOUNDARY, "statements": [SECRET]}
    stack.config = config(own, volumeKmsKeyArn=KEY, enableNetworkIsolation=True)
    stack.up()
    assert account.ask(name) == 1
    (made,) = state(stack, ":Role")
    assert iam.get_role(RoleName=made["id"])["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY
    sagemaker = account.client("sagemaker")
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=account.endpoint(name)["EndpointConfigName"])
    assert configuration["KmsKeyId"] == KEY
    served = sagemaker.describe_model(ModelName=configuration["ProductionVariants"][0]["ModelName"])
    assert (served["EnableNetworkIsolation"], served["ExecutionRoleArn"]) == (True, made["outputs"]["arn"])
    nothing_to_do(stack)

    for least in (1, 2):  # the change passes the role of Application Auto Scaling
        before = account.now()
        stack.config = config(own, volumeKmsKeyArn=KEY, autoscaling={"min": least, "max": 3})
        stack.up()
    (update,) = [call for call in account.calls(before) if call["operation"] == "RegisterScalableTarget"]
    assert "AWSServiceRoleForApplicationAutoScaling" in update["params"]["RoleARN"]
    stack.destroy()
