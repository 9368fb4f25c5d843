"""What `python -m infra cost` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.table import Table

from infra.cli.terminal import console
from infra.cost.compare import Candidate
from infra.cost.estimate import Estimate, PricedItem, Sizes
from infra.cost.limit import UPDATE_PRICES, signed
from infra.cost.live import Change
from infra.cost.load import LOW_PERCENT, Load
from infra.cost.usage import HOURS_PER_MONTH
from infra.settings.stack import Settings

NOT_CONSIDERED = (
    "On-demand prices in USD, without taxes, free tiers, Savings Plans and discounts. Not considered: the bucket, the "
    "ECR repository and logs."
)


_WIDTH = 160
"""Columns without a terminal."""


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def estimate_facts(settings: Settings, result: Estimate) -> dict[str, Any]:
    """The estimate for JSON."""
    return {
        "currency": "USD",
        "published": result.published,
        "perMonth": result.total.facts,
        "endpoints": {
            name: {
                "mode": str(endpoint.mode),
                "perMonth": result.of(name).facts,
                "perRelease": result.of_release(name).facts,
                "items": [_item_facts(priced) for priced in result.items if priced.item.endpoint == name],
                "notPriced": {entry.what: entry.reason for entry in result.unpriced if entry.endpoint == name},
            }
            for name, endpoint in settings.endpoints.items()
        },
    }


def _item_facts(priced: PricedItem) -> dict[str, Any]:
    return {
        "what": priced.item.what,
        "usageType": priced.item.usage.name,
        "unit": priced.item.usage.unit,
        "quantity": priced.item.quantity.facts,
        "perMonth": priced.usd.facts,
        "sku": priced.price.sku,
    }


def show_estimate(stack: str, settings: Settings, result: Estimate) -> None:
    """Print a row for each item, and what has no price with the reason."""
    table = _table("", "quantity a month", "smallest", "initial", "largest")
    for name, endpoint in settings.endpoints.items():
        table.add_row(f"{name} ({endpoint.mode})", "", *_dollars(result.of(name)), style="bold")
        for priced in result.items:
            if priced.item.endpoint == name:
                table.add_row(f"  {priced.item.what}", _quantity(priced), *_dollars(priced.usd))
        if released := result.of_release(name):
            table.add_row("  each release adds up to", "", *_dollars(released), style="dim")
        for entry in result.unpriced:
            if entry.endpoint == name:
                table.add_row(f"  {entry.what}", "", "", "", "no price")
    table.add_row("total a month (730 h)", "", *_dollars(result.total), style="bold")
    table.add_row("an hour", "", *_dollars(result.total * (1 / HOURS_PER_MONTH)))
    out = console(_WIDTH)
    out.print(table)
    for entry in result.unpriced:
        out.print(f"{entry.endpoint}: no price for {entry.what}: {entry.reason}")
    published = f"Prices of {settings.region}, published {result.published}. " if result.published else ""
    out.print(f"{published}{NOT_CONSIDERED}")
    if not result.items:
        out.print(f"To fetch prices, run `{UPDATE_PRICES.format(stack)}`.")


def _quantity(priced: PricedItem) -> str:
    quantity = priced.item.quantity
    span = f"{quantity.smallest:,.0f}"
    if quantity.largest != quantity.smallest:
        span += f" to {quantity.largest:,.0f}"
    return f"{span} {priced.item.usage.unit}"


def change_facts(change: Change) -> dict[str, Any]:
    """A change for JSON."""
    return {
        "endpoint": change.endpoint,
        "before": change.before.facts,
        "after": change.after.facts,
        "settings": list(change.keys),
    }


def show_changes(changes: Sequence[Change]) -> None:
    """Print how the price of each endpoint's fleet changes."""
    table = _table("", "deployed", "settings", "change", "at the largest fleet", "because of")
    for change in changes:
        initial = change.after.initial - change.before.initial
        largest = change.after.largest - change.before.largest
        table.add_row(
            change.endpoint,
            f"${change.before.initial:,.2f}",
            f"${change.after.initial:,.2f}",
            signed(initial),
            signed(largest),
            ", ".join(change.keys),
        )
    console(_WIDTH).print(table)


def show_idle(loads: Mapping[str, Load], result: Estimate, settings: Settings, days: int) -> None:
    """Print the endpoints that cost more than they need, and the edit that ends it."""
    table = _table("", "requests", "busiest hour", "a month")
    advice = []
    for name, load in loads.items():
        requests = "" if load.requests is None else f"{load.requests:,.0f}"
        busiest = "" if load.busiest_percent is None else f"{load.busiest_percent:.0f} %"
        table.add_row(name, requests, busiest, f"${result.of(name).initial:,.2f}")
        if load.is_idle:
            advice.append(f"{name}: no request in {days} days. To end its cost, remove endpoints.{name}.")
        elif load.is_oversized:
            key = "autoscaling.min" if settings.endpoints[name].scaled_variants else "initialInstanceCount"
            advice.append(
                f"{name}: its busiest hour used less than {LOW_PERCENT:.0f} % of its instances. Lower "
                f"endpoints.{name}.{key}, or use a smaller instanceType (python -m infra cost compare)."
            )
    out = console(_WIDTH)
    out.print(table)
    for line in advice:
        out.print(line)


def show_candidates(candidates: Sequence[Candidate], current: str, requests_per_second: Decimal | None) -> None:
    """Print the instance types, cheapest first."""
    table = _table("", "vCPU", "GPU", "memory", "an hour", "a million requests")
    for candidate in candidates:
        per_million = candidate.usd_per_million(requests_per_second) if requests_per_second else None
        own = candidate.instance_type == current
        table.add_row(
            f"{candidate.instance_type}{' (current)' if own else ''}",
            candidate.vcpus,
            str(candidate.gpus or ""),
            f"{candidate.memory_gib:g} GiB" if candidate.memory_gib else "",
            f"${candidate.usd:,.4f}" if candidate.usd is not None else "no price",
            f"${per_million:,.2f}" if own and per_million is not None else "",
        )
    console(_WIDTH).print(table)


def _dollars(sizes: Sizes) -> list[str]:
    return [f"${size:,.2f}" for size in (sizes.smallest, sizes.initial, sizes.largest)]
