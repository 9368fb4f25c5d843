"""What metric streams send to Firehose: each minute the metrics that had values, as OpenTelemetry."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from math import ceil, floor

from sandbox.aws.cloudwatch import Backend, backend_of
from sandbox.aws.conditions import Conditions
from sandbox.aws.metric_streams import PRINCIPAL, PUT, STREAMS, MetricStream
from sandbox.aws.otlp import Update, message
from sandbox.aws.service_role import ServiceRole

PERIOD_SECONDS = 60
_LONGEST_NAP, _SHORTEST_NAP = 0.25, 0.02

PutRecords = Callable[[str, Sequence[bytes]], None]
"""Puts records into the delivery stream with an ARN."""


class Streaming(threading.Thread):
    """Sends the metrics of every running stream of every account and region, a period after they were published.
    Values that come later are lost here; CloudWatch streams them for up to two hours."""

    def __init__(self, conditions: Conditions, put_records: PutRecords) -> None:
        super().__init__(name="metric streams", daemon=True)
        self._conditions = conditions
        self._put_records = put_records
        self._ended = threading.Event()
        self._sent_until: dict[str, float] = {}

    def run(self) -> None:
        while not self._ended.wait(self._nap()):
            for (account, region), streams in list(STREAMS.items()):
                for stream in streams.all():
                    try:
                        self._send(stream, account, region, PERIOD_SECONDS / self._conditions.time_factor)
                    except Exception:
                        traceback.print_exc()

    def end(self) -> None:
        self._ended.set()

    def _nap(self) -> float:
        return max(_SHORTEST_NAP, min(_LONGEST_NAP, PERIOD_SECONDS / 4 / self._conditions.time_factor))

    def _send(self, stream: MetricStream, account: str, region: str, period: float) -> None:
        """ "The metric data that was published while the metric stream was stopped is not backfilled" (User Guide,
        CloudWatch-metric-streams-operation)."""
        newest = (floor(time.time() / period) - 1) * period
        start = self._sent_until.setdefault(stream.arn, min(newest, stream.created.timestamp()))
        if start >= newest or not stream.running:
            self._sent_until[stream.arn] = max(start, newest)
            return
        self._sent_until[stream.arn] = newest
        if updates := self._updates(stream, account, region, start, newest):
            sent = self._put(stream, account, message(updates, stream.arn, account, region))
            _publish(stream, backend_of(account, region), updates, sent=sent)

    def _updates(self, stream: MetricStream, account: str, region: str, start: float, end: float) -> list[Update]:
        metrics = backend_of(account, region).metrics
        return [
            Update(key, start, end, values, stream.percentiles(key.namespace, key.name))
            for key in metrics.known()
            if stream.includes(key.namespace, key.name) and (values := metrics.values(key, start, end))
        ]

    def _put(self, stream: MetricStream, account: str, record: bytes) -> bool:
        """Whether the role of the stream may put the record."""
        role, firehose_arn = ServiceRole(stream.params["RoleArn"]), stream.params["FirehoseArn"]
        trusted = role.trusts(PRINCIPAL, {"aws:SourceAccount": account})
        if not (trusted and all(role.allows(action, firehose_arn) for action in PUT)):
            return False
        self._put_records(firehose_arn, [record])
        return True


def _publish(stream: MetricStream, backend: Backend, updates: Sequence[Update], *, sent: bool) -> None:
    """The metrics of the stream itself (User Guide, CloudWatch-metric-streams-monitoring): one to five additional
    statistics count as one more update."""
    additional = sum(ceil(len(update.percentiles) / 5) for update in updates)
    values = {
        "MetricUpdate": len(updates),
        "TotalMetricUpdate": len(updates) + additional,
        "PublishErrorRate": 1 - sent,
    }
    for dimensions in ({}, {"MetricStreamName": stream.name}):
        backend.publish("AWS/CloudWatch/MetricStreams", dimensions, values)
