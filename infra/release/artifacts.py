"""Deletes released artifacts that are no longer needed.

An instance downloads the artifact that its Model names when it starts: in a release, in its rollback, and at every
scale-out. So an artifact that a Model of the endpoint names is kept, whether its configuration is live, retained, or
about to be deleted. The artifacts of the last releases are kept too, to return to. Deleting writes delete markers: the
bucket is versioned.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, islice
from typing import Any

from infra import names
from infra.aws.errors import aws_calls
from infra.release.contents import s3_addresses
from infra.release.live import EndpointReader
from infra.release.records import ReleaseHistory, object_keys

MAX_DELETED = 1000
"""Objects that one request deletes (S3 API `DeleteObjects`)."""


def expire(s3: Any, sagemaker: Any, bucket: str, endpoint: str, releases_kept: int) -> list[str]:
    """Delete the artifacts of all present and former variants of an endpoint that no Model names and none of the last
    successful releases served; return their keys.

    The bucket is listed first, so that a Model that is created in the meantime names none of the deleted objects.
    Nothing is deleted if no release is on record, or if a kept one does not record what it served.

    Args:
        s3: boto3's `s3` client.
        sagemaker: boto3's `sagemaker` client.
        bucket: the model bucket.
        endpoint: the endpoint's name. Its Models are those whose names begin with it and a hyphen, as Pulumi names
            them.

    Raises:
        AwsRequestRefused: naming the bucket.
    """
    prefix, reader = names.released(endpoint), EndpointReader(sagemaker)
    with aws_calls(f"s3://{bucket}/{prefix}"):
        existing = set(object_keys(s3, bucket, prefix))
        history = ReleaseHistory(s3, bucket).succeeded(endpoint)
        served = [record.artifacts for record in islice(history, releases_kept)] if existing else []
        if not served or not all(served):
            return []
        named = s3_addresses([reader.model(name) for name in reader.models(f"{endpoint}-")])
        expired = not_needed(bucket, existing, {*chain(*served), *named})
        for first in range(0, len(expired), MAX_DELETED):
            objects = [{"Key": key} for key in expired[first : first + MAX_DELETED]]
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    return expired


def not_needed(bucket: str, keys: Collection[str], needed: Collection[str]) -> list[str]:
    """The keys of objects that are not needed. Addresses that end in a slash are prefixes (API `S3DataSource`)."""
    folders = tuple(address for address in needed if address.endswith("/"))
    addresses = {f"s3://{bucket}/{key}": key for key in keys}
    return sorted(key for url, key in addresses.items() if url not in needed and not url.startswith(folders))
