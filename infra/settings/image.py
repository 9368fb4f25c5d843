"""The settings of the Triton image."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from infra.image.reference import ImageReference
from infra.image.triton_version import AWS_VERSION, TritonVersion
from infra.settings.section import Effect, Section, rule, setting, violation

MAX_REPOSITORY = 128
"""Characters. ECR accepts 256 (API `RepositoryName`), but SageMaker limits the address of the image to 255 (API
`ContainerImage`), of which registry and digest need up to 125."""

_REPOSITORY = r"(?:[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*/)*[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"


def _repository_name(name: str) -> str:
    """The pattern of ECR's API accepts the address of an image too."""
    if ".dkr.ecr." in name:
        raise violation(
            "registry-in-repository", f"{name!r} contains a registry. Set the name alone: ml/sagemaker-tritonserver."
        )
    return name


def _image_reference(source: str) -> str:
    try:
        ImageReference.parse(source)
    except ValueError as error:
        raise violation("image-reference", str(error)) from None
    return source


_RepositoryName = Annotated[
    str,
    StringConstraints(min_length=2, max_length=MAX_REPOSITORY, pattern=f"^{_REPOSITORY}$"),
    AfterValidator(_repository_name),
]


class ImageSettings(Section):
    """The Triton image: AWS's image of the region, or the image of `source`."""

    version: str = setting(
        "Tag of AWS's image sagemaker-tritonserver: YY.MM-py3, or YY.MM-py3-cpu for an image without GPU support.",
        default="23.10-py3",
        pattern=f"^{AWS_VERSION}$",
        example="24.09-py3",
        source="AWS Deep Learning Containers, NVIDIA Triton Inference Containers; SageMaker Python SDK, "
        "sagemaker-tritonserver.json",
        effect=Effect.NEW_RELEASE,
    )
    source: Annotated[str, AfterValidator(_image_reference)] | None = setting(
        "Another image to mirror instead of AWS's image: registry/repository:tag or registry/repository@sha256:… Each "
        "preview resolves the tag again. If the tag moved, `up` releases the new image; in production, where tags are "
        "immutable, it warns instead. A private registry other than Amazon ECR is read with the credentials of "
        "`docker login`.",
        default=None,
        example="nvcr.io/nvidia/tritonserver:24.09-py3",
        source="github.com/distribution/reference, the grammar of image references",
        effect=Effect.NEW_RELEASE,
    )
    mirror: bool = setting(
        "Whether to copy the image to the account's own ECR. If false, SageMaker pulls it from its publisher's "
        "repository, by digest; image.source must be in the Amazon ECR of the stack's region. The endpoints stop "
        "scaling out if the publisher removes the image. If it becomes false, the repository is deleted with its "
        "images; in production it is kept, and the change requires `pulumi up --ignore-protect`.",
        default=True,
        example=False,
        source="SageMaker API ContainerDefinition: the image must be in the region of the endpoint",
        effect=Effect.NEW_RELEASE,
    )
    repository: _RepositoryName | None = setting(
        "Name of the ECR repository: lowercase letters and digits, separated by . _ - or /. Default: "
        "sagemaker-tritonserver in production, sagemaker-tritonserver-<stack> elsewhere. A new name creates and fills "
        "a new repository, releases the endpoints from it, and deletes the old repository with its images. In "
        "production, the old repository is kept, and a new name requires `pulumi up --ignore-protect`.",
        default=None,
        example="ml/sagemaker-tritonserver",
        source="ECR API RepositoryName; this project: 128 characters, because registry, name and digest must fit in "
        "the 255 of SageMaker's ContainerImage",
        effect=Effect.REPLACEMENT,
    )
    untagged_image_expiration_days: int = setting(
        "Days that an untagged image is kept after its push.",
        default=14,
        ge=1,
        example=30,
        source="ECR guide, Lifecycle policy properties",
    )

    @property
    def tag(self) -> str:
        """The tag to mirror; empty if `source` has a digest only."""
        return self.version if self.source is None else ImageReference.parse(self.source).tag or ""

    @property
    def triton(self) -> TritonVersion | None:
        """The version of Triton, where the tag names it."""
        return TritonVersion.parse(self.tag)

    @rule("mirror")
    def repository_without_mirror(self) -> str | None:
        for key in ("repository", "untagged_image_expiration_days") if not self.mirror else ():
            if key in self.model_fields_set:
                name = "repository" if key == "repository" else "untaggedImageExpirationDays"
                return f"cannot be combined with {name}, which sets the repository of the copy. Remove one of them."
        return None

    @rule("mirror")
    def in_place_without_ecr(self) -> str | None:
        if not self.mirror and self.source is not None and ImageReference.parse(self.source).ecr is None:
            return f"must be true for {self.source}, because SageMaker pulls images only from Amazon ECR. Remove it."
        return None

    @rule("source")
    def source_with_version(self) -> str | None:
        if self.source is not None and "version" in self.model_fields_set:
            return f"cannot be combined with version ({self.version}), which selects AWS's image. Remove one of them."
        return None
