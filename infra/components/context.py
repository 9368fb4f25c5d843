"""What all resources of a stack share: where they are deployed, and how they are tagged and protected."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.settings.stack import Settings


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
        """The context of the stack that the engine runs the program for."""
        return cls(
            stack=pulumi.get_stack(),
            region=settings.region,
            partition=aws.get_partition_output().partition,
            account_id=aws.get_caller_identity_output().account_id,
            tags=settings.tags,
            production=settings.production,
        )
