"""Image references: which image in which repository of which registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from infra.image.errors import InvalidImageReference

DIGEST = r"sha256:[0-9a-f]{64}"
"""Pattern of a digest. Registries use no other algorithm for images."""

# Grammar of https://github.com/distribution/reference. A dot, a port or `localhost` marks a registry.
_REGISTRY = r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(?::\d{1,5})?"
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"{_NAME}(?:/{_NAME})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REFERENCE = re.compile(
    rf"(?P<registry>{_REGISTRY})/(?P<repository>{_REPOSITORY})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{DIGEST}))?"
)
# Hosts of Amazon ECR (AWS General Reference, "Amazon ECR endpoints"): IPv4, dual stack and FIPS, in each partition.
_ECR_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z]+(?:-[a-z]+)+-\d+)"
    r"\.(?:amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_DNS_SUFFIXES = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}


@dataclass(frozen=True)
class EcrRegistry:
    """An account's registry in a region."""

    account: str
    region: str

    @property
    def host(self) -> str:
        """`123456789012.dkr.ecr.us-east-1.amazonaws.com`"""
        suffix = _DNS_SUFFIXES.get(self.region.split("-")[0], "amazonaws.com")
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"


@dataclass(frozen=True)
class ImageReference:
    """`registry/repository` with `:tag`, `@digest` or both; the digest takes precedence."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read `registry/repository:tag` or `…@sha256:…`. Neither registry nor tag has a default.

        Raises:
            InvalidImageReference: the text has another form. It is a ValueError too.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise InvalidImageReference(f"{text!r} is not a valid image reference. {_reason(text)}")
        if match["tag"] is None and match["digest"] is None:
            raise InvalidImageReference(f"{text} requires a tag or digest: {text}:TAG or {text}@sha256:DIGEST.")
        return cls(match["registry"], match["repository"], match["tag"], match["digest"])

    @classmethod
    def in_ecr(cls, account: str, region: str, repository: str, *, tag: str) -> ImageReference:
        """The image of a repository in an account's ECR registry."""
        return cls(EcrRegistry(account, region).host, repository, tag)

    @property
    def ecr(self) -> EcrRegistry | None:
        """Account and region if the registry is Amazon ECR (private), else None."""
        match = _ECR_HOST.fullmatch(self.registry)
        return EcrRegistry(match["account"], match["region"]) if match else None

    @property
    def tag_of_copy(self) -> str:
        """The tag of a copy: the image's own, or one made of its digest."""
        return self.tag or (self.digest or "").replace(":", "-")[:19]

    def repository_arn(self, partition: str) -> str:
        """The ARN of a repository in ECR."""
        assert self.ecr is not None
        return f"arn:{partition}:ecr:{self.ecr.region}:{self.ecr.account}:repository/{self.repository}"

    def at(self, digest: str) -> ImageReference:
        """The same repository's image by digest alone, which never changes."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def _reason(text: str) -> str:
    """What is wrong with an invalid reference: the most common mistake first."""
    name, at, digest = text.partition("@")
    if at and not re.fullmatch(DIGEST, digest):
        return f"{digest!r} is not a valid digest: sha256: and 64 lowercase hexadecimal digits."
    registry, slash, path = name.partition("/")
    if "://" in text:
        return "Remove https://: a reference begins with the registry's host."
    if not slash or not re.fullmatch(_REGISTRY, registry):
        return "A reference begins with the registry's host, as in nvcr.io/nvidia/tritonserver:23.10-py3."
    if path != path.lower() and not re.fullmatch(rf"{_REPOSITORY}(?::.*)?", path):
        return "The repository's name must be in lowercase letters."
    return "Use registry/repository:tag or registry/repository@sha256:digest."
