"""The endpoint, its configuration and its variants as the program registers them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.mock_runtime import Deployment, changed, run, stack_file

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:releases"
VARIANTS: dict[str, Any] = {
    "Stable": {
        "model": {"artifact": "artifacts/a.tar.gz"},
        "initialVariantWeight": 0.9,
        "autoscaling": {"min": 2, "max": 4},
    },
    "Trial": {
        "model": {"path": "examples/models"},
        "instanceType": "ml.m5.large",
        "initialVariantWeight": 0.1,
        "autoscaling": {"min": 1, "max": 1},
        "allowSingleInstance": True,
    },
}


def endpoint(deployment: Deployment) -> dict[str, Any]:
    return deployment.one("dynamic/infra:Endpoint").inputs


def test_production_serves_one_variant() -> None:
    (variant,) = run("prod").one(":EndpointConfiguration").inputs["productionVariants"]
    assert variant == {
        "variantName": "AllTraffic",
        "modelName": "sagemaker-endpoint-1a2b3c4",
        "instanceType": "ml.r5.xlarge",
        "initialInstanceCount": 2,
        "initialVariantWeight": 1.0,
        "containerStartupHealthCheckTimeoutInSeconds": 60,
    }


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
@pytest.mark.parametrize("type_", [":Model", ":EndpointConfiguration"])
def test_pulumi_names_model_and_configuration(stack: str, type_: str) -> None:
    for resource in run(stack).all(type_):
        assert not {"name", "namePrefix"} & resource.inputs.keys()


def test_a_volume_key_reaches_the_configuration() -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"
    assert changed("dev", endpoint={"volumeKmsKeyArn": key}).one(":EndpointConfiguration").inputs["kmsKeyArn"] == key


def test_the_endpoint_belongs_to_the_stack_and_serves_the_configuration() -> None:
    prod = endpoint(run("prod"))
    assert (prod["name"], prod["endpointConfigName"]) == ("sagemaker-endpoint", "sagemaker-endpoint-1a2b3c4")
    assert (prod["owner"], prod["autoscaled"], prod["bucket"]) == ("triton-sagemaker/prod", True, "sagemaker-models")
    assert prod["policy"] == {
        "strategy": "canary",
        "waitSeconds": 600,
        "batch": {"unit": "percent", "value": 10},
        "rollbackPercent": 100,
        "terminationWaitSeconds": 0,
        "timeoutSeconds": 3600,
    }
    assert prod["deadlineSeconds"] == 3900
    assert prod["minimumInvocations"] == {"count": 100, "otherwise": "warn"}


def test_default_tags_are_an_input_of_the_endpoint() -> None:
    tags = {"Team": "ml", "CostEnv": "less specific"}
    deployment = run("prod", stack_file("prod") | {"aws:defaultTags": {"tags": tags}})
    assert endpoint(deployment)["tags"] == {"Team": "ml", "CostEnv": "prod", "CostService": "ranking"}


def test_the_topic_reaches_endpoint_and_alarms_and_open_windows_are_announced() -> None:
    windows = [
        {"schedule": f"0 {hour} * * *", "durationMinutes": 1439, "timeZone": "UTC", "reason": "stock-taking"}
        for hour in (0, 12)
    ]
    deployment = changed("prod", notifications={"topicArn": TOPIC}, freezeWindows=windows)
    assert endpoint(deployment)["notificationTopicArn"] == TOPIC
    assert [message for message in deployment.log if "stock-taking" in message]
    assert deployment.one(":CompositeAlarm").inputs["alarmActions"] == [TOPIC]


def test_the_endpoint_depends_on_its_rollback_alarms() -> None:
    resource = run("prod").one("dynamic/infra:Endpoint")
    purposes = ("error-rate", "server-error-rate", "p99-model-latency")
    assert resource.inputs["rollbackAlarms"] == [f"sagemaker-endpoint-1a2b3c4-{end}" for end in (*purposes, "stop")]
    assert {
        *(f"sagemaker-endpoint-rollback-{end}" for end in purposes),
        "sagemaker-endpoint-stop",
    } <= resource.depends_on


def test_a_release_without_a_wait_has_no_stop_alarm() -> None:
    assert endpoint(run("dev"))["rollbackAlarms"] == []


def test_existing_alarms_roll_back_too() -> None:
    alarms = {"existing": ["pager"], "errorRatePercent": 5}
    assert endpoint(changed("dev", endpoint={"alarms": alarms}))["rollbackAlarms"] == [
        "pager",
        "iris-dev-1a2b3c4-error-rate",
    ]


@pytest.fixture(scope="module")
def several() -> Deployment:
    return changed("prod", endpoints={"e": {"variants": VARIANTS, "alarms": {"errorRatePercent": 5}}})


def test_each_variant_has_its_own_model_instances_and_weight(several: Deployment) -> None:
    variants = several.one(":EndpointConfiguration").inputs["productionVariants"]
    keys = ("variantName", "modelName", "instanceType", "initialVariantWeight")
    assert [[variant[key] for key in keys] for variant in variants] == [
        ["Stable", "e-Stable-1a2b3c4", "ml.c5.xlarge", 0.8999999761581421],  # single precision, as it is read back
        ["Trial", "e-Trial-1a2b3c4", "ml.m5.large", 0.10000000149011612],
    ]
    assert {model.name for model in several.all("sagemaker/model:Model")} == {"e-Stable", "e-Trial"}
    assert several.one(":ReleasedArtifact").inputs["prefix"] == "models/e/Stable/"
    assert several.one(":PackedModel").inputs["key"].startswith("models/e/Trial/")
    assert {*several.outputs["endpoints"]["e"]["artifacts"]} == {"Stable", "Trial"}


def test_each_variant_scales_by_itself(several: Deployment) -> None:
    targets = {target.inputs["resourceId"] for target in several.all(":Target")}
    assert targets == {"endpoint/e/variant/Stable", "endpoint/e/variant/Trial"}
    ignored = several.one(":EndpointConfiguration").request.ignoreChanges
    assert [*ignored] == [], "a path is by position: an inserted variant would get the count of another"


def test_alarms_watch_each_variant(several: Deployment) -> None:
    names = endpoint(several)["rollbackAlarms"]
    assert names == ["e-1a2b3c4-Stable-error-rate", "e-1a2b3c4-Trial-error-rate"]
    alarms = [alarm.inputs for alarm in several.all(":MetricAlarm") if alarm.name.endswith("error-rate")]
    queries = [alarm["metricQueries"][1] for alarm in alarms]
    watched = sorted(query["metric"]["dimensions"]["VariantName"] for query in queries)
    assert watched == ["Stable", "Stable", "Trial", "Trial"]


def test_a_stack_has_any_number_of_endpoints() -> None:
    names = {f"e{n}" for n in range(7)}
    deployment = changed("dev", endpoints={name: {"model": {"path": "examples/models"}} for name in names})
    assert {resource.name for resource in deployment.all("dynamic/infra:Endpoint")} == names
    assert len(deployment.all("ecr/repository:Repository")) == 1
