"""The role that the serving containers run as, with the least that works."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pulumi
from pulumi_aws import iam

from infra import names
from infra.components import existing
from infra.components.context import StackContext
from infra.policies import execution
from infra.policies.document import Policy
from infra.settings.stack import Settings


@dataclass(frozen=True)
class ExecutionRoleArgs:
    context: StackContext
    settings: Settings
    bucket_arn: pulumi.Input[str]
    repository_arn: pulumi.Input[str]


class ExecutionRole(pulumi.ComponentResource):
    """An IAM role that SageMaker assumes on behalf of this account only.

    Guides often grant `sagemaker:*` on `*` here. A serving container calls no SageMaker API, so this role allows none.
    """

    arn: pulumi.Output[str]
    policies: list[pulumi.Resource]
    """Model and Endpoint depend on them: without them the role can neither read artifacts nor pull the image."""

    def __init__(self, name: str, args: ExecutionRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ExecutionRole", name, None, opts)
        if (role_arn := args.settings.role.arn) is not None:
            self.arn = args.context.account_id.apply(partial(require_account, role_arn))
            self.policies = []
        else:
            self._create(name, args, pulumi.ResourceOptions(parent=self))
        self.register_outputs({"arn": self.arn})

    def _create(self, name: str, args: ExecutionRoleArgs, child: pulumi.ResourceOptions) -> None:
        context, settings, role_name = args.context, args.settings.role, args.settings.role.name
        generated = names.execution_role(context.stack)
        resource, alias = (name, generated) if role_name else (generated, name)  # as for the bucket

        # an adopted role keeps these, also after `adopt` is removed; a new path would replace the role
        kept = ["path", "maxSessionDuration", *([] if settings.permissions_boundary else ["permissionsBoundary"])]
        role_options = pulumi.ResourceOptions(
            import_=role_name if args.settings.adopt.role else None,
            hooks=existing.refused(existing.ROLE, role_name),
            ignore_changes=kept,
            aliases=[pulumi.Alias(name=alias)],
        )
        role = iam.Role(
            resource,
            name=role_name,
            description="Runs Triton containers on SageMaker endpoints",
            assume_role_policy=pulumi.Output.all(context.partition, context.region, context.account_id).apply(
                lambda place: json.dumps(execution.trust(*place))
            ),
            permissions_boundary=settings.permissions_boundary,
            tags=context.tags,
            opts=pulumi.ResourceOptions.merge(child, role_options),
        )
        documents = pulumi.Output.all(
            context.partition, context.account_id, args.bucket_arn, args.repository_arn
        ).apply(lambda arns: execution.documents(args.settings, *arns))

        # A changed permission is a new policy; the previous one is deleted after the endpoints are updated. So the live
        # fleet keeps access to its own bucket, repository and key, also after a rollback.
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
    """The role's ARN. A role can only be passed within its account (IAM guide, "Grant a user permissions to pass a role
    to an AWS service").

    Raises:
        pulumi.RunError: the role belongs to another account.
    """
    if role_arn.split(":")[4] != account_id:
        raise pulumi.RunError(
            f"{pulumi.get_project()}:role.arn: {role_arn} is not a role of account {account_id}, and SageMaker only "
            "accepts a role of the endpoint's account (CreateModel). Set it to a role of that account."
        )
    return role_arn
