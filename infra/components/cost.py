"""What a preview and `pulumi up` say of the cost of the stack, before anything is registered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pulumi

from infra.aws.session import AwsSession
from infra.components.context import stack_config
from infra.cost import limit, live, price_file
from infra.cost.estimate import Item, estimate, fleet_items
from infra.cost.price_list import PriceList
from infra.errors import UserError
from infra.settings.stack import Settings


def announce_cost(settings: Settings, root: Path) -> None:
    """Log what the endpoints cost, and what changes.

    Args:
        root: the directory of the project, which may have a price file.

    Raises:
        pulumi.RunError: it is more than `cost.monthlyLimit`.
    """
    stack = pulumi.get_stack()
    try:
        prices = price_file.read(root, settings.region)
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


def _announce_changes(settings: Settings, prices: PriceList) -> None:
    try:
        for name, deployed in deployed_items(settings):
            change = live.change(name, deployed, fleet_items(name, settings.endpoints[name]), prices, settings.region)
            if line := limit.changed(change):
                pulumi.log.info(line)
    except UserError as error:
        pulumi.log.info(f"cost: the change is not known: {error}")


def deployed_items(settings: Settings) -> Iterator[tuple[str, list[Item] | None]]:
    """What the fleet of each endpoint is billed for as it is deployed."""
    session = AwsSession(stack_config())
    clients = session.client("sagemaker"), session.client("application-autoscaling")
    for name in settings.served_endpoints:
        yield name, live.deployed_items(*clients, name)
