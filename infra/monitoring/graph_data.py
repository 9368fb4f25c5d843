"""The data of a dashboard's graphs, as CloudWatch's console would load it: by GetMetricData."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.aws import metrics
from infra.aws.errors import aws_calls
from infra.aws.metrics import PERIOD_SECONDS
from infra.monitoring.graph import Widget

_POINTS = 200
"""About how many points a line has, by which the period is chosen."""

_DAY = 86_400
_KEPT = {62 * _DAY: 3600, 14 * _DAY: 300}
"""By the length of a time range until now, what a period must be a multiple of, else CloudWatch returns nothing
(CloudWatch API MetricStat, Period: from 63 and 15 days on; a start that is rounded down may be up to a day earlier)."""


@dataclass(frozen=True)
class Line:
    """A line of a graph.

    Attributes:
        times: of the values, in UTC.
        right: whether the right axis applies.
    """

    label: str
    times: list[datetime]
    values: list[float]
    right: bool


def period(began: float, ended: float) -> int:
    """The period for a time range until now, in seconds: a multiple of one that CloudWatch still keeps."""
    length = int(ended - began)
    kept = next((seconds for longer, seconds in _KEPT.items() if length > longer), PERIOD_SECONDS)
    return kept * max(1, -(-length // (_POINTS * kept)))


def lines(cloudwatch: Any, widget: Widget, began: float, ended: float) -> list[Line]:
    """The visible lines of a graph, of whole periods; one without data has no values.

    Args:
        cloudwatch: boto3's `cloudwatch` client.
        began, ended: seconds since 1970.

    Raises:
        AwsRequestRefused: naming the graph.
    """
    properties, seconds = widget["properties"], period(began, ended)
    asked = [*_queries(properties, seconds)]
    options = {query["Id"]: option for query, option in asked}
    first, found = began - began % seconds, dict[tuple[str, str], Line]()
    with aws_calls(f"graph {properties.get('title', '')}"):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[query for query, _ in asked],  # a graph has no more than the 500 of a call
            StartTime=datetime.fromtimestamp(first, UTC),
            EndTime=datetime.fromtimestamp(max(ended - ended % seconds, first + seconds), UTC),
            ScanBy="TimestampAscending",
        )
        for result in (result for page in pages for result in page["MetricDataResults"]):
            right = options[result["Id"]].get("yAxis") == "right"
            line = found.setdefault((result["Id"], result["Label"]), Line(result["Label"], [], [], right))
            line.times.extend(result["Timestamps"])
            line.values.extend(result["Values"])
    return list(found.values())


def in_full(listed: Sequence[Sequence[Any]]) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """The namespace, name and dimensions of each metric, and its options. In a body that the console has written, `.`
    is the same part of the metric before, and `...` as many parts as are left."""
    before: list[str] = []
    for metric in listed:
        options = metric[-1] if isinstance(metric[-1], Mapping) else {}
        parts = [part for part in metric if isinstance(part, str)]
        if "..." in parts:
            at = parts.index("...")
            parts[at : at + 1] = ["."] * (len(before) - len(parts) + 1)
        parts = [before[at] if part == "." else part for at, part in enumerate(parts)]
        before = parts or before  # an expression has no parts
        yield parts, options


def _queries(properties: Mapping[str, Any], seconds: int) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """GetMetricData's queries, with the options of their metrics."""
    for number, (parts, options) in enumerate(in_full(properties.get("metrics", []))):
        query = {
            "Id": options.get("id") or f"line{number}",
            "ReturnData": options.get("visible", True),
            **({"Label": options["label"]} if options.get("label") else {}),
        }
        if "expression" in options:
            yield {**query, "Expression": options["expression"], "Period": seconds}, options
            continue
        dimensions = dict(zip(parts[2::2], parts[3::2], strict=True))
        identity = {"Namespace": parts[0], "MetricName": parts[1], "Dimensions": metrics.for_api(dimensions)}
        statistic = options.get("stat") or properties.get("stat", "Average")
        yield {**query, "MetricStat": {"Metric": identity, "Period": seconds, "Stat": statistic}}, options
