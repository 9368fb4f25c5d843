"""The settings of the Triton image."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from infra.image.reference import ImageReference
from infra.settings.effect import Effect, on_change
from infra.settings.section import Section, rule, violation
from infra.settings.source import according_to

MAX_REPOSITORY = 128
"""Characters. ECR takes 256 (API ``RepositoryName``), but SageMaker takes 255 for the whole image (API
``ContainerImage``), of which registry and digest take up to 125."""


_REPOSITORY = r"(?:[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*/)*[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"


def _repository_name(name: str) -> str:
    """ECR API RepositoryName takes dots and slashes, and so a whole image's address too."""
    if ".dkr.ecr." in name:
        raise violation(
            "registry-in-name",
            f"{name!r} has a registry in it. Give the name alone, such as ml/sagemaker-tritonserver.",
        )
    return name


_RepositoryName = Annotated[
    str,
    StringConstraints(min_length=2, max_length=MAX_REPOSITORY, pattern=f"^{_REPOSITORY}$"),
    AfterValidator(_repository_name),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 2,
            "maxLength": MAX_REPOSITORY,
            "pattern": rf"^(?!.*\.dkr\.ecr\.){_REPOSITORY}$",
        }
    ),
]


class ImageSettings(Section):
    """The Triton image: AWS's own for the region, or another one by ``source``."""

    model_config = ConfigDict(
        json_schema_extra={"if": {"required": ["source"]}, "then": {"properties": {"version": False}}}
    )

    version: str = Field(
        "23.10-py3",
        pattern=r"^\d\d\.(0[1-9]|1[0-2])-py3(-cpu)?$",
        description="Tag of AWS's image sagemaker-tritonserver, YY.MM-py3 or YY.MM-py3-cpu; those that end in -cpu do "
        "not use GPUs.",
        examples=["24.09-py3"],
        json_schema_extra=on_change(Effect.NEW_RELEASE)
        | according_to(
            "AWS Deep Learning Containers, NVIDIA Triton Inference Containers; SageMaker Python SDK, "
            "sagemaker-tritonserver.json"
        ),
    )
    source: str | None = Field(
        None,
        description="Another image to mirror instead of AWS's, without version: registry/repository:tag or "
        "registry/repository@sha256:… Each preview looks whether the tag names another image by now: `up` releases it, "
        "and warns in production, where tags are immutable.",
        examples=["nvcr.io/nvidia/tritonserver:24.09-py3"],
        json_schema_extra=on_change(Effect.NEW_RELEASE)
        | according_to("github.com/distribution/reference, the grammar of image references"),
    )
    repository: _RepositoryName | None = Field(
        None,
        description="The ECR repository (2 to 128 lower-case letters and digits, with . _ - and / between them); "
        "sagemaker-tritonserver in production, else sagemaker-tritonserver-<stack>. Under a new name a new "
        "repository is made and filled, endpoints are released from it, and then the old one is deleted with its "
        "images; in production the old one stays, and a new name requires `pulumi up --ignore-protect`.",
        examples=["ml/sagemaker-tritonserver"],
        json_schema_extra=on_change(Effect.REPLACEMENT)
        | according_to(
            "ECR API RepositoryName; this project: 128 characters, so that with registry and digest they fit "
            "in the 255 of SageMaker's ContainerImage"
        ),
    )
    untagged_image_expiration_days: int = Field(
        14,
        ge=1,
        description="Days for which an image without a tag is kept after its push.",
        examples=[30],
        json_schema_extra=according_to("ECR guide, Lifecycle policy properties"),
    )

    @property
    def tag(self) -> str:
        """The tag that is mirrored; empty if only a digest is given."""
        return self.version if self.source is None else ImageReference.parse(self.source).tag or ""

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
