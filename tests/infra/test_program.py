"""Every resource that the program registers for the real stack files: inputs, options, parents and dependencies."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from infra.components.execution_role import require_account
from infra.triton.repository import ModelRepository
from tests.infra.mock_runtime import ROOT, Deployment, Registered, run, stack_file

TAGGABLE = (
    "Bucket",
    "Repository",
    "Role",
    "Model",
    "EndpointConfiguration",
    "Endpoint",
    "Target",
    "PackedModel",
    "ReleasedArtifact",
    "MetricAlarm",
)
COMPONENTS = {
    *("ModelBucket", "ImageMirror", "ExecutionRole", "ModelArtifact", "TritonEndpoint"),
    *("VariantAutoscaling", "VariantAlarms"),
}


@pytest.fixture(scope="module")
def dev() -> Deployment:
    return run("dev")


@pytest.fixture(scope="module")
def prod() -> Deployment:
    return run("prod")


def kind(resource: Registered) -> str:
    return resource.type.split(":")[-1]


def test_dev_registers_these_resources_and_no_others(dev: Deployment) -> None:
    assert sorted(
        (each.type.split(":")[-1], each.name) for each in dev.resources if each.type != "pulumi:pulumi:Stack"
    ) == sorted(
        [
            ("Stash", "home"),
            ("StackGuard", "first"),
            ("StackGuard", "last"),
            ("ModelBucket", "models"),
            ("Bucket", "models-dev"),
            ("BucketVersioning", "models-versioning"),
            ("BucketServerSideEncryptionConfiguration", "models-encryption"),
            ("BucketPublicAccessBlock", "models-public-access-block"),
            ("BucketPolicy", "models-policy"),
            ("BucketLifecycleConfiguration", "models-lifecycle"),
            ("ImageMirror", "image"),
            ("Repository", "image"),
            ("LifecyclePolicy", "image-lifecycle"),
            ("MirroredImage", "image"),
            ("ExecutionRole", "execution-role"),
            ("Role", "execution-role-dev"),
            ("RolePolicy", "execution-role-models"),
            ("RolePolicy", "execution-role-image"),
            ("RolePolicy", "execution-role-logs-and-metrics"),
            ("ModelArtifact", "iris-dev"),
            ("PackedModel", "iris-dev"),
            ("TritonEndpoint", "iris-dev"),
            ("Model", "iris-dev"),
            ("EndpointConfiguration", "iris-dev"),
            ("Endpoint", "iris-dev"),
        ]
    )


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_resource_has_a_component_as_parent(stack: str) -> None:
    for each in run(stack).resources:
        kind = each.type.split(":")[-1]
        if kind in ("Stack", "Stash", "StackGuard"):
            continue
        if each.type.startswith("triton-sagemaker:infra:"):
            assert kind in COMPONENTS
            assert each.parent_type in {"pulumi:pulumi:Stack", "triton-sagemaker:infra:TritonEndpoint"}
        else:
            assert each.parent_type.startswith("triton-sagemaker:infra:"), each.urn


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_everything_taggable_carries_the_cost_tags(stack: str) -> None:
    expected = {
        key: value for key, value in stack_file(stack)["triton-sagemaker:tags"].items() if key.startswith("Cost")
    }
    deployment = run(stack)
    tagged = [each for each in deployment.resources if each.type.split(":")[-1] in TAGGABLE]
    assert tagged
    for each in tagged:
        assert expected.items() <= each.inputs["tags"].items(), each.urn


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_model_and_endpoint_configuration_never_carry_a_name(stack: str) -> None:
    deployment = run(stack)
    for kind in (":Model", ":EndpointConfiguration"):
        for each in deployment.all(kind):
            assert "name" not in each.inputs
            assert "namePrefix" not in each.inputs


def test_the_bucket_is_versioned_encrypted_private_and_refuses_plain_http(dev: Deployment) -> None:
    assert dev.one(":BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    rules = dev.one(":BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rules == [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]
    block = dev.one(":BucketPublicAccessBlock").inputs
    assert all(
        block[key] for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    )
    statement, once = json.loads(dev.one(":BucketPolicy").inputs["policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert (once["Effect"], once["Resource"]) == ("Deny", "arn:aws:s3:::models-dev-1a2b3c4/models/*")


def test_old_versions_and_aborted_uploads_expire_after_the_configured_days() -> None:
    config = stack_file("dev") | {
        "triton-sagemaker:bucket": {"noncurrentVersionExpirationDays": 30, "abortIncompleteMultipartUploadDays": 2}
    }
    versions, uploads = run("dev", config).one(":BucketLifecycleConfiguration").inputs["rules"]
    assert versions["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert uploads["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 2}
    assert "expiration" not in versions, "a current version may be what a live Model names"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_bucket_and_all_its_settings_are_kept_on_delete(stack: str) -> None:
    children = [each for each in run(stack).resources if each.type.startswith("aws:s3/")]
    assert len(children) == 6
    assert all(each.request.retainOnDelete for each in children)


def test_production_protects_what_is_lost_for_good_and_nothing_that_one_call_restores(prod: Deployment) -> None:
    protected = sorted((each.type.split(":")[-1], each.name) for each in prod.resources if each.request.protect)
    assert protected == [
        ("Bucket", "models"),
        ("Endpoint", "sagemaker-endpoint"),
        ("Repository", "image"),
        ("StackGuard", "first"),
        ("StackGuard", "last"),
        ("Target", "sagemaker-endpoint"),
    ]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_resource_waits_for_the_first_guard_and_the_last_guard_for_every_resource(stack: str) -> None:
    resources = {each.urn: each for each in run(stack).resources if not each.type.startswith("pulumi:")}

    def waits_for(urn: str) -> set[str]:
        """What is registered before: what the resource depends on, and its parent."""
        found, left = set[str](), [urn]
        while left:
            each = resources[left.pop()]
            new = ({*each.request.dependencies, each.parent} & resources.keys()) - found
            found |= new
            left += new
        return found

    of_account = {urn for urn, each in resources.items() if each.request.custom}
    first, last = (next(urn for urn in of_account if urn.endswith(f"Guard::{name}")) for name in ("first", "last"))
    assert [urn for urn in of_account - {first} if first not in waits_for(urn)] == []
    assert of_account - {last} == {*resources[last].request.dependencies} & of_account


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_no_resource_that_an_endpoint_depends_on_is_deleted_before_its_replacement_serves(stack: str) -> None:
    config = stack_file(stack) | {"triton-sagemaker:role": {"name": "triton"}}
    deployment = run(stack, config)
    of_aws = [each for each in deployment.resources if each.type.startswith(("aws:", "pulumi-python:"))]
    first = [each for each in of_aws if each.request.deleteBeforeReplace]
    assert {kind(each) for each in first} <= {"Policy"}, "AWS accepts one target-tracking policy a metric"
    assert all(each.request.deleteBeforeReplaceDefined for each in of_aws), "else the provider decides"
    others = [each for each in deployment.resources if kind(each) != "StackGuard"]  # no property of which depends on it
    waited_for = {urn for each in others for urn in each.request.dependencies}
    assert waited_for.isdisjoint(each.urn for each in first), "what depends on it would be deleted first too"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_permission_of_the_live_fleet_is_replaced_and_not_overwritten(stack: str) -> None:
    kms_key = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"
    bucket = stack_file(stack).get("triton-sagemaker:bucket", {}) | {"kmsKeyArn": kms_key}
    deployment = run(stack, stack_file(stack) | {"triton-sagemaker:bucket": bucket})
    policies = deployment.all("iam/rolePolicy:RolePolicy")
    assert all("name" not in each.inputs for each in policies), "two of a name would be one"
    assert all([*each.request.replaceOnChanges] == ["policy"] for each in policies)


def test_a_lifecycle_policy_goes_with_its_repository_and_not_before(dev: Deployment, prod: Deployment) -> None:
    assert [each.one(":LifecyclePolicy").request.retainOnDelete for each in (dev, prod)] == [True, True]
    assert [each.one(":Repository").request.retainOnDelete for each in (dev, prod)] == [False, True]


def test_development_protects_nothing(dev: Deployment) -> None:
    assert not [each.urn for each in dev.resources if each.request.protect]


def test_the_repository_is_immutable_in_production_only(dev: Deployment) -> None:
    development = dev.one(":Repository").inputs
    assert (development["name"], development["imageTagMutability"]) == ("sagemaker-tritonserver-dev", "MUTABLE")
    assert development["forceDelete"] is True
    production = run("prod").one(":Repository").inputs
    assert (production["name"], production["imageTagMutability"]) == ("sagemaker-tritonserver", "IMMUTABLE")
    assert production["forceDelete"] is False
    assert production["imageScanningConfiguration"] == {"scanOnPush": True}


def test_the_image_is_mirrored_from_awss_account_of_the_region_and_named_by_digest(prod: Deployment) -> None:
    image = prod.one("dynamic/infra:MirroredImage").inputs
    assert image["sources"][0] == "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"
    assert image["destination"] == "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"
    container = prod.one("sagemaker/model:Model").inputs["primaryContainer"]
    assert (
        container["image"]
        == "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver@sha256:" + "0" * 64
    )


def test_another_image_can_be_given_by_source() -> None:
    digest = "sha256:" + "ab" * 32
    config = stack_file("dev") | {
        "triton-sagemaker:image": {"source": f"nvcr.io/nvidia/tritonserver@{digest}", "repository": "triton"}
    }
    image = run("dev", config).one("dynamic/infra:MirroredImage").inputs
    assert image["sources"] == [f"nvcr.io/nvidia/tritonserver@{digest}"]
    assert image["destination"].endswith("/triton:sha256-abababababab")


def test_the_role_is_sagemakers_for_this_account_only(dev: Deployment) -> None:
    (statement,) = json.loads(dev.one("iam/role:Role").inputs["assumeRolePolicy"])["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:sagemaker:ap-northeast-1:123456789012:*"},
    }


def test_a_role_that_exists_is_used_as_it_is() -> None:
    arn = "arn:aws:iam::123456789012:role/platform/triton-serving"
    deployment = run("dev", stack_file("dev") | {"triton-sagemaker:role": {"arn": arn}})
    assert not [each for each in deployment.resources if each.type.startswith("aws:iam/")]
    assert deployment.one("sagemaker/model:Model").inputs["executionRoleArn"] == arn
    assert deployment.outputs["roleArn"] == arn


def test_a_role_of_another_account_is_refused() -> None:
    arn = "arn:aws:iam::999999999999:role/triton-serving"
    with pytest.raises(pulumi.RunError, match="not a role of account 123456789012"):
        require_account(arn, "123456789012")


def test_boundary_and_additional_statements_are_the_roles() -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    statement = {"actions": ["secretsmanager:GetSecretValue"], "resources": ["arn:aws:secretsmanager:*:*:secret:a"]}
    role = {"permissionsBoundary": boundary, "statements": [statement]}
    deployment = run("dev", stack_file("dev") | {"triton-sagemaker:role": role})
    assert deployment.one("iam/role:Role").inputs["permissionsBoundary"] == boundary
    assert "permissionsBoundary" not in deployment.one("iam/role:Role").request.ignoreChanges
    added = {"Effect": "Allow", "Action": statement["actions"], "Resource": statement["resources"]}
    assert added in statements(deployment)


def test_isolation_and_the_volumes_key_reach_model_and_configuration() -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"
    config = stack_file("dev")
    endpoint = config["triton-sagemaker:endpoints"]["iris-dev"]
    endpoint |= {"volumeKmsKeyArn": key, "enableNetworkIsolation": True}
    deployment = run("dev", config | {"triton-sagemaker:endpoints": {"iris-dev": endpoint}})
    assert deployment.one("sagemaker/model:Model").inputs["enableNetworkIsolation"] is True
    assert deployment.one(":EndpointConfiguration").inputs["kmsKeyArn"] == key
    assert {"GrantVolumeKeys", "DescribeVolumeKeys"} <= {each.get("Sid") for each in statements(deployment)}


def statements(deployment: Deployment) -> list[dict[str, Any]]:
    policies = [json.loads(each.inputs["policy"]) for each in deployment.all("iam/rolePolicy:RolePolicy")]
    return [statement for policy in policies for statement in policy["Statement"]]


def test_the_role_may_do_what_a_serving_container_needs_and_no_more(dev: Deployment) -> None:
    allowed = {
        (action, resource)
        for statement in statements(dev)
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    }
    bucket = "arn:aws:s3:::models-dev-1a2b3c4"
    logs = "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/sagemaker/Endpoints/iris-dev"
    write = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
    repository = "arn:aws:mock:ap-northeast-1:123456789012:image"
    assert allowed == {
        ("s3:GetObject", f"{bucket}/models/*"),
        ("s3:ListBucket", bucket),
        *(
            (action, repository)
            for action in ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
        ),
        ("ecr:GetAuthorizationToken", "*"),
        *((action, f"{logs}:*") for action in write),
        ("cloudwatch:PutMetricData", "*"),
        ("cloudwatch:DescribeAlarms", "*"),
    }
    (metrics,) = [each for each in statements(dev) if each["Sid"] == "WriteMetrics"]
    assert "cloudwatch:namespace" in metrics["Condition"]["StringEquals"]


def test_a_vpc_brings_its_permissions_and_the_models_vpc_config() -> None:
    config = stack_file("dev") | {"triton-sagemaker:vpc": {"subnetIds": ["subnet-0a"], "securityGroupIds": ["sg-0a"]}}
    deployment = run("dev", config)
    assert "UseNetworkInterfaces" in {each["Sid"] for each in statements(deployment)}
    assert list(deployment.one("sagemaker/model:Model").request.replaceOnChanges) == ["vpcConfig"]
    assert deployment.one("sagemaker/model:Model").inputs["vpcConfig"] == {
        "subnets": ["subnet-0a"],
        "securityGroupIds": ["sg-0a"],
    }


def test_a_kms_key_encrypts_the_bucket_and_may_be_used_by_the_role() -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/0a-1b"
    deployment = run("dev", stack_file("dev") | {"triton-sagemaker:bucket": {"kmsKeyArn": key}})
    (rule,) = deployment.one(":BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key}
    (decrypt,) = [each for each in statements(deployment) if each.get("Sid") == "DecryptArtifacts"]
    assert (decrypt["Action"], decrypt["Resource"]) == (["kms:Decrypt"], key)


def test_another_kms_key_is_another_copy_of_each_artifact_in_a_new_release() -> None:
    arn = "arn:aws:kms:ap-northeast-1:123456789012:key/"
    keys: list[dict[str, str]] = [{}, {"kmsKeyArn": f"{arn}a"}, {"kmsKeyArn": f"{arn}b"}]
    urls = set()
    for key in keys:
        deployment = run("prod", stack_file("prod") | {"triton-sagemaker:bucket": {"name": "models", **key}})
        urls.add(deployment.one("sagemaker/model:Model").inputs["primaryContainer"]["modelDataUrl"])
    assert len(urls) == len(keys)


def test_a_model_repository_is_packed_under_a_key_made_of_its_content(dev: Deployment) -> None:
    packed = dev.one("dynamic/infra:PackedModel")
    digest = ModelRepository.read(ROOT / "examples/models").digest()
    assert packed.inputs["digest"] == digest
    assert packed.inputs["key"] == f"models/iris-dev/{digest}.tar.gz"
    assert {"models-versioning", "models-encryption"} <= packed.depends_on
    container = dev.one("sagemaker/model:Model").inputs["primaryContainer"]
    assert container["modelDataUrl"] == f"s3://models-dev-1a2b3c4/models/iris-dev/{digest}.tar.gz"
    assert container["environment"] == {
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "iris",
        "SAGEMAKER_TRITON_LOG_VERBOSE": "false",
    }


def test_an_uploaded_artifact_is_released_as_a_copy_that_the_model_names(prod: Deployment) -> None:
    released = prod.one("dynamic/infra:ReleasedArtifact").inputs
    assert (released["artifact"], released["prefix"]) == ("artifacts/model_7.tar.gz", "models/sagemaker-endpoint/")
    container = prod.one("sagemaker/model:Model").inputs["primaryContainer"]
    assert container["modelDataUrl"] == "s3://sagemaker-models/models/sagemaker-endpoint/model_7/v1.tar.gz"


def test_production_serves_the_articles_variant(prod: Deployment) -> None:
    (variant,) = prod.one("sagemaker/endpointConfiguration:EndpointConfiguration").inputs["productionVariants"]
    assert variant == {
        "variantName": "AllTraffic",
        "modelName": "sagemaker-endpoint-1a2b3c4",
        "instanceType": "ml.r5.xlarge",
        "initialInstanceCount": 2,
        "initialVariantWeight": 1.0,
        "containerStartupHealthCheckTimeoutInSeconds": 60,
    }


def test_production_scales_by_invocations(prod: Deployment) -> None:
    target = prod.one(":Target").inputs
    assert (target["resourceId"], target["minCapacity"], target["maxCapacity"]) == (
        "endpoint/sagemaker-endpoint/variant/AllTraffic",
        2,
        10,
    )
    tracking = prod.one("appautoscaling/policy:Policy").inputs["targetTrackingScalingPolicyConfiguration"]
    assert tracking == {
        "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "targetValue": 70,
        "scaleInCooldown": 600,
        "scaleOutCooldown": 30,
    }
    assert prod.one(":Target").depends_on >= {"sagemaker-endpoint"}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_model_and_endpoint_wait_for_the_roles_policies(stack: str) -> None:
    deployment = run(stack)
    policies = {each.name for each in deployment.all("iam/rolePolicy:RolePolicy")}
    assert len(policies) == 3
    assert policies <= deployment.one("sagemaker/model:Model").depends_on
    assert policies <= deployment.one("dynamic/infra:Endpoint").depends_on


def test_the_endpoint_belongs_to_the_stack_and_serves_the_configuration(prod: Deployment) -> None:
    endpoint = prod.one("dynamic/infra:Endpoint").inputs
    assert endpoint["name"] == "sagemaker-endpoint"
    assert endpoint["endpointConfigName"] == "sagemaker-endpoint-1a2b3c4"
    assert endpoint["owner"] == "triton-sagemaker/prod"
    assert endpoint["autoscaled"] is True
    assert endpoint["deployment"] == {
        "strategy": "canary",
        "percent": 10,
        "bakeSeconds": 600,
        "terminationWaitSeconds": 0,
        "timeoutSeconds": 3600,
        "deadlineSeconds": 3900,
        "minimumInvocations": {"count": 100, "otherwise": "warn"},
    }


PURPOSES = ("error-rate", "server-error-rate", "p99-model-latency")


def test_rollback_alarms_watch_the_new_fleet_alone_and_are_named_after_its_configuration(prod: Deployment) -> None:
    configuration = "sagemaker-endpoint-1a2b3c4"
    for purpose in PURPOSES:
        alarm = prod.one(":MetricAlarm", f"sagemaker-endpoint-rollback-{purpose}").inputs
        assert alarm["name"] == f"{configuration}-{purpose}"
        assert alarm["treatMissingData"] == "notBreaching"
        for dimensions in watched(alarm):
            assert dimensions == {
                "EndpointName": "sagemaker-endpoint",
                "VariantName": "AllTraffic",
                "EndpointConfigName": configuration,
            }


def test_the_endpoint_waits_for_its_rollback_alarms_and_is_released_with_them(prod: Deployment) -> None:
    endpoint = prod.one("dynamic/infra:Endpoint")
    names = [f"sagemaker-endpoint-1a2b3c4-{purpose}" for purpose in (*PURPOSES, "stop")]
    assert endpoint.inputs["rollbackAlarms"] == names
    assert endpoint.depends_on >= {f"sagemaker-endpoint-rollback-{purpose}" for purpose in PURPOSES}
    assert "sagemaker-endpoint-stop" in endpoint.depends_on


def test_a_release_without_a_wait_has_no_alarm_to_stop_it(dev: Deployment) -> None:
    assert dev.one("dynamic/infra:Endpoint").inputs["rollbackAlarms"] == []


def test_windows_topic_and_history_reach_the_endpoint() -> None:
    topic = "arn:aws:sns:ap-northeast-1:123456789012:releases"
    always = [
        {"schedule": f"0 {hour} * * *", "durationMinutes": 1439, "timeZone": "UTC", "reason": "stock-taking"}
        for hour in (0, 12)
    ]
    config = stack_file("prod") | {
        "triton-sagemaker:notifications": {"topicArn": topic},
        "triton-sagemaker:freezeWindows": always,
    }
    deployment = run("prod", config)
    endpoint = deployment.one("dynamic/infra:Endpoint").inputs
    assert (endpoint["bucket"], endpoint["notificationTopicArn"]) == ("sagemaker-models", topic)
    assert endpoint["freezeWindows"] == always
    assert [message for message in deployment.said if "stock-taking" in message]
    of_endpoint = deployment.one(":MetricAlarm", "sagemaker-endpoint-error-rate").inputs
    of_release = deployment.one(":MetricAlarm", "sagemaker-endpoint-rollback-error-rate").inputs
    assert (of_endpoint["alarmActions"], of_endpoint["okActions"]) == ([topic], [topic])
    assert "alarmActions" not in of_release


def test_the_alarms_of_the_release_before_stay_until_the_new_one_is_live(prod: Deployment) -> None:
    for alarm in prod.all(":MetricAlarm"):
        assert alarm.request.deleteBeforeReplaceDefined
        assert not alarm.request.deleteBeforeReplace


def test_the_whole_endpoint_is_watched_too(prod: Deployment) -> None:
    for purpose in PURPOSES:
        alarm = prod.one(":MetricAlarm", f"sagemaker-endpoint-{purpose}")
        assert alarm.inputs["name"] == f"sagemaker-endpoint-{purpose}"
        assert "sagemaker-endpoint" in alarm.depends_on
        for dimensions in watched(alarm.inputs):
            assert dimensions == {"EndpointName": "sagemaker-endpoint", "VariantName": "AllTraffic"}


def watched(alarm: dict[str, Any]) -> list[dict[str, str]]:
    """The dimensions of every metric that an alarm looks at."""
    if "metricQueries" in alarm:
        return [query["metric"]["dimensions"] for query in alarm["metricQueries"] if "metric" in query]
    return [alarm["dimensions"]]


def test_the_alarms_thresholds_are_those_of_the_settings_in_cloudwatchs_units(prod: Deployment) -> None:
    rate = prod.one(":MetricAlarm", "sagemaker-endpoint-error-rate").inputs
    assert (rate["threshold"], rate["comparisonOperator"], rate["evaluationPeriods"]) == (5, "GreaterThanThreshold", 1)
    result, *counts = rate["metricQueries"]
    assert (result["expression"], result["returnData"]) == ("100 * errors / invocations", True)
    assert [(each["id"], each["metric"]["metricName"], each["metric"]["stat"]) for each in counts] == [
        ("errors", "InvocationModelErrors", "Sum"),
        ("invocations", "Invocations", "Sum"),
    ]
    server = prod.one(":MetricAlarm", "sagemaker-endpoint-server-error-rate").inputs
    assert server["threshold"] == 1
    assert server["metricQueries"][1]["metric"]["metricName"] == "Invocation5XXErrors"
    latency = prod.one(":MetricAlarm", "sagemaker-endpoint-p99-model-latency").inputs
    assert (latency["metricName"], latency["extendedStatistic"]) == ("ModelLatency", "p99")
    assert latency["threshold"] == 500_000, "microseconds"


def test_existing_alarms_roll_back_too() -> None:
    config = stack_file("dev")
    config["triton-sagemaker:endpoints"]["iris-dev"]["alarms"] = {"existing": ["pager"], "errorRatePercent": 5}
    endpoint = run("dev", config).one("dynamic/infra:Endpoint").inputs
    assert endpoint["rollbackAlarms"] == ["pager", "iris-dev-1a2b3c4-error-rate"]


def test_the_time_that_a_release_takes_is_said_beforehand() -> None:
    assert (
        "sagemaker-endpoint: a release takes 22 to 38 minutes: canary 10 % (1 of 2 instances = 50 % at the smallest "
        "fleet), 4 rollback alarms"
    ) in run("prod").said


def test_a_canary_that_nothing_watches_is_warned_of() -> None:
    config = stack_file("prod")
    config["triton-sagemaker:environment"] = "staging"
    del config["triton-sagemaker:endpoints"]["sagemaker-endpoint"]["alarms"]
    warning, _ = run("prod", config).said
    assert warning.startswith("warning: triton-sagemaker:endpoints.sagemaker-endpoint.alarms: ")


def test_what_our_resources_store_is_no_more_than_the_path_of_their_class(prod: Deployment) -> None:
    for each in prod.resources:
        if "dynamic/infra" in each.type:
            assert len(each.inputs["__provider"]) < 200, "the provider was pickled by value"


def test_a_new_autoscaling_minimum_is_no_release(prod: Deployment, dev: Deployment) -> None:
    ignored = ["productionVariants[0].initialInstanceCount"]
    assert list(prod.one(":EndpointConfiguration").request.ignoreChanges) == ignored
    assert list(dev.one(":EndpointConfiguration").request.ignoreChanges) == []


def test_default_tags_are_an_input_of_the_endpoint_so_that_a_change_of_them_reaches_it() -> None:
    config = stack_file("prod") | {"aws:defaultTags": {"tags": {"Team": "ml", "CostEnv": "less specific"}}}
    tags = run("prod", config).one("infra:Endpoint").inputs["tags"]
    assert tags == {"Team": "ml", "CostEnv": "prod", "CostService": "ranking"}


def test_a_scalable_target_is_tagged_by_the_provider_only_when_it_is_made(prod: Deployment) -> None:
    target = prod.one(":Target")
    assert target.inputs["tags"] == {"CostEnv": "prod", "CostService": "ranking"}
    assert list(target.request.ignoreChanges) == ["tags", "tagsAll"]


def test_an_environment_that_the_configuration_marks_secret_stays_secret() -> None:
    config = stack_file("dev")
    config["triton-sagemaker:endpoints"]["iris-dev"]["environment"] = {"API_KEY": "hunter2"}
    plain = run("dev", config).one("sagemaker/model:Model").request.object
    secret = run("dev", config, secret_keys=["triton-sagemaker:endpoints"]).one("sagemaker/model:Model").request.object
    assert plain["primaryContainer"]["environment"]["API_KEY"] == "hunter2"
    assert secret_value(secret["primaryContainer"]["environment"])["API_KEY"] == "hunter2"


def secret_value(marked: Any) -> Any:
    assert marked["4dabf18193072939515e22adb298388d"] == "1b47061264138c4ac30d75fd1eb44270", "Pulumi's mark of a secret"
    return marked["value"]


def test_a_secret_environment_joins_the_containers_and_stays_secret() -> None:
    config = stack_file("dev") | {"triton-sagemaker:secretEnvironment": {"iris-dev": {"LICENSE_KEY": "hunter2"}}}
    model = run("dev", config, secret_keys=["triton-sagemaker:secretEnvironment"]).one("sagemaker/model:Model")
    assert secret_value(model.request.object["primaryContainer"]["environment"]) == {
        "LICENSE_KEY": "hunter2",
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "iris",
        "SAGEMAKER_TRITON_LOG_VERBOSE": "false",
    }


def test_a_secret_in_plain_text_registers_nothing() -> None:
    config = stack_file("dev") | {"triton-sagemaker:secretEnvironment": {"iris-dev": {"LICENSE_KEY": "hunter2"}}}
    with pytest.raises(pulumi.RunError, match="pulumi config set --secret"):
        run("dev", config)


def test_one_stack_hosts_any_number_of_endpoints() -> None:
    config = stack_file("dev")
    config["triton-sagemaker:endpoints"] = {f"e{n}": {"model": {"path": "examples/models"}} for n in range(7)}
    deployment = run("dev", config)
    assert {each.name for each in deployment.all("dynamic/infra:Endpoint")} == {f"e{n}" for n in range(7)}
    assert len(deployment.all("ecr/repository:Repository")) == 1


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


@pytest.fixture(scope="module")
def several() -> Deployment:
    config = stack_file("prod")
    alarms = {"errorRatePercent": 5}
    config["triton-sagemaker:endpoints"] = {"e": {"variants": VARIANTS, "alarms": alarms}}
    return run("prod", config)


def test_each_variant_has_a_model_instances_and_a_weight_of_its_own(several: Deployment) -> None:
    variants = several.one(":EndpointConfiguration").inputs["productionVariants"]
    assert [
        (each["variantName"], each["modelName"], each["instanceType"], each["initialVariantWeight"])
        for each in variants
    ] == [
        ("Stable", "e-Stable-1a2b3c4", "ml.c5.xlarge", 0.8999999761581421),  # in single precision, as it is read back
        ("Trial", "e-Trial-1a2b3c4", "ml.m5.large", 0.10000000149011612),
    ]
    assert {each.name for each in several.all("sagemaker/model:Model")} == {"e-Stable", "e-Trial"}
    assert several.one(":ReleasedArtifact").inputs["prefix"] == "models/e/Stable/"
    assert several.one(":PackedModel").inputs["key"].startswith("models/e/Trial/")
    assert set(several.outputs["endpoints"]["e"]["artifacts"]) == {"Stable", "Trial"}


def test_each_variant_scales_by_itself(several: Deployment) -> None:
    assert {each.inputs["resourceId"] for each in several.all(":Target")} == {
        "endpoint/e/variant/Stable",
        "endpoint/e/variant/Trial",
    }
    ignored = several.one(":EndpointConfiguration").request.ignoreChanges
    assert list(ignored) == [], "by position, which a variant put before another would take over"


def test_alarms_watch_each_variant(several: Deployment) -> None:
    names = several.one("dynamic/infra:Endpoint").inputs["rollbackAlarms"]
    assert names == ["e-1a2b3c4-Stable-error-rate", "e-1a2b3c4-Trial-error-rate"]
    dimensions = [watched(each.inputs)[0]["VariantName"] for each in several.all(":MetricAlarm")]
    assert sorted(dimensions) == ["Stable", "Stable", "Trial", "Trial"]


def test_the_outputs_are_what_ops_need(prod: Deployment) -> None:
    assert set(prod.outputs) == {"endpoints", "bucket", "image", "roleArn"}
    endpoint = prod.outputs["endpoints"]["sagemaker-endpoint"]
    assert endpoint["name"] == "sagemaker-endpoint"
    assert endpoint["artifacts"]["AllTraffic"] == "s3://sagemaker-models/models/sagemaker-endpoint/model_7/v1.tar.gz"
    assert endpoint["image"] == prod.outputs["image"]
    assert endpoint["invoke"] == (
        "aws sagemaker-runtime invoke-endpoint --region ap-northeast-1 --endpoint-name sagemaker-endpoint "
        "--content-type application/json --body fileb://request.json /dev/stdout"
    )
    assert prod.outputs["bucket"] == "sagemaker-models"


def test_a_wrong_configuration_registers_nothing() -> None:
    config = stack_file("dev")
    config["triton-sagemaker:endpoints"]["iris-dev"]["instanceType"] = "ml.c7g.xlarge"
    with pytest.raises(pulumi.RunError, match=r"endpoints\.iris-dev\.instanceType: ml\.c7g\.xlarge is an Arm type"):
        run("dev", config)


def test_a_model_repository_that_is_not_there_is_refused_at_its_key() -> None:
    config = stack_file("dev")
    config["triton-sagemaker:endpoints"]["iris-dev"]["model"] = {"path": "examples/nothing"}
    with pytest.raises(pulumi.RunError, match=r"endpoints\.iris-dev\.model\.path: examples/nothing"):
        run("dev", config)
