"""What a stack stores and logs is read from its account, and has AWS's price."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra import names
from infra.cost import account
from infra.cost.estimate import estimate
from infra.cost.line_items import BUCKET, IMAGES, LOGS, METRIC_STREAM, Item, Sizes, Unpriced
from infra.settings.stack import Settings
from tests.infra.cost.test_estimate import PRICES, TRAFFIC, stack
from tests.infra.mock_runtime import ROOT
from tests.infra.policies.stack_settings import TOPIC
from tests.infra.settings.config import VALID, settings
from tests.messages.settings import SECRET

NOW = datetime(2026, 11, 28, tzinfo=UTC)
GB = 2**30


class Aws:
    """The clients of an account with one bucket of the stack `dev`."""

    def __init__(self, denied: str = "", **facts: Any) -> None:
        self.denied = denied
        self.buckets = ["models-dev-1a2b3c4", "models-dev-eu-1a2b3c4", "models-dev"]
        self.versions = [(40 * GB, "STANDARD"), (60 * GB, "STANDARD")]
        self.delete_markers, self.pages = 0, 1
        self.images, self.logged, self.streamed = [9 * GB, GB], [GB, 2 * GB], [1_000_000, 500_000]
        self.__dict__.update(facts)
        self.asked: dict[str, Any] = {}

    def __call__(self, service: str) -> Aws:
        return self

    def _require(self, service: str) -> None:
        if service == self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Read")

    def list_buckets(self) -> dict[str, Any]:
        self._require("s3")
        return {"Buckets": [{"Name": name} for name in self.buckets]}

    def get_paginator(self, operation: str) -> Any:
        return {"list_object_versions": _Pages(self._versions), "describe_images": _Pages(self._images)}[operation]

    def _versions(self, Bucket: str) -> Iterator[dict[str, Any]]:
        self.asked["bucket"] = Bucket
        page = {
            "Versions": [{"Size": size, "StorageClass": class_} for size, class_ in self.versions],
            "DeleteMarkers": [{"Key": str(number)} for number in range(self.delete_markers)],
        }
        yield from [page] * self.pages

    def _images(self, repositoryName: str) -> Iterator[dict[str, Any]]:
        self._require("ecr")
        self.asked["repository"] = repositoryName
        yield {"imageDetails": [{"imageSizeInBytes": size} for size in self.images]}

    def get_metric_statistics(self, **asked: Any) -> dict[str, Any]:
        self._require("cloudwatch")
        (dimension,) = asked["Dimensions"]
        self.asked[dimension["Name"]] = dimension["Value"]
        values = self.logged if asked["MetricName"] == "IncomingBytes" else self.streamed
        return {"Datapoints": [{"Sum": value} for value in values]}

    def list_metric_streams(self, MaxResults: int) -> dict[str, Any]:
        return {"Entries": [{"Name": f"{names.metric_stream(of)}-1a2b3c4"} for of in ("dev", "prod")]}


class _Pages:
    def __init__(self, paginate: Any) -> None:
        self.paginate = paginate


def read(aws: Aws, of: Settings | None = None) -> dict[str, Item | Unpriced]:
    entries = account.measured(aws, of or stack(instanceType="ml.c5.xlarge"), "dev", NOW, 30)
    return {entry.what: entry for entry in entries}


def test_the_calculation_of_the_docs() -> None:
    endpoint = {
        "model": {"artifact": "artifacts/a.tar.gz"},
        "instanceType": "ml.r5.xlarge",
        "initialInstanceCount": 3,
        "autoscaling": {"min": 2, "max": 10},
        "volumeSizeGb": 50,
        "alarms": {"errorRatePercent": 5, "p99ModelLatencyMilliseconds": 500},
    }
    sections = {"endpoints": {"e": endpoint}, "notifications": {"topicArn": TOPIC}, "monitoring": {"dashboard": True}}
    of = settings(VALID | {f"triton-sagemaker:{key}": value for key, value in sections.items()})
    aws = Aws()
    result = estimate(of, PRICES, {"e": TRAFFIC}, read(aws, of).values())
    table = (ROOT / "docs" / "cost.md").read_text().partition("## The calculation")[2].partition("## ")[0]
    rows = re.findall(r"^\| .+ \| \$(\S+) \| \$(\S+) \| \$(\S+) \|$", table, re.MULTILINE)
    *items, total = [[Decimal(usd.replace(",", "")) for usd in row] for row in rows]
    assert items == [cents(entry.usd) for entry in result.items]
    assert total == cents(result.total)
    assert aws.asked == {
        "bucket": "models-dev-1a2b3c4",
        "repository": "sagemaker-tritonserver-dev",
        "LogGroupName": "/aws/sagemaker/Endpoints/e",
    }


def cents(usd: Sizes) -> list[Decimal]:
    return [round(size, 2) for size in (usd.smallest, usd.initial, usd.largest)]


@pytest.mark.parametrize("buckets", [[], ["models-dev-1a2b3c4", "models-dev-5d6e7f8"]])
def test_a_bucket_that_is_not_clear_has_no_price(buckets: list[str]) -> None:
    entry = read(Aws(buckets=buckets))[BUCKET]
    assert isinstance(entry, Unpriced)
    assert "bucket.name" in entry.reason


@pytest.mark.parametrize("delete_markers", [0, 900])
def test_a_bucket_with_too_many_versions_to_list_has_no_price(delete_markers: int) -> None:
    listed: dict[str, Any] = {"versions": [(1, "STANDARD")] * (1000 - delete_markers), "delete_markers": delete_markers}
    assert isinstance(read(Aws(**listed, pages=account.MAX_PAGES))[BUCKET], Item)
    assert isinstance(read(Aws(**listed, pages=account.MAX_PAGES + 1))[BUCKET], Unpriced)


def test_other_storage_classes_are_listed() -> None:
    entries = read(Aws(versions=[(GB, "STANDARD"), (3 * GB, "GLACIER")]))
    assert isinstance(entry := entries[BUCKET], Item)
    assert entry.quantity.initial == 1
    assert entries[f"{BUCKET} in other storage classes"]


DATADOG = {"site": "datadoghq.com", "integration": "metricStream", "apiKeySecretArn": SECRET}


def test_what_cloudwatch_has_no_data_of_is_listed() -> None:
    of = settings({**VALID, "triton-sagemaker:datadog": DATADOG})
    entries = read(Aws(logged=[], streamed=[]), of)
    for what, metric in ((LOGS, "IncomingBytes"), (METRIC_STREAM, "TotalMetricUpdate")):
        assert isinstance(entry := entries[what], Unpriced)
        assert f"no {metric} of the last 30 days" in entry.reason
    assert all(isinstance(entry, Item) for entry in read(Aws(logged=[0], streamed=[0]), of).values())


def test_a_metric_stream_is_billed_by_the_updates_of_the_stacks_own_stream() -> None:
    """1.5 million in 30 days, x $0.000003."""
    of = settings({**VALID, "triton-sagemaker:datadog": DATADOG})
    aws = Aws()
    result = estimate(of, PRICES, {}, read(aws, of).values())
    (stream,) = [entry for entry in result.items if entry.item.what == METRIC_STREAM]
    assert round(stream.usd.initial, 4) == Decimal("4.5625")
    assert aws.asked["MetricStreamName"] == f"{names.metric_stream('dev')}-1a2b3c4"
    assert {"Firehose", "Datadog"} <= {entry.what for entry in result.unpriced}
    assert METRIC_STREAM in {entry.what for entry in estimate(of, PRICES, {}).unpriced}


@pytest.mark.parametrize(("service", "what"), [("s3", BUCKET), ("ecr", IMAGES), ("cloudwatch", LOGS)])
def test_what_may_not_be_read_is_listed_with_the_reason(service: str, what: str) -> None:
    entries = read(Aws(denied=service))
    assert isinstance(entry := entries[what], Unpriced)
    assert "AccessDenied" in entry.reason
    assert sum(isinstance(entry, Item) for entry in entries.values()) == 2
