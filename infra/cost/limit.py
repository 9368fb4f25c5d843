"""What a preview says of the cost of a stack, and the limit that it must not exceed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from infra.aws.mode import Mode
from infra.cost.estimate import Estimate
from infra.cost.line_items import STACK, Sizes
from infra.cost.live import Change
from infra.cost.price_file import UPDATE_PRICES
from infra.errors import UserError

if TYPE_CHECKING:
    from infra.settings.stack import Settings

WITHOUT = ", without what has no price"


class CostLimitExceeded(UserError):
    """The largest fleets of the stack cost more than `cost.monthlyLimit`, or their price is not known."""


def summary(settings: Settings, result: Estimate, stack: str) -> Iterator[str]:
    """A line for each endpoint, one for the stack, and one of what is not in it."""
    without = {entry.endpoint for entry in result.without_price}
    if not result.is_known():
        yield f"cost: no price. Run `{UPDATE_PRICES.format(stack)}` to show what a change costs"
        return
    for name, endpoint in settings.endpoints.items():
        if cost := result.of(name):
            yield f"{name}: {_per_month_and_hour(cost)}{WITHOUT if name in without else ''}"
        else:
            billed = "jobs" if endpoint.mode is Mode.BATCH else "requests"
            yield f"{name}: {'no price' if name in without else f'billed by its {billed} alone'}"
    if result.items:
        yield (
            f"cost: {_per_month_and_hour(result.total)}, for all endpoints at prices published {result.published}"
            f"{WITHOUT if without else ''}"
        )
    unpriced = dict.fromkeys(entry.what for entry in result.unpriced)
    yield f"cost: not priced: {', '.join(unpriced)} (`python -m infra cost -s {stack}`)"


def _per_month_and_hour(cost: Sizes) -> str:
    hour = cost.per_hour
    return (
        f"{span(cost.smallest, cost.initial, cost.largest)} a month, "
        f"{span(hour.smallest, hour.initial, hour.largest)} an hour"
    )


def changed(change: Change) -> str | None:
    """A line for an endpoint whose fleet gets another price, with the settings that cause it."""
    if not change.keys:
        return None
    usd = change.usd
    ends = {"smallest": usd.smallest, "largest": usd.largest}
    parts = [f"{signed(usd.initial)} a month"] * bool(usd.initial)
    parts += [f"{signed(end)} a month at the {size} fleet" for size, end in ends.items() if end != usd.initial]
    return f"{change.endpoint}: {', '.join(parts) or '$0.00 a month'}, because of {', '.join(change.keys)}"


def signed(usd: Decimal) -> str:
    """A difference in USD."""
    return f"{'+' if usd > 0 else '-' if usd < 0 else ''}${abs(usd):,.2f}"


def span(smallest: Decimal, initial: Decimal, largest: Decimal) -> str:
    """A price with its scaling range."""
    if smallest == largest:
        return f"${initial:,.2f}"
    return f"${initial:,.2f} (${smallest:,.2f} to ${largest:,.2f})"


def check(settings: Settings, result: Estimate, stack: str) -> str | None:
    """A warning if the largest fleets cost nearly as much as the limit.

    Raises:
        CostLimitExceeded: they cost more, or a fleet has no price.
    """
    if settings.cost.monthly_limit is None:
        return None
    limit = Decimal(str(settings.cost.monthly_limit))  # as written, because a float differs from 2000.1
    key = "cost.monthlyLimit"
    if without := result.without_price:
        missing = [f"  {item.endpoint or 'all endpoints'}: {item.what}: {item.reason}" for item in without]
        known = ["the cost of the largest fleets is not known.", *missing]
        reasons = "\n".join(known) if result.published else "no price is known."
        raise CostLimitExceeded(f"{key}: {reasons}\nRun `{UPDATE_PRICES.format(stack)}`, or remove {key}.")
    largest = result.total.largest
    if largest > limit:
        raise CostLimitExceeded(
            f"{key}: the largest fleets cost ${largest:,.2f} a month at prices published {result.published}, more than "
            f"${limit:,.2f}.\n"
            f"{_by_cost(settings, result)}\nLower autoscaling.max, use smaller instance types, or raise {key}."
        )
    share = 100 * largest / limit
    if share > Decimal(str(settings.cost.warning_percent)):
        return f"{key}: the largest fleets cost ${largest:,.2f} a month, {share:.0f} % of ${limit:,.2f}"
    return None


def _by_cost(settings: Settings, result: Estimate) -> str:
    """The endpoints, most expensive first, each with the key that determines most of it, and what they share."""
    lines = []
    for name in [*sorted(settings.endpoints, key=lambda name: -result.of(name).largest), STACK]:
        largest = max(
            (priced for priced in result.items if priced.item.endpoint == name),
            key=lambda priced: priced.usd.largest,
            default=None,
        )
        if largest is not None:
            item, usd = largest.item, f"${result.of(name).largest:,.2f}"
            whose, section = ("shared by all endpoints", "") if name == STACK else (name, f"endpoints.{name}.")
            lines.append(f"  {whose}: {usd}, mostly {item.what} ({section}{item.largest_key})")
    return "\n".join(lines)
