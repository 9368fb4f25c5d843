"""`python -m infra cost`: what the endpoints of a stack cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.aws.errors import AwsRequestRefused
from infra.aws.session import AwsSession
from infra.cli import cost_view
from infra.cli.options import Directory, Json, Stack, named, require, separate, validated, written
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cost import account, live, load, price_file, usage
from infra.cost import compare as comparison
from infra.cost.estimate import estimate
from infra.cost.line_items import Item, Traffic, Unpriced, items, unmeasured
from infra.cost.price_file import UPDATE_PRICES
from infra.cost.price_list import NOT_FETCHED, NoPrice, PriceList, UsageType
from infra.cost.usage import HOURS_PER_MONTH
from infra.settings.variant import InstanceType

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
            metavar="DAYS",
            min=1,
            max=load.MAX_DAYS,
            help="Read the requests and logs of the last days, and what the bucket and the repository store.",
        ),
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(min=0, max=MAX_RATE, help="Requests to each endpoint, on average over a month.")
    ] = None,
    request_seconds: Annotated[float, typer.Option(min=0, max=MAX_SECONDS, help="Duration of a request.")] = 0.1,
    request_bytes: Annotated[int, typer.Option(min=0, max=MAX_BYTES, help="Size of a request.")] = 1000,
    response_bytes: Annotated[int, typer.Option(min=0, max=MAX_BYTES, help="Size of a response.")] = 1000,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Show what the endpoints of a stack cost.

    Shows the smallest, the initial and the largest fleet of the scaling range. Prices are those of AWS's price list: of
    the file `prices.REGION.json` in the project, or of the API if there is no file.

    Exit codes: 0; 1 if nothing has a price, with --diff if an endpoint has none, with --idle never; 2 if a file or AWS
    cannot be read, except for AWS's price list and removed endpoints.
    """
    if context.invoked_subcommand is not None:
        if options := written(context):
            context.fail(f"{options[0]} has no effect here. Put it after {context.invoked_subcommand}.")
        return
    if stack is None:
        context.fail("Missing option --stack.")
    separate(context, "--diff", "--idle", "--from-metrics")
    separate(context, "--diff", "--idle", "--requests-per-second")
    require(context, "--request-seconds", "--requests-per-second")
    for size in ("--request-bytes", "--response-bytes"):
        require(context, size, "--requests-per-second", "--from-metrics", "--idle")
    priced = _Stack(StackFile.find(stack, cwd))
    if diff:
        _diff(priced, as_json)
        return
    sizes = Decimal(request_bytes), Decimal(response_bytes)
    not_judged = priced.not_judged(idle) if idle else {}
    loads = priced.loads(days, not_judged) if (days := idle or from_metrics) else {}
    traffic = {name: one.traffic(*sizes) for name, one in loads.items()}
    if requests_per_second is not None:
        month = Decimal(requests_per_second) * HOURS_PER_MONTH * 3600
        traffic = dict.fromkeys(priced.settings.endpoints, Traffic(month, Decimal(request_seconds), *sizes))
    measured = [*(priced.measured(from_metrics) if from_metrics else unmeasured(priced.settings))]
    prices = priced.prices(_usages([*items(priced.settings, traffic), *measured]))
    result = estimate(priced.settings, prices, traffic, measured)
    if idle is not None:
        if as_json:
            _print_json(cost_view.idle_facts(loads, not_judged, result, priced.settings))
        else:
            cost_view.show_idle(loads, not_judged, result, priced.settings, priced.way_out)
        return
    if as_json:
        _print_json(cost_view.estimate_facts(priced.settings, result))
    else:
        cost_view.show_estimate(priced.settings, result, priced.way_out)
    raise typer.Exit(int(not result.is_known()))


@app.command("update-prices")
def update_prices(stack: Stack, cwd: Directory = Path()) -> None:
    """Write the prices of the stack's region to `prices.REGION.json`, for previews and CI without access."""
    priced = _Stack(StackFile.find(stack, cwd))
    region = priced.settings.region
    path = price_file.path(priced.file.project.root, region)
    price_file.write(path, price_file.fetch(priced.pricing, region, print))
    print(f"wrote {path.name}")


@app.command()
def compare(
    stack: Stack,
    endpoint: Annotated[
        str | None,
        typer.Argument(metavar="ENDPOINT", help="An endpoint on instances. Without it, the error lists them."),
    ] = None,
    types: Annotated[list[str] | None, typer.Argument(metavar="TYPE", help="More instance types.")] = None,
    bench: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What `python -m infra invoke --bench SECONDS --json` printed for a type, to show what a "
            "million requests cost on it. Can be repeated.",
        ),
    ] = None,
    requests_per_second: Annotated[
        float | None,
        typer.Option(min=0.001, max=MAX_RATE, help="The requests that an instance of the current type answers."),
    ] = None,
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Compare the endpoint's instance type with the others of its family and with further types, amd64 only."""
    priced = _Stack(StackFile.find(stack, cwd))
    endpoints = {name: one for name, one in priced.settings.endpoints.items() if one.instance_variants}
    if endpoint is None or endpoint not in endpoints:
        known = f"one of: {', '.join(endpoints)}" if endpoints else "the stack has none"
        given = f"{endpoint} is not an" if endpoint else "give an"
        raise typer.BadParameter(f"{given} endpoint of stack {stack} on instances; {known}.", param_hint="ENDPOINT")
    current = {variant.instance_type for variant in endpoints[endpoint].instance_variants.values()}
    with named("--bench"):
        rates = dict(comparison.measurement(file) for file in bench or [])
    for more, hint in ((types or [], "TYPE"), (rates, "--bench")):
        for name in more:
            validated(name, InstanceType, hint)
    if requests_per_second is not None:
        if len(current) > 1:
            problem = f"the variants of {endpoint} have several types: {', '.join(sorted(current))}. Use --bench."
            raise typer.BadParameter(problem, param_hint="--requests-per-second")
        rates.update(dict.fromkeys(current, Decimal(requests_per_second)))
    purpose = usage.purpose(endpoints[endpoint].mode)
    wanted = comparison.types(current, [*(types or []), *rates])
    prices = priced.prices(usage.instances(purpose, name) for name in wanted)
    candidates = comparison.candidates(prices, priced.settings.region, wanted, purpose, rates)
    if as_json:
        _print_json(cost_view.candidate_facts(candidates, current, prices.published))
    else:
        cost_view.show_candidates(candidates, current, priced.settings.region, prices.published, priced.way_out)


class _Stack:
    """A stack whose cost is asked, with the session that reads its account and the price list."""

    def __init__(self, file: StackFile) -> None:
        self.file, self.settings = file, file.settings()

    @cached_property
    def session(self) -> AwsSession:
        return aws_session(self.file)

    @property
    def pricing(self) -> Any:
        """A client of the price list, which has endpoints in few regions."""
        partition = "aws-cn" if self.settings.region.startswith("cn-") else "aws"
        return self.session.client("pricing", price_file.ENDPOINTS[partition])

    def prices(self, needed: Iterable[UsageType]) -> PriceList:
        """The prices of the file, or of the API; none if the API cannot be asked."""
        region = self.settings.region
        if (prices := price_file.read(self.file.project.root, region)) is not None:
            return prices
        try:
            return price_file.fetch_needed(self.pricing, region, needed)
        except AwsRequestRefused as error:
            _warn(reason := f"{NOT_FETCHED}: {error}")
            if error.hint:
                print(error.hint, file=sys.stderr)
            print(f"With access, run `{UPDATE_PRICES.format(self.file.stack)}`.", file=sys.stderr)
            return PriceList((), reason)

    @property
    def way_out(self) -> str:
        """How to get prices that the file does not have; the API was asked, or the warning says it."""
        exists = price_file.path(self.file.project.root, self.settings.region).exists()
        return f"To look for newer prices, run `{UPDATE_PRICES.format(self.file.stack)}`." if exists else ""

    def not_judged(self, days: int) -> dict[str, str]:
        """Endpoints without a load to judge, with the reasons."""
        sagemaker, now = self.session.client("sagemaker"), datetime.now(UTC)
        reasons = {name: load.not_judged(sagemaker, name, now, days) for name in self.settings.served_endpoints}
        return {name: reason for name, reason in reasons.items() if reason}

    def loads(self, days: int, without: Container[str]) -> dict[str, load.Load]:
        cloudwatch, now = self.session.client("cloudwatch"), datetime.now(UTC)
        return {
            name: load.load(cloudwatch, name, self.settings.endpoints[name], now, days)
            for name in self.settings.served_endpoints
            if name not in without
        }

    def measured(self, days: int) -> Iterator[Item | Unpriced]:
        return account.measured(self.session.client, self.settings, self.file.stack, datetime.now(UTC), days)


def _diff(priced: _Stack, as_json: bool) -> None:
    services = "sagemaker", "application-autoscaling", "resourcegroupstaggingapi"
    sagemaker, autoscaling, tagging = map(priced.session.client, services)
    owner = f"{priced.file.project.name}/{priced.file.stack}"
    changes, missing, not_listed = list[live.Change](), dict[str, str](), list[str]()
    fleets = dict[str, live.Fleets]()
    for name, endpoint in live.endpoints(tagging, owner, priced.settings, not_listed.append):
        try:
            both = live.fleets(sagemaker, autoscaling, name, endpoint)
            if both != (None, None):  # else it was deleted a moment ago
                fleets[name] = both
        except NoPrice as error:
            missing[name] = str(error)
    for reason in not_listed:
        _warn(reason)
    prices = priced.prices(_usages(item for both in fleets.values() for items in both for item in items or ()))
    for name, both in fleets.items():
        try:
            changes.append(live.change(name, *both, prices, priced.settings))
        except NoPrice as error:
            missing[name] = str(error)
    if as_json:
        _print_json(
            {
                "published": prices.published,
                "endpoints": {change.endpoint: cost_view.change_facts(change) for change in changes},
                "noPrice": missing,
                "notListed": "\n".join(not_listed) or None,
            }
        )
    else:
        without_price = missing.keys() & fleets.keys()
        region, published = priced.settings.region, prices.published
        cost_view.show_changes(changes, missing, without_price, region, published, priced.way_out)
    raise typer.Exit(int(bool(missing)))


def _usages(entries: Iterable[Item | Unpriced]) -> list[UsageType]:
    return [entry.usage for entry in entries if isinstance(entry, Item)]


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _print_json(facts: Any) -> None:
    print(json.dumps(facts, indent=2, ensure_ascii=False))
