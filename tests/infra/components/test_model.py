"""Models and their artifacts as the program registers them."""

from __future__ import annotations

from typing import Any

from infra.triton.repository import ModelRepository
from tests.infra.mock_runtime import ROOT, Deployment, changed, run

PROGRAMS = {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "iris", "SAGEMAKER_TRITON_LOG_VERBOSE": "false"}


def container(deployment: Deployment) -> dict[str, Any]:
    result: dict[str, Any] = deployment.one("sagemaker/model:Model").inputs["primaryContainer"]
    return result


def sent_environment(deployment: Deployment) -> Any:
    return deployment.one("sagemaker/model:Model").request.object["primaryContainer"]["environment"]


def secret_value(marked: Any) -> Any:
    assert marked["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270", "Pulumi's mark of a secret"
    return marked["value"]


def test_a_model_repository_is_packed_under_a_key_made_of_its_content() -> None:
    dev, digest = run("dev"), ModelRepository.read(ROOT / "examples/models").digest()
    packed = dev.one("dynamic/infra:PackedModel")
    assert (packed.inputs["digest"], packed.inputs["key"]) == (digest, f"models/iris-dev/{digest}.tar.gz")
    assert {"models-versioning", "models-encryption"} <= packed.depends_on
    assert container(dev)["modelDataUrl"] == f"s3://models-dev-1a2b3c4/models/iris-dev/{digest}.tar.gz"
    assert container(dev)["environment"] == PROGRAMS


def test_an_uploaded_artifact_is_released_as_a_copy_that_the_model_names() -> None:
    released = run("prod").one("dynamic/infra:ReleasedArtifact").inputs
    assert (released["artifact"], released["prefix"]) == ("artifacts/model_7.tar.gz", "models/sagemaker-endpoint/")
    url = "s3://sagemaker-models/models/sagemaker-endpoint/model_7/v1.tar.gz"
    assert container(run("prod"))["modelDataUrl"] == url


def test_another_kms_key_is_another_copy_of_the_artifact() -> None:
    arn = "arn:aws:kms:ap-northeast-1:123456789012:key/"
    keys: list[dict[str, str]] = [{}, {"kmsKeyArn": f"{arn}a"}, {"kmsKeyArn": f"{arn}b"}]
    urls = {container(changed("prod", bucket={"name": "models", **key}))["modelDataUrl"] for key in keys}
    assert len(urls) == len(keys)


def test_vpc_and_isolation_reach_the_model() -> None:
    vpc = {"subnetIds": ["subnet-0a"], "securityGroupIds": ["sg-0a"]}
    model = changed("dev", vpc=vpc, endpoint={"enableNetworkIsolation": True}).one("sagemaker/model:Model")
    assert model.inputs["enableNetworkIsolation"] is True
    assert model.inputs["vpcConfig"] == {"subnets": ["subnet-0a"], "securityGroupIds": ["sg-0a"]}
    assert [*model.request.replaceOnChanges] == ["vpcConfig"]


def test_an_environment_that_the_configuration_marks_secret_stays_secret() -> None:
    variable = {"environment": {"API_KEY": "hunter2"}}
    assert sent_environment(changed("dev", endpoint=variable))["API_KEY"] == "hunter2"
    secret = changed("dev", endpoint=variable, secret_keys=["triton-sagemaker:endpoints"])
    assert secret_value(sent_environment(secret))["API_KEY"] == "hunter2"


def test_a_secret_environment_joins_the_containers_and_stays_secret() -> None:
    secret = {"iris-dev": {"LICENSE_KEY": "hunter2"}}
    deployment = changed("dev", secretEnvironment=secret, secret_keys=["triton-sagemaker:secretEnvironment"])
    assert secret_value(sent_environment(deployment)) == PROGRAMS | secret["iris-dev"]
