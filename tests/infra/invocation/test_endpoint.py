"""The endpoint that answers now, and the Model of a stack that only transforms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.aws.mode import Mode
from infra.invocation.batch_model import ModelNotDeployed, batch_model
from infra.invocation.endpoint import EndpointUnavailable, LiveEndpoint, ServedModel

TRIAL = {"VariantName": "Trial", "ModelName": "iris-Trial-1a2b3c4", "InstanceType": "ml.c5.xlarge"}
ALL = {"VariantName": "AllTraffic", "ModelName": "iris-1a2b3c4", "InstanceType": "ml.r5.xlarge"}


class SageMaker:
    """One endpoint, and Models by their names with the buckets of their artifacts."""

    def __init__(self, status: str = "InService", models: dict[str, str] | None = None, **config: Any) -> None:
        self.status, self.models = status, models or {}
        self.config = {"ProductionVariants": [ALL, TRIAL], **config}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName != "iris":
            message = f"Could not find endpoint {EndpointName}"
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "DescribeEndpoint")
        return {
            "EndpointName": "iris",
            "EndpointArn": "arn",
            "EndpointStatus": self.status,
            "EndpointConfigName": "iris-0000000",
            "FailureReason": "no capacity",
        }

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        assert EndpointConfigName == "iris-0000000"
        return self.config

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_models"
        models = self.models

        class Pages:
            def paginate(self, NameContains: str) -> list[dict[str, Any]]:
                return [{"Models": [{"ModelName": name} for name in models if NameContains.lower() in name.lower()]}]

        return Pages()

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        if self.models[ModelName] == "several":
            return {"ModelName": ModelName, "Containers": [{}, {}], "CreationTime": datetime.now(UTC)}
        created = datetime.fromtimestamp(list(self.models).index(ModelName), UTC)
        container = {"ModelDataUrl": f"s3://{self.models[ModelName]}/models/iris/x.tar.gz"}
        return {"ModelName": ModelName, "PrimaryContainer": container, "CreationTime": created}


def live(**config: Any) -> LiveEndpoint:
    endpoint = LiveEndpoint.read(SageMaker(**config), "iris")
    assert endpoint
    return endpoint


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({}, Mode.REAL_TIME),
        ({"AsyncInferenceConfig": {"OutputConfig": {}}}, Mode.ASYNCHRONOUS),
        ({"ProductionVariants": [{"VariantName": "A", "ServerlessConfig": {"MemorySizeInMB": 1024}}]}, Mode.SERVERLESS),
    ],
)
def test_the_mode_is_that_of_the_live_configuration(config: dict[str, Any], mode: Mode) -> None:
    assert live(**config).mode is mode


def test_a_variant_is_chosen_by_name_or_is_the_first() -> None:
    assert live().variant(None)["ModelName"] == "iris-1a2b3c4"
    assert live().variant("Trial")["ModelName"] == "iris-Trial-1a2b3c4"
    with pytest.raises(EndpointUnavailable, match=r"trial.* AllTraffic, Trial"):
        live().variant("trial")


def test_an_endpoint_that_does_not_exist_or_answer() -> None:
    assert LiveEndpoint.read(SageMaker(), "other") is None
    assert LiveEndpoint.read(SageMaker("Updating"), "iris")
    for status in ("Failed", "Creating", "OutOfService"):
        with pytest.raises(EndpointUnavailable, match=f"{status}: no capacity"):
            LiveEndpoint.read(SageMaker(status), "iris")


MODELS = {
    "iris-1111111": "models-dev-1a2b3c4",
    "iris-2222222": "models-dev-1a2b3c4",
    "iris-3333333": "models-prod-1a2b3c4",
    "iris-eu-4444444": "models-dev-1a2b3c4",
    "iris-by-hand": "models-dev-1a2b3c4",
}


def test_the_batch_model_is_the_newest_one_of_this_stack() -> None:
    assert batch_model(SageMaker(models=MODELS), "iris", "AllTraffic", "dev", None).name == "iris-2222222"
    assert batch_model(SageMaker(models=MODELS), "iris", "AllTraffic", "prod", None).name == "iris-3333333"
    assert batch_model(SageMaker(models=MODELS), "iris-eu", "AllTraffic", "dev", None).name == "iris-eu-4444444"


def test_a_stack_with_a_bucket_of_its_own_name_finds_its_model_by_that() -> None:
    models = {"iris-1111111": "records", "iris-2222222": "models-dev-1a2b3c4"}
    assert batch_model(SageMaker(models=models), "iris", "AllTraffic", "dev", "records").name == "iris-1111111"


def test_a_model_that_is_not_deployed_is_an_error_with_the_way_out() -> None:
    with pytest.raises(ModelNotDeployed, match="pulumi up"):
        batch_model(SageMaker(models=MODELS), "iris", "AllTraffic", "staging", None)


def test_a_model_or_configuration_of_another_shape_is_an_error_and_never_the_batch_model() -> None:
    with pytest.raises(EndpointUnavailable, match="iris-5555555 was not made by this program"):
        ServedModel.read(SageMaker(models={"iris-5555555": "several"}), "iris-5555555")
    models = {**MODELS, "iris-5555555": "several"}
    assert batch_model(SageMaker(models=models), "iris", "AllTraffic", "dev", None).name == "iris-2222222"
    components = live(ProductionVariants=[{"VariantName": "A", "InstanceType": "ml.c5.xlarge"}])
    with pytest.raises(EndpointUnavailable, match="iris-0000000 was not made by this program"):
        components.model_name(None)
    pools = replace(live(ProductionVariants=[{"VariantName": "A", "InstancePools": []}]), instances={"A": 2})
    assert pools.fleet(None) is None


@pytest.mark.parametrize(
    ("output", "failure", "bucket"),
    [
        ("s3://ours/async/iris/output", "s3://ours/async/iris/failure", "ours"),
        ("s3://answers/a", "s3://ours/async/iris/failure/", "ours"),
        ("s3://ours/async/iris/output/", "s3://answers/f", "ours"),
        ("s3://answers/a", "s3://answers/f", None),
        ("s3://answers", None, None),
    ],
)
def test_the_default_place_of_answers_or_failures_names_the_bucket(
    output: str, failure: str | None, bucket: str | None
) -> None:
    places = {"S3OutputPath": output, **({"S3FailurePath": failure} if failure else {})}
    assert live(AsyncInferenceConfig={"OutputConfig": places}).bucket == bucket
