"""Responses and measurements on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from infra.cli.terminal import plain_table
from infra.diagnostics.printable import printable
from infra.invocation.bench import PERCENTILES, BenchResult
from infra.invocation.message import OutputTensor

MAX_COLUMNS, MAX_ROWS = 8, 10


def tensors_view(tensors: Sequence[OutputTensor]) -> RenderableType:
    """The tensors of a response; a line of data for each row of the last dimension."""
    table = plain_table("output", "datatype", "shape", "data")
    for tensor in tensors:
        data = "(binary)" if tensor.data is None else "\n".join(_rows(tensor.shape, tensor.data)) or "(empty)"
        table.add_row(
            Text(printable(tensor.name)), Text(printable(tensor.datatype)), str(list(tensor.shape)), Text(data)
        )
    return table


def bench_view(result: BenchResult, concurrency: int) -> RenderableType:
    """Throughput and latencies."""
    count, clients = len(result.latencies), f"{concurrency} client{'s' * (concurrency > 1)}"
    summary = Text(f"{count:,} responses in {result.seconds:.1f} s from {clients}: {result.throughput:.1f} a second")
    latencies = _latencies(result)
    table = plain_table(*latencies)
    table.add_row(*(f"{seconds * 1000:.1f} ms" for seconds in latencies.values()))
    errors = [Text(f"{count} x {error}", "red") for error, count in result.errors.items()]
    return Group(summary, *([table] if result.latencies else []), *errors)


def bench_facts(result: BenchResult, concurrency: int, fleet: tuple[str, int] | None) -> dict[str, Any]:
    """The same for programs; latencies in milliseconds. `python -m infra cost compare` reads it.

    Args:
        fleet: the instance type and the number of instances, if one fleet answered.
    """
    latencies = {name: seconds * 1000 for name, seconds in _latencies(result).items()}
    return {
        "responses": len(result.latencies),
        "seconds": result.seconds,
        "concurrency": concurrency,
        "responsesPerSecond": result.throughput,
        "fleet": {"instanceType": fleet[0], "instances": fleet[1]} if fleet else None,
        "latencyMilliseconds": latencies if result.latencies else None,
        "errors": dict(result.errors),
    }


def _rows(shape: Sequence[int], data: Sequence[Any]) -> Iterator[str]:
    width = max(shape[-1], 1) if shape else 1
    rows = [data[start : start + width] for start in range(0, min(len(data), MAX_ROWS * width), width)]
    for row in rows:
        rest = f"  … {width} in all" if width > MAX_COLUMNS else ""
        yield "  ".join(map(_element, row[:MAX_COLUMNS])) + rest
    if len(data) > MAX_ROWS * width:
        yield f"… {math.ceil(len(data) / width)} rows in all"


def _element(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _latencies(result: BenchResult) -> dict[str, float]:
    """Seconds by the name of the percentile."""
    return {f"p{percent}": result.percentile(percent) for percent in PERCENTILES} | {"max": result.percentile(100)}
