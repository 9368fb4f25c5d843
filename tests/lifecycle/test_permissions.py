"""A stack with a role that exists, then with one of its own below a boundary, then with a metric stream whose roles are
below it too: what its documents allow suffices."""

from __future__ import annotations

import json

import pytest

from infra.policies.principals import execution_role
from infra.policies.stack_names import StackNames
from infra.settings.load import load
from sandbox.intake import Intake, Value
from sandbox.stacks import StackFailed
from tests.infra.mock_runtime import ACCOUNT, texts
from tests.infra.policies.stack_settings import KEY
from tests.lifecycle.account import Account, Config, development, eventually, nothing_to_do, operations, state

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/triton-serving-boundary"
SECRET = {"actions": ["secretsmanager:GetSecretValue"], "resources": ["arn:aws:secretsmanager:*:*:secret:ranking-*"]}
API_KEY = "0123456789abcdef0123456789abcdef"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_an_existing_role_then_one_below_a_boundary_then_autoscaling_and_a_metric_stream(account: Account) -> None:
    name, model = account.name(), account.model(1)

    def config(role: Config, datadog: Config | None = None, **endpoint: object) -> Config:
        sections = {"datadog": datadog} if datadog else {}
        return development({name: {"model": {"path": str(model)}, **endpoint}}, role=role, **sections)

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

    scaled = {"volumeKmsKeyArn": KEY, "autoscaling": {"min": 2, "max": 3}}
    secret = account.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps({"api_key": API_KEY}))
    datadog = {"site": "datadoghq.com", "apiKeySecretArn": f"{secret['ARN'][:-6]}absent"}
    stack.config = config(own, datadog, **scaled)
    stack.preview()
    with pytest.raises(StackFailed, match=r"datadog\.apiKeySecretArn: .*absent does not exist"):
        stack.up()
    datadog["apiKeySecretArn"] = secret["ARN"]
    with Intake(API_KEY) as intake:
        sites = {f"awsmetrics-intake.{site}": intake.url for site in ("datadoghq.com", "ap1.datadoghq.com")}
        account.impose(timeFactor=60.0, httpEndpoints=sites)
        stack.config = config(own, datadog, **scaled)
        stack.up()
        nothing_to_do(stack)
        assert account.ask(name) == 1
        eventually(lambda: latencies(intake, name) != [], "the latency of the answer is at the intake")
        value = latencies(intake, name)[0]
        assert (value.unit, value.count) == ("us", 1)
        assert value.quantiles.keys() == {0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0}
        assert value.resource["aws.exporter.arn"].endswith(f"/{stack.outputs()['datadog']['metricStream']}")
        assert API_KEY not in stack.export_text()
        assert all(role["inputs"]["permissionsBoundary"] == BOUNDARY for role in state(stack, ":Role"))

        stack.config = config(own, datadog | {"site": "ap1.datadoghq.com"}, **scaled)
        assert operations(stack.up()) == {"update": ["FirehoseDeliveryStream"]}
        arrived = len(intake.requests)
        assert account.ask(name) == 1
        eventually(lambda: len(intake.requests) > arrived, "the other intake has the next metrics")
        assert intake.requests[-1].headers["host"] == "awsmetrics-intake.ap1.datadoghq.com"

    account.impose(httpEndpoints={})
    assert account.ask(name) == 1
    failed = {"Bucket": stack.outputs()["bucket"], "Prefix": "datadog/http-endpoint-failed/"}
    listed = account.client("s3").list_objects_v2
    eventually(lambda: listed(**failed)["KeyCount"] > 0, "metrics that no intake accepts are in the bucket")
    stack.config = config(own, datadog | {"integration": "existing"}, **scaled)
    assert sorted(operations(stack.up())["delete"]) == [
        *("DatadogMetricStream", "FirehoseDeliveryStream", "MetricStream", "Role", "Role", "RolePolicy", "RolePolicy")
    ]
    assert account.client("firehose").list_delivery_streams()["DeliveryStreamNames"] == []
    stack.destroy()


def latencies(intake: Intake, endpoint: str) -> list[Value]:
    """The values of ModelLatency of an endpoint's only variant that have arrived."""
    of_variant = {"EndpointName": endpoint, "VariantName": "AllTraffic"}
    return [each for each in intake.values if (each.name, each.dimensions) == ("ModelLatency", of_variant)]
