"""The stack that the engine runs the program for: its configuration, its place, and what its resources share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi.runtime import config

from infra import names
from infra.diagnostics.problem import ConfigurationError
from infra.settings.stack import Settings
from infra.stack import moved


def stack_config() -> dict[str, str]:
    """The complete configuration. `pulumi.Config` only reads single keys, so it cannot find unknown ones."""
    return {**config.get_config_env(), **config.CONFIG.get()}


def secret_keys() -> set[str]:
    """The keys of the configuration that contain a secret, at any depth."""
    return {key for key in stack_config() if config.is_config_secret(key)}


@dataclass(frozen=True)
class StackContext:
    """The stack as its components need it.

    Attributes:
        stack: its name.
        partition: `aws`, `aws-cn` or `aws-us-gov`.
        account_id: the account of the stack's `aws` provider.
        tags: the tags of every resource.
        production: whether the engine refuses to delete what one call cannot restore.
    """

    stack: str
    region: str
    partition: pulumi.Output[str]
    account_id: pulumi.Output[str]
    tags: dict[str, str]
    production: bool

    @classmethod
    def of(cls, settings: Settings) -> StackContext:
        """The context of the stack with these settings."""
        return cls(
            stack=pulumi.get_stack(),
            region=settings.region,
            partition=aws.get_partition_output().partition,
            account_id=aws.get_caller_identity_output().account_id,
            tags=settings.tags,
            production=settings.production,
        )


def unmoved(context: StackContext) -> pulumi.Output[list[pulumi.Resource]]:
    """A dependency of every AWS resource: the stack is in the account and Region of its first deployment.

    The engine keeps both in the state as a Stash, whose output remains its first input. AWS resources would compare
    them too late: the first ones are already replaced when the last one is checked.

    Raises:
        pulumi.RunError: the credentials or `aws:region` are of another place.
    """
    here = pulumi.Output.all(accountId=context.account_id, region=context.region)
    stash = pulumi.Stash(names.HOME, input=here, opts=pulumi.ResourceOptions(ignore_changes=["input"]))

    def check(places: list[Any]) -> list[pulumi.Resource]:
        if problems := [*moved(*places)]:
            raise pulumi.RunError(str(ConfigurationError(problems)))
        return [stash]

    return pulumi.Output.all(stash.output, here).apply(check)
