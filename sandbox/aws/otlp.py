"""CloudWatch's values as OpenTelemetry 1.0 (CloudWatch User Guide, CloudWatch-metric-streams-formats-opentelemetry-100
and -translation-100), and the units that SageMaker gives them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.proto import serialize_length_prefixed
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList

from sandbox.aws.metrics import MetricKey, statistic_of

#: Of Unified Code for Units of Measure, by CloudWatch's unit.
_UCUM: Final[Mapping[str, str]] = {
    "Seconds": "s",
    "Microseconds": "us",
    "Milliseconds": "ms",
    "Percent": "%",
    "Count": "{Count}",
    "None": "1",
}

#: SageMaker Developer Guide, monitoring-cloudwatch, async-inference-monitor and serverless-endpoints-monitoring; what
#: is not named has the unit None, as the numbers of requests and errors have.
_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ModelLatency", "OverheadLatency", "ModelSetupTime", "TimeInBacklog"), "Microseconds"),
    **dict.fromkeys(("RequestDownloadLatency", "ResponseUploadLatency"), "Microseconds"),
    **dict.fromkeys(("ApproximateAgeOfOldestRequest",), "Seconds"),
    **dict.fromkeys(("TotalProcessingTime",), "Milliseconds"),
    **dict.fromkeys(("ApproximateBacklogSize", "ApproximateBacklogSizePerInstance", "InvocationFailures"), "Count"),
    **dict.fromkeys(("RequestDownloadFailures", "ResponseUploadFailures", "NotificationFailures"), "Count"),
    **dict.fromkeys(("ExpiredRequests", "InvocationsProcessed", "HasBacklogWithoutCapacity"), "Count"),
    **dict.fromkeys(("CPUUtilization", "MemoryUtilization", "DiskUtilization"), "Percent"),
    **dict.fromkeys(("GPUUtilization", "GPUMemoryUtilization"), "Percent"),
}

NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True)
class Update:
    """The values of one metric in one period, in seconds since the epoch."""

    key: MetricKey
    start: float
    end: float
    values: Sequence[float]
    percentiles: Sequence[str] = ()


def unit_of(metric: str) -> str:
    """The unit in OpenTelemetry of a metric of SageMaker."""
    return _UCUM[_UNITS.get(metric, "None")]


def message(updates: Iterable[Update], stream_arn: str, account: str, region: str) -> bytes:
    """One message with its length before it: "a header with an UnsignedVarInt32 indicating the record length"."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    attributes = {"cloud.provider": "aws", "cloud.account.id": account, "cloud.region": region}
    for pair in {**attributes, "aws.exporter.arn": stream_arn}.items():
        resource.resource.attributes.append(_text(*pair))
    scope = resource.scope_metrics.add()
    for update in updates:
        namespace, name = update.key.namespace, update.key.name
        metric = scope.metrics.add(name=f"amazonaws.com/{namespace}/{name}", unit=unit_of(name))
        point = metric.summary.data_points.add(
            start_time_unix_nano=round(update.start * NANOSECONDS),
            time_unix_nano=round(update.end * NANOSECONDS),
            count=len(update.values),
            sum=sum(update.values),
        )
        quantiles = {0.0: min(update.values), 1.0: max(update.values)}
        quantiles |= {
            round(float(each[1:]) / 100, 12): statistic_of(each)(update.values) for each in update.percentiles
        }
        for quantile, value in sorted(quantiles.items()):
            point.quantile_values.add(quantile=quantile, value=value)
        dimensions = KeyValueList(values=[_text(*pair) for pair in sorted(update.key.dimensions)])
        point.attributes.extend(
            [
                _text("Namespace", namespace),
                _text("MetricName", name),
                KeyValue(key="Dimensions", value=AnyValue(kvlist_value=dimensions)),
            ]
        )
    record = io.BytesIO()
    serialize_length_prefixed(request, record)
    return record.getvalue()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
