"""What `python -m infra cost` prints."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence, Sized
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.cli.terminal import console
from infra.cost.compare import Candidate
from infra.cost.estimate import Estimate, PricedItem
from infra.cost.limit import WITHOUT, signed
from infra.cost.line_items import STACK, Sizes
from infra.cost.live import Change
from infra.cost.load import Load, Utilization, advice
from infra.cost.price_list import NOT_FETCHED
from infra.names import ONLY_VARIANT
from infra.settings.stack import Settings

NOT_CONSIDERED = (
    "On-demand prices in USD, without taxes, free tiers, Savings Plans and discounts. Not considered: requests to S3, "
    "KMS, SNS and CloudWatch, and transfer to other regions."
)

_WIDTH = 160
"""Columns without a terminal."""

MAX_NAMES = 3
"""Of endpoints in a line."""


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
        **_per_month_and_hour(result.total, result.is_known()),
        "endpoints": {
            name: {
                "mode": str(endpoint.mode),
                **_facts_of(name, result),
                "perRelease": None if (added := result.of_release(name)) is None else added.facts,
            }
            for name, endpoint in settings.endpoints.items()
        },
        "stack": _facts_of(STACK, result),
    }


def _facts_of(endpoint: str, result: Estimate) -> dict[str, Any]:
    return {
        **_per_month_and_hour(result.of(endpoint), result.is_known(endpoint)),
        "items": [_item_facts(priced) for priced in result.items if priced.item.endpoint == endpoint],
        "notPriced": {entry.what: entry.reason for entry in result.unpriced if entry.endpoint == endpoint},
    }


def _per_month_and_hour(cost: Sizes, known: bool) -> dict[str, Any]:
    return {"perMonth": cost.facts, "perHour": cost.per_hour.facts} if known else {"perMonth": None, "perHour": None}


def _item_facts(priced: PricedItem) -> dict[str, Any]:
    return {
        "what": priced.item.what,
        "usageType": priced.item.usage.name,
        "unit": priced.item.usage.unit,
        "quantity": priced.item.quantity.facts,
        **_per_month_and_hour(priced.usd, known=True),
        "sku": priced.price.sku,
    }


def show_estimate(settings: Settings, result: Estimate, way_out: str) -> None:
    """Print a row for each item, and what has no price with the reason."""
    table = _table("", "quantity a month", "smallest", "initial", "largest")
    for name, endpoint in settings.endpoints.items():
        _add_rows(table, name, f"{name} ({endpoint.mode})", result)
        if released := result.of_release(name):
            table.add_row("  each release adds up to", "", *_dollars(released), style="dim")
    if STACK in {*(priced.item.endpoint for priced in result.items), *(each.endpoint for each in result.without_price)}:
        _add_rows(table, STACK, "all endpoints", result)
    more = WITHOUT if result.without_price and result.is_known() else ""
    table.add_row(f"total a month (730 h){more}", "", *_total(result, result.total), style="bold")
    table.add_row("an hour", "", *_total(result, result.total.per_hour))
    out = console(_WIDTH)
    out.print(table)
    out.print("\nNot in the total:")
    for line in _not_priced(result):
        out.print(f"  {line}", soft_wrap=True)
    _print_basis(out, settings.region, result.published, NOT_CONSIDERED)
    _print_way_out(out, way_out, result.without_price)


def _add_rows(table: Table, endpoint: str, title: str, result: Estimate) -> None:
    items = [priced for priced in result.items if priced.item.endpoint == endpoint]
    table.add_row(title, "", *(_dollars(result.of(endpoint)) if items else []), style="bold")
    if items:
        table.add_row("  an hour", "", *_dollars(result.of(endpoint).per_hour))
    for priced in items:
        table.add_row(f"  {priced.item.what}", _quantity(priced), *_dollars(priced.usd))
    for entry in result.without_price:
        if entry.endpoint == endpoint:
            table.add_row(f"  {entry.what}", "", "", "", "no price")


def _not_priced(result: Estimate) -> Iterator[str]:
    """A line for each reason, with what it is about, of which endpoints."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for entry in result.unpriced:
        reasons.setdefault(entry.reason, {}).setdefault(entry.what, []).append(entry.endpoint)
    for reason, kinds in reasons.items():
        yield f"{'; '.join(f'{what}{_of(names)}' for what, names in kinds.items())}: {_short(reason)}"


def _short(reason: str) -> str:
    """A reason for each endpoint or part, without what the warning has."""
    return f"{NOT_FETCHED}; see the warning." if reason.startswith(NOT_FETCHED) else reason


def _of(endpoints: Sequence[str]) -> str:
    if endpoints == [STACK]:
        return ""
    return f" of {', '.join(endpoints) if len(endpoints) <= MAX_NAMES else f'{len(endpoints)} endpoints'}"


def _print_basis(out: Console, region: str, published: str | None, more: str = "") -> None:
    """Print whose prices these are."""
    if published:
        out.print(f"Prices of {region}, published {published}. {more}".rstrip(), soft_wrap=True)


def _print_way_out(out: Console, way_out: str, missing: Sized) -> None:
    """Print how to get prices, if there is a way and some are missing."""
    if missing and way_out:
        out.print(way_out, soft_wrap=True)


def _quantity(priced: PricedItem) -> str:
    quantity = priced.item.quantity
    span = _number(quantity.smallest)
    if quantity.largest != quantity.smallest:
        span += f" to {_number(quantity.largest)}"
    unit = priced.item.usage.unit
    return f"{span} {unit if unit == 'GB' or quantity.largest == 1 else f'{unit}s'}"


def _number(quantity: Decimal) -> str:
    if 0 < quantity < Decimal("0.01"):
        return "< 0.01"
    return f"{quantity:,.2f}" if quantity < 10 and quantity % 1 else f"{quantity:,.0f}"


def change_facts(change: Change) -> dict[str, Any]:
    """A change for JSON."""
    return {"before": change.before.facts, "after": change.after.facts, "settings": list(change.keys)}


def show_changes(
    changes: Sequence[Change],
    missing: Mapping[str, str],
    without_price: Sized,
    region: str,
    published: str | None,
    way_out: str,
) -> None:
    """Print how the price of each endpoint's fleet changes.

    Args:
        missing: the endpoints whose change is not known, with the reasons.
        without_price: those of them whose fleet is known.
    """
    table = _table("", "deployed", "settings", "change", "at the smallest fleet", "at the largest fleet", "because of")
    for change in changes:
        table.add_row(
            change.endpoint,
            f"${change.before.initial:,.2f}",
            f"${change.after.initial:,.2f}",
            *(signed(usd) for usd in (change.usd.initial, change.usd.smallest, change.usd.largest)),
            ", ".join(change.keys) or "no change",
        )
    for name in missing:
        table.add_row(name, "", "", *["no price"] * 3, "")
    out = console(_WIDTH)
    out.print(table)
    for name, reason in missing.items():
        out.print(f"{name}: {_short(reason)}", soft_wrap=True)
    _print_basis(out, region, published)
    _print_way_out(out, way_out, without_price)


def idle_facts(
    loads: Mapping[str, Load], not_judged: Mapping[str, str], result: Estimate, settings: Settings
) -> dict[str, Any]:
    """The loads for JSON, with the edits that end a cost."""
    return {
        "published": result.published,
        "endpoints": {
            name: {
                "requests": load.requests,
                "days": load.days,
                "variants": {
                    variant: {"busiestPercent": used.compute, "memoryPercent": used.memory}
                    for variant, used in load.variants.items()
                },
                **_per_month_and_hour(result.of(name), result.is_known(name)),
                "advice": _advice(name, load, result, settings),
            }
            for name, load in loads.items()
        },
        "notJudged": dict(not_judged),
    }


def show_idle(
    loads: Mapping[str, Load], not_judged: Mapping[str, str], result: Estimate, settings: Settings, way_out: str
) -> None:
    """Print what the smallest fleets cost, which are paid while nothing happens, and the edits that end it."""
    table = _table("", "requests", "busiest hour", "memory", "a month")
    without_price = [entry for entry in result.without_price if entry.endpoint in loads]
    unknown = {entry.endpoint for entry in without_price}
    for name, load in loads.items():
        cost = "no price" if name in unknown else f"${result.of(name).smallest:,.2f}"
        first, *others = load.variants.items() or [(ONLY_VARIANT, Utilization())]
        table.add_row(_of_variant(name, first[0]), f"{load.requests:,.0f}", *_percents(first[1]), cost)
        for variant, used in others:
            table.add_row(_of_variant(name, variant), "", *_percents(used), "")
    out = console(_WIDTH)
    if loads:
        out.print(table)
    lines = [f"{name}: {line}" for name, load in loads.items() for line in _advice(name, load, result, settings)]
    for line in lines or ["No endpoint costs more than it needs."] * bool(loads):
        out.print(line, soft_wrap=True)
    for name, reason in not_judged.items():
        out.print(f"{name}: not listed, because it {reason}.", soft_wrap=True)
    _print_basis(out, settings.region, result.published)
    for entry in without_price:
        out.print(f"{entry.endpoint}: {entry.what}: {_short(entry.reason)}", soft_wrap=True)
    _print_way_out(out, way_out, without_price)


def _advice(name: str, load: Load, result: Estimate, settings: Settings) -> list[str]:
    costs = bool(result.of(name).smallest) or any(entry.endpoint == name for entry in result.without_price)
    return [*advice(name, settings.endpoints[name], load, settings.production, costs)]


def _of_variant(endpoint: str, variant: str) -> str:
    return endpoint if variant == ONLY_VARIANT else f"{endpoint} {variant}"


def _percents(used: Utilization) -> list[str]:
    return ["" if percent is None else f"{percent:.0f} %" for percent in (used.compute, used.memory)]


def candidate_facts(candidates: Sequence[Candidate], current: Container[str], published: str | None) -> dict[str, Any]:
    """The instance types for JSON."""
    return {
        "currency": "USD",
        "published": published,
        "types": [
            {
                "instanceType": candidate.instance_type,
                "current": candidate.instance_type in current,
                "perHour": _float(candidate.usd),
                "vcpus": candidate.vcpus,
                "gpus": candidate.gpus,
                "memoryGib": candidate.memory_gib,
                "perMillionRequests": _float(candidate.usd_per_million),
            }
            for candidate in candidates
        ],
    }


def _float(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)


def show_candidates(
    candidates: Sequence[Candidate], current: Container[str], region: str, published: str | None, way_out: str
) -> None:
    """Print the instance types, cheapest first, and why some have no price."""
    measured = any(candidate.usd_per_million is not None for candidate in candidates)
    table = _table("", "vCPU", "GPU", "memory", "an hour", *(["a million requests"] if measured else []))
    for candidate in candidates:
        per_million = "" if candidate.usd_per_million is None else f"${candidate.usd_per_million:,.2f}"
        table.add_row(
            f"{candidate.instance_type}{' (current)' if candidate.instance_type in current else ''}",
            str(candidate.vcpus),
            str(candidate.gpus or ""),
            f"{candidate.memory_gib:g} GiB" if candidate.memory_gib else "",
            f"${candidate.usd:,.4f}" if candidate.usd is not None else "no price",
            *([per_million] if measured else []),
        )
    out = console(_WIDTH)
    out.print(table)
    _print_basis(out, region, published)
    reasons = dict.fromkeys(candidate.no_price for candidate in candidates if candidate.no_price)
    for reason in reasons:
        out.print(_short(reason), soft_wrap=True)
    _print_way_out(out, way_out, reasons)


def _dollars(sizes: Sizes) -> list[str]:
    return [f"${size:,.2f}" for size in (sizes.smallest, sizes.initial, sizes.largest)]


def _total(result: Estimate, sizes: Sizes) -> list[str]:
    return _dollars(sizes) if result.is_known() else ["no price"] * 3
