"""What a preview and `pulumi up` say of the cost of the stack, before anything is registered."""

from __future__ import annotations

from pathlib import Path

import pulumi
from botocore.config import Config

from infra.aws.errors import aws_calls
from infra.aws.session import AwsSession
from infra.components.context import stack_config
from infra.cost import limit, live, price_file
from infra.cost.estimate import estimate
from infra.cost.price_list import NoPrice, PriceList
from infra.errors import UserError
from infra.settings.stack import Settings

_QUICK = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
"""A deployment does not wait for the calls that only show what changes."""


def announce_cost(settings: Settings, root: Path) -> None:
    """Log what the endpoints cost, and what changes.

    Args:
        root: the directory of the project, which may have a price file.

    Raises:
        pulumi.RunError: it is more than `cost.monthlyLimit`.
    """
    stack = pulumi.get_stack()
    try:
        prices = _prices(settings, root)
        result = estimate(settings, prices or PriceList(()), traffic={})
        warning = limit.check(settings, result, stack)
    except UserError as error:
        raise pulumi.RunError(str(error)) from None
    for line in limit.summary(settings, result, stack):
        pulumi.log.info(line)
    if warning:
        pulumi.log.warn(warning)
    if prices:
        _announce_changes(settings, prices)


def _prices(settings: Settings, root: Path) -> PriceList | None:
    """Without a limit, a file that cannot be read does not end a deployment."""
    try:
        return price_file.read(root, settings.region)
    except price_file.PriceFileError as error:
        if settings.cost.monthly_limit is not None:
            raise
        pulumi.log.warn(str(error))
        return None


def _announce_changes(settings: Settings, prices: PriceList) -> None:
    try:
        session = AwsSession(stack_config())
        with aws_calls("credentials"):
            sagemaker = session.client("sagemaker", config=_QUICK)
            autoscaling = session.client("application-autoscaling", config=_QUICK)
            tagging = session.client("resourcegroupstaggingapi", config=_QUICK)
        owner = f"{pulumi.get_project()}/{pulumi.get_stack()}"
        for name, endpoint in live.endpoints(tagging, owner, settings, pulumi.log.info):
            try:
                fleets = live.fleets(sagemaker, autoscaling, name, endpoint)
                if line := limit.changed(live.change(name, *fleets, prices, settings)):
                    pulumi.log.info(line)
            except NoPrice as error:
                pulumi.log.info(f"{name}: the change of its cost is not known: {error}")
    except UserError as error:
        pulumi.log.info(f"cost: the change is not known: {error}")
