"""SageMaker's control plane: what it echoes, what it refuses and in which words, and how endpoints change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.sandbox.conftest import ACCOUNT, TRITON_IMAGE, Host, RunningAws, policy_document, unique

ARN = f"arn:aws:sagemaker:ap-northeast-1:{ACCOUNT}"


def refusal(call: Any, *positional: Any, **arguments: Any) -> str:
    """The message of a ValidationException."""
    with pytest.raises(ClientError) as refused:
        call(*positional, **arguments)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    return str(refused.value.response["Error"]["Message"])


def lenient(host: Host) -> Any:
    """A client that sends what botocore itself would not."""
    return host.aws.client("sagemaker", parameter_validation=False)


# ---- every input: botocore's shapes, in AWS's words


def test_all_violated_constraints_are_told_at_once_as_aws_words_them(host: Host) -> None:
    """https://github.com/aws-samples/sagemaker-ml-workflow-with-apache-airflow/issues/3"""
    name = "a model's name that is far too long for SageMaker, and has blanks in it"
    assert refusal(host.sagemaker.describe_model, ModelName=name) == (
        "2 validation errors detected: "
        f"Value '{name}' at 'modelName' failed to satisfy constraint: "
        "Member must have length less than or equal to 63; "
        f"Value '{name}' at 'modelName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?"
    )


def test_a_violation_inside_a_list_names_its_place(host: Host) -> None:
    """https://github.com/aws/amazon-sagemaker-examples/issues/2236"""
    variants = [host.variant(), host.variant(VariantName="B", InstanceType="ml.m7g.large", VolumeSizeInGB=600)]
    message = refusal(host.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=variants)
    assert message.startswith(
        "2 validation errors detected: Value 'ml.m7g.large' at 'productionVariants.2.member.instanceType' failed to "
        "satisfy constraint: Member must satisfy enum value set: [ml.t2.medium, "
    )
    assert message.endswith(
        "Value '600' at 'productionVariants.2.member.volumeSizeInGB' failed to satisfy constraint: "
        "Member must have value less than or equal to 512"
    )


def test_a_volume_is_not_attached_to_types_with_local_disks(host: Host) -> None:
    """https://github.com/autogluon/autogluon-cloud/pull/50"""
    variants = [{**host.variant(ModelName="m"), "InstanceType": "ml.g4dn.xlarge", "VolumeSizeInGB": 100}]
    message = refusal(host.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=variants)
    assert "VolumeSize parameter is not allowed for the selected Instance type ml.g4dn.xlarge" in message


@pytest.mark.parametrize(
    ("variant", "constraint"),
    [
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 59}, "value greater than or equal to 60"),
        ({"ContainerStartupHealthCheckTimeoutInSeconds": 3601}, "value less than or equal to 3600"),
        ({"ModelDataDownloadTimeoutInSeconds": 59}, "value greater than or equal to 60"),
        ({"InitialInstanceCount": 0}, "value greater than or equal to 1"),
        ({"InitialVariantWeight": -0.1}, "value greater than or equal to 0"),
        ({"VolumeSizeInGB": 0}, "value greater than or equal to 1"),
    ],
)
def test_the_limits_of_a_variant_hold(host: Host, variant: dict[str, Any], constraint: str) -> None:
    variants = [{**host.variant(ModelName="m"), **variant}]
    create = lenient(host).create_endpoint_config
    message = refusal(create, EndpointConfigName="c", ProductionVariants=variants)
    assert message.endswith(f"failed to satisfy constraint: Member must have {constraint}")


def test_a_missing_member_and_a_wrong_type_are_refused(host: Host) -> None:
    assert refusal(lenient(host).describe_endpoint) == (
        "1 validation error detected: "
        "Value null at 'endpointName' failed to satisfy constraint: Member must not be null"
    )
    with pytest.raises(ClientError, match=r"\(SerializationException\).*NUMBER_VALUE can not be converted to a String"):
        lenient(host).describe_endpoint(EndpointName=7)


def test_an_environment_value_over_its_length_is_told_of_the_map(host: Host) -> None:
    container = {"Image": TRITON_IMAGE, "Environment": {"KEY": "x" * 1025}}
    message = refusal(host.sagemaker.create_model, ModelName="m", PrimaryContainer=container)
    assert "at 'primaryContainer.environment' failed to satisfy constraint: Map value must satisfy constraint: [" in (
        message
    )
    assert "Member must have length less than or equal to 1024" in message


def test_a_tag_key_with_a_character_that_aws_has_not_is_refused(host: Host) -> None:
    endpoint = f"{ARN}:endpoint/e"
    message = refusal(host.sagemaker.add_tags, ResourceArn=endpoint, Tags=[{"Key": "a*b", "Value": "größe 1/2"}])
    assert message.startswith("1 validation error detected: Value 'a*b' at 'tags.1.member.key' failed to satisfy")


def test_an_operation_that_is_not_in_the_sandbox_says_so(host: Host) -> None:
    with pytest.raises(ClientError, match=r"\(NotInTheSandbox\).*SageMaker ListTrainingJobs is not in the sandbox"):
        host.sagemaker.list_training_jobs()


def test_an_operation_that_botocore_does_not_know_is_not_motos_either(host: Host) -> None:
    headers = {"X-Amz-Target": "SageMaker.CreateSomethingNew", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"{host.aws.url}/", headers=headers, data=b"{}")
    key = host.aws.access_key
    SigV4Auth(Credentials(key.id, key.secret), "sagemaker", "ap-northeast-1").add_auth(request)
    answer = urllib3.request("POST", request.url, headers=dict(request.headers), body=b"{}")
    assert (answer.status, answer.json()["__type"]) == (400, "NotInTheSandbox")


# ---- models


def test_a_model_is_echoed_whole(host: Host) -> None:
    url = host.upload(b"x")
    container = {"Image": TRITON_IMAGE, "ModelDataUrl": url, "Environment": {"A": "b"}, "ContainerHostname": "triton"}
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    name = host.model(PrimaryContainer=container, VpcConfig=vpc, EnableNetworkIsolation=True)
    described = host.sagemaker.describe_model(ModelName=name)
    assert described["PrimaryContainer"] == container
    assert described["VpcConfig"] == vpc
    assert (described["EnableNetworkIsolation"], described["ExecutionRoleArn"]) == (True, host.role)
    assert described["ModelArn"] == f"{ARN}:model/{name}"


def test_a_model_name_collides(host: Host) -> None:
    name = host.model()
    assert refusal(host.model, ModelName=name) == f'Cannot create already existing model "{ARN}:model/{name}".'


def test_a_model_that_does_not_exist_is_not_found(host: Host) -> None:
    """aws/amazon-sagemaker-operator-for-k8s, clientwrapper: DescribeModel404MessagePrefix."""
    missing = f'Could not find model "{ARN}:model/missing".'
    assert refusal(host.sagemaker.describe_model, ModelName="Missing") == missing
    assert refusal(host.sagemaker.delete_model, ModelName="Missing") == missing


def test_a_deleted_model_is_gone(host: Host) -> None:
    name = host.model()
    host.sagemaker.delete_model(ModelName=name)
    assert "Could not find model" in refusal(host.sagemaker.describe_model, ModelName=name)


def test_model_data_must_exist(host: Host) -> None:
    url = f"s3://{host.bucket}/models/none.tar.gz"
    assert refusal(host.model, ModelDataUrl=url) == f"Could not find model data at {url}."


def could_not_access(url: str, role: str) -> str:
    """https://github.com/philschmid/llm-sagemaker-sample/issues/2"""
    return f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its trust'


def test_the_role_must_exist(host: Host) -> None:
    url, role = host.upload(b"x"), f"arn:aws:iam::{ACCOUNT}:role/missing"
    assert refusal(host.model, ModelDataUrl=url, ExecutionRoleArn=role).startswith(could_not_access(url, role))


@pytest.mark.parametrize(
    "trust",
    [
        [{"Principal": {"Service": "lambda.amazonaws.com"}}],
        [{"Principal": {"AWS": "*"}}],
        [{"Effect": "Deny"}],
        [{}, {"Effect": "Deny"}],
        [{"Action": "sts:TagSession"}],
        [{"Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}}],
    ],
)
def test_the_role_must_trust_sagemaker_for_this_account(host: Host, trust: list[dict[str, Any]]) -> None:
    url, role = host.upload(b"x"), host.make_role(*trust)
    assert refusal(host.model, ModelDataUrl=url, ExecutionRoleArn=role).startswith(could_not_access(url, role))


def test_a_role_that_trusts_sagemaker_for_this_account_alone_is_enough(host: Host) -> None:
    service = {"Service": ["sagemaker.amazonaws.com"]}
    role = host.make_role({"Principal": service, "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}})
    assert host.model(ExecutionRoleArn=role)


def test_the_role_must_be_allowed_to_read_the_model_data(host: Host) -> None:
    url = host.upload(b"x")
    role = host.make_role(resource=f"arn:aws:s3:::{host.bucket}/elsewhere/*")
    assert refusal(host.model, ModelDataUrl=url, ExecutionRoleArn=role).startswith(could_not_access(url, role))


def test_the_role_must_be_allowed_to_pull_the_image(host: Host) -> None:
    role = host.make_role(actions=("s3:GetObject", "ecr:GetAuthorizationToken", "ecr:BatchGetImage"))
    assert refusal(host.model, ExecutionRoleArn=role) == (
        f"Role {role} cannot pull {TRITON_IMAGE}. "
        "Ensure that the role exists and the image was granted pull permission."
    )


def test_a_policy_attached_to_the_role_counts_and_its_deny_wins(host: Host) -> None:
    iam, role = host.aws.client("iam"), host.make_role(actions=("s3:GetObject",))
    for effect in ("Allow", "Deny"):
        document = policy_document({"Effect": effect, "Action": "ecr:*", "Resource": "*"})
        policy = iam.create_policy(PolicyName=unique("pull"), PolicyDocument=document)
        iam.attach_role_policy(RoleName=role.rpartition("/")[2], PolicyArn=policy["Policy"]["Arn"])
        if effect == "Allow":
            assert host.model(ExecutionRoleArn=role)
    assert "cannot pull" in refusal(host.model, ExecutionRoleArn=role)


def test_the_bucket_must_be_in_the_region_of_the_model(host: Host) -> None:
    bucket = unique("far")
    s3 = host.aws.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=bucket, Key="m.tar.gz", Body=b"x")
    message = refusal(host.model, ModelDataUrl=f"s3://{bucket}/m.tar.gz")
    assert "the object is located in ap-northeast-1" in message


def image(reference: str) -> dict[str, Any]:
    return {"PrimaryContainer": {"Image": reference}}


def test_the_image_must_exist(host: Host) -> None:
    """https://github.com/aws-samples/easy-amazon-sagemaker-deployments/issues/4"""
    for reference in (f"{ACCOUNT}.dkr.ecr.ap-northeast-1.amazonaws.com/none:1", f"{TRITON_IMAGE}x"):
        assert refusal(host.model, **image(reference)) == f"Requested image {reference} not found."


def test_the_image_must_be_in_ecr_and_have_a_tag_or_a_digest(host: Host) -> None:
    """https://github.com/aws/sagemaker-python-sdk/pull/4700, https://github.com/aws/amazon-sagemaker-examples/issues/197"""
    foreign, bare = "nvcr.io/nvidia/tritonserver:23.10-py3", TRITON_IMAGE.rpartition(":")[0]
    assert refusal(host.model, **image(foreign)) == (
        f'Using non-ECR image "{foreign}" without Vpc repository access mode is not supported.'
    )
    assert refusal(host.model, **image(bare)) == f'ECR image "{bare}" is invalid.'


def test_the_image_must_be_in_the_region_of_the_model(host: Host) -> None:
    reference = TRITON_IMAGE.replace("ap-northeast-1", "us-east-1").replace("941853720454", "785573368785")
    assert "is in region us-east-1; it must be in ap-northeast-1" in refusal(host.model, **image(reference))


def push(
    aws: RunningAws, media_type: str, config: bytes = b'{"os": "linux", "architecture": "amd64"}', size: int = 7
) -> str:
    """An image of one small layer, of which the manifest may give another size, in a new repository; returns its
    reference by digest."""
    ecr, repository = aws.client("ecr"), unique("repository")
    ecr.create_repository(repositoryName=repository)
    digests = []
    for blob in (config, b"a layer"):
        upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
        place = {"repositoryName": repository, "uploadId": upload}
        ecr.upload_layer_part(**place, partFirstByte=0, partLastByte=len(blob) - 1, layerPartBlob=blob)
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        digests.append(ecr.complete_layer_upload(**place, layerDigests=[digest])["layerDigest"])
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"digest": digests[0], "size": len(config), "mediaType": "application/json"},
        "layers": [{"digest": digests[1], "size": size, "mediaType": "application/gzip"}],
    }
    put = ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag="1")
    digest = put["image"]["imageId"]["imageDigest"]
    return f"{ACCOUNT}.dkr.ecr.ap-northeast-1.amazonaws.com/{repository}@{digest}"


DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


def test_an_image_with_ocis_media_type_is_refused(host: Host) -> None:
    """https://github.com/aws/amazon-sagemaker-feedback/issues/180"""
    assert refusal(host.model, **image(push(host.aws, OCI))) == f"Unsupported manifest media type {OCI}"
    assert host.model(**image(push(host.aws, DOCKER)))


# ---- endpoint configurations


def test_an_endpoint_configuration_is_echoed_whole(host: Host) -> None:
    """moto drops the weight and the health check's seconds."""
    variant = host.variant(
        InitialVariantWeight=0.5,
        ContainerStartupHealthCheckTimeoutInSeconds=60,
        ModelDataDownloadTimeoutInSeconds=90,
        VolumeSizeInGB=30,
        RoutingConfig={"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    )
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 5,
        "DestinationS3Uri": "s3://b/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    name = host.config(variant, DataCaptureConfig=capture, KmsKeyId="alias/key")
    described = host.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    assert described["ProductionVariants"] == [variant]
    assert (described["DataCaptureConfig"], described["KmsKeyId"]) == (capture, "alias/key")
    assert described["EndpointConfigArn"] == f"{ARN}:endpoint-config/{name}"


def test_an_endpoint_configuration_name_collides(host: Host) -> None:
    """https://github.com/awslabs/spot-tagging-bot-for-digital-assets/issues/2"""
    name = host.config()
    assert refusal(host.config, EndpointConfigName=name) == (
        f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/{name}".'
    )


def test_a_configuration_needs_its_models(host: Host) -> None:
    assert refusal(host.config, {"ModelName": "missing"}) == f'Could not find model "{ARN}:model/missing".'


def test_variant_names_are_unique(host: Host) -> None:
    assert "unique within an endpoint configuration: A" in refusal(host.config, *({"VariantName": "A"},) * 2)


def test_a_variant_needs_instances_or_a_serverless_configuration(host: Host) -> None:
    variant = {"VariantName": "A", "ModelName": host.model(), "InstanceType": "ml.c5.xlarge"}
    create = host.sagemaker.create_endpoint_config
    message = refusal(create, EndpointConfigName="c", ProductionVariants=[variant])
    assert message == "Variant A must have InitialInstanceCount, or ServerlessConfig."


def test_a_missing_configuration_is_not_found(host: Host) -> None:
    """https://github.com/hashicorp/terraform-provider-aws/issues/40048"""
    missing = f'Could not find endpoint configuration "{ARN}:endpoint-config/missing".'
    assert refusal(host.sagemaker.describe_endpoint_config, EndpointConfigName="missing") == missing
    assert refusal(host.sagemaker.delete_endpoint_config, EndpointConfigName="missing") == missing
    assert refusal(host.endpoint, "missing") == missing


# ---- endpoints


def test_an_endpoint_is_described_once_it_is_in_service(host: Host) -> None:
    config = host.config({"InitialInstanceCount": 3, "InitialVariantWeight": 2.0})
    name = host.endpoint(config)
    described = host.describe(name)
    assert (described["EndpointConfigName"], described["EndpointStatus"]) == (config, "InService")
    assert "FailureReason" not in described and "PendingDeploymentSummary" not in described
    [variant] = described["ProductionVariants"]
    counts = (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"])
    weights = (variant["CurrentWeight"], variant["DesiredWeight"])
    assert (variant["VariantName"], counts, weights) == ("AllTraffic", (3, 3), (2.0, 2.0))
    [deployed] = variant["DeployedImages"]
    assert deployed["SpecifiedImage"] == TRITON_IMAGE
    assert deployed["ResolvedImage"].startswith(f"{TRITON_IMAGE.rpartition(':')[0]}@sha256:")


def test_an_endpoint_name_collides_whatever_its_case(host: Host) -> None:
    """https://github.com/aws/sagemaker-python-sdk/issues/101; "The name is case-insensitive in CreateEndpoint"."""
    name = host.endpoint()
    assert refusal(host.endpoint, EndpointName=name.upper()) == (
        f'Cannot create already existing endpoint "{ARN}:endpoint/{name}".'
    )


def test_a_missing_endpoint_is_not_found(host: Host) -> None:
    """https://github.com/aws/amazon-sagemaker-examples/issues/2402"""
    missing = f'Could not find endpoint "{ARN}:endpoint/missing".'
    assert refusal(host.sagemaker.describe_endpoint, EndpointName="missing") == missing
    assert refusal(host.sagemaker.delete_endpoint, EndpointName="missing") == missing
    config = host.config()
    assert refusal(host.sagemaker.update_endpoint, EndpointName="missing", EndpointConfigName=config) == missing


def test_an_endpoint_on_its_way_refuses_every_change(host: Host) -> None:
    """aws/amazon-sagemaker-operator-for-k8s, clientwrapper: DeleteEndpointInProgressMessagePrefix."""
    host.aws.impose(provisioningSeconds=3600)
    config = host.config()
    name = host.endpoint(config, wait="Creating")
    in_progress = f'Cannot update in-progress endpoint "{ARN}:endpoint/{name}".'
    weights = [{"VariantName": "AllTraffic", "DesiredWeight": 1}]

    def refuses_every_change() -> None:
        scale = host.sagemaker.update_endpoint_weights_and_capacities
        assert refusal(host.sagemaker.delete_endpoint, EndpointName=name) == in_progress
        assert refusal(host.update, endpoint=name, config=config) == in_progress
        assert refusal(scale, EndpointName=name, DesiredWeightsAndCapacities=weights) == in_progress

    refuses_every_change()
    host.aws.impose(provisioningSeconds=0)
    host.wait(name, "InService")
    host.aws.impose(provisioningSeconds=3600)
    host.update(name, host.config(), wait="Updating")
    refuses_every_change()
    host.aws.impose(provisioningSeconds=0)
    host.wait(name, "InService")


def test_while_it_is_created_an_endpoint_shows_what_it_is_heading_for(host: Host) -> None:
    host.aws.impose(provisioningSeconds=3600)
    config = host.config({"InitialInstanceCount": 2})
    name = host.endpoint(config, wait="Creating")
    described = host.describe(name)
    assert "ProductionVariants" not in described
    pending = described["PendingDeploymentSummary"]
    [variant] = pending["ProductionVariants"]
    assert (pending["EndpointConfigName"], variant["InstanceType"]) == (config, "ml.c5.xlarge")
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (0, 2)
    assert [status["Status"] for status in variant["VariantStatus"]] == ["Creating"]
    host.aws.impose(provisioningSeconds=0)
    host.wait(name, "InService")


def test_while_it_is_updated_an_endpoint_keeps_its_configuration_and_shows_the_new_one(host: Host) -> None:
    old, new = host.config(), host.config()
    name = host.endpoint(old)
    host.aws.impose(provisioningSeconds=3600)
    host.update(name, new, wait="Updating")
    described = host.describe(name)
    assert (described["EndpointConfigName"], described["PendingDeploymentSummary"]["EndpointConfigName"]) == (old, new)
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    host.aws.impose(provisioningSeconds=0)
    described = host.wait(name, "InService")
    assert described["EndpointConfigName"] == new and "PendingDeploymentSummary" not in described


def test_an_update_to_the_configuration_that_is_served_is_accepted(host: Host) -> None:
    """UpdateEndpoint documents no refusal: it deploys the configuration "to a new fleet of instances"."""
    config = host.config()
    name = host.endpoint(config)
    host.update(name, config)
    assert host.describe(name)["EndpointConfigName"] == config


def test_the_last_deployment_policy_is_shown_and_can_be_kept(host: Host) -> None:
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 0}}
    name = host.endpoint()
    host.update(name, host.config(), DeploymentConfig=policy)
    assert host.describe(name)["LastDeploymentConfig"] == policy
    host.update(name, host.config(), RetainDeploymentConfig=True)
    assert host.describe(name)["LastDeploymentConfig"] == policy


def test_while_it_bakes_the_new_fleet_has_the_traffic_and_the_old_one_is_still_there(host: Host) -> None:
    """VariantStatus "Baking"; TrafficRoutingConfig, WaitIntervalInSeconds."""
    old, new = host.config(), host.config()
    name = host.endpoint(old)
    routing = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 3600}
    policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}
    host.update(name, new, wait="Updating", DeploymentConfig=policy)

    def is_baking(described: dict[str, Any]) -> bool:
        [variant] = described["PendingDeploymentSummary"]["ProductionVariants"]
        return [status["Status"] for status in variant["VariantStatus"]] == ["Baking"]

    described = host.wait_until(name, is_baking)
    [variant] = described["PendingDeploymentSummary"]["ProductionVariants"]
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", old)
    assert variant["CurrentInstanceCount"] == 1
    assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1


def test_a_configuration_whose_model_is_gone_cannot_be_deployed(host: Host) -> None:
    model = host.model()
    config = host.config({"ModelName": model})
    host.sagemaker.delete_model(ModelName=model)
    assert refusal(host.endpoint, config) == f'Could not find model "{ARN}:model/{model}".'


def test_without_capacity_a_new_endpoint_fails_and_can_only_be_deleted(host: Host) -> None:
    """https://github.com/aws/deep-learning-containers/pull/6673; DescribeEndpoint, EndpointStatus "Failed"."""
    host.aws.impose(insufficientCapacity=["ml.p4d.24xlarge"])
    config = host.config({"InstanceType": "ml.p4d.24xlarge"})
    name = host.endpoint(config, wait="Failed")
    described = host.describe(name)
    assert described["FailureReason"] == (
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
        "Please retry using a different ML instance type or after some time."
    )
    assert described["EndpointConfigName"] == config
    assert "it can only be deleted" in refusal(host.update, endpoint=name, config=host.config())
    host.sagemaker.delete_endpoint(EndpointName=name)
    host.wait_until_gone(name)


def test_an_update_that_fails_rolls_back_and_keeps_its_reason(host: Host) -> None:
    host.aws.impose(insufficientCapacity=["ml.p4d.24xlarge"], rollbackSeconds=3600)
    old = host.config()
    name = host.endpoint(old)
    host.update(name, host.config({"InstanceType": "ml.p4d.24xlarge"}), wait="RollingBack")
    rolling_back = host.describe(name)
    assert rolling_back["EndpointConfigName"] == old
    host.aws.impose(rollbackSeconds=0)
    described = host.wait(name, "InService")
    assert described["EndpointConfigName"] == old and "PendingDeploymentSummary" not in described
    assert described["FailureReason"] == rolling_back["FailureReason"]
    assert described["FailureReason"].startswith("Unable to provision requested ML compute capacity")
    host.update(name, host.config())
    assert "FailureReason" not in host.describe(name)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1, 1.0)),
        ({"RetainAllVariantProperties": True}, (8, 0.25)),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredInstanceCount"}],
            },
            (1, 0.25),
        ),
        (
            {
                "RetainAllVariantProperties": True,
                "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
            },
            (8, 1.0),
        ),
    ],
)
def test_a_fleet_that_was_scaled_keeps_what_the_update_retains(
    host: Host, options: dict[str, Any], expected: tuple[int, float]
) -> None:
    name = host.endpoint()
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": 8, "DesiredWeight": 0.25}
    host.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[change])
    host.wait(name, "InService")
    host.update(name, host.config(), **options)
    [variant] = host.describe(name)["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["DesiredWeight"]) == expected
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == expected


def test_live_counts_and_weights_change_while_the_endpoint_is_updating(host: Host) -> None:
    name = host.endpoint(host.config({"VariantName": "A"}, {"VariantName": "B"}))
    host.aws.impose(provisioningSeconds=3600)
    change = {"VariantName": "B", "DesiredInstanceCount": 4}
    host.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[change])
    described = host.wait(name, "Updating")
    counts = [(v["CurrentInstanceCount"], v["DesiredInstanceCount"]) for v in described["ProductionVariants"]]
    assert counts == [(1, 1), (1, 4)]
    host.aws.impose(provisioningSeconds=0)
    described = host.wait(name, "InService")
    assert [v["CurrentInstanceCount"] for v in described["ProductionVariants"]] == [1, 4]


def test_scaling_out_without_capacity_leaves_the_count_and_says_why(host: Host) -> None:
    name = host.endpoint()
    host.aws.impose(insufficientCapacity=["ml.c5.xlarge"])
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": 4}
    host.sagemaker.update_endpoint_weights_and_capacities(EndpointName=name, DesiredWeightsAndCapacities=[change])
    described = host.wait(name, "InService")
    [variant] = described["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert "InsufficientInstanceCapacity" in described["FailureReason"]


def test_the_weight_of_an_unknown_variant_is_refused(host: Host) -> None:
    name = host.endpoint()
    update = host.sagemaker.update_endpoint_weights_and_capacities
    change = [{"VariantName": "Other", "DesiredWeight": 1}]
    message = refusal(update, EndpointName=name, DesiredWeightsAndCapacities=change)
    assert message.startswith('The variant name(s) "Other" is/are not present within endpoint configuration')


# ---- nothing live is deleted


def test_the_configuration_that_an_endpoint_serves_cannot_be_deleted(host: Host) -> None:
    """DeleteEndpointConfig: "You must not delete an EndpointConfig in use by an endpoint that is live"."""
    old, new = host.config(), host.config()
    name = host.endpoint(old)
    delete = host.sagemaker.delete_endpoint_config
    assert "serves it or is being updated to it" in refusal(delete, EndpointConfigName=old)
    assert host.aws.calls()[-1]["error"].startswith("ValidationException: Cannot delete endpoint configuration")
    host.aws.impose(provisioningSeconds=3600)
    host.update(name, new, wait="Updating")
    for config in (old, new):
        assert "Cannot delete" in refusal(delete, EndpointConfigName=config)
    host.aws.impose(provisioningSeconds=0)
    host.wait(name, "InService")
    delete(EndpointConfigName=old)
    assert host.describe(name)["EndpointConfigName"] == new


def test_the_model_that_an_endpoint_serves_cannot_be_deleted(host: Host) -> None:
    old, new = host.model(), host.model()
    name = host.endpoint(host.config({"ModelName": old}))
    assert f'Cannot delete model "{ARN}:model/{old}"' in refusal(host.sagemaker.delete_model, ModelName=old)
    host.update(name, host.config({"ModelName": new}))
    host.sagemaker.delete_model(ModelName=old)
    assert "Cannot delete model" in refusal(host.sagemaker.delete_model, ModelName=new)


def test_what_only_a_failed_endpoint_used_can_be_deleted(host: Host) -> None:
    host.aws.impose(insufficientCapacity=["ml.p4d.24xlarge"])
    model = host.model()
    config = host.config({"InstanceType": "ml.p4d.24xlarge", "ModelName": model})
    name = host.endpoint(config, wait="Failed")
    host.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    host.sagemaker.delete_model(ModelName=model)
    assert host.describe(name)["EndpointStatus"] == "Failed"


# ---- lists and tags


def test_lists_are_filtered_sorted_and_paged(host: Host) -> None:
    stem = unique("listed")
    names = [host.model(ModelName=f"{stem}-{letter}") for letter in "bca"]
    pages = host.sagemaker.get_paginator("list_models").paginate(
        NameContains=stem.upper(), SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    sizes = [[model["ModelName"] for model in page["Models"]] for page in pages]
    assert sizes == [[f"{stem}-a", f"{stem}-b"], [f"{stem}-c"]]
    newest_first = host.sagemaker.list_models(NameContains=stem)["Models"]
    assert [model["ModelName"] for model in newest_first] == names[::-1]


def test_endpoints_are_listed_by_status(host: Host) -> None:
    host.aws.impose(insufficientCapacity=["ml.p4d.24xlarge"])
    good, failed = host.endpoint(), host.endpoint(host.config({"InstanceType": "ml.p4d.24xlarge"}), wait="Failed")
    listed = host.sagemaker.list_endpoints(StatusEquals="Failed", MaxResults=100)["Endpoints"]
    names = [endpoint["EndpointName"] for endpoint in listed]
    assert failed in names and good not in names


@pytest.mark.parametrize("kind", ["model", "endpoint-config", "endpoint"])
def test_tags_are_kept_with_their_resource(host: Host, kind: str) -> None:
    tags = [{"Key": "CostEnv", "Value": "dev"}, {"Key": "CostService", "Value": "ranking"}]
    makers: dict[str, Callable[..., str]] = {"model": host.model, "endpoint-config": host.config}
    makers["endpoint"] = host.endpoint
    arn = f"{ARN}:{kind}/{makers[kind](Tags=tags)}"

    def listed() -> list[dict[str, str]]:
        found: list[dict[str, str]] = host.sagemaker.list_tags(ResourceArn=arn)["Tags"]
        return found

    assert listed() == tags
    host.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "CostEnv", "Value": "prod"}])
    host.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["CostService"])
    assert listed() == [{"Key": "CostEnv", "Value": "prod"}]


def test_tags_of_nothing_are_not_found(host: Host) -> None:
    arn = f"{ARN}:endpoint-config/missing"
    assert refusal(host.sagemaker.list_tags, ResourceArn=arn) == f'Could not find endpoint configuration "{arn}".'
