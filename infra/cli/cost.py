"""`python -m infra cost`: what the endpoints of a stack cost."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.aws import instance_types
from infra.aws.errors import AwsRequestRefused
from infra.aws.mode import Mode
from infra.aws.session import AwsSession
from infra.cli import cost_view
from infra.cli.options import Directory, Json, Stack
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cost import compare as comparison
from infra.cost import live, load, price_file, usage
from infra.cost.estimate import Item, Traffic, estimate, fleet_items, items
from infra.cost.limit import UPDATE_PRICES
from infra.cost.price_list import PriceList, UsageType
from infra.cost.usage import HOURS_PER_MONTH
from infra.settings.stack import Settings

MAX_RATE = 1_000_000
MAX_SECONDS, MAX_BYTES = 3600, 10**9
"""Of a request to an asynchronous endpoint, which accepts the longest and the largest ones (SageMaker guide,
Asynchronous inference)."""

app = typer.Typer(help="Show what the endpoints of a stack cost.", add_completion=False)


@app.callback(invoke_without_command=True)
def cost(
    context: typer.Context,
    stack: Annotated[str | None, typer.Option("--stack", "-s", metavar="NAME", help="The name of the stack.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare the fleets with those that are deployed.")] = False,
    idle: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS",
            min=1,
            max=load.MAX_DAYS,
            help="List endpoints without requests in the last days, and fleets that are larger than their load.",
        ),
    ] = None,
    from_metrics: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS", min=1, max=load.MAX_DAYS, help="Read the requests of the last days from CloudWatch."
        ),
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(min=0, max=MAX_RATE, help="Requests to each endpoint, on average over a month.")
    ] = None,
    request_seconds: Annotated[float, typer.Option(min=0, max=MAX_SECONDS, help="Duration of a request.")] = 0.1,
    request_bytes: Annotated[int, typer.Option(min=0, max=MAX_BYTES, help="Size of a request.")] = 1000,
    answer_bytes: Annotated[int, typer.Option(min=0, max=MAX_BYTES, help="Size of an answer.")] = 1000,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Show what the endpoints of a stack cost.

    Shows the smallest, the initial and the largest fleet of the scaling range. Prices are those of AWS's price list: of
    the file `prices.REGION.json` in the project, or of the API if there is no file.

    Exit codes: 0, 1 if nothing has a price, and 2 if a file or AWS cannot be read.
    """
    if context.invoked_subcommand is not None:
        return
    if stack is None:
        raise typer.BadParameter("is required.", param_hint="--stack")
    file = StackFile.find(stack, cwd)
    settings = file.settings()
    prices = _prices(file, settings)
    if diff:
        _diff(file, settings, prices, as_json)
        return
    sizes = Decimal(request_bytes), Decimal(answer_bytes)
    days = idle or from_metrics
    loads = _loads(aws_session(file), settings, prices, days) if days else {}
    traffic = {name: measured for name, one in loads.items() if (measured := one.traffic(*sizes))}
    if requests_per_second is not None:
        requests = Decimal(requests_per_second) * HOURS_PER_MONTH * 3600
        traffic = dict.fromkeys(settings.endpoints, Traffic(requests, Decimal(request_seconds), *sizes))
    result = estimate(settings, prices, traffic)
    if idle is not None:
        if as_json:
            _print_json({name: asdict(one) for name, one in loads.items()})
        else:
            cost_view.show_idle(loads, result, settings, idle)
        return
    if as_json:
        _print_json(cost_view.estimate_facts(settings, result))
    else:
        cost_view.show_estimate(stack, settings, result)
    raise typer.Exit(int(not result.items))


@app.command("update-prices")
def update_prices(stack: Stack, cwd: Directory = Path()) -> None:
    """Write the prices of the stack's region to `prices.REGION.json`, for previews and CI without access."""
    file = StackFile.find(stack, cwd)
    region = file.settings().region
    path = price_file.path(file.project.root, region)
    price_file.write(path, price_file.fetch(_client(aws_session(file)), region, print))
    print(f"wrote {path.name}")


@app.command()
def compare(
    stack: Stack,
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="An endpoint on instances.")],
    types: Annotated[list[str] | None, typer.Argument(metavar="TYPE", help="More instance types.")] = None,
    requests_per_second: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=MAX_RATE,
            help="Throughput of one current instance, as `python -m infra invoke --bench` measures it.",
        ),
    ] = None,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Compare the endpoint's instance type with the others of its family and with further types, amd64 only."""
    file = StackFile.find(stack, cwd)
    settings = file.settings()
    variants = settings.endpoints[endpoint].instance_variants if endpoint in settings.endpoints else {}
    if not variants:
        served = ", ".join(name for name, one in settings.endpoints.items() if one.instance_variants)
        raise typer.BadParameter(
            f"{endpoint} has no instances. Endpoints with instances: {served}.", param_hint="ENDPOINT"
        )
    if unknown := [name for name in types or [] if name not in instance_types.hosting_instance_types()]:
        raise typer.BadParameter(f"{', '.join(unknown)}: not a hosting instance type.", param_hint="TYPE")
    current = next(iter(variants.values())).instance_type
    purpose = usage.ASYNCHRONOUS if settings.endpoints[endpoint].mode is Mode.ASYNCHRONOUS else usage.HOSTING
    wanted = comparison.types(current, types or [])
    prices = _prices(file, settings, [usage.instances(purpose, name) for name in wanted])
    candidates = comparison.candidates(prices, settings.region, wanted, purpose)
    if as_json:
        _print_json([asdict(candidate) for candidate in candidates])
    else:
        throughput = None if requests_per_second is None else Decimal(requests_per_second)
        cost_view.show_candidates(candidates, current, throughput)


def _diff(file: StackFile, settings: Settings, prices: PriceList, as_json: bool) -> None:
    session = aws_session(file)
    clients = session.client("sagemaker"), session.client("application-autoscaling")
    changes = [
        live.change(name, live.deployed_items(*clients, name), fleet_items(name, endpoint), prices, settings.region)
        for name, endpoint in settings.endpoints.items()
    ]
    if as_json:
        _print_json([cost_view.change_facts(change) for change in changes])
    else:
        cost_view.show_changes(changes)


def _loads(session: AwsSession, settings: Settings, prices: PriceList, days: int) -> dict[str, load.Load]:
    vcpus = {
        product.attributes["instanceName"]: int(product.attributes["vCpu"])
        for product in prices.products
        if product.attributes.get("vCpu", "").isdigit() and "instanceName" in product.attributes
    }
    cloudwatch, now = session.client("cloudwatch"), datetime.now(UTC)
    return {
        name: load.load(cloudwatch, name, settings.endpoints[name], vcpus, now, days)
        for name in settings.served_endpoints
    }


def _prices(file: StackFile, settings: Settings, more: list[UsageType] | None = None) -> PriceList:
    """The prices of the file, or of the API; none if the API cannot be asked."""
    if (prices := price_file.read(file.project.root, settings.region)) is not None:
        return prices
    needed = more or [
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


def _client(session: AwsSession) -> Any:
    """A client of the price list, which has endpoints in few regions."""
    partition = "aws-cn" if str(session.region).startswith("cn-") else "aws"
    return session.client("pricing", price_file.ENDPOINTS[partition])


def _print_json(facts: Any) -> None:
    print(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
