"""The settings of existing resources that the stack adopts."""

from __future__ import annotations

from infra.settings.endpoint import EndpointName
from infra.settings.section import Section, rule, setting

_IMPORT = "Pulumi docs, Importing resources"


class AdoptSettings(Section):
    """Existing resources that the stack imports under their current names instead of creating them. After the import
    the keys have no effect and can be removed."""

    bucket: bool = setting(
        "The bucket named bucket.name, with its encryption.", default=False, example=True, source=_IMPORT
    )
    bucket_policy: bool = setting(
        "The bucket's policy. The preview shows which parts of it the stack's own policy replaces.",
        default=False,
        example=True,
        source=_IMPORT,
    )
    bucket_lifecycle: bool = setting(
        "The bucket's lifecycle rules. The preview shows which of them the stack's own rules replace.",
        default=False,
        example=True,
        source=_IMPORT,
    )
    repository: bool = setting(
        "The ECR repository named image.repository, or its default name.", default=False, example=True, source=_IMPORT
    )
    role: bool = setting(
        "The execution role named role.name. Its other policies are kept.", default=False, example=True, source=_IMPORT
    )
    endpoints: list[EndpointName] = setting(
        "Endpoints without an owner tag. `pulumi up` releases them without downtime.",
        default_factory=list,
        example=["sagemaker-endpoint"],
        source="this project: an endpoint that another stack owns must not be released by mistake",
    )
    autoscaling: bool = setting(
        "The scalable targets of these endpoints' variants; autoscaling.policyName identifies the scaling policy. Do "
        "not use it for targets that this stack registered: the import would replace and so deregister them.",
        default=False,
        example=True,
        source="Application Auto Scaling API RegisterScalableTargetRequest (Tags)",
    )

    @rule("autoscaling")
    def adopted_autoscaling_without_endpoints(self) -> str | None:
        if self.autoscaling and not self.endpoints:
            return "requires adopt.endpoints. List the endpoints whose variants are autoscaled."
        return None

    @rule("bucket")
    def adopted_bucket_parts_without_bucket(self) -> str | None:
        if not self.bucket and (self.bucket_policy or self.bucket_lifecycle):
            return "must be true to adopt the bucket's policy or lifecycle rules. Set it, or remove the other keys."
        return None
