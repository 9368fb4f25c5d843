"""The settings of a stack: everything that ops edit in ``Pulumi.<stack>.yaml``."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from infra.ecr.accounts import aws_triton_images
from infra.ecr.reference import ImageReference
from infra.settings.adopt import AdoptSettings
from infra.settings.endpoint import EndpointName, EndpointSettings
from infra.settings.freeze import FreezeWindowSettings
from infra.settings.notifications import NotificationSettings
from infra.settings.section import Section, rule, violation

MAX_TAGS = 50
"""Tags a resource may have (AWS tagging rules)."""

_KMS_KEY_ARN = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$"
_SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$")]
_SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")]


class Environment(StrEnum):
    """What the stack is for. Production makes image tags immutable and protects endpoint, repository and bucket."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if missing := [key for key in ("CostEnv", "CostService") if not tags.get(key)]:
        raise violation(f"{' and '.join(missing)} must be set: costs are booked by them.")
    if len(tags) > MAX_TAGS - 1:  # the endpoint's ownership tag takes one
        raise violation(f"{len(tags)} tags; AWS takes {MAX_TAGS}, of which the program sets 1.")
    for key, value in tags.items():
        if key.lower().startswith("aws:") or not 1 <= len(key) <= 128 or len(value) > 256:
            raise violation(
                f"{key}: {value}: keys have 1 to 128 characters and do not begin with aws:, values at most 256."
            )
        if not re.fullmatch(r"[\w\s.:/=+@-]+", key) or not re.fullmatch(r"[\w\s.:/=+@-]*", value):
            raise violation(
                f"{key}: {value}: only letters, digits, spaces and _ . : / = + - @ are taken by every service."
            )
    return tags


class BucketSettings(Section):
    """The bucket that holds model artifacts."""

    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="The bucket's name, unique in all of S3; Pulumi chooses one if not given.",
    )
    kms_key_arn: str | None = Field(
        None, pattern=_KMS_KEY_ARN, description="KMS key that encrypts the bucket; AES256 (S3's own keys) if not given."
    )
    noncurrent_version_expiration_days: int = Field(
        90, ge=1, description="Days after which a replaced or deleted version of an object is removed for good."
    )
    abort_incomplete_multipart_upload_days: int = Field(
        7, ge=1, description="Days after which an upload that was never completed is removed."
    )


class ImageSettings(Section):
    """The Triton image: AWS's own for the region, or another one by ``source``."""

    version: str = Field(
        "23.10-py3", pattern=r"^\d\d\.\d\d-py3(-cpu)?$", description="Tag of AWS's image sagemaker-tritonserver."
    )
    source: str | None = Field(
        None, description="Another image to mirror instead: registry/repository:tag or registry/repository@sha256:…"
    )
    repository: str | None = Field(
        None,
        min_length=2,
        max_length=256,
        pattern=r"^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$",
        description="The ECR repository; sagemaker-tritonserver in production, else sagemaker-tritonserver-<stack>.",
    )
    untagged_image_expiration_days: int = Field(
        14, ge=1, description="Days after its push in which an untagged image is kept."
    )

    @rule("source")
    def source_is_an_image_reference(self) -> str | None:
        if self.source is None:
            return None
        try:
            ImageReference.parse(self.source)
        except ValueError as error:
            return str(error)
        return None

    @rule("source")
    def source_excludes_version(self) -> str | None:
        if self.source is not None and "version" in self.model_fields_set:
            return f"both source and version ({self.version}) are given; version names AWS's image, source another one."
        return None


class RoleSettings(Section):
    """The role that the serving containers run as."""

    name: str | None = Field(
        None, pattern=r"^[\w+=,.@-]{1,64}$", description="The role's name; Pulumi chooses one if not given."
    )


class VpcSettings(Section):
    """The VPC that the serving containers are attached to (API ``VpcConfig``)."""

    subnet_ids: list[_SubnetId] = Field(min_length=1, max_length=16, description="Subnets, 1 to 16.")
    security_group_ids: list[_SecurityGroupId] = Field(
        min_length=1, max_length=5, description="Security groups, 1 to 5."
    )


class Settings(Section):
    """A whole stack."""

    region: str = Field(min_length=1, description="The AWS region; `pulumi config set aws:region ap-northeast-1`.")
    environment: Environment = Field(strict=False, description="production, staging or development.")
    tags: Annotated[dict[str, str], AfterValidator(_tags)] = Field(
        description="Tags on every resource; CostEnv and CostService are required."
    )
    bucket: BucketSettings = Field(BucketSettings(), description="The model bucket.")
    image: ImageSettings = Field(ImageSettings(), validate_default=True, description="The Triton image.")
    role: RoleSettings = Field(RoleSettings(), description="The execution role.")
    vpc: VpcSettings | None = Field(None, description="Attach the containers to a VPC; none if not given.")
    endpoints: dict[EndpointName, EndpointSettings] = Field(min_length=1, description="The endpoints by name.")
    freeze_windows: list[FreezeWindowSettings] = Field(
        default_factory=list, description="Times in which no live endpoint is released anew; none if not given."
    )
    notifications: NotificationSettings | None = Field(
        None, description="Where the end of each release is published; nowhere if not given."
    )
    adopt: AdoptSettings = Field(
        AdoptSettings(), description="What exists already and is taken over under its name; nothing if not given."
    )

    @property
    def production(self) -> bool:
        """Whether what must not be lost is protected."""
        return self.environment is Environment.PRODUCTION

    @property
    def image_sources(self) -> list[ImageReference]:
        """The images to mirror from, in the order to try."""
        if self.image.source is not None:
            return [ImageReference.parse(self.image.source)]
        return aws_triton_images(self.region, self.image.version)

    @property
    def notification_topic_arn(self) -> str | None:
        """The SNS topic that is told of each release."""
        return self.notifications.topic_arn if self.notifications else None

    @rule("adopt.bucket")
    def an_adopted_bucket_is_named(self) -> str | None:
        if self.adopt.bucket and self.bucket.name is None:
            return "which one is not said. Give its name as bucket.name, and leave it there."
        return None

    @rule("adopt.role")
    def an_adopted_role_is_named(self) -> str | None:
        if self.adopt.role and self.role.name is None:
            return "which one is not said. Give its name as role.name, and leave it there."
        return None

    @rule("adopt.endpoints")
    def an_adopted_endpoint_is_one_of_the_stack(self) -> str | None:
        if unknown := [name for name in self.adopt.endpoints if name not in self.endpoints]:
            return f"{', '.join(unknown)}: no such key below endpoints, which has {', '.join(self.endpoints)}."
        return None

    @rule("adopt.endpoints")
    def an_adopted_endpoints_scaling_policy_is_named(self) -> str | None:
        """PutScalingPolicy changes a policy of the same name, and refuses a second one on the same metric."""
        for name in self.adopt.endpoints:
            variants = self.endpoints[name].production_variants.values() if name in self.endpoints else ()
            if any(each.autoscaling and each.autoscaling.policy_name is None for each in variants):
                return (
                    f"{name} is autoscaled without autoscaling.policyName, and AWS takes one target-tracking policy a "
                    "metric. Give the name that its policy has (aws application-autoscaling describe-scaling-policies "
                    "--service-namespace sagemaker), or any if it has none, and leave it there."
                )
        return None

    @field_validator("image")
    @classmethod
    def the_region_has_the_image(cls, image: ImageSettings, info: ValidationInfo) -> ImageSettings:
        if image.source is None and (region := info.data.get("region")):
            try:
                aws_triton_images(region, image.version)
            except ValueError as error:
                raise violation(f"{error} Or mirror another image with image.source.") from None
        return image

    @field_validator("bucket")
    @classmethod
    def the_key_is_in_the_region(cls, bucket: BucketSettings, info: ValidationInfo) -> BucketSettings:
        region = info.data.get("region")
        if region and bucket.kms_key_arn and (of := bucket.kms_key_arn.split(":")[3]) != region:
            raise violation(f"kmsKeyArn is a key of {of}, the bucket is in {region}; S3 needs a key of its own region.")
        return bucket

    @field_validator("notifications")
    @classmethod
    def the_topic_is_in_the_region(
        cls, notifications: NotificationSettings | None, info: ValidationInfo
    ) -> NotificationSettings | None:
        region = info.data.get("region")
        if region and notifications and notifications.region != region:
            raise violation(
                f"topicArn: {notifications.topic_arn} is in {notifications.region}, the stack in {region}. Give a "
                "topic of the stack's region; SNS delivers from there to other regions."
            )
        return notifications

    @field_validator("endpoints")
    @classmethod
    def names_differ_in_more_than_case(cls, endpoints: dict[str, EndpointSettings]) -> dict[str, EndpointSettings]:
        seen: dict[str, str] = {}
        for name in endpoints:
            if (other := seen.setdefault(name.lower(), name)) != name:
                raise violation(
                    f"{other} and {name} differ in case only; SageMaker takes them for the same (CreateEndpoint)."
                )
        return endpoints
