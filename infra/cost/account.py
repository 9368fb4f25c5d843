"""What a stack stores and logs, as the account has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Any

from infra import names
from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.aws.metrics import for_api
from infra.cost import usage
from infra.cost.line_items import BUCKET, BYTES_PER_GB, IMAGES, LOGS, METRIC_STREAM, STACK, Item, Sizes, Unpriced
from infra.cost.load import no_data
from infra.cost.usage import HOURS_PER_MONTH
from infra.settings.stack import Settings

_STREAMS = "AWS/CloudWatch/MetricStreams"

MAX_PAGES = 50
"""Of a list of 1,000 versions and delete markers each, so that the command ends within seconds."""


def measured(
    client: Callable[[str], Any], settings: Settings, stack: str, now: datetime, days: int
) -> Iterator[Item | Unpriced]:
    """The objects in the stack's bucket, the images in its repository, the logs of its endpoints, and the updates of
    its metric stream. What cannot be read, or has no data, has no price.

    Args:
        client: boto3's client of a service.
        days: those whose logs count.
    """
    reads: list[tuple[str, str, Callable[[], Iterator[Item | Unpriced]]]] = [
        (STACK, BUCKET, lambda: _objects(client("s3"), settings.bucket.name, stack)),
        *((name, LOGS, partial(_logs, client, name, now, days)) for name in settings.served_endpoints),
    ]
    if settings.image.mirror:
        repository = names.repository(stack, settings.production, settings.image.repository)
        reads.append((STACK, IMAGES, lambda: _images(client("ecr"), repository)))
    if settings.metric_stream:
        reads.append((STACK, METRIC_STREAM, lambda: _stream(client("cloudwatch"), stack, now, days)))
    for endpoint, what, read in reads:
        try:
            yield from read()
        except AwsRequestRefused as error:
            yield Unpriced(endpoint, what, str(error))


def _objects(s3: Any, name: str | None, stack: str) -> Iterator[Item | Unpriced]:
    """All versions, each of which S3 bills until it expires."""
    with aws_calls("the bucket"):
        bucket = name or _bucket(s3, stack)
        if bucket is None:
            yield Unpriced(STACK, BUCKET, f"the account has not one bucket {names.bucket(stack)}-*. Set bucket.name.")
            return
        pages = [*islice(s3.get_paginator("list_object_versions").paginate(Bucket=bucket), MAX_PAGES + 1)]
    if len(pages) > MAX_PAGES:
        reason = f"bucket {bucket} has more than {MAX_PAGES * 1000:,} versions and delete markers."
        yield Unpriced(STACK, BUCKET, reason)
        return
    listed = [version for page in pages for version in page.get("Versions", [])]
    other = sum(version["Size"] for version in listed if version.get("StorageClass", "STANDARD") != "STANDARD")
    standard = sum(version["Size"] for version in listed) - other
    yield Item(STACK, BUCKET, usage.STORAGE_S3, _gigabytes(standard), "bucket.noncurrentVersionExpirationDays")
    if other:
        yield Unpriced(STACK, f"{BUCKET} in other storage classes", f"{other / BYTES_PER_GB:,.2f} GB.")


def _bucket(s3: Any, stack: str) -> str | None:
    """The bucket whose name Pulumi completed."""
    pattern = names.bucket(stack) + names.AUTONAMED
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if fnmatchcase(bucket["Name"], pattern)]
    return buckets[0] if len(buckets) == 1 else None


def _images(ecr: Any, repository: str) -> Iterator[Item]:
    """A layer that two images share counts twice here, and once on the bill."""
    with aws_calls(f"images of {repository}"):
        pages = ecr.get_paginator("describe_images").paginate(repositoryName=repository)
        size = sum(image.get("imageSizeInBytes", 0) for page in pages for image in page["imageDetails"])
    yield Item(STACK, IMAGES, usage.STORAGE_ECR, _gigabytes(size), "image.untaggedImageExpirationDays")


def _logs(client: Callable[[str], Any], endpoint: str, now: datetime, days: int) -> Iterator[Item | Unpriced]:
    with aws_calls(f"logs of endpoint {endpoint}"):
        group = {"LogGroupName": names.log_group(endpoint)}
        size = _a_month(client("cloudwatch"), "AWS/Logs", "IncomingBytes", group, now, days)
    if size is None:
        yield Unpriced(endpoint, LOGS, no_data("IncomingBytes", days))
    else:
        yield Item(endpoint, LOGS, usage.LOGS, _gigabytes(size), "monitoring")


def _stream(cloudwatch: Any, stack: str, now: datetime, days: int) -> Iterator[Item | Unpriced]:
    """TotalMetricUpdate counts the percentiles too, which are billed (CloudWatch User Guide, Monitoring your metric
    streams with CloudWatch metrics)."""
    pattern, updates = names.metric_stream(stack) + names.AUTONAMED, list[Decimal]()
    with aws_calls("the metric stream"):
        for stream in cloudwatch.list_metric_streams(MaxResults=500)["Entries"]:
            if fnmatchcase(name := stream["Name"], pattern):
                dimensions = {"MetricStreamName": name}
                if (size := _a_month(cloudwatch, _STREAMS, "TotalMetricUpdate", dimensions, now, days)) is not None:
                    updates.append(size)
    if updates:
        yield Item(STACK, METRIC_STREAM, usage.METRIC_STREAM, Sizes.same(sum(updates)), "datadog")
    else:
        yield Unpriced(STACK, METRIC_STREAM, no_data("TotalMetricUpdate", days))


def _a_month(
    cloudwatch: Any, namespace: str, metric: str, dimensions: Mapping[str, str], now: datetime, days: int
) -> Decimal | None:
    """The sum of a month at the rate of these days; None without data, which may be because nothing arrived, or because
    the resource does not exist."""
    answer = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=for_api(dimensions),
        StartTime=now - timedelta(days=days),
        EndTime=now,
        Period=86400,
        Statistics=["Sum"],
    )
    sums = [point["Sum"] for point in answer["Datapoints"]]
    return Decimal(sum(sums)) / days / 24 * HOURS_PER_MONTH if sums else None


def _gigabytes(size: Decimal | int) -> Sizes:
    return Sizes.same(size / BYTES_PER_GB)
