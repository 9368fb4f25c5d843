"""A dashboard drawn with matplotlib, which only this module requires."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from infra.aws.metrics import PERIOD_SECONDS
from infra.monitoring.graph import COLUMNS, Widget
from infra.monitoring.graph_data import Line

WIDTH, HEIGHT = 0.62, 0.42
"""Of a cell of the grid, in inches."""

HEADER = 1.2
"""Cells above the first widget, for the title."""

PADDING, TITLE, UNIT, LEGEND = 0.4, 0.62, 1.12, 0.42
"""Cells from the left edge of a widget to its texts, from its upper edge to title and unit, and of a legend's row."""

LETTERS = 9.5
"""Of a legend, in the width of a cell."""

PAGE, CARD, EDGE, TEXT, FAINT, GRID = "#f2f3f3", "#ffffff", "#d5dbdb", "#16191f", "#687078", "#eaeded"

LINES = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")

STATES: Mapping[str, tuple[str, str]] = {
    "OK": ("#1d8102", "#f2f8f0"),
    "ALARM": ("#d13212", "#fdf3f1"),
    "INSUFFICIENT_DATA": ("#687078", "#f7f7f7"),
}
"""The colors of an alarm by its state: of the text, and of the background."""

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8,
    "text.color": TEXT,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}

MARGIN = 0.12
"""Cells between a widget's cell and its card."""


class Picture:
    """A dashboard on its grid.

    Args:
        body: of the dashboard.
        began, ended: the time range.
    """

    def __init__(self, title: str, body: Mapping[str, Any], began: datetime, ended: datetime) -> None:
        self._began, self._ended = min(began, ended - timedelta(seconds=PERIOD_SECONDS)), ended
        self._rows = HEADER + max((widget["y"] + widget["height"] for widget in body["widgets"]), default=0)
        with mpl.rc_context(_STYLE):
            self.figure = Figure(figsize=(COLUMNS * WIDTH, self._rows * HEIGHT), facecolor=PAGE)
            left, middle = 0.3 / COLUMNS, 1 - 0.55 * HEADER / self._rows
            self.figure.text(left, middle, title, fontsize=13, fontweight="bold", va="center")
            shown = f"{began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M} UTC"
            self.figure.text(1 - left, middle, shown, fontsize=9, color=FAINT, ha="right", va="center")

    def graph(self, widget: Widget, lines: Sequence[Line]) -> Axes:
        """Draw a graph."""
        with mpl.rc_context(_STYLE):
            return self._graph(widget, lines)

    def text(self, widget: Widget) -> None:
        """Draw a text: its first line as a heading."""
        properties = widget["properties"]
        if properties.get("background") != "transparent":
            self._card(widget)
        first, *others = re.sub(r"^#+ |[`*]", "", properties["markdown"], flags=re.MULTILINE).splitlines()
        self._write(widget, TITLE, first, fontsize=11, fontweight="bold")
        for number, line in enumerate(others, 1):
            self._write(widget, TITLE + 0.7 * number, line, fontsize=8, color=FAINT)

    def alarms(self, widget: Widget, states: Mapping[str, str]) -> None:
        """Draw alarms.

        Args:
            states: by the names of alarms that exist.
        """
        self._card(widget)
        self._write(widget, TITLE, widget["properties"].get("title", "Alarms"), fontweight="bold")
        names = [arn.partition(":alarm:")[2] for arn in widget["properties"]["alarms"]]
        per_row = max(1, -(-len(names) // max(widget["height"] - 1, 1)))
        width = (widget["width"] - 0.6) / per_row
        for number, name in enumerate(names):
            row, column = divmod(number, per_row)
            color, background = STATES.get(states.get(name, ""), STATES["INSUFFICIENT_DATA"])
            left, top = widget["x"] + 0.3 + width * column, widget["y"] + 1.0 + 0.9 * row
            self._box(left + 0.06, top, width - 0.12, 0.74, background, color)
            x, y = self._place(left + 0.2, top + 0.37)
            state = states.get(name, "does not exist").replace("_", " ").lower()
            longest = int(width * 10) - len(state)
            shown = name if len(name) <= longest else f"…{name[-longest:]}"
            self.figure.text(x, y, f"{shown}  {state}", fontsize=8, color=color, va="center")

    def _graph(self, widget: Widget, lines: Sequence[Line]) -> Axes:
        self._card(widget)
        properties = widget["properties"]
        sides, right = properties.get("yAxis", {}), any(line.right for line in lines)
        longest = max((len(line.label) for line in lines), default=0) + 5
        columns = max(1, min(len(lines), int(widget["width"] * LETTERS / longest)))
        axes = self._axes(widget, below=0.95 + LEGEND * -(-len(lines) // columns), right=right)
        other = axes.twinx() if right else axes
        self._write(widget, TITLE, properties.get("title", ""), fontweight="bold")
        self._write(widget, UNIT, sides.get("left", {}).get("label", ""), fontsize=7, color=FAINT)
        if right:
            self._plain(other)
            self._write(widget, UNIT, sides.get("right", {}).get("label", ""), right=True, fontsize=7, color=FAINT)
        handles = []
        for line, color in zip(lines, cycle(LINES), strict=False):
            style: dict[str, Any] = {
                "color": color,
                "lw": 1.4,
                "ms": 2.2,
                "marker": "o" if len(line.values) < 40 else "",
            }
            target = other if line.right else axes
            handles += target.plot([_day(time) for time in line.times], line.values, label=line.label, **style)
        self._annotate(axes, properties.get("annotations", {}))
        self._scale(axes, sides.get("left", {}))
        if right:
            self._scale(other, sides.get("right", {}))
        if handles:
            place = self._place(widget["x"] + PADDING, widget["y"] + widget["height"] - 0.25)
            spaces = {"handlelength": 1.1, "handletextpad": 0.4, "columnspacing": 1.1, "labelspacing": 0.25}
            style = {"frameon": False, "borderpad": 0, "fontsize": 7.5, **spaces}
            self.figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, ncols=columns, **style)
        return axes

    def _scale(self, axes: Axes, limits: Mapping[str, Any]) -> None:
        """Show the time range, and all values."""
        axes.set_xlim(_day(self._began), _day(self._ended))
        bottom, highest = float(limits.get("min", 0)), axes.dataLim.y1  # infinite below zero without data, unlike ymax
        axes.set_ylim(bottom, float(limits.get("max", 1.08 * highest if highest > bottom else bottom + 1)))

    def _annotate(self, axes: Axes, annotations: Mapping[str, Any]) -> None:
        """Draw levels as dashed lines, and times as solid ones, or bands from one to another."""
        for level in annotations.get("horizontal", []):
            color, value = level.get("color", FAINT), level["value"]
            axes.axhline(value, color=color, lw=1, ls=(0, (4, 3)), zorder=1)
            transform = axes.get_yaxis_transform()
            axes.text(
                1, value, level.get("label", ""), transform=transform, ha="right", va="bottom", fontsize=7, c=color
            )
        for mark in annotations.get("vertical", []):
            first, last = (mark[0], mark[-1]) if isinstance(mark, list) else (mark, mark)
            began, ended = (datetime.fromisoformat(each["value"]) for each in (first, last))
            if self._began <= began <= self._ended:
                color, transform = first.get("color", FAINT), axes.get_xaxis_transform()
                style: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "top", "fontsize": 6.5, "c": color}
                axes.axvspan(_day(began), _day(ended), color=color, alpha=0.16, lw=0)
                axes.axvline(_day(began), color=color, lw=1)
                axes.text(_day(began), 0.98, first.get("label", ""), transform=transform, **style)

    def _axes(self, widget: Widget, below: float, right: bool) -> Axes:
        """The area of the lines in a card."""
        x, y = self._place(widget["x"] + 1.15, widget["y"] + widget["height"] - below)
        width = (widget["width"] - 1.15 - (1.1 if right else 0.5)) / COLUMNS
        axes = self.figure.add_axes((x, y, width, (widget["height"] - below - 1.5) / self._rows))
        axes.set_facecolor(CARD)
        axes.grid(axis="y", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        self._plain(axes)
        # 7 ticks at least: fewer, of 12 hours each, do not span 3 days, and the locator would warn
        locator = dates.AutoDateLocator(minticks=3, maxticks=max(7, widget["width"] // 2))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
        return axes

    @staticmethod
    def _plain(axes: Axes) -> None:
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
        axes.yaxis.set_major_locator(MaxNLocator(4))

    def _write(self, widget: Widget, below: float, text: str, right: bool = False, **style: Any) -> None:
        """Write a line so many cells below the upper edge of a widget, from its left edge or up to its right edge."""
        x, y = self._place(widget["x"] + (widget["width"] - PADDING if right else PADDING), widget["y"] + below)
        self.figure.text(x, y, text, **{"va": "center", "ha": "right" if right else "left", "fontsize": 9, **style})

    def _card(self, widget: Widget) -> None:
        width, height = widget["width"] - 2 * MARGIN, widget["height"] - 2 * MARGIN
        self._box(widget["x"] + MARGIN, widget["y"] + MARGIN, width, height, CARD, EDGE)

    def _box(self, x: float, y: float, width: float, height: float, color: str, edge: str) -> None:
        """A rectangle of the grid, by its upper left corner."""
        size = width / COLUMNS, height / self._rows
        colors: dict[str, Any] = {"facecolor": color, "edgecolor": edge, "lw": 0.8, "zorder": -1}
        self.figure.add_artist(Rectangle(self._place(x, y + height), *size, **colors))

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """A point of the grid as a part of the figure, whose origin is below."""
        return x / COLUMNS, 1 - (HEADER + y) / self._rows


def _day(time: datetime) -> float:
    """A time as matplotlib's dates have it: days since 1970."""
    return time.timestamp() / 86_400
