"""Image references: which image in which repository of which registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from infra.image.errors import InvalidImageReference

DIGEST = r"sha256:[0-9a-f]{64}"
"""Pattern of a digest; registries use no other algorithm for images."""

# Grammar of https://github.com/distribution/reference; a registry is told from a path by its dot, port or `localhost`.
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
        """``123456789012.dkr.ecr.us-east-1.amazonaws.com``"""
        suffix = _DNS_SUFFIXES.get(self.region.split("-")[0], "amazonaws.com")
        return f"{self.account}.dkr.ecr.{self.region}.{suffix}"


@dataclass(frozen=True)
class ImageReference:
    """``registry/repository``, with ``:tag``, ``@digest`` or both; where both are given, the digest decides."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read ``registry/repository:tag`` or ``…@sha256:…``; neither registry nor tag has a default.

        Raises InvalidImageReference (a ValueError).
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise InvalidImageReference(f"{text!r} is not an image reference. {_reason(text)}")
        if match["tag"] is None and match["digest"] is None:
            raise InvalidImageReference(f"{text} names no tag and no digest; write {text}:TAG or {text}@sha256:DIGEST.")
        return cls(match["registry"], match["repository"], match["tag"], match["digest"])

    @classmethod
    def in_ecr(
        cls, account: str, region: str, repository: str, *, tag: str | None = None, digest: str | None = None
    ) -> ImageReference:
        """The image of a repository in an account's ECR registry."""
        return cls(EcrRegistry(account, region).host, repository, tag, digest)

    @property
    def ecr(self) -> EcrRegistry | None:
        """Account and region if the registry is Amazon ECR (private), else None."""
        match = _ECR_HOST.fullmatch(self.registry)
        return EcrRegistry(match["account"], match["region"]) if match else None

    def at(self, digest: str) -> ImageReference:
        """The same repository's image by digest alone: what it names never changes."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def _reason(text: str) -> str:
    """What is wrong with a text that is no reference, by the part that is wrong most often."""
    name, at, digest = text.partition("@")
    if at and not re.fullmatch(DIGEST, digest):
        return f"A digest is sha256: and 64 lowercase hex digits, not {digest!r}."
    registry, slash, path = name.partition("/")
    if "://" in text:
        return "It begins with the registry's host, without https://."
    if not slash or not re.fullmatch(_REGISTRY, registry):
        return "It begins with the registry's host, as in nvcr.io/nvidia/tritonserver:23.10-py3."
    if path != path.lower() and not re.fullmatch(rf"{_REPOSITORY}(?::.*)?", path):
        return "The repository's name is in lowercase letters."
    return "Its form is registry/repository:tag or registry/repository@sha256:digest."
