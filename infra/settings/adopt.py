"""The settings of existing resources that the stack adopts."""

from __future__ import annotations

from typing import Any

from infra.settings.endpoint_sections import EndpointName
from infra.settings.section import Section, rule, setting


def _imported(resource: str, source: str = "Pulumi docs, Importing resources") -> Any:
    return setting(resource, default=False, example=True, source=source)


class AdoptSettings(Section):
    """Existing resources that the stack imports under their current names instead of creating them. After the import,
    the keys can be removed."""

    bucket: bool = _imported("The bucket named bucket.name, with its encryption.")
    bucket_policy: bool = _imported(
        "The bucket's policy. The preview shows which parts of it the stack's own policy replaces."
    )
    bucket_lifecycle: bool = _imported(
        "The bucket's lifecycle rules. The preview shows which of them the stack's own rules replace."
    )
    repository: bool = _imported("The ECR repository named image.repository, or its default name.")
    role: bool = _imported("The execution role named role.name. Its other policies are kept.")
    endpoints: list[EndpointName] = setting(
        "Endpoints without an owner tag. `pulumi up` releases them without downtime.",
        default_factory=list,
        example=["sagemaker-endpoint"],
        source="this project: an endpoint that another stack owns must not be released by mistake",
    )
    autoscaling: bool = _imported(
        "The scalable targets of these endpoints' variants; autoscaling.policyName identifies the scaling policy. Do "
        "not use it for targets that this stack registered: the import would replace and so deregister them.",
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
