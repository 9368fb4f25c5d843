"""Deletes released artifacts that are no longer needed.

An instance downloads the artifact that its Model names when it starts: in a release, in its rollback, and at every
scale-out. So an artifact that a Model of the endpoint names is kept, whether its configuration is live, retained, or
about to be deleted. The artifacts of the last releases are kept too, to return to. Deleting writes delete markers: the
bucket is versioned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Any

from infra import names
from infra.aws.errors import aws_calls
from infra.release.live import EndpointReader
from infra.release.records import ReleaseHistory

MAX_DELETED = 1000
"""Objects that one request deletes (S3 API `DeleteObjects`)."""


class ReleasedArtifacts:
    """The released artifacts of an endpoint, of all its present and former variants.

    Args:
        s3: boto3's `s3` client.
        sagemaker: boto3's `sagemaker` client.
        bucket: the model bucket.
        endpoint: the endpoint's name. Its Models are those whose names begin with it and a hyphen, as Pulumi names
            them.
    """

    def __init__(self, s3: Any, sagemaker: Any, bucket: str, endpoint: str) -> None:
        self._s3, self._bucket, self._endpoint = s3, bucket, endpoint
        self._reader = EndpointReader(sagemaker)

    def expire(self, releases_kept: int) -> list[str]:
        """Delete those that no Model names and none of the last successful releases served; return their keys.

        The bucket is listed first, so that a Model that is created in the meantime names none of the deleted objects.
        Nothing is deleted if no release is on record, or if a kept one does not record what it served.

        Raises:
            AwsRequestRefused: naming the bucket.
        """
        prefix = names.released(self._endpoint)
        with aws_calls(f"s3://{self._bucket}/{prefix}"):
            existing = set(self._keys(prefix))
            history = ReleaseHistory(self._s3, self._bucket).succeeded(self._endpoint)
            served = [record.artifacts for record in islice(history, releases_kept)] if existing else []
            if not served or not all(served):
                return []
            expired = not_needed(self._bucket, existing, {*chain(*served), *self._named()})
            for first in range(0, len(expired), MAX_DELETED):
                objects = [{"Key": key} for key in expired[first : first + MAX_DELETED]]
                self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        return expired

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return (object_["Key"] for page in pages for object_ in page.get("Contents", []))

    def _named(self) -> Iterator[str]:
        """All S3 addresses in the descriptions of the endpoint's Models."""
        for name in self._reader.models(f"{self._endpoint}-"):
            yield from _addresses(self._reader.model(name))


def not_needed(bucket: str, keys: Collection[str], needed: Collection[str]) -> list[str]:
    """The keys of objects that are not needed. Addresses that end in a slash are prefixes (API `S3DataSource`)."""
    folders = tuple(address for address in needed if address.endswith("/"))
    addresses = {f"s3://{bucket}/{key}": key for key in keys}
    return sorted(key for url, key in addresses.items() if url not in needed and not url.startswith(folders))


def _addresses(described: Any) -> Iterator[str]:
    if isinstance(described, str) and described.startswith("s3://"):
        yield described
    elif isinstance(described, dict | list):
        for value in described.values() if isinstance(described, dict) else described:
            yield from _addresses(value)
