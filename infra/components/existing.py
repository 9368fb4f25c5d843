"""What exists already under a name that the stack is about to give: refused with the ways out, in previews too.

The aws provider reports BucketAlreadyOwnedByYou, RepositoryAlreadyExists and EntityAlreadyExists as they come, and only
once `up` has begun to create things. The engine runs these checks for a resource that it is about to create, and for no
other: not for one that is in the state, and not for one that is imported.
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
from infra.components.pulumi_config import stack_config


class AlreadyExists(Exception):
    """AWS has a resource of that name, which this stack does not own."""


@dataclass(frozen=True)
class Named:
    """A kind of resource with a name that the settings give.

    Attributes:
        find: raises a ClientError unless there is one of the name.
        adopt: the key below `adopt` that takes it over.
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
    """The check for the resource that gets the name; none for one that Pulumi names."""
    if name is None:
        return None

    def check(_: pulumi.ResourceHookArgs) -> None:
        if problem := existing(named, name, AwsSession(stack_config()).client(named.service)):
            raise AlreadyExists(problem)

    hook = pulumi.ResourceHook(f"the {named.kind} is new", check, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook])


def existing(named: Named, name: str, client: Any) -> str | None:
    """What is wrong if AWS has one of that name; None where there is none, or these credentials may not look."""
    project = pulumi.get_project()
    try:
        named.find(client, name)
    except ClientError as error:
        if named is not BUCKET or code(error) != "403":
            return None
        return (
            f"the S3 bucket {name} exists and belongs to another account, or these credentials cannot list it. Names "
            f"of buckets are unique across accounts: set {project}:{named.name_key} to another name."
        )
    except BotoCoreError:
        return None
    return (
        f"the {named.kind} {name} exists already. If the stack does not own it, take it over as it is with "
        f"{project}:adopt.{named.adopt}: true (docs/adopt.md), or set {project}:{named.name_key} to another name. If "
        "it is the stack's own, from before a release under a new name that was rolled back, return to the new name: "
        "Pulumi deletes the old one with the next release that succeeds."
    )


def require_region(bucket: str, region: str) -> None:
    """Refuse to adopt a bucket of another region: SageMaker reads models from its own only.

    Raises:
        pulumi.RunError: it is in another region, or the aws provider cannot read it.
    """
    key = f"{pulumi.get_project()}:{BUCKET.name_key}"
    try:
        found = aws.s3.get_bucket(bucket=bucket).bucket_region
    except Exception as error:  # the engine's own, with what the provider says
        raise pulumi.RunError(
            f"{key}: the S3 bucket {bucket} cannot be adopted. It must exist in {region}, in this account: {error}"
        ) from None
    if found != region:
        raise pulumi.RunError(
            f"{key}: the S3 bucket {bucket} is in {found} and the stack in {region}, and SageMaker reads models from a "
            "bucket of its own region. Nothing was changed. Adopt a bucket of that region, or let the stack create one "
            f"(remove adopt.bucket, and set {BUCKET.name_key} to another name)."
        )
