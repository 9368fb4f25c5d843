"""What a CloudFormation template made is taken over under traffic, and nothing of it is replaced, deleted or asked in
vain."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import pytest

from infra.image.copy import copy_image
from infra.image.reference import ImageReference
from infra.image.registry import Registries
from infra.release.request import OWNER_TAG
from infra.triton.repository import ModelRepository
from sandbox.stacks import StackFailed
from tests.lifecycle.account import (
    BROKEN,
    Account,
    Asking,
    Config,
    changing,
    consistent,
    development,
    operations,
    production,
)

AWS_IMAGE = "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"
ARTIFACT = "artifacts/model_7.tar.gz"
SAGEMAKER_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
BOUNDARY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
ENVIRONMENT = {
    "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "answer",
    "SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--disable-auto-complete-config",
}


@dataclass(frozen=True)
class Template:
    """The articles' CloudFormation stack, as its resources are once CloudFormation has made them."""

    account: Account
    name: str
    """Of the endpoint, and in the names of everything else."""

    @property
    def bucket(self) -> str:
        return f"{self.name}-models"

    @property
    def repository(self) -> str:
        return f"{self.name}/sagemaker-tritonserver"

    @property
    def role(self) -> str:
        return f"{self.name}-execution-role"

    @property
    def model(self) -> str:
        return f"model-7-of-{self.name}"

    @property
    def configuration(self) -> str:
        return f"config-7-of-{self.name}"

    @property
    def image(self) -> str:
        return f"123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/{self.repository}:23.10-py3"

    def make(self) -> None:
        """Make all of it; the endpoint answers 7."""
        self._bucket()
        image, role = self._image(), self._role()
        self._endpoint(image, role)
        self._autoscaling()

    def upload(self, key: str, answer: float, initialize: str = "pass") -> None:
        archive = io.BytesIO()
        ModelRepository.read(self.account.model(answer, initialize)).pack(archive)
        self.account.client("s3").put_object(Bucket=self.bucket, Key=key, Body=archive.getvalue())

    def settings(self, adopt: dict[str, Any] | None, artifact: str = ARTIFACT, **endpoint: Any) -> Config:
        endpoints: dict[str, Any] = {
            self.name: {
                "model": {"artifact": artifact, "defaultModelName": "answer"},
                "autoscaling": {"min": 1, "max": 3, "policyName": "invocations"},
                **endpoint,
            }
        }
        sections: dict[str, Any] = {"bucket": {"name": self.bucket}, "role": {"name": self.role}}
        if adopt is not None:
            sections["adopt"] = adopt
        image = {"repository": self.repository, "source": self.image}
        return production(endpoints, self.repository, **sections) | {"triton-sagemaker:image": image}

    @property
    def adopt(self) -> dict[str, Any]:
        everything = ("bucket", "bucketPolicy", "bucketLifecycle", "repository", "role", "autoscaling")
        return {**dict.fromkeys(everything, True), "endpoints": [self.name]}

    @property
    def lifecycle_rules(self) -> set[str]:
        found = self.account.client("s3").get_bucket_lifecycle_configuration(Bucket=self.bucket)
        return {rule["ID"] for rule in found["Rules"]}

    def left_as_they_were(self) -> bool:
        """Whether what no stack took over is still there: model and configuration, and what the role may do."""
        sagemaker, iam = self.account.client("sagemaker"), self.account.client("iam")
        sagemaker.describe_endpoint_config(EndpointConfigName=self.configuration)
        sagemaker.describe_model(ModelName=self.model)
        return "sagemaker-policy" in iam.list_role_policies(RoleName=self.role)["PolicyNames"]

    def _bucket(self) -> None:
        s3 = self.account.client("s3")
        s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_encryption(
            Bucket=self.bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        blocks = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        s3.put_public_access_block(Bucket=self.bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
        s3.put_bucket_tagging(Bucket=self.bucket, Tagging={"TagSet": [{"Key": "CostEnv", "Value": "old"}]})
        reader = {
            "Sid": "ReadForAudit",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{self.bucket}/*",
        }
        s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [reader]}))
        s3.put_bucket_lifecycle_configuration(
            Bucket=self.bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "expire-old-logs",
                        "Status": "Enabled",
                        "Filter": {"Prefix": "logs/"},
                        "Expiration": {"Days": 30},
                    }
                ]
            },
        )
        self.upload(ARTIFACT, answer=7)

    def _image(self) -> str:
        """The image, pulled, tagged and pushed: docker writes a manifest of its own for the same layers."""
        ecr, tag = self.account.client("ecr"), self.image.rpartition(":")[2]
        ecr.create_repository(repositoryName=self.repository, imageTagMutability="MUTABLE")
        source, pulled = ImageReference.parse(AWS_IMAGE), ImageReference.parse(self.image.replace(tag, "pulled"))
        copy_image([source], pulled, Registries(self.account.sandbox.client))
        found = ecr.batch_get_image(repositoryName=self.repository, imageIds=[{"imageTag": "pulled"}])["images"][0]
        manifest = json.dumps(json.loads(found["imageManifest"]), indent=7)
        ecr.put_image(repositoryName=self.repository, imageTag=tag, imageManifest=manifest)
        return self.image

    def _role(self) -> str:
        iam = self.account.client("iam")
        role = iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=json.dumps(SAGEMAKER_TRUST))["Role"]
        everything = {"Effect": "Allow", "Action": ["sagemaker:*", "s3:*", "ecr:*"], "Resource": "*"}
        iam.put_role_policy(
            RoleName=self.role,
            PolicyName="sagemaker-policy",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
        )
        return str(role["Arn"])

    def _endpoint(self, image: str, role: str) -> None:
        sagemaker = self.account.client("sagemaker")
        url = f"s3://{self.bucket}/{ARTIFACT}"
        sagemaker.create_model(
            ModelName=self.model,
            ExecutionRoleArn=role,
            PrimaryContainer={"Image": image, "ModelDataUrl": url, "Environment": ENVIRONMENT},
        )
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": self.model,
            "InstanceType": "ml.c5.xlarge",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1.0,
            "ContainerStartupHealthCheckTimeoutInSeconds": 60,
        }
        sagemaker.create_endpoint_config(EndpointConfigName=self.configuration, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=self.configuration)
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=self.name, WaiterConfig={"Delay": 1})

    def _autoscaling(self) -> None:
        autoscaling = self.account.client("application-autoscaling")
        place = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.name}/variant/AllTraffic",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }
        autoscaling.register_scalable_target(**place, MinCapacity=1, MaxCapacity=2)
        autoscaling.put_scaling_policy(
            **place,
            PolicyName="invocations",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 50.0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            },
        )


@pytest.fixture
def template(account: Account) -> Template:
    template = Template(account, account.name())
    template.make()
    return template


def owner(account: Account, name: str) -> str | None:
    tags = account.client("sagemaker").list_tags(ResourceArn=account.endpoint(name)["EndpointArn"])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}.get(OWNER_TAG)


def test_what_cloudformation_made_is_adopted_under_traffic_and_released_as_any_other(
    account: Account, template: Template
) -> None:
    name = template.name
    stack = account.stack(template.settings(template.adopt))
    before = account.now()

    scaling = {"min": 2, "max": 3, "backlogPerInstance": 5, "policyName": "invocations"}
    queued: dict[str, Any] = {"asynchronous": {}, "autoscaling": scaling, "allowSingleInstance": False}
    stack.config = template.settings(template.adopt, **queued)
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert f"endpoint {name} is real time and cannot become asynchronous" in failed.value.output
    assert changing(account.calls(before)) == []
    stack.config = template.settings(template.adopt)

    preview = stack.preview()
    assert sorted(operations(preview)["import"]) == [
        *("Bucket", "BucketLifecycleConfiguration", "BucketPolicy", "BucketServerSideEncryptionConfiguration"),
        *("Repository", "Role", "Target"),
    ]
    assert operations(preview).keys() == {"import", "create", "update"}
    assert f"{name}: adopting the existing endpoint" in preview.output

    with Asking(account, name) as asking:
        stack.up()
        assert account.ask(name) == 7
    assert asking.asked
    assert asking.failures == []
    assert asking.answers == {7}
    assert owner(account, name) == f"triton-sagemaker/{stack.name}"
    assert template.lifecycle_rules == {
        *("expire-noncurrent-versions", "abort-incomplete-uploads"),
        *("expire-async", "expire-batch", "expire-datadog"),
    }
    assert stack.preview().unchanged
    assert stack.refresh().unchanged

    calls = account.calls(before)
    not_wanted = ("CreateBucket", "CreateRole", "CreateRepository", "CreateEndpoint", "DeregisterScalableTarget")
    assert [each for each in calls if each["operation"] in not_wanted or each["operation"].startswith("Delete")] == []
    assert template.left_as_they_were()

    template.upload("artifacts/model_8.tar.gz", answer=8)
    stack.config = template.settings(template.adopt, artifact="artifacts/model_8.tar.gz")
    assert "Endpoint" in operations(stack.up())["update"]
    assert account.ask(name) == 8
    assert template.left_as_they_were(), "what the stack did not make is not the stack's to delete"

    stack.config = template.settings(None, artifact="artifacts/model_8.tar.gz")
    preview = stack.preview()
    assert preview.unchanged, operations(preview)
    assert stack.up().unchanged
    consistent(account, stack)


@pytest.mark.soak
def test_an_adoption_that_fails_leaves_the_endpoint_to_nobody_and_is_tried_again(
    account: Account, template: Template
) -> None:
    name = template.name
    nothing = {**template.adopt, "endpoints": [], "autoscaling": False}
    stack = account.stack(template.settings(nothing))
    with pytest.raises(StackFailed) as failed:
        stack.up()
    assert f"adopt it with adopt.endpoints: [{name}]" in failed.value.output

    template.upload("artifacts/broken.tar.gz", answer=8, initialize=BROKEN)
    stack.config = template.settings(template.adopt, artifact="artifacts/broken.tar.gz")
    with Asking(account, name) as asking, pytest.raises(StackFailed) as failed:
        stack.up()
    assert f"{template.configuration} is live and answers as before" in failed.value.output
    assert (asking.failures, asking.answers) == ([], {7})
    assert owner(account, name) is None

    stack.config = template.settings(template.adopt)
    stack.up()
    assert account.ask(name) == 7
    assert owner(account, name) == f"triton-sagemaker/{stack.name}"
    assert stack.preview().unchanged


def test_what_exists_already_is_named_with_the_ways_out_before_anything_is_created(account: Account) -> None:
    name = account.name()
    account.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    account.client("ecr").create_repository(repositoryName=name)
    account.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(SAGEMAKER_TRUST))
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    taken = {"bucket": {"name": name}, "image": {"repository": name}, "role": {"name": name}}
    stack, before = account.stack(development(endpoints, **taken)), account.now()
    with pytest.raises(StackFailed, match="already exists"):
        stack.up()
    kinds = (("bucket", "bucket", "name"), ("repository", "image", "repository"), ("role", "role", "name"))
    for adopt, section, key in kinds:
        stack.config = development(endpoints, **{section: taken[section]})
        with pytest.raises(StackFailed) as failed:
            stack.preview()
        ways_out = f":adopt.{adopt}: true (docs/adopt.md), or set triton-sagemaker:{section}.{key} to another name"
        assert ways_out in failed.value.output
    made = [call["operation"] for call in account.calls(before) if call["operation"].startswith("Create")]
    assert made == []


def test_a_bucket_of_another_region_is_not_adopted(account: Account) -> None:
    name = account.name()
    account.sandbox.client("s3", "us-east-1").create_bucket(Bucket=name)
    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    stack = account.stack(development(endpoints, bucket={"name": name}, adopt={"bucket": True}))
    before = account.now()
    with pytest.raises(StackFailed, match=f"{name} is in us-east-1 and the stack in ap-northeast-1"):
        stack.up()
    assert {call["operation"] for call in account.calls(before)} <= {"GetCallerIdentity", "HeadBucket"}
    stack.config = development(endpoints, bucket={"name": f"{name}-not-there"}, adopt={"bucket": True})
    with pytest.raises(StackFailed, match=r"cannot be adopted\. It must exist in ap-northeast-1"):
        stack.preview()


@pytest.mark.soak
def test_a_role_is_adopted_where_it_is(account: Account) -> None:
    name, iam = account.name(), account.client("iam")
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(BOUNDARY))["Policy"]["Arn"]
    role = iam.create_role(
        RoleName=name,
        Path="/service-role/",
        AssumeRolePolicyDocument=json.dumps(SAGEMAKER_TRUST),
        PermissionsBoundary=boundary,
        MaxSessionDuration=7200,
    )["Role"]

    def kept() -> bool:
        """Whether the role is what its owner made it."""
        found = iam.get_role(RoleName=name)["Role"]
        same = (found["RoleId"], found["MaxSessionDuration"]) == (role["RoleId"], 7200)
        return same and found["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary

    endpoints = {name: {"model": {"path": str(account.model(1))}}}
    stack = account.stack(development(endpoints, role={"name": name}, adopt={"role": True}))
    assert "replace" not in operations(stack.preview())
    stack.up()
    assert stack.outputs()["roleArn"] == role["Arn"]
    assert kept()
    stack.config = development(endpoints, role={"name": name})
    assert stack.preview().unchanged
    assert stack.refresh().unchanged
    stack.config = development(endpoints, role={"name": name}, tags={"CostEnv": "test", "CostService": "moved"})
    stack.up()
    assert kept()
