"""What the program registers for each mode, in a stack with one endpoint of each (Pulumi.modes.yaml)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.mock_runtime import ACCOUNT, Deployment, changed_endpoint, run

SERVED = ("iris-real-time", "iris-asynchronous", "iris-serverless")
TOPIC = f"arn:aws:mock:ap-northeast-1:{ACCOUNT}:iris-asynchronous"


def types(deployment: Deployment, name: str) -> set[str]:
    """The types of the resources whose names begin with that of an endpoint."""
    return {each.type.split(":")[-1] for each in deployment.resources if each.name.startswith(name)}


def configuration(deployment: Deployment, name: str) -> dict[str, Any]:
    return deployment.one(":EndpointConfiguration", name).inputs


def variant(deployment: Deployment, name: str) -> dict[str, Any]:
    (only,) = configuration(deployment, name)["productionVariants"]
    return dict(only)


def test_each_mode_registers_what_it_serves_with_and_nothing_else() -> None:
    modes = run("modes")
    model = {"PackedModel", "ModelArtifact", "Model"}
    endpoint = model | {"TritonEndpoint", "EndpointConfiguration", "Endpoint"}
    endpoint |= {"EndpointAlarms", "VariantAlarms", "MetricAlarm"}
    scaling = {"VariantAutoscaling", "Target", "Policy", "Topic"}
    assert types(modes, "iris-real-time") == endpoint
    assert types(modes, "iris-serverless") == endpoint
    assert types(modes, "iris-asynchronous") == endpoint | scaling
    assert types(modes, "iris-batch") == model | {"TritonModel"}


def test_an_asynchronous_endpoint_writes_to_the_stacks_bucket_and_notifies_its_topics() -> None:
    config = configuration(run("modes"), "iris-asynchronous")["asyncInferenceConfig"]
    assert config == {
        "clientConfig": {"maxConcurrentInvocationsPerInstance": 4},
        "outputConfig": {
            "s3OutputPath": "s3://models-modes-1a2b3c4/async/iris-asynchronous/output",
            "s3FailurePath": "s3://models-modes-1a2b3c4/async/iris-asynchronous/failure",
            "notificationConfig": {"successTopic": f"{TOPIC}-success", "errorTopic": f"{TOPIC}-error"},
        },
    }
    assert all("asyncInferenceConfig" not in configuration(run("modes"), name) for name in SERVED[::2])


def test_given_locations_topics_and_keys_replace_the_stacks_own() -> None:
    key, topic = f"arn:aws:kms:ap-northeast-1:{ACCOUNT}:key/0a-1b", f"arn:aws:sns:ap-northeast-1:{ACCOUNT}:failures"
    given = {
        "outputLocation": "s3://results/answers/",
        "failureLocation": "s3://results/failures",
        "kmsKeyArn": key,
        "notify": True,
        "errorTopicArn": topic,
        "includeResponseIn": ["success", "error"],
    }
    deployment = changed_endpoint("modes", "iris-asynchronous", asynchronous=given)
    assert configuration(deployment, "iris-asynchronous")["asyncInferenceConfig"] == {
        "outputConfig": {
            "s3OutputPath": "s3://results/answers",
            "s3FailurePath": "s3://results/failures",
            "kmsKeyId": key,
            "notificationConfig": {
                "successTopic": f"{TOPIC}-success",
                "errorTopic": topic,
                "includeInferenceResponseIns": ["SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"],
            },
        },
    }
    assert [each.name for each in deployment.all(":Topic")] == ["iris-asynchronous-success"]


def test_without_notifications_there_is_no_topic() -> None:
    deployment = changed_endpoint("modes", "iris-asynchronous", asynchronous={})
    output = configuration(deployment, "iris-asynchronous")["asyncInferenceConfig"]["outputConfig"]
    assert "notificationConfig" not in output and deployment.all(":Topic") == []


def test_a_serverless_variant_has_memory_and_concurrency_and_nothing_of_instances() -> None:
    assert variant(run("modes"), "iris-serverless") == {
        "variantName": "AllTraffic",
        "modelName": "iris-serverless-1a2b3c4",
        "serverlessConfig": {"memorySizeInMb": 4096, "maxConcurrency": 20},
    }


@pytest.mark.parametrize(("given", "initial"), [(None, 2), (3, 3)])
def test_provisioned_concurrency_begins_with_its_minimum_also_where_autoscaling_is_added(
    given: int | None, initial: int
) -> None:
    serverless = {"memoryMb": 2048, "maxConcurrency": 10, "autoscaling": {"min": 2, "max": 5, "utilization": 0.5}}
    serverless |= {"provisionedConcurrency": given} if given else {}
    deployment = changed_endpoint("modes", "iris-serverless", serverless=serverless)
    assert variant(deployment, "iris-serverless")["serverlessConfig"]["provisionedConcurrency"] == initial
    ignored = deployment.one(":EndpointConfiguration", "iris-serverless").request.ignoreChanges
    assert [*ignored] == [], "a key that is added alone would be ignored"
    target = deployment.one(":Target", "iris-serverless").inputs
    assert target["scalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    assert (target["minCapacity"], target["maxCapacity"]) == (2, 5)


def test_a_model_for_jobs_may_be_isolated_and_in_the_vpc() -> None:
    isolated = changed_endpoint("modes", "iris-batch", enableNetworkIsolation=True)
    assert isolated.one(":Model", "iris-batch").inputs["enableNetworkIsolation"] is True


def test_the_guards_know_the_modes_and_protect_no_model_for_jobs() -> None:
    guard = run("modes").one("StackGuard", "first").inputs
    assert {*guard["endpoints"]} == {*SERVED}
    assert guard["modes"]["iris-batch"] == "batch" and guard["modes"]["iris-real-time"] == "real time"
