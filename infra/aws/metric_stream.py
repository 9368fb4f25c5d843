"""What a CloudWatch metric stream sends of the endpoints of an account in a region, and how it is billed."""

from __future__ import annotations

from math import ceil

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric

NAMESPACES = (metrics.INVOCATIONS.namespace, names.LOG_GROUPS)
"""The namespaces of endpoints: that of their requests, and that of their instances."""

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9")
"""Additional statistics of the latencies. OpenTelemetry formats accept percentiles only (CloudWatch API
PutMetricStream)."""

_IN_ONE_UPDATE = 5
"""Additional statistics of a metric that are billed as one metric update (CloudWatch User Guide, Statistics that can be
streamed)."""


def billed_updates(metric: Metric) -> int:
    """The metric updates that CloudWatch bills each time a metric is streamed: each minute for each combination of
    dimensions that has data."""
    additional = len(PERCENTILES) if metric in metrics.LATENCIES else 0
    return 1 + ceil(additional / _IN_ONE_UPDATE)
