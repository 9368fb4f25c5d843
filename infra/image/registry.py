"""Access to registries: ECR through boto3, any other one through the OCI distribution API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.image.ecr import EcrRepository
from infra.image.errors import InvalidImageReference
from infra.image.http import Http
from infra.image.oci import DistributionRepository
from infra.image.reference import ImageReference
from infra.image.retry import Retry

ImageSource = EcrRepository | DistributionRepository
"""A repository that images are read from."""


@dataclass(frozen=True)
class Registries:
    """Everything that access to a registry requires.

    Attributes:
        client: creates the boto3 client of a service in a region.
    """

    client: Callable[[str, str], Any]
    retry: Retry = field(default_factory=Retry)
    http: Http = field(default_factory=Http)

    def source(self, reference: ImageReference) -> ImageSource:
        """The repository of an image to read."""
        if reference.ecr is not None:
            return self.ecr(reference)
        return DistributionRepository(reference, self.http, self.retry)

    def ecr(self, reference: ImageReference) -> EcrRepository:
        """The repository of an image in ECR, in any account and region."""
        registry = reference.ecr
        if registry is None:
            raise InvalidImageReference(
                f"{reference} is not in Amazon ECR, where it would be "
                "ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG."
            )
        return EcrRepository(registry, reference.repository, self.client("ecr", registry.region), self.http)
