"""The settings of what is taken over from CloudFormation, or from whoever made it."""

from __future__ import annotations

from pydantic import ConfigDict, Field, JsonValue

from infra.settings.endpoint import EndpointName
from infra.settings.section import Section, rule
from infra.settings.source import according_to


def _set(key: str) -> dict[str, JsonValue]:
    """The JSON Schema of a section in which a key is true."""
    return {"required": [key], "properties": {key: {"const": True}}}


class AdoptSettings(Section):
    """What exists already and is taken over under its name instead of being made. Once that is done, the keys do
    nothing and may go."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"anyOf": [_set("bucketPolicy"), _set("bucketLifecycle")]},
            "then": _set("bucket"),
        }
    )

    bucket: bool = Field(
        False,
        description="The bucket called bucket.name, with its encryption.",
        examples=[True],
        json_schema_extra=according_to("Pulumi docs, Importing resources"),
    )
    bucket_policy: bool = Field(
        False,
        description="The bucket has a policy: the preview shows what of it the stack's own replaces.",
        examples=[True],
        json_schema_extra=according_to("Pulumi docs, Importing resources"),
    )
    bucket_lifecycle: bool = Field(
        False,
        description="The bucket has lifecycle rules: the preview shows what of them the stack's own replace.",
        examples=[True],
        json_schema_extra=according_to("Pulumi docs, Importing resources"),
    )
    repository: bool = Field(
        False,
        description="The ECR repository, called image.repository or as that defaults to.",
        examples=[True],
        json_schema_extra=according_to("Pulumi docs, Importing resources"),
    )
    role: bool = Field(
        False,
        description="The execution role called role.name; its other policies stay.",
        examples=[True],
        json_schema_extra=according_to("Pulumi docs, Importing resources"),
    )
    endpoints: list[EndpointName] = Field(
        default_factory=list,
        description="Endpoints that no stack owns: they are released anew, and keep answering.",
        examples=[["sagemaker-endpoint"]],
        json_schema_extra=according_to("this project: an endpoint of another owner is not released by mistake"),
    )

    autoscaling: bool = Field(
        False,
        description="The scalable targets of these endpoints' variants; a scaling policy is known by its name. Not for "
        "targets that the stack itself registered: the import would replace them, and deregister them.",
        examples=[True],
        json_schema_extra=according_to("Application Auto Scaling API RegisterScalableTargetRequest (Tags)"),
    )

    @rule("autoscaling")
    def scalable_targets_come_with_their_endpoints(self) -> str | None:
        if self.autoscaling and not self.endpoints:
            return "is adopted with an endpoint, and endpoints names none. Name those whose variants are scaled."
        return None

    @rule("bucket")
    def what_is_in_the_bucket_comes_with_it(self) -> str | None:
        if not self.bucket and (self.bucket_policy or self.bucket_lifecycle):
            return "is not adopted, but its policy or lifecycle is. Set it to true, or take the other keys out."
        return None
