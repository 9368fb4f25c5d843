"""The role that the serving containers run as, with the least that works."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from infra import existing, policies, prefixes


@dataclass(frozen=True)
class ExecutionRoleArgs:
    role_name: str | None
    default_name: str
    """What Pulumi makes the role's name of, where `role_name` is None."""
    adopt: bool
    """Whether the role exists and is taken over; policies that it has beside those made here stay."""
    account_id: pulumi.Input[str]
    partition: pulumi.Input[str]
    region: str
    bucket_arn: pulumi.Input[str]
    repository_arn: pulumi.Input[str]
    endpoint_names: list[str]
    kms_key_arn: str | None
    in_vpc: bool
    tags: dict[str, str]


class ExecutionRole(pulumi.ComponentResource):
    """An IAM role for `sagemaker.amazonaws.com`, acting for this account only.

    Guides often grant `sagemaker:*` on `*` here. A serving container calls no SageMaker API, so it is left out.
    """

    arn: pulumi.Output[str]
    policies: list[pulumi.Resource]
    """What Model and Endpoint have to wait for: the role alone may not read or pull yet."""

    def __init__(self, name: str, args: ExecutionRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ExecutionRole", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = pulumi.Output.all(partition=args.partition, account_id=args.account_id)

        # an adopted role keeps its path: another one would be another role
        called, formerly = (name, args.default_name) if args.role_name else (args.default_name, name)
        of_role = pulumi.ResourceOptions(
            import_=args.role_name if args.adopt else None,
            hooks=existing.refused(existing.ROLE, args.role_name),
            ignore_changes=["path"],
            aliases=[pulumi.Alias(name=formerly)],
        )
        role = iam.Role(
            called,
            name=args.role_name,
            description="Runs Triton containers on SageMaker endpoints",
            assume_role_policy=pulumi.Output.from_input(args.account_id)
            .apply(policies.sagemaker_trust)
            .apply(json.dumps),
            tags=args.tags,
            opts=pulumi.ResourceOptions.merge(child, of_role),
        )
        documents: dict[str, pulumi.Output[policies.Policy]] = {
            "models": pulumi.Output.from_input(args.bucket_arn).apply(
                lambda arn: policies.read_models(arn, prefixes.RELEASED)
            ),
            "image": pulumi.Output.from_input(args.repository_arn).apply(policies.pull_image),
            "logs-and-metrics": account.apply(
                lambda a: policies.write_logs_and_metrics(
                    a["partition"], args.region, a["account_id"], args.endpoint_names
                )
            ),
        }
        if args.in_vpc:
            documents["vpc"] = account.apply(lambda a: policies.join_vpc(a["partition"], args.region, a["account_id"]))
        if args.kms_key_arn:
            documents["kms"] = pulumi.Output.from_input(policies.decrypt_models(args.kms_key_arn))

        # A changed permission is a new policy next to the former one, which is deleted once the endpoints have moved:
        # the live fleet keeps access to its own bucket, repository and key, after a rollback too.
        replaced = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(replace_on_changes=["policy"]))
        self.policies = [
            iam.RolePolicy(f"{name}-{purpose}", role=role.name, policy=document.apply(json.dumps), opts=replaced)
            for purpose, document in documents.items()
        ]
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})
