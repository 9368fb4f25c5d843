"""`python -m infra cost`: what the endpoints of a stack cost."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.aws.errors import AwsRequestRefused
from infra.aws.session import AwsSession
from infra.cli.options import Directory, Json, Stack
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cost import price_file
from infra.cost.estimate import Estimate, Item, Sizes, Traffic, estimate, items
from infra.cost.limit import UPDATE_PRICES
from infra.cost.price_list import PriceList
from infra.cost.usage import HOURS_PER_MONTH
from infra.settings.stack import Settings

NOT_CONSIDERED = (
    "On-demand prices in USD, without taxes, free tiers, Savings Plans and discounts. Not considered: the bucket, the "
    "ECR repository and logs."
)

app = typer.Typer(help="Show what the endpoints of a stack cost.", add_completion=False)


@app.callback(invoke_without_command=True)
def cost(
    context: typer.Context,
    stack: Annotated[str | None, typer.Option("--stack", "-s", metavar="NAME", help="The name of the stack.")] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(min=0, help="Requests to each endpoint, on average over a month.")
    ] = None,
    request_seconds: Annotated[float, typer.Option(min=0, help="Duration of a request.")] = 0.1,
    request_bytes: Annotated[int, typer.Option(min=0, help="Size of a request.")] = 1000,
    answer_bytes: Annotated[int, typer.Option(min=0, help="Size of an answer.")] = 1000,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Show what the endpoints of a stack cost.

    Shows the smallest, the initial and the largest fleet of the scaling range. Prices are those of AWS's price list: of
    the file `prices.REGION.json` in the project, or of the API if there is no file.

    Exit codes: 0, 1 if nothing has a price, and 2 if the stack file or the price file cannot be read.
    """
    if context.invoked_subcommand is not None:
        return
    if stack is None:
        raise typer.BadParameter("is required.", param_hint="--stack")
    file = StackFile.find(stack, cwd)
    settings = file.settings()
    traffic = None
    if requests_per_second is not None:
        requests = Decimal(requests_per_second) * HOURS_PER_MONTH * 3600
        traffic = Traffic(requests, Decimal(request_seconds), Decimal(request_bytes), Decimal(answer_bytes))
    by_endpoint = {name: traffic for name in settings.endpoints} if traffic else {}
    result = estimate(settings, _prices(file, settings), by_endpoint)
    if as_json:
        print(json.dumps(_facts(settings, result), indent=2, ensure_ascii=False))
    else:
        _show(Console(width=None if sys.stdout.isatty() else 160, highlight=False), stack, settings, result)
    raise typer.Exit(int(not result.items))


@app.command("update-prices")
def update_prices(stack: Stack, cwd: Directory = Path()) -> None:
    """Write the prices of the stack's region to `prices.REGION.json`, for previews and CI without access."""
    file = StackFile.find(stack, cwd)
    region = file.settings().region
    path = price_file.path(file.project.root, region)
    price_file.write(path, price_file.fetch(_client(aws_session(file)), region, print))
    print(f"wrote {path.name}")


def _prices(file: StackFile, settings: Settings) -> PriceList:
    """The prices of the file, or of the API; none if the API cannot be asked."""
    if (prices := price_file.read(file.project.root, settings.region)) is not None:
        return prices
    needed = [
        item.usage
        for name, endpoint in settings.endpoints.items()
        for item in items(name, endpoint)
        if isinstance(item, Item)
    ]
    try:
        return price_file.fetch_needed(_client(aws_session(file)), settings.region, needed)
    except AwsRequestRefused as error:
        print(f"warning: {error}\nWith access, run `{UPDATE_PRICES.format(file.stack)}`.", file=sys.stderr)
        return PriceList(())


def _client(session: AwsSession) -> object:
    """A client of the price list, which has endpoints in few regions."""
    partition = "aws-cn" if str(session.region).startswith("cn-") else "aws"
    return session.client("pricing", price_file.ENDPOINTS[partition])


def _facts(settings: Settings, result: Estimate) -> dict[str, object]:
    return {
        "currency": "USD",
        "published": result.published,
        "perMonth": result.total.facts,
        "endpoints": {
            name: {
                "mode": str(endpoint.mode),
                "perMonth": result.of(name).facts,
                "perRelease": result.of_release(name).facts,
                "items": [
                    {
                        "what": priced.item.what,
                        "usageType": priced.item.usage.name,
                        "unit": priced.item.usage.unit,
                        "quantity": priced.item.quantity.facts,
                        "perMonth": priced.usd.facts,
                        "sku": priced.price.sku,
                    }
                    for priced in result.items
                    if priced.item.endpoint == name
                ],
                "notPriced": {entry.what: entry.reason for entry in result.unpriced if entry.endpoint == name},
            }
            for name, endpoint in settings.endpoints.items()
        },
    }


def _show(console: Console, stack: str, settings: Settings, result: Estimate) -> None:
    table = Table("", "quantity a month", "smallest", "initial", "largest", title_justify="left", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, endpoint in settings.endpoints.items():
        table.add_row(f"{name} ({endpoint.mode})", "", *_dollars(result.of(name)), style="bold")
        for priced in result.items:
            if priced.item.endpoint == name:
                quantity = priced.item.quantity
                span = f"{quantity.smallest:,.0f}"
                if quantity.largest != quantity.smallest:
                    span += f" to {quantity.largest:,.0f}"
                table.add_row(f"  {priced.item.what}", f"{span} {priced.item.usage.unit}", *_dollars(priced.usd))
        if released := result.of_release(name):
            table.add_row("  each release adds up to", "", *_dollars(released), style="dim")
        for entry in result.unpriced:
            if entry.endpoint == name:
                table.add_row(f"  {entry.what}", "", "", "", "no price")
    table.add_row("total a month (730 h)", "", *_dollars(result.total), style="bold")
    table.add_row("an hour", "", *_dollars(result.total * (1 / HOURS_PER_MONTH)))
    console.print(table)
    for entry in result.unpriced:
        console.print(f"{entry.endpoint}: no price for {entry.what}: {entry.reason}")
    published = f"Prices of {settings.region}, published {result.published}. " if result.published else ""
    console.print(f"{published}{NOT_CONSIDERED}")
    if not result.items:
        console.print(f"To fetch prices, run `{UPDATE_PRICES.format(stack)}`.")


def _dollars(sizes: Sizes) -> list[str]:
    return [f"${size:,.2f}" for size in (sizes.smallest, sizes.initial, sizes.largest)]
