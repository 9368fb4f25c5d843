"""The CloudWatch dashboard of a stack: what it shows of each endpoint, by the metrics that its mode publishes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric
from infra.aws.mode import Mode
from infra.monitoring.graph import GRAPH_HEIGHT, GREEN, RED, Graph, Widget, band, rows, text
from infra.release.records import RESULTS, Result

if TYPE_CHECKING:
    from infra.settings.endpoint import EndpointSettings
    from infra.settings.stack import Settings

MAX_ALARMS = 100
"""Alarms in a widget (CloudWatch API Reference, Dashboard Body Structure and Syntax)."""

ALARMS_PER_ROW = 6

LATENCIES = ("p50", "p90", "p99")

ERRORS = (metrics.MODEL_ERRORS, metrics.INVOCATION_FAILURES, metrics.SERVER_ERRORS, metrics.CLIENT_ERRORS)

PER_MINUTE = f"{metrics.PERIOD_SECONDS} * {{0}} / PERIOD({{0}})"
"""A count for each minute, whatever period CloudWatch chooses for the time range."""

Release = Mapping[str, Any]
"""`configuration`, `result`, and `began` and `ended` in seconds since 1970."""


def dashboard_body(
    stack: str, settings: Settings, alarm_arns: Sequence[str], releases: Mapping[str, Sequence[Release]]
) -> dict[str, Any]:
    """The body of the dashboard.

    Args:
        alarm_arns: the alarms that notify operators.
        releases: the latest releases of each endpoint.
    """
    placed = [(2, [_heading(stack, settings)])]
    for first in range(0, len(alarm_arns), MAX_ALARMS):
        shown = alarm_arns[first : first + MAX_ALARMS]
        placed.append((1 + -(-len(shown) // ALARMS_PER_ROW), [_alarms(shown)]))
    for name, endpoint in settings.endpoints.items():
        placed.append((1, [text(f"## {name} · {endpoint.mode}", background="transparent")]))
        view = _EndpointGraphs(name, endpoint, settings.production)
        bands = [_band(name, each) for each in releases.get(name, ())]
        for graphs, marks in ((view.traffic(), bands), (view.queue(), []), (view.capacity(), [])):
            widgets = [graph.widget(settings.region, marks) for graph in graphs if graph.metrics]
            placed.append((GRAPH_HEIGHT, widgets))
    return {"start": "-PT3H", "periodOverride": "auto", "widgets": rows(placed)}


def metric_count(body: Mapping[str, Any]) -> int:
    """The different metrics of a body, without metric math over them."""
    graphs = [widget["properties"].get("metrics", []) for widget in body["widgets"]]
    return len({tuple(line[:-1]) for graph in graphs for line in graph if len(line) > 1})


def _heading(stack: str, settings: Settings) -> Widget:
    kept = "created by `pulumi up`, which overwrites changes of the console"
    commands = f"`python -m infra status -s {stack}` · `python -m infra logs -s {stack} ENDPOINT`"
    return text(f"# {stack}\n{settings.environment} · {settings.region} · {kept} · {commands}")


def _alarms(arns: Sequence[str]) -> Widget:
    properties = {"title": "Alarms", "alarms": list(arns), "sortBy": "stateUpdatedTimestamp"}
    return {"type": "alarm", "properties": properties}


def _band(endpoint: str, release: Release) -> list[dict[str, Any]]:
    """A release from its beginning to its end."""
    result: Result = release["result"]
    succeeded = result == "succeeded"
    label = f"release {release['configuration'].removeprefix(f'{endpoint}-')}"
    shown = label if succeeded else f"{label} {RESULTS[result]}"
    return band(shown, release["began"], release["ended"], GREEN if succeeded else RED)


class _EndpointGraphs:
    """The graphs of one endpoint. One without lines is not shown: the mode does not publish its metrics, or the
    instance type has no such device."""

    def __init__(self, name: str, settings: EndpointSettings, production: bool) -> None:
        self._name, self._settings, self._mode = name, settings, settings.mode
        self._thresholds = settings.alarms.thresholds(production)

    def traffic(self) -> Iterator[Graph]:
        """Requests, errors and latencies."""
        if self._mode is Mode.BATCH:
            return
        requests = Graph("Requests", "per minute")
        errors = Graph("Errors", "% of the requests")
        latencies = {metric: Graph(metric.name, "ms") for metric in (metrics.MODEL_LATENCY, metrics.OVERHEAD_LATENCY)}
        self._threshold(latencies[metrics.MODEL_LATENCY], names.P99_MODEL_LATENCY)
        counted = metrics.ERROR_RATES[self._mode].counted
        total = "{0}" if len(counted) == 1 else f"MAX([{', '.join(f'{{{at}}}' for at in range(len(counted)))}])"
        for variant in self._settings.variants:
            dimensions = metrics.dimensions(self._name, variant)
            per_minute = f"{metrics.PERIOD_SECONDS} * {total} / PERIOD({{0}})"
            requests.line(self._label(variant, "requests"), dimensions, *counted, expression=per_minute)
            for metric in self._published(*ERRORS):
                of_requests = f"100 * {{{len(counted)}}} / {total}"
                label = self._label(variant, metric.name)
                errors.line(label, dimensions, *counted, metric, expression=of_requests)
            for latency, graph in latencies.items():
                for statistic in LATENCIES if self._published(latency) else ():
                    label = self._label(variant, statistic)
                    graph.line(label, dimensions, latency, expression="{0} / 1000", statistic=statistic)
        yield from (requests, errors, *latencies.values())

    def queue(self) -> Iterator[Graph]:
        """The queue of an asynchronous endpoint, which all of its variants share."""
        backlog, age = Graph("Backlog", "requests"), Graph("Age of the oldest request", "s")
        self._threshold(backlog, names.BACKLOG)
        self._threshold(age, names.AGE_OF_OLDEST_REQUEST)
        dimensions = metrics.dimensions(self._name)
        for label, metric in (("waiting and running", metrics.BACKLOG), ("per instance", metrics.BACKLOG_PER_INSTANCE)):
            for published in self._published(metric):
                backlog.line(label, dimensions, published)
        for published in self._published(metrics.AGE_OF_OLDEST_REQUEST):
            age.line("oldest", dimensions, published)
        yield from (backlog, age)

    def capacity(self) -> Iterator[Graph]:
        """The fleet and what it uses of its instances, or the concurrency of a serverless endpoint."""
        yield from (self._instances(), *self._concurrency(), *self._utilization(), self._jobs())

    def _instances(self) -> Graph:
        graph = Graph("Instances", "instances")
        for name, variant in self._settings.instance_variants.items():
            scaling = variant.autoscaling
            counted = "FILL({0}, 0)" if scaling and scaling.min == 0 else "{0}"
            graph.line(
                self._label(name, "running"),
                metrics.dimensions(self._name, name),
                metrics.INSTANCES,
                expression=PER_MINUTE.replace("{0}", counted, 1),
            )
            if scaling:
                graph.level(self._label(name, "maximum"), scaling.max)
                graph.level(self._label(name, "minimum"), scaling.min)
            else:
                graph.level(self._label(name, "configured"), variant.instance_count)
        return graph

    def _concurrency(self) -> Iterator[Graph]:
        concurrency = Graph("Concurrency", "%")
        starts = Graph("Cold starts", "per minute", right_unit="s")
        self._threshold(concurrency, names.CONCURRENCY_UTILIZATION)
        for name, variant in self._settings.serverless_variants.items():
            dimensions = metrics.dimensions(self._name, name)
            most = variant.serverless.max_concurrency
            utilization = metrics.CONCURRENCY_UTILIZATION
            concurrency.line(f"of maxConcurrency {most}", dimensions, utilization, expression="100 * {0}")
            concurrency.level("throttled", 100)
            if variant.provisioned_concurrency:
                utilization = metrics.PROVISIONED_CONCURRENCY_UTILIZATION
                concurrency.line("of provisioned concurrency", dimensions, utilization, expression="100 * {0}")
            if (variant.provisioned_concurrency or 0) < most:  # else none starts cold
                setup = metrics.MODEL_SETUP_TIME
                starts.line("cold starts", dimensions, setup, expression=PER_MINUTE, statistic="SampleCount")
                starts.line("ModelSetupTime p99", dimensions, setup, expression="{0} / 1000000", right=True)
        yield from (concurrency, starts)

    def _utilization(self) -> Iterator[Graph]:
        """In percent of the whole instance or container."""
        graphs = {
            metrics.CPU_UTILIZATION: (host := Graph("CPU, memory and disk", "% of an instance", maximum=100)),
            metrics.MEMORY_UTILIZATION: host,
            metrics.DISK_UTILIZATION: host,
            metrics.GPU_UTILIZATION: (gpu := Graph("GPU", "% of an instance", maximum=100)),
            metrics.GPU_MEMORY_UTILIZATION: gpu,
        }
        if self._mode is Mode.SERVERLESS:
            host.title, host.unit = "Memory", "% of memoryMb"
        types = {name: variant.instance_type for name, variant in self._settings.instance_variants.items()}
        for name, type_ in (types | dict.fromkeys(self._settings.serverless_variants, "")).items():
            for metric in self._published(*graphs):  # of a serverless variant its memory alone
                if divisor := metric.divisor(type_):
                    graphs[metric].line(
                        self._label(name, _short(metric)),
                        metrics.dimensions(self._name, name),
                        metric,
                        expression="{0}" if divisor == 1 else f"{{0}} / {divisor}",
                    )
        for graph in (host, gpu):
            self._thresholds_of_host(graph, [metric for metric in graphs if graphs[metric] is graph])
            yield graph

    def _jobs(self) -> Graph:
        """The instances of transform jobs, whose metrics have the names of the jobs."""
        graph = Graph("CPU and memory of transform jobs", "% of an instance", maximum=100)
        for variant in self._settings.batch_variants.values():
            for metric in (metrics.CPU_UTILIZATION, metrics.MEMORY_UTILIZATION):
                searched = f'{{{names.TRANSFORM_JOBS},Host}} MetricName="{metric.name}" Host={self._name}'
                divisor = metric.divisor(variant.batch.instance_type)
                expression = f"SEARCH('{searched}', '{metric.statistic}')"
                graph.expression(_short(metric), expression if divisor == 1 else f"{expression} / {divisor}")
        return graph

    def _published(self, *wanted: Metric) -> list[Metric]:
        return [metric for metric in wanted if self._mode in metric.modes]

    def _label(self, variant: str, label: str) -> str:
        """With the variant if the endpoint has several."""
        return label if len(self._settings.variants) == 1 else f"{variant} {label}"

    def _threshold(self, graph: Graph, purpose: str) -> None:
        """The threshold of an alarm, which has the unit of the graph."""
        if (threshold := self._thresholds.get(purpose)) is not None:
            graph.level("alarm", threshold, RED)

    def _thresholds_of_host(self, graph: Graph, shown: Collection[Metric]) -> None:
        """Those of the metrics of one graph; equal ones are one line."""
        lines: dict[float, list[str]] = {}
        for purpose, watched in metrics.WATCHED.items():
            metric, threshold = watched.get(self._mode), self._thresholds.get(purpose)
            if isinstance(metric, Metric) and metric in shown and threshold is not None:
                lines.setdefault(threshold, []).append(_short(metric))
        for threshold, named in lines.items():
            graph.level(f"alarm: {', '.join(named)}", threshold, RED)


def _short(metric: Metric) -> str:
    return metric.name.removesuffix("Utilization")
