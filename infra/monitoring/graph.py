"""A graph of a CloudWatch dashboard, and the places of widgets on its grid (CloudWatch API Reference, Dashboard Body
Structure and Syntax)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.aws.metrics import PERIOD_SECONDS, Metric

Widget = dict[str, Any]

COLUMNS = 24
GRAPH_HEIGHT = 6

RED, GREEN, GRAY = "#d62728", "#2ca02c", "#7f7f7f"


@dataclass
class Graph:
    """Lines over time.

    Attributes:
        title: what the lines show.
        unit: of the left axis.
        right_unit: of the right axis.
        maximum: the upper end of the left axis.
    """

    title: str
    unit: str
    right_unit: str = ""
    maximum: float | None = None
    metrics: list[list[Any]] = field(default_factory=list)
    _levels: list[dict[str, Any]] = field(default_factory=list)

    def line(
        self,
        label: str,
        dimensions: Mapping[str, str],
        *metrics: Metric,
        expression: str = "{0}",
        statistic: str | None = None,
        right: bool = False,
    ) -> None:
        """Add a line.

        Args:
            expression: metric math, in which `{0}`, `{1}`, … are the metrics.
            statistic: instead of that of each metric.
            right: whether the right axis applies.
        """
        axis = {"yAxis": "right"} if right else {}
        if expression == "{0}":
            (metric,) = metrics
            shown = {"label": label, "stat": statistic or metric.statistic, **axis}
            self.metrics.append([*_identity(metric, dimensions), shown])
            return
        ids = [self._hidden(_identity(metric, dimensions), statistic or metric.statistic) for metric in metrics]
        self.expression(label, expression.format(*ids), **axis)

    def expression(self, label: str, expression: str, **axis: str) -> None:
        """Add the lines of metric math over other metrics of the graph, or of a search."""
        self.metrics.append([{"id": f"e{len(self.metrics) + 1}", "expression": expression, "label": label, **axis}])

    def level(self, label: str, value: float, color: str = GRAY) -> None:
        """Add a horizontal line at a value of the left axis."""
        self._levels.append({"label": label, "value": value, "color": color})

    def widget(self, region: str, bands: Sequence[list[dict[str, Any]]] = ()) -> Widget:
        """The graph as a widget, without its place."""
        left = {"label": self.unit, "min": 0, "showUnits": False}
        axes = {"left": left | ({} if self.maximum is None else {"max": self.maximum})}
        if self.right_unit:
            axes["right"] = {"label": self.right_unit, "min": 0, "showUnits": False}
        annotations = {"horizontal": self._levels, "vertical": list(bands)}
        return {
            "type": "metric",
            "properties": {
                "title": self.title,
                "region": region,
                "view": "timeSeries",
                "stacked": False,
                "period": PERIOD_SECONDS,
                "metrics": self.metrics,
                "yAxis": axes,
                "annotations": {kind: marks for kind, marks in annotations.items() if marks},
            },
        }

    def _hidden(self, identity: list[str], statistic: str) -> str:
        """The ID of a metric that only expressions use, each once."""
        for *known, options in self.metrics:
            if known == identity and options["stat"] == statistic and "id" in options:
                return str(options["id"])
        id_ = f"m{len(self.metrics) + 1}"
        self.metrics.append([*identity, {"id": id_, "visible": False, "stat": statistic}])
        return id_


def band(label: str, began: float, ended: float, color: str) -> list[dict[str, Any]]:
    """A vertical annotation from one time to another, in seconds since 1970."""
    return [{"label": label, "value": _time(began), "color": color}, {"value": _time(ended)}]


def rows(rows: Iterable[tuple[int, Sequence[Widget]]]) -> list[Widget]:
    """Widgets below one another by the height of each row, and side by side in it."""
    placed: list[Widget] = []
    top = 0
    for height, widgets in rows:
        width = COLUMNS // max(len(widgets), 1)
        placed += [
            {**widget, "x": width * column, "y": top, "width": width, "height": height}
            for column, widget in enumerate(widgets)
        ]
        top += height if widgets else 0
    return placed


def text(markdown: str, **properties: Any) -> Widget:
    """A widget with a text."""
    return {"type": "text", "properties": {"markdown": markdown, **properties}}


def _identity(metric: Metric, dimensions: Mapping[str, str]) -> list[str]:
    return [metric.namespace, metric.name, *(part for pair in dimensions.items() for part in pair)]


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
