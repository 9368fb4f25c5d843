"""What CloudWatch accepts as the body of a dashboard (API Reference, "Dashboard Body Structure and Syntax").

The answers have the words and paths of those that people show: pulumi/pulumi#13059 (a metric that is no array),
aws-samples/aws-eda-slurm-cluster#116 (a graph without metrics), aws/aws-cdk#20024 and #5026 (a color by name), and
aws-solutions-library-samples/guidance-for-automating-network-monitoring-and-alerting-on-aws#7 (no alarms). Those are
words of the validator Ajv, from which the words for other rules are inferred.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

Message = dict[str, str]
"""API `DashboardValidationMessage`."""

MAX_NAME = 255
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}")

_STATISTIC = {"type": "string", "pattern": r"^(SampleCount|Average|Sum|Minimum|Maximum|p(\d{1,2}(\.\d{1,10})?|100))$"}
_PERIOD = {"type": "integer", "minimum": 60, "multipleOf": 60}
_COLOR = {"type": "string", "pattern": "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"}
_STRING, _BOOLEAN, _SIDE = {"type": "string"}, {"type": "boolean"}, {"enum": ["left", "right"]}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


def _annotations(value: Mapping[str, Any], fills: list[str]) -> dict[str, Any]:
    """A list of annotations, each one line or the two lines of a band."""
    line = _object(
        "value", value=value, label=_STRING, color=_COLOR, fill={"enum": fills}, visible=_BOOLEAN, yAxis=_SIDE
    )
    band = {"type": "array", "items": line, "minItems": 2, "maxItems": 2}
    return {"type": "array", "items": {"if": {"type": "array"}, "then": band, "else": line}}


_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})"
_AXIS = _object(label=_STRING, min={"type": "number"}, max={"type": "number"}, showUnits=_BOOLEAN)
_BODY = _object(
    "widgets",
    start={"type": "string", "pattern": rf"^(-P(T\d+[MH]|\d+[DWM])|{_TIME})$"},
    end={"type": "string", "pattern": f"^{_TIME}$"},
    periodOverride={"enum": ["auto", "inherit"]},
    widgets={"type": "array", "maxItems": 500},
)
_WIDGET = _object(
    "type properties",
    type={"enum": ["metric", "text", "log", "alarm", "explorer", "chart"]},
    x={"type": "integer", "minimum": 0, "maximum": 23},
    y={"type": "integer", "minimum": 0},
    width={"type": "integer", "minimum": 1, "maximum": 24},
    height={"type": "integer", "minimum": 1, "maximum": 1000},
    properties={"type": "object"},
)
_OPTIONS = _object(
    color=_COLOR, label=_STRING, period=_PERIOD, stat=_STATISTIC, visible=_BOOLEAN, yAxis=_SIDE, region=_STRING,
    id={"type": "string", "pattern": "^[a-z][A-Za-z0-9_]*$"}, expression=_STRING, accountId=_STRING,
)  # fmt: skip
_PROPERTIES: Mapping[str, dict[str, Any]] = {
    "text": _object("markdown", markdown=_STRING, background={"enum": ["solid", "transparent"]}),
    "alarm": _object(
        "alarms",
        alarms={"type": "array", "items": _STRING, "minItems": 1, "maxItems": 100},
        sortBy={"enum": ["default", "stateUpdatedTimestamp", "timestamp"]},
        states={"type": "array", "items": {"enum": ["ALARM", "INSUFFICIENT_DATA", "OK"]}},
        title=_STRING,
    ),
    "metric": _object(
        "region",
        annotations=_object(
            alarms={"type": "array", "items": _STRING, "maxItems": 1},
            horizontal=_annotations({"type": "number"}, ["above", "below", "none"]),
            vertical=_annotations({"type": "string", "pattern": f"^{_TIME}$"}, ["before", "after", "none"]),
        ),
        legend=_object(position={"enum": ["right", "bottom", "hidden"]}),
        liveData=_BOOLEAN,
        metrics={"type": "array", "maxItems": 500},
        period=_PERIOD,
        region=_STRING,
        sparkline=_BOOLEAN,
        stacked=_BOOLEAN,
        stat=_STATISTIC,
        timezone={"type": "string", "pattern": r"^[+-]\d{4}$"},
        title=_STRING,
        view={"enum": ["timeSeries", "singleValue", "gauge", "bar", "pie", "table"]},
        yAxis=_object(left=_AXIS, right=_AXIS),
    ),
}
"""The types of widgets that are validated."""


class NotValidated(Exception):
    """A widget or variable whose rules are not known here."""


def name_problem(name: str) -> Message | None:
    """ "The maximum length is 255, and valid characters are A-Z, a-z, 0-9, "-", and "_" " (API PutDashboard)."""
    if _NAME.fullmatch(name):
        return None
    return _message((), f"The dashboard name {name} must match {_NAME.pattern}")


def problems(text: str) -> list[Message]:
    """Why CloudWatch refuses a body; nothing for a valid one.

    Raises:
        NotValidated: the body has variables or a widget that only AWS can judge.
    """
    try:
        body = json.loads(text)
    except ValueError:
        return [_message((), "The field DashboardBody must be a valid JSON object")]
    found = [*_violations(_BODY, body, ())]
    if found:
        return found
    if "end" in body and "start" not in body:
        return [_message((), "Should have property start when property end is present")]
    if body.get("variables"):
        raise NotValidated("a dashboard with variables")
    return [message for at, widget in enumerate(body["widgets"]) for message in _widget(widget, ("widgets", at))]


def _widget(widget: Any, path: tuple[Any, ...]) -> Iterator[Message]:
    found = [*_violations(_WIDGET, widget, path)]
    yield from found
    if found:
        return
    for one, other in (("x", "y"), ("y", "x")):
        if one in widget and other not in widget:
            yield _message(path, f"Should have property {other} when property {one} is present")
    if widget["type"] not in _PROPERTIES:
        raise NotValidated(f"a widget of the type {widget['type']}")
    properties, path = widget["properties"], (*path, "properties")
    yield from _violations(_PROPERTIES[widget["type"]], properties, path)
    if widget["type"] == "metric":
        yield from _graph(properties, path)


def _graph(properties: Mapping[str, Any], path: tuple[Any, ...]) -> Iterator[Message]:
    """The rules across properties: a data source, one alarm instead of metrics, a gauge between two ends."""
    metrics, annotations = properties.get("metrics"), properties.get("annotations", {})
    alarms = annotations.get("alarms") if isinstance(annotations, dict) else None
    if metrics is None and not alarms:
        yield _message(path, "Should have required property 'metrics'")
        yield _message(
            path, "The metric widget should have specified a region and a data source or an alarm annotation"
        )
        if not annotations:
            yield _message(path, "Should have required property 'annotations'")
    if alarms and (metrics or annotations.keys() & {"horizontal", "vertical"}):
        yield _message((*path, "annotations"), "An alarm annotation excludes metrics and other annotations")
    left = properties.get("yAxis", {}).get("left", {}) if properties.get("view") == "gauge" else {"min": 0, "max": 0}
    if not left.keys() >= {"min", "max"}:
        yield _message((*path, "yAxis"), "A gauge should have a minimum and a maximum of the left axis")
    previous: list[str] = []
    for at, metric in enumerate(metrics if isinstance(metrics, list) else []):
        found = [*_metric(metric, previous, (*path, "metrics", at))]
        yield from found
        previous = previous if found else repeated(metric, previous) or previous


def _metric(metric: Any, previous: list[str], path: tuple[Any, ...]) -> Iterator[Message]:
    """`[Namespace, MetricName, DimensionName, DimensionValue, …, options]`, or `[{"expression": …}]`."""
    if not isinstance(metric, list):
        yield _message(path, "Should be array")
    options = metric[-1] if isinstance(metric, list) and metric and isinstance(metric[-1], dict) else {}
    texts = metric[: -1 if options else None] if isinstance(metric, list) else [None]
    if not metric or not all(isinstance(text, str) for text in texts):
        expected = "has to be an array of array of strings, with an optional metricRenderer object as last element"
        yield _message(path, f'Field "metrics" {expected}')
        return
    yield from _violations(_OPTIONS, options, (*path, len(metric) - 1))
    if "expression" in options:
        if texts:
            yield _message(path, "Should NOT have more than 1 items")
        return
    full = repeated(metric, previous)
    if full is None:
        yield _message(path, '"." and "..." repeat the metric before, which has no such part')
    elif len(full) < 2 or len(full) % 2:
        yield _message(path, "Should have a namespace, a metric name, and a value for each dimension")


def repeated(metric: list[Any], previous: list[str]) -> list[str] | None:
    """A metric in full: `.` repeats the same part of the metric before, and `...` as many parts as are left.
    None if that has no such part."""
    given = [part for part in metric if isinstance(part, str)]
    if "..." in given:
        at = given.index("...")
        left = len(previous) - (len(given) - 1)
        if left < 1:
            return None
        given[at : at + 1] = ["."] * left
    if any(part == "." and place >= len(previous) for place, part in enumerate(given)):
        return None
    return [previous[place] if part == "." else part for place, part in enumerate(given)]


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "type": lambda kind: f"Should be {kind}",
    "enum": lambda _: "Should be equal to one of the allowed values",
    "pattern": lambda pattern: f'Should match pattern "{pattern}"',
    "minimum": lambda least: f"Should be >= {least}",
    "maximum": lambda most: f"Should be <= {most}",
    "multipleOf": lambda factor: f"Should be multiple of {factor}",
    "minItems": lambda least: f"Should NOT have less than {least} items",
    "maxItems": lambda most: f"Should NOT have more than {most} items",
}
"""Ajv's words by the keyword of a JSON Schema."""


def _violations(schema: Mapping[str, Any], value: Any, path: tuple[Any, ...]) -> Iterator[Message]:
    for error in Draft7Validator(schema).iter_errors(value):
        yield _message((*path, *error.absolute_path), _words(error))


def _words(error: ValidationError) -> str:
    if error.validator == "required":
        return f"Should have required property {error.message.removesuffix(' is a required property')}"
    return _WORDS[str(error.validator)](error.validator_value)


def _message(path: Iterable[Any], text: str) -> Message:
    return {"DataPath": "/" + "/".join(map(str, path)) if path else "", "Message": text}
