"""Refuses to create a resource under a name that exists on AWS, with the ways out, in previews too.

The aws provider reports BucketAlreadyOwnedByYou, RepositoryAlreadyExists and EntityAlreadyExists unchanged, and only
after `up` has created other resources. The engine runs these checks for a resource that it is about to create: not for
one in the state, and not for an import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError

from infra.aws.errors import code
from infra.aws.session import AwsSession
from infra.components.context import stack_config
from infra.errors import UserError


class AlreadyExists(UserError):
    """AWS has a resource of that name."""


@dataclass(frozen=True)
class Named:
    """A kind of resource whose name the settings may give.

    Attributes:
        find: raises a ClientError unless a resource of the name exists.
        adopt: the key below `adopt` that imports it.
        name_key: the key of its name.
    """

    kind: str
    service: str
    find: Callable[[Any, str], Any]
    adopt: str
    name_key: str


BUCKET = Named("S3 bucket", "s3", lambda s3, name: s3.head_bucket(Bucket=name), "bucket", "bucket.name")
REPOSITORY = Named(
    "ECR repository",
    "ecr",
    lambda ecr, name: ecr.describe_repositories(repositoryNames=[name]),
    "repository",
    "image.repository",
)
ROLE = Named("IAM role", "iam", lambda iam, name: iam.get_role(RoleName=name), "role", "role.name")


def refused(named: Named, name: str | None) -> pulumi.ResourceHookBinding | None:
    """The check for the resource of that name; None for one that Pulumi names."""
    if name is None:
        return None

    def check(_: pulumi.ResourceHookArgs) -> None:
        if problem := existing(named, name, AwsSession(stack_config()).client(named.service)):
            raise AlreadyExists(problem)

    hook = pulumi.ResourceHook(f"the {named.kind} is new", check, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])


def existing(named: Named, name: str, client: Any) -> str | None:
    """The problem if AWS has a resource of that name; None if not, or if the credentials cannot read it."""
    project = pulumi.get_project()
    try:
        named.find(client, name)
    except ClientError as error:
        if named is not BUCKET or code(error) != "403":
            return None
        return (
            f"the S3 bucket {name} already exists in another account, or these credentials cannot list it. Bucket "
            f"names are unique across accounts: set {project}:{named.name_key} to another name."
        )
    except BotoCoreError:
        return None
    return (
        f"the {named.kind} {name} already exists. If it does not belong to this stack, adopt it with "
        f"{project}:adopt.{named.adopt}: true (docs/adopt.md), or set {project}:{named.name_key} to another name. If "
        "it belongs to this stack, from before a rolled-back release under a new name, set the new name again: Pulumi "
        "deletes the old resource after the next successful release."
    )


def require_region(bucket: str, region: str) -> None:
    """
    Raises:
        pulumi.RunError: the bucket to adopt is in another region, from which SageMaker does not read models; or the
            aws provider cannot read it.
    """
    key = f"{pulumi.get_project()}:{BUCKET.name_key}"
    try:
        actual = aws.s3.get_bucket(bucket=bucket).bucket_region
    except Exception as error:  # the engine's own, with the provider's message
        raise pulumi.RunError(
            f"{key}: the S3 bucket {bucket} cannot be adopted. It must exist in {region}, in this account: {error}"
        ) from None
    if actual != region:
        raise pulumi.RunError(
            f"{key}: the S3 bucket {bucket} is in {actual} and the stack in {region}, but SageMaker only reads models "
            "from a bucket in its own region. Nothing was changed. Adopt a bucket in that region, or let the stack "
            f"create one: remove adopt.bucket, and set {BUCKET.name_key} to another name."
        )
