"""Metrics of CloudWatch: values in time by namespace, name and dimensions, their statistics, and metric math."""

from __future__ import annotations

import ast
import operator
import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

#: A value for each period, None where a period has no data.
Points = list[float | None]


@dataclass(frozen=True)
class MetricKey:
    """A metric is its namespace, its name and all of its dimensions: "CloudWatch treats each unique combination of
    dimensions as a separate metric" (User Guide, cloudwatch_concepts).
    """

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str]) -> MetricKey:
        return cls(namespace, name, frozenset(dimensions.items()))


class Metrics:
    """The values of metrics in memory, by time in seconds since the epoch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[MetricKey, tuple[array[float], array[float]]] = {}

    def add(self, key: MetricKey, time: float, values: Iterable[float]) -> None:
        with self._lock:
            times, numbers = self._series.setdefault(key, (array("d"), array("d")))
            place = bisect_right(times, time)
            for value in values:
                times.insert(place, time)
                numbers.insert(place, value)
                place += 1

    def known(self) -> list[MetricKey]:
        with self._lock:
            return list(self._series)

    def values(self, key: MetricKey, start: float, end: float) -> Sequence[float]:
        """The values from `start` up to but not at `end`."""
        with self._lock:
            times, numbers = self._series.get(key, (array("d"), array("d")))
            return numbers[bisect_left(times, start) : bisect_left(times, end)]

    def points(self, key: MetricKey, statistic: str, starts: Iterable[float], period: float) -> Points:
        """A statistic for each of the periods that begin at `starts`."""
        values = (self.values(key, start, start + period) for start in starts)
        return [statistic_of(statistic)(found) if found else None for found in values]


_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Average": lambda values: sum(values) / len(values),
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}


def statistic_of(name: str) -> Callable[[Sequence[float]], float]:
    """The statistic of this name, `Sum`, …, or a percentile as `p99` or `p99.9`; `ValueError` for any other."""
    if name in _STATISTICS:
        return _STATISTICS[name]
    percentile = re.fullmatch(r"p(\d{1,2}(?:\.\d{0,10})?|100)", name)
    if percentile is None:
        known = ", ".join(_STATISTICS)
        raise ValueError(f"The statistic {name} is not in the sandbox; there are {known} and p0 to p100.")
    return lambda values: sorted(values)[max(ceil(len(values) * float(percentile[1]) / 100) - 1, 0)]


class Expression:
    """An expression of metric math over the points of other queries, period by period.

    Numbers, IDs of queries, `+ - * / ^`, comparisons, `AND OR`, and the functions ABS, AVG, FILL, IF, MAX, MIN and SUM.
    Raises `ValueError` for anything else. A period where an operand has no data, or that divides by zero, has none.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        python = text.replace("^", "**").replace("&&", " and ").replace("||", " or ")
        python = re.sub(r"\b(AND|OR)\b", lambda word: word[0].lower(), python)
        try:
            self._tree = ast.parse(python.strip(), mode="eval").body
            named = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)}
            self.ids = named - {*_FUNCTIONS, _REPEAT}
            self.points({name: [1.0] for name in self.ids}, 1)
        except (SyntaxError, TypeError, KeyError, ValueError):
            raise ValueError(f"The metric math expression {text!r} is not in the sandbox.") from None

    def points(self, inputs: Mapping[str, Points], periods: int) -> Points:
        return _evaluate(self._tree, inputs, periods)


def _evaluate(node: ast.expr, inputs: Mapping[str, Points], periods: int) -> Points:
    def value(part: ast.expr) -> Points:
        return _evaluate(part, inputs, periods)

    match node:
        case ast.Constant(value=int() | float() as number):
            return [float(number)] * periods
        case ast.Name(id=name):
            return list(inputs[name])
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _each(operator.neg, value(operand))
        case ast.BinOp(left=left, op=op, right=right):
            return _each(_OPERATORS[type(op)], value(left), value(right))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _each(_OPERATORS[type(op)], value(left), value(right))
        case ast.BoolOp(op=op, values=parts):
            return _each(_OPERATORS[type(op)], *map(value, parts))
        case ast.Call(func=ast.Name(id="FILL"), args=[points, ast.Name(id="REPEAT")]):
            return _repeated(value(points))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _FUNCTIONS[name](*map(value, _flat(arguments)))
    raise ValueError(ast.dump(node))


def _flat(arguments: Iterable[ast.expr]) -> Iterable[ast.expr]:
    """The arguments of a function, also where they are given as one list: `SUM([a, b])`."""
    for argument in arguments:
        yield from argument.elts if isinstance(argument, ast.List) else [argument]


def _each(function: Callable[..., float], *operands: Points) -> Points:
    """A function of the operands, period by period; no data where an operand has none or the division is by zero."""
    points: Points = []
    for values in zip(*operands, strict=True):
        try:
            points.append(None if None in values else float(function(*values)))
        except ZeroDivisionError:
            points.append(None)
    return points


def _repeated(points: Points) -> Points:
    """Each missing point as the last one before it, if there is one."""
    last: float | None = None
    repeated: Points = []
    for point in points:
        last = point if point is not None else last
        repeated.append(last)
    return repeated


_REPEAT = "REPEAT"

_OPERATORS: Mapping[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.And: lambda *values: all(values),
    ast.Or: lambda *values: any(values),
}


def _present(function: Callable[[list[float]], float]) -> Callable[..., Points]:
    """A function over those operands that have data in a period."""

    def points(*operands: Points) -> Points:
        found = ([value for value in values if value is not None] for values in zip(*operands, strict=True))
        return [function(values) if values else None for values in found]

    return points


_FUNCTIONS: Mapping[str, Callable[..., Points]] = {
    "ABS": lambda points: _each(abs, points),
    "AVG": _present(lambda values: sum(values) / len(values)),
    "FILL": lambda points, fill: [f if p is None else p for p, f in zip(points, fill, strict=True)],
    "IF": lambda condition, then, other: [
        None if c is None else (t if c else o) for c, t, o in zip(condition, then, other, strict=True)
    ],
    "MAX": _present(max),
    "MIN": _present(min),
    "SUM": _present(sum),
}
