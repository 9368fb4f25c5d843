"""How registries are reached: ECR through boto3, any other one by the OCI distribution API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from urllib3.response import BaseHTTPResponse

from infra.image.ecr import EcrRepository
from infra.image.errors import InvalidImageReference
from infra.image.http import Http, Retry
from infra.image.oci import DistributionRepository, RegistryCredentials
from infra.image.reference import ImageReference


class ImageSource(Protocol):
    """A repository that images are read from."""

    def manifest(self, tag_or_digest: str) -> tuple[bytes, str | None]:
        """A manifest's exact bytes, digest checked, and what the registry says is its media type."""

    def open_blob(self, digest: str, start: int) -> BaseHTTPResponse:
        """The answer that holds a blob's bytes from ``start`` on, its body unread."""


class ClientFactory(Protocol):
    """Makes boto3 clients. The caller decides on session, endpoints and retries (botocore's ``Config(retries=…)``)."""

    def __call__(self, service: str, region: str, /) -> Any:
        """The client of a service in a region."""


@dataclass(frozen=True)
class Registries:
    """What it takes to reach every registry; ``credentials`` gives user and password for a host other than ECR's."""

    client: ClientFactory
    credentials: Callable[[str], RegistryCredentials | None] = lambda host: None
    retry: Retry = field(default_factory=Retry)
    http: Http = field(default_factory=Http)

    def source(self, reference: ImageReference) -> ImageSource:
        """The repository of an image to read."""
        if reference.ecr is not None:
            return self.ecr(reference)
        return DistributionRepository(reference, self.http, self.retry, self.credentials(reference.registry))

    def ecr(self, reference: ImageReference) -> EcrRepository:
        """The repository of an image in ECR, in any account and region. Raises InvalidImageReference for another."""
        registry = reference.ecr
        if registry is None:
            raise InvalidImageReference(
                f"{reference} is not in Amazon ECR; its images are ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG."
            )
        return EcrRepository(registry, reference.repository, self.client("ecr", registry.region), self.http)
