"""CloudWatch's metric streams, which moto lacks: their operations, and PutMetricStream's rules (CloudWatch API
PutMetricStream, MetricStreamFilter, MetricStreamStatisticsConfiguration; User Guide, CloudWatch-metric-streams)."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.core.responses import ActionResult

from sandbox.aws import firehose
from sandbox.aws.cloudwatch_params import ResourceNotFound, params_of
from sandbox.aws.protocol import not_in_sandbox, partition
from sandbox.aws.service_role import ServiceRole

PRINCIPAL: Final = "streams.metrics.cloudwatch.amazonaws.com"
PUT: Final = ("firehose:PutRecord", "firehose:PutRecordBatch")
"""What the role of a stream must allow (API PutMetricStream, RoleArn)."""

LARGEST_FILTERS: Final = 1000
LARGEST_STATISTICS: Final = 100
LARGEST_PAIRS: Final = 100
LARGEST_ADDITIONAL: Final = 20
LARGEST_TAGS: Final = 50

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{1,10})?|100)")


@dataclass(frozen=True)
class MetricStream:
    """A stream with the parameters of its last PutMetricStream."""

    arn: str
    params: Mapping[str, Any]
    running: bool = True
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def name(self) -> str:
        return str(self.params["Name"])

    def includes(self, namespace: str, metric: str) -> bool:
        """Whether the filters let a metric pass."""

        def listed(filters: Iterable[Mapping[str, Any]]) -> bool:
            return any(
                each["Namespace"] == namespace and metric in (each.get("MetricNames") or [metric]) for each in filters
            )

        if included := self.params.get("IncludeFilters"):
            return listed(included)
        return not listed(self.params.get("ExcludeFilters") or ())

    def percentiles(self, namespace: str, metric: str) -> list[str]:
        """The additional statistics of a metric."""
        pair = {"Namespace": namespace, "MetricName": metric}
        configurations = self.params.get("StatisticsConfigurations") or ()
        found = (each["AdditionalStatistics"] for each in configurations if pair in each["IncludeMetrics"])
        return sorted({statistic for statistics in found for statistic in statistics})

    def describe(self) -> dict[str, Any]:
        """GetMetricStream's answer."""
        return {
            **{name: value for name, value in self.params.items() if name != "Tags"},
            "IncludeLinkedAccountsMetrics": False,
            "Arn": self.arn,
            "State": "running" if self.running else "stopped",
            "CreationDate": self.created,
            "LastUpdateDate": self.updated,
        }


class MetricStreams:
    """Those of one account in one region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str, MetricStream] = {}

    def all(self) -> list[MetricStream]:
        with self._lock:
            return list(self._streams.values())

    def get(self, name: str) -> MetricStream:
        with self._lock:
            if name not in self._streams:
                raise ResourceNotFound(f"Metric stream {name} does not exist.")
            return self._streams[name]

    def put(self, params: Mapping[str, Any], account: str, region: str) -> MetricStream:
        _check(params, account, region)
        name = params["Name"]
        with self._lock:
            before = self._streams.get(name)
            arn = f"arn:{partition(region)}:cloudwatch:{region}:{account}:metric-stream/{name}"
            after = MetricStream(arn, dict(params))
            # "If you use it to update an existing stream, the state of the stream is not changed"
            self._streams[name] = replace(after, running=before.running, created=before.created) if before else after
            return self._streams[name]

    def set_running(self, names: Iterable[str], *, running: bool) -> None:
        streams = [self.get(name) for name in names]
        with self._lock:
            self._streams |= {stream.name: replace(stream, running=running) for stream in streams}

    def delete(self, name: str) -> None:
        """Of a name that no stream has, too: DeleteMetricStream has no ResourceNotFoundException."""
        with self._lock:
            self._streams.pop(name, None)


STREAMS: Final[Mapping[tuple[str, str], MetricStreams]] = defaultdict(MetricStreams)
"""By account and region."""


class MetricStreamOperations:
    """The operations, for moto's responses."""

    current_account: str
    region: str

    def put_metric_stream(self) -> ActionResult:
        params = self._params("PutMetricStream")
        new = params["Name"] not in {stream.name for stream in self._streams.all()}
        stream = self._streams.put(params, self.current_account, self.region)
        if new:  # "any tags you specify in this parameter are ignored" in an update
            self.cloudwatch_backend.tagger.tag_resource(stream.arn, params.get("Tags") or [])  # type: ignore[attr-defined]
        return ActionResult({"Arn": stream.arn})

    def get_metric_stream(self) -> ActionResult:
        return ActionResult(self._streams.get(self._params("GetMetricStream")["Name"]).describe())

    def list_metric_streams(self) -> ActionResult:
        return ActionResult({"Entries": [stream.describe() for stream in self._streams.all()]})

    def delete_metric_stream(self) -> ActionResult:
        self._streams.delete(self._params("DeleteMetricStream")["Name"])
        return ActionResult({})

    def start_metric_streams(self) -> ActionResult:
        self._streams.set_running(self._params("StartMetricStreams")["Names"], running=True)
        return ActionResult({})

    def stop_metric_streams(self) -> ActionResult:
        self._streams.set_running(self._params("StopMetricStreams")["Names"], running=False)
        return ActionResult({})

    @property
    def _streams(self) -> MetricStreams:
        return STREAMS[self.current_account, self.region]

    def _params(self, operation: str) -> dict[str, Any]:
        return params_of(self, operation, InvalidParameterValue)


def _check(params: Mapping[str, Any], account: str, region: str) -> None:
    if not _NAME.fullmatch(params["Name"]):
        raise InvalidParameterValue('Name: valid characters are A-Z, a-z, 0-9, "-" and "_".')
    if params.get("IncludeLinkedAccountsMetrics"):
        raise InvalidParameterValue(str(not_in_sandbox("IncludeLinkedAccountsMetrics")))
    if params["OutputFormat"] != "opentelemetry1.0":
        raise InvalidParameterValue(str(not_in_sandbox(f"the output format {params['OutputFormat']}")))
    if len(params.get("Tags", ())) > LARGEST_TAGS:
        raise InvalidParameterValue(f"A metric stream can have up to {LARGEST_TAGS} tags.")
    if params.get("IncludeFilters") and params.get("ExcludeFilters"):
        raise InvalidParameterCombination("IncludeFilters and ExcludeFilters cannot be used in the same operation.")
    filters = [*(params.get("IncludeFilters") or ()), *(params.get("ExcludeFilters") or ())]
    if sum(1 + len(each.get("MetricNames") or ()) for each in filters) > LARGEST_FILTERS:
        raise InvalidParameterValue(f"The filters can include up to {LARGEST_FILTERS} namespaces and metric names.")
    _check_statistics(params.get("StatisticsConfigurations") or ())
    _check_destination(params, account, region)


def _check_statistics(configurations: Sequence[Mapping[str, Any]]) -> None:
    if len(configurations) > LARGEST_STATISTICS:
        raise InvalidParameterValue(f"StatisticsConfigurations can have up to {LARGEST_STATISTICS} members.")
    for each in configurations:
        if len(each["IncludeMetrics"]) > LARGEST_PAIRS:
            raise InvalidParameterValue(f"IncludeMetrics can have up to {LARGEST_PAIRS} pairs.")
        if len(each["AdditionalStatistics"]) > LARGEST_ADDITIONAL:
            raise InvalidParameterValue(f"AdditionalStatistics can have up to {LARGEST_ADDITIONAL} statistics.")
        for statistic in each["AdditionalStatistics"]:
            if not _PERCENTILE.fullmatch(statistic):
                raise InvalidParameterValue(f"{statistic}: OpenTelemetry formats support percentiles such as p95 only.")


def _check_destination(params: Mapping[str, Any], account: str, region: str) -> None:
    """ "This Amazon Kinesis Data Firehose delivery stream must already exist and must be in the same account"; the same
    of the role."""
    arn = params["FirehoseArn"]
    if firehose.find(arn) is None or arn.split(":")[3:5] != [region, account]:
        raise InvalidParameterValue(f"The delivery stream {arn} does not exist in this account and region.")
    role = ServiceRole(params["RoleArn"])
    if role.account != account or not role.trusts(PRINCIPAL, {"aws:SourceAccount": account}):
        raise InvalidParameterValue(
            f"The role {role.arn} does not exist in this account, or does not trust {PRINCIPAL}."
        )
    for action in PUT:
        if not role.allows(action, arn):
            raise InvalidParameterValue(f"The role {role.arn} is not allowed to perform {action} on {arn}.")
