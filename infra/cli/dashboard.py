"""`python -m infra dashboard`: the CloudWatch dashboard of a stack, in the console, as JSON or as a picture."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from infra import names
from infra.aws.console import dashboard_url
from infra.aws.errors import aws_calls, code
from infra.cli.options import Directory, Json, Stack, require
from infra.cli.project import StackFileError
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cli.time_range import Since, beginning
from infra.errors import UserError
from infra.monitoring import graph_data
from infra.release import alarms

DOTS_PER_INCH = 100

app = typer.Typer(add_completion=False)


class NoDashboard(UserError):
    """The dashboard does not exist on AWS."""

    exit_code = 2


class NoMatplotlib(UserError):
    """The library that draws is not installed."""

    exit_code = 2


@app.command()
def dashboard(
    context: typer.Context,
    stack: Stack,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the dashboard as a picture.", dir_okay=False)
    ] = None,
    since: Since = "3h",
    as_json: Json = False,
    cwd: Directory = Path(),
) -> None:
    """Print the address of the stack's CloudWatch dashboard in AWS's console.

    With --json, print its body as CloudWatch has it. With --png, draw it with the data since a time.

    Exit codes: 0, and 2 if the dashboard does not exist or cannot be read.
    """
    require(context, "--since", "--png")
    file = StackFile.find(stack, cwd)
    settings, name = file.settings(), names.dashboard(stack)
    if not settings.dashboards:
        raise StackFileError(
            f"{file.path.name}: the stack has no dashboard. Set monitoring: {{dashboard: true}}, and run `pulumi up`."
        )
    if not as_json and png is None:
        print(dashboard_url(settings.region, name))
        return
    cloudwatch = aws_session(file).client("cloudwatch")
    body = _body(cloudwatch, name)
    if as_json:
        print(json.dumps(body, indent=2, ensure_ascii=False))
    if png is not None:
        ended = datetime.now(UTC)
        figure = draw(cloudwatch, name, body, beginning(since, ended), ended)
        try:
            figure.savefig(png, dpi=DOTS_PER_INCH, format="png")
        except OSError as error:
            raise typer.BadParameter(f"{png} cannot be written: {error.strerror}.", param_hint="--png") from None
        print(f"wrote {png}", file=sys.stderr if as_json else sys.stdout)


def draw(cloudwatch: Any, name: str, body: dict[str, Any], began: datetime, ended: datetime) -> Any:
    """The figure of a dashboard with the data of a time range.

    Raises:
        NoMatplotlib: matplotlib is not installed.
        AwsRequestRefused: AWS refused a call.
    """
    try:
        picture = import_module("infra.monitoring.picture").Picture(name, body, began, ended)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise NoMatplotlib(
            "--png requires matplotlib, which is not in requirements.txt. Install it: `.venv/bin/pip install "
            "matplotlib`."
        ) from None
    for widget in body["widgets"]:
        if widget["type"] == "text":
            picture.text(widget)
        elif widget["type"] == "alarm":
            picture.alarms(widget, _states(cloudwatch, widget["properties"]["alarms"]))
        elif widget["type"] == "metric":
            picture.graph(widget, graph_data.lines(cloudwatch, widget, began.timestamp(), ended.timestamp()))
    return picture.figure


def _body(cloudwatch: Any, name: str) -> dict[str, Any]:
    with aws_calls(f"dashboard {name}"):
        try:
            answer = cloudwatch.get_dashboard(DashboardName=name)
        except ClientError as error:
            if code(error) in ("ResourceNotFound", "DashboardNotFoundError"):
                raise NoDashboard(f"dashboard {name} does not exist; `pulumi up` creates it.") from None
            raise
    body: dict[str, Any] = json.loads(answer["DashboardBody"])
    return body


def _states(cloudwatch: Any, arns: list[str]) -> dict[str, str]:
    """The states of the alarms that exist, by their names."""
    wanted = [arn.partition(":alarm:")[2] for arn in arns]
    return {alarm.name: alarm.state for alarm in alarms.states(cloudwatch, wanted)}
