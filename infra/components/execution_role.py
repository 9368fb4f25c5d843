"""The role that the serving containers run as, with the least that works."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pulumi
from pulumi_aws import iam

from infra import existing
from infra.policies import execution
from infra.policies.document import Policy
from infra.settings.stack import Settings


@dataclass(frozen=True)
class ExecutionRoleArgs:
    settings: Settings
    default_name: str
    """What Pulumi makes the role's name of, where the settings give none."""
    account_id: pulumi.Input[str]
    partition: pulumi.Input[str]
    bucket_arn: pulumi.Input[str]
    repository_arn: pulumi.Input[str]


class ExecutionRole(pulumi.ComponentResource):
    """An IAM role for `sagemaker.amazonaws.com`, acting for this account only.

    Guides often grant `sagemaker:*` on `*` here. A serving container calls no SageMaker API, so it is left out.
    """

    arn: pulumi.Output[str]
    policies: list[pulumi.Resource]
    """What Model and Endpoint have to wait for: the role alone may not read or pull yet."""

    def __init__(self, name: str, args: ExecutionRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ExecutionRole", name, None, opts)
        if (existing := args.settings.role.arn) is not None:
            self.arn = pulumi.Output.from_input(args.account_id).apply(partial(require_account, existing))
            self.policies = []
        else:
            self._make(name, args, pulumi.ResourceOptions(parent=self))
        self.register_outputs({"arn": self.arn})

    def _make(self, name: str, args: ExecutionRoleArgs, child: pulumi.ResourceOptions) -> None:
        settings, role_name = args.settings.role, args.settings.role.name
        account = pulumi.Output.all(partition=args.partition, account_id=args.account_id)

        # of an adopted role this stays as it is, also once `adopt` is gone; with another path it would be another role
        kept = ["path", "maxSessionDuration", *([] if settings.permissions_boundary else ["permissionsBoundary"])]
        called, formerly = (name, args.default_name) if role_name else (args.default_name, name)
        of_role = pulumi.ResourceOptions(
            import_=role_name if args.settings.adopt.role else None,
            hooks=existing.refused(existing.ROLE, role_name),
            ignore_changes=kept,
            aliases=[pulumi.Alias(name=formerly)],
        )
        role = iam.Role(
            called,
            name=role_name,
            description="Runs Triton containers on SageMaker endpoints",
            assume_role_policy=account.apply(
                lambda a: json.dumps(execution.trust(a["partition"], args.settings.region, a["account_id"]))
            ),
            permissions_boundary=settings.permissions_boundary,
            tags=args.settings.tags,
            opts=pulumi.ResourceOptions.merge(child, of_role),
        )
        documents = pulumi.Output.all(args.partition, args.account_id, args.bucket_arn, args.repository_arn).apply(
            lambda arns: execution.documents(args.settings, *arns)
        )

        # A changed permission is a new policy next to the former one, which is deleted once the endpoints have moved:
        # the live fleet keeps access to its own bucket, repository and key, after a rollback too.
        replaced = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(replace_on_changes=["policy"]))
        self.policies = [
            iam.RolePolicy(
                f"{name}-{purpose}", role=role.name, policy=documents.apply(partial(_document, purpose)), opts=replaced
            )
            for purpose in execution.purposes(args.settings)
        ]
        self.arn = role.arn


def _document(purpose: str, documents: Mapping[str, Policy]) -> str:
    return json.dumps(documents[purpose])


def require_account(role_arn: str, account_id: str) -> str:
    """The role's ARN; a role is passed within its account (IAM guide, Grant a user permissions to pass a role to an AWS
    service).

    Raises:
        pulumi.RunError: it is a role of another account.
    """
    if role_arn.split(":")[4] != account_id:
        raise pulumi.RunError(
            f"role.arn: {role_arn} is not a role of account {account_id}, and SageMaker accepts no other account's "
            "role (CreateModel). Use a role of that account."
        )
    return role_arn
