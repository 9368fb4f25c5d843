"""The program as a whole: its resources for the real stack files, their options, and its outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from infra.cost.line_items import Item
from infra.cost.price_file import PriceFileError
from infra.cost.price_list import NoPrice, PriceList
from tests.infra.cost.products import PRODUCTS
from tests.infra.mock_runtime import Registered, changed, run, stack_file
from tests.infra.policies.stack_settings import TOPIC

COMPONENTS = {
    *("ModelBucket", "ImageMirror", "ExecutionRole", "ModelArtifact", "TritonEndpoint", "TritonModel"),
    *("VariantAutoscaling", "VariantAlarms", "EndpointAlarms", "NotificationTopic", "MuteRules"),
    *("DatadogMetricStream", "StackDashboard", "CostBudget"),
}
TAGGED = {
    *("Bucket", "Repository", "Role", "Model", "EndpointConfiguration", "Endpoint"),
    *("Target", "PackedModel", "ReleasedArtifact", "MetricAlarm", "Topic", "Budget"),
    *("CompositeAlarm", "AlarmMuteRule"),
}


def kind(resource: Registered) -> str:
    return resource.type.rpartition(":")[2]


def test_dev_registers_these_resources_and_no_others() -> None:
    assert sorted(
        (kind(resource), resource.name) for resource in run("dev").resources if kind(resource) != "Stack"
    ) == [
        ("Bucket", "models-dev"),
        ("BucketLifecycleConfiguration", "models-lifecycle"),
        ("BucketPolicy", "models-policy"),
        ("BucketPublicAccessBlock", "models-public-access-block"),
        ("BucketServerSideEncryptionConfiguration", "models-encryption"),
        ("BucketVersioning", "models-versioning"),
        ("Endpoint", "iris-dev"),
        ("EndpointConfiguration", "iris-dev"),
        ("ExecutionRole", "execution-role"),
        ("ImageMirror", "image"),
        ("LifecyclePolicy", "image-lifecycle"),
        ("MirroredImage", "image"),
        ("Model", "iris-dev"),
        ("ModelArtifact", "iris-dev"),
        ("ModelBucket", "models"),
        ("PackedModel", "iris-dev"),
        ("Repository", "image"),
        ("Role", "execution-role-dev"),
        ("RolePolicy", "execution-role-batch"),
        ("RolePolicy", "execution-role-image"),
        ("RolePolicy", "execution-role-logs-and-metrics"),
        ("RolePolicy", "execution-role-models"),
        ("StackGuard", "first"),
        ("StackGuard", "last"),
        ("Stash", "home"),
        ("TritonEndpoint", "iris-dev"),
    ]


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_every_resource_has_a_component_as_parent(stack: str) -> None:
    for resource in run(stack).resources:
        if kind(resource) in COMPONENTS:
            assert resource.parent_type in {
                "pulumi:pulumi:Stack",
                "triton-sagemaker:infra:TritonEndpoint",
                "triton-sagemaker:infra:EndpointAlarms",
            }
        elif kind(resource) not in ("Stack", "Stash", "StackGuard"):
            assert resource.parent_type.startswith("triton-sagemaker:infra:"), resource.urn


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_everything_taggable_has_the_cost_tags(stack: str) -> None:
    tags = {key: value for key, value in stack_file(stack)["triton-sagemaker:tags"].items() if key.startswith("Cost")}
    tagged = [resource for resource in run(stack).resources if kind(resource) in TAGGED]
    assert tagged
    assert [resource.urn for resource in tagged if not tags.items() <= resource.inputs["tags"].items()] == []


def test_production_protects_what_one_call_cannot_restore_and_development_nothing() -> None:
    protected = {
        stack: sorted((kind(resource), resource.name) for resource in run(stack).resources if resource.request.protect)
        for stack in ("dev", "prod")
    }
    assert protected == {
        "dev": [],
        "prod": [
            ("Bucket", "models"),
            ("Endpoint", "sagemaker-endpoint"),
            ("Repository", "image"),
            ("StackGuard", "first"),
            ("StackGuard", "last"),
            ("Target", "sagemaker-endpoint"),
        ],
    }


WATCHED = {
    "notifications": {"subscriptions": [{"protocol": "email", "endpoint": "on-call@example.com"}]},
    "freezeWindows": [
        {"schedule": "0 18 * * FRI", "durationMinutes": 60, "timeZone": "Asia/Tokyo", "reason": "weekend"}
    ],
    "monitoring": {"muteInFreezeWindows": True},
    "cost": {"budget": {"monthlyLimit": 500, "emailAddresses": ["on-call@example.com"]}},
    "datadog": {
        "site": "datadoghq.com",
        "apiKeySecretArn": "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:datadog-a1b2c3",
    },
}
"""What is created only if the settings have it."""


@pytest.mark.parametrize(("stack", "sections"), [("dev", {}), ("prod", {}), ("modes", {}), ("prod", WATCHED)])
def test_every_resource_depends_on_the_first_guard_and_the_last_guard_on_every_resource(
    stack: str, sections: dict[str, Any]
) -> None:
    deployment = changed(stack, **sections)
    resources = {each.urn: each for each in deployment.resources if not each.type.startswith("pulumi:")}

    def registered_before(urn: str) -> set[str]:
        """The dependencies and parents of a resource, and theirs."""
        before, left = set[str](), [urn]
        while left:
            resource = resources[left.pop()]
            new = ({*resource.request.dependencies, resource.parent} & resources.keys()) - before
            before |= new
            left += new
        return before

    custom = {urn for urn, resource in resources.items() if resource.request.custom}
    first, last = (next(urn for urn in custom if urn.endswith(f"Guard::{name}")) for name in ("first", "last"))
    assert [urn for urn in custom - {first} if first not in registered_before(urn)] == []
    assert custom - {last} == {*resources[last].request.dependencies} & custom


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_no_dependency_of_an_endpoint_is_deleted_before_its_replacement_serves(stack: str) -> None:
    deployment = changed(stack, role={"name": "triton"})
    of_aws = [each for each in deployment.resources if each.type.startswith(("aws:", "pulumi-python:"))]
    assert all(resource.request.deleteBeforeReplaceDefined for resource in of_aws), "else the provider decides"
    first = [resource for resource in of_aws if resource.request.deleteBeforeReplace]
    assert {kind(resource) for resource in first} <= {"Policy"}, "AWS accepts one target-tracking policy for a metric"
    others = [
        each for each in deployment.resources if kind(each) != "StackGuard"
    ]  # none of its properties depend on it
    dependencies = {urn for resource in others for urn in resource.request.dependencies}
    assert dependencies.isdisjoint(resource.urn for resource in first), "its dependents would be deleted first too"


def test_the_state_holds_the_path_of_a_dynamic_provider_and_no_code() -> None:
    dynamic = [resource for resource in run("prod").resources if "dynamic/infra" in resource.type]
    assert dynamic
    assert [each.urn for each in dynamic if len(each.inputs["__provider"]) >= 200] == [], "pickled by value"


def test_the_release_is_announced_with_its_duration() -> None:
    message, cost = run("prod").log
    assert cost.startswith("cost: no price. ")
    assert message.startswith("sagemaker-endpoint: ")
    for part in ("22 to 38 minutes", "canary 10 %", "1 of 2 instances = 50 %", "4 rollback alarms"):
        assert part in message


def test_a_warning_names_its_key() -> None:
    config = stack_file("prod") | {"triton-sagemaker:environment": "staging"}
    del config["triton-sagemaker:endpoints"]["sagemaker-endpoint"]["alarms"]
    warning, *_ = run("prod", config).log
    assert warning.startswith("warning: triton-sagemaker:endpoints.sagemaker-endpoint.alarms: ")


def test_the_outputs_describe_the_endpoint() -> None:
    outputs = run("prod").outputs
    assert {*outputs} == {"endpoints", "bucket", "image", "roleArn", "dashboard"}
    assert outputs["bucket"] == "sagemaker-models"
    endpoint = outputs["endpoints"]["sagemaker-endpoint"]
    assert (endpoint["name"], endpoint["image"]) == ("sagemaker-endpoint", outputs["image"])
    assert endpoint["artifacts"]["AllTraffic"] == "s3://sagemaker-models/models/sagemaker-endpoint/model_7/v1.tar.gz"
    assert endpoint["invoke"] == (
        "aws sagemaker-runtime invoke-endpoint --region ap-northeast-1 --endpoint-name sagemaker-endpoint "
        "--content-type application/json --body fileb://request.json /dev/stdout"
    )


def test_the_outputs_have_a_command_for_each_mode() -> None:
    endpoints = run("modes").outputs["endpoints"]
    modes = {name.removeprefix("iris-"): endpoint["mode"] for name, endpoint in endpoints.items()}
    assert modes == {name: name.replace("-", " ") for name in ("real-time", "asynchronous", "serverless", "batch")}
    for name in ("iris-real-time", "iris-serverless"):
        assert f"invoke-endpoint --region ap-northeast-1 --endpoint-name {name} " in endpoints[name]["invoke"]
    queued = endpoints["iris-asynchronous"]["invoke"]
    location = "s3://models-modes-1a2b3c4/async/iris-asynchronous/input/request.json"
    assert f"aws s3 cp --region ap-northeast-1 - {location} && " in queued
    assert "invoke-endpoint-async --region ap-northeast-1 --endpoint-name iris-asynchronous " in queued
    assert queued.endswith(f"--input-location {location}")
    batch = endpoints["iris-batch"]
    assert batch["batch"] == "python -m infra batch -s modes iris-batch --input requests.jsonl"
    assert (batch["model"], batch.keys() & {"name", "arn", "invoke"}) == ("iris-batch-1a2b3c4", set())


def test_a_secret_in_plain_text_registers_nothing() -> None:
    with pytest.raises(pulumi.RunError, match="pulumi config set --secret") as refused:
        changed("dev", secretEnvironment={"iris-dev": {"LICENSE_KEY": "hunter2"}})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(("key", "value"), [("instanceType", "ml.c7g.xlarge"), ("model", {"path": "examples/nothing"})])
def test_an_invalid_stack_registers_nothing(key: str, value: object) -> None:
    with pytest.raises(pulumi.RunError, match=rf"endpoints\.iris-dev\.{key}"):
        changed("dev", endpoint={key: value})


def test_a_stack_over_its_cost_limit_registers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cost.price_file.read", lambda *_: PriceList.of_answers(PRODUCTS))
    monkeypatch.setattr("infra.cost.live.deployed_items", lambda *_: [])
    monkeypatch.setattr("infra.cost.live.removed_endpoints", lambda *_: [])
    assert changed("dev", cost={"monthlyLimit": 190}).resources
    with pytest.raises(pulumi.RunError, match=r"cost\.monthlyLimit") as refused:
        changed("dev", cost={"monthlyLimit": 180})
    assert "$187.61" in str(refused.value)


def test_an_invalid_price_file_is_a_warning_unless_the_cost_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    def invalid(*_: object) -> None:
        raise PriceFileError("prices.json is not a price file")

    monkeypatch.setattr("infra.cost.price_file.read", invalid)
    deployed = changed("dev")
    assert deployed.resources
    assert "warning: prices.json is not a price file" in deployed.log
    with pytest.raises(pulumi.RunError, match="is not a price file"):
        changed("dev", cost={"monthlyLimit": 1000})


def test_the_changes_of_one_endpoint_do_not_hide_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.cost.price_file.read", lambda *_: PriceList.of_answers(PRODUCTS))
    calls: list[str] = []

    def deployed(sagemaker: Any, _autoscaling: Any, name: str, _settings: Any) -> list[Item]:
        calls.append(name)
        assert sagemaker.meta.config.connect_timeout * sagemaker.meta.config.retries["total_max_attempts"] < 10
        raise NoPrice("several instance types")

    def removed(tagging: Any, owner: str, _settings: Any, report: Any) -> Iterator[str]:
        assert (tagging.meta.service_model.service_name, owner.partition("/")[2]) == (
            "resourcegroupstaggingapi",
            "modes",
        )
        yield "former"
        report("removed endpoints are not shown: refused")

    monkeypatch.setattr("infra.cost.live.deployed_items", deployed)
    monkeypatch.setattr("infra.cost.live.removed_endpoints", removed)
    log = run("modes", stack_file("modes")).log
    assert calls[-1] == "former"
    assert len(calls) > 2
    assert "removed endpoints are not shown: refused" in log
    assert "cost: the change is not known" not in log
    assert [
        name for name in calls if f"{name}: the change of its cost is not known: several instance types" in log
    ] == calls


@pytest.mark.parametrize("limit", [0.01, 12.5, 10_000_000])
def test_the_limit_of_a_budget_has_the_form_of_the_api(limit: float) -> None:
    """Budgets API Spend: without an exponent."""
    budget = {"monthlyLimit": limit, "emailAddresses": ["ops@example.com"]}
    amount = changed("dev", cost={"budget": budget}).one(":Budget").inputs["limitAmount"]
    assert re.fullmatch(r"([0-9]*\.)?[0-9]+", amount)
    assert float(amount) == limit
    for beyond in (limit * 1e12, limit * 1e-12, float("nan")):
        with pytest.raises(pulumi.RunError, match=r"cost\.budget\.monthlyLimit"):
            changed("dev", cost={"budget": budget | {"monthlyLimit": beyond}})


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_a_budget_counts_what_has_both_cost_tags(stack: str) -> None:
    budget = {"monthlyLimit": 2500, "emailAddresses": ["ops@example.com"], "topicArn": TOPIC, "actualPercent": 90}
    registered = changed(stack, cost={"budget": budget}).one(":Budget")
    tags = stack_file(stack)["triton-sagemaker:tags"]
    assert registered.inputs["costFilters"] == [
        {
            "name": "TagKeyValue",
            "values": [f"user:CostEnv${tags['CostEnv']}", f"user:CostService${tags['CostService']}"],
        }
    ]
    assert registered.inputs["limitAmount"] == "2500.0"
    assert {(each["notificationType"], each["threshold"]) for each in registered.inputs["notifications"]} == {
        ("ACTUAL", 90),
        ("FORECASTED", 100),
    }
    for each in registered.inputs["notifications"]:
        assert (each["subscriberEmailAddresses"], each["subscriberSnsTopicArns"]) == (["ops@example.com"], [TOPIC])
    assert not run(stack).all(":Budget")
