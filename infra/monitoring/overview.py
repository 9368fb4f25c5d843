"""Everything that operators look at of one endpoint: what serves, how much of it, how it fares, and what drifted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

from botocore.exceptions import ClientError

from infra.aws import metrics
from infra.aws.errors import DENIED, aws_calls, code
from infra.aws.metrics import PERIOD_SECONDS, Metric
from infra.aws.mode import Mode
from infra.monitoring.drift import drift
from infra.release import alarms
from infra.release.alarms import AlarmState
from infra.release.autoscaling import registered_limits
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.observer import ReleaseObserver
from infra.release.status import ReleaseStatus
from infra.settings.sections import StackSections

TRAFFIC_SECONDS = 300
"""The time whose traffic is shown."""


@dataclass(frozen=True)
class ServedModel:
    """What a variant serves.

    Attributes:
        image: by digest if SageMaker has resolved it, else as the Model names it.
        artifact: its S3 URI.
        capacity: the instance type, or the memory of a serverless variant.
        limits: the smallest and the largest capacity that autoscaling may set; None without autoscaling.
    """

    variant: str
    model: str
    image: str
    artifact: str
    capacity: str
    limits: tuple[int, int] | None


@dataclass(frozen=True)
class Traffic:
    """The traffic of the last minutes; None where the mode does not publish the metric, or without data.

    Attributes:
        requests: their number.
        error_percent: of the requests.
        p99_milliseconds: ModelLatency.
    """

    requests: int | None
    error_percent: float | None
    p99_milliseconds: float | None


@dataclass(frozen=True)
class Overview:
    """
    Attributes:
        release: the status of the endpoint and of its release; None if the endpoint does not exist.
        alarms: those on the endpoint, which notify operators.
        drift: differences between the settings and the account, one a sentence. Empty during a release: the settings
            are those of the new fleet, and `pulumi up` has removed the autoscaling until its end.
    """

    endpoint: str
    mode: Mode
    release: ReleaseStatus | None
    models: Sequence[ServedModel]
    traffic: Traffic
    alarms: Sequence[AlarmState]
    drift: Sequence[str]

    @property
    def firing(self) -> list[AlarmState]:
        """The alarms in ALARM."""
        return [alarm for alarm in self.alarms if alarm.firing]

    @property
    def exit_code(self) -> int:
        """0, or 1 for a failure, 3 for a change in progress, 4 for drift."""
        if self.release is None or self.release.exit_code == 1 or self.firing:
            return 1
        return self.release.exit_code or (4 if self.drift else 0)


class OverviewReader:
    """Reads endpoints.

    Args:
        session: has `client(service)`.
    """

    def __init__(self, session: Any) -> None:
        self._reader = EndpointReader(session.client("sagemaker"))
        self._autoscaling = session.client("application-autoscaling")
        self._cloudwatch = session.client("cloudwatch")

    def read(self, name: str, stack: StackSections, observer: ReleaseObserver, now: float) -> Overview:
        """One endpoint.

        Raises:
            AwsRequestRefused: AWS refused a call.
        """
        settings, release = stack.endpoints[name], observer.poll()
        endpoint = observer.polled
        if release is None or endpoint is None:
            way_out = f"endpoint {name} does not exist; `pulumi up` creates it"
            return Overview(name, settings.mode, None, (), Traffic(None, None, None), (), [way_out])
        with aws_calls(f"endpoint {name}"):
            config = self._reader.configuration(endpoint.config_name) or {"ProductionVariants": []}
            images = {variant.name: variant.image for variant in endpoint.live_variants}
            models = self._models(name, config, images)
        limits = {model.variant: model.limits for model in models}
        watched, composite = settings.alarm_names(name, stack.production), stack.composite_alarm(name)
        states = {
            state.name: state for state in alarms.states(self._cloudwatch, [*watched, *filter(None, [composite])])
        }
        releasing = endpoint.is_rolling_out or endpoint.status == "RollingBack"
        missing = [alarm for alarm in (*watched, composite) if alarm and alarm not in states]
        return Overview(
            endpoint=name,
            mode=release.mode,
            release=release,
            models=models,
            traffic=self._traffic(endpoint, now),
            alarms=[state for state in states.values() if state.name != composite],  # it repeats the others
            drift=[] if releasing else [*drift(settings, config, endpoint.live_variants, limits, missing)],
        )

    def _models(self, name: str, config: Mapping[str, Any], images: Mapping[str, str]) -> list[ServedModel]:
        variants = config["ProductionVariants"]
        limits = registered_limits(self._autoscaling, name, [variant["VariantName"] for variant in variants])
        return [
            self._model(each, limits.get(each["VariantName"]), images.get(each["VariantName"])) for each in variants
        ]

    def _model(self, variant: Mapping[str, Any], limits: tuple[int, int] | None, image: str | None) -> ServedModel:
        name = variant.get("ModelName", "")
        model = self._described(name)
        container = model.get("PrimaryContainer") or next(iter(model.get("Containers") or [{}]))
        source = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri", "")
        serverless = variant.get("ServerlessConfig")
        return ServedModel(
            variant=variant["VariantName"],
            model=name,
            image=image or container.get("Image", ""),
            artifact=container.get("ModelDataUrl", source),
            capacity=f"{serverless['MemorySizeInMB']} MB" if serverless else variant.get("InstanceType", ""),
            limits=limits,
        )

    def _described(self, name: str) -> Mapping[str, Any]:
        """A Model; empty if it was deleted, or if the credentials may not see it: its environment may hold secrets."""
        try:
            return self._reader.model(name) or {}
        except ClientError as error:
            if code(error) in DENIED:
                return {}
            raise

    def _traffic(self, endpoint: EndpointDescription, now: float) -> Traffic:
        """The rate of errors is that of the alarm of the mode."""
        variants, rate = [variant.name for variant in endpoint.live_variants], metrics.ERROR_RATES[endpoint.mode]
        if not variants:  # it is being created, or has failed
            return Traffic(None, None, None)
        values = self._values(endpoint.name, variants, (*rate.metrics, metrics.MODEL_LATENCY), now)
        requests = max((sum(values[metric]) for metric in rate.counted if values[metric]), default=None)
        errors = sum(sum(values[metric]) for metric in rate.errors)
        p99 = max(values[metrics.MODEL_LATENCY], default=None)
        return Traffic(
            requests=None if requests is None else int(requests),
            error_percent=100 * errors / requests if requests else None,
            p99_milliseconds=p99 and p99 / 1000,
        )

    def _values(
        self, name: str, variants: Sequence[str], wanted: Sequence[Metric], now: float
    ) -> dict[Metric, list[float]]:
        """The values of all variants in the last minutes."""
        queried = {f"q{at}": pair for at, pair in enumerate(product(wanted, variants))}
        with aws_calls(f"metrics of endpoint {name}"):
            answer = self._cloudwatch.get_metric_data(
                MetricDataQueries=[
                    {"Id": id_, "MetricStat": _metric_stat(metric, metrics.dimensions(name, variant))}
                    for id_, (metric, variant) in queried.items()
                ],
                StartTime=datetime.fromtimestamp(now - TRAFFIC_SECONDS, UTC),
                EndTime=datetime.fromtimestamp(now + PERIOD_SECONDS, UTC),
            )
        values: dict[Metric, list[float]] = {metric: [] for metric in wanted}
        for result in answer["MetricDataResults"]:
            values[queried[result["Id"]][0]] += result["Values"]
        return values


def _metric_stat(metric: Metric, dimensions: Mapping[str, str]) -> dict[str, Any]:
    return {"Metric": metric.identity(dimensions), "Period": PERIOD_SECONDS, "Stat": metric.statistic}
