"""The account and Region of a stack, which never change: an endpoint cannot move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from infra import names
from infra.diagnostics.problem import ConfigurationError, Problem

Where = Mapping[str, Any]
"""`accountId` and `region`."""


def unmoved(account_id: pulumi.Input[str], region: str) -> pulumi.Output[list[pulumi.Resource]]:
    """What every AWS resource of the stack must wait for: that account and Region are those of its first deployment.

    The engine keeps them in the state as a Stash, whose output remains its first input. An AWS resource is too late to
    compare them: by the time the last one is asked, the first ones are being replaced.

    Raises:
        pulumi.RunError: the credentials or `aws:region` are of another place by now.
    """
    here = pulumi.Output.all(accountId=account_id, region=region)
    stash = pulumi.Stash(names.HOME, input=here, opts=pulumi.ResourceOptions(ignore_changes=["input"]))

    def stay(places: list[Any]) -> list[pulumi.Resource]:
        created, now = places
        if moved := problems(created, now):
            raise pulumi.RunError(str(ConfigurationError(moved)))
        return [stash]

    return pulumi.Output.all(stash.output, here).apply(stay)


def problems(created: Where, now: Where) -> list[Problem]:
    """What became of the place that the stack was created in."""
    found = []
    if created["region"] != now["region"]:
        found.append(
            Problem(
                "region-changed",
                f"is {now['region']}, but the stack was created in {created['region']}, and an endpoint cannot move. "
                f"Set it back to {created['region']}. To serve from {now['region']}, create another stack (`pulumi "
                "stack init`), and destroy this one when its callers have moved.",
                path=("aws:region",),
            )
        )
    if created["accountId"] != now["accountId"]:
        found.append(
            Problem(
                "account-changed",
                f"the credentials are of account {now['accountId']}, but the stack was created in account "
                f"{created['accountId']}. Use credentials of that account; another account requires another stack.",
                path=("aws",),
            )
        )
    return found
