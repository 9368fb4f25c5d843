"""Triton's image in the account's own ECR."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr

from infra import names
from infra.components import existing
from infra.components.context import StackContext
from infra.dynamic.mirrored_image import MirroredImage
from infra.image.copy import REPLACED
from infra.settings.stack import Settings


@dataclass(frozen=True)
class ImageMirrorArgs:
    context: StackContext
    settings: Settings


class ImageMirror(pulumi.ComponentResource):
    """An ECR repository, and the image in it that the Models name by digest.

    In production its tags are immutable, and the repository and its images outlive the stack.
    """

    repository_arn: pulumi.Output[str]
    image_uri: pulumi.Output[str]

    def __init__(self, name: str, args: ImageMirrorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ImageMirror", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        production, image = args.context.production, args.settings.image
        physical_name = names.repository(args.context.stack, production, image.repository)
        sources = args.settings.image_sources
        repository_options = pulumi.ResourceOptions(
            protect=production,
            retain_on_delete=production,
            import_=physical_name if args.settings.adopt.repository else None,
            hooks=existing.refused(existing.REPOSITORY, physical_name),
        )
        repository = ecr.Repository(
            name,
            name=physical_name,
            image_tag_mutability="IMMUTABLE" if production else "MUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            force_delete=not production,
            tags=args.context.tags,
            opts=pulumi.ResourceOptions.merge(child, repository_options),
        )
        ecr.LifecyclePolicy(
            f"{name}-lifecycle",
            repository=repository.name,
            policy=json.dumps(lifecycle_policy(image.untagged_image_expiration_days)),
            # deleted with its repository: deleting a replaced one would delete its successor, because a repository has
            # only one (ECR API PutLifecyclePolicy)
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(retain_on_delete=True)),
        )
        mirrored = MirroredImage(
            name,
            sources=[str(source) for source in sources],
            follows_tag=image.source is not None,
            destination=pulumi.Output.concat(repository.repository_url, ":", sources[0].tag_of_copy),
            account_id=args.context.account_id,
            opts=child,
        )

        self.repository_arn = repository.arn
        self.image_uri = pulumi.Output.concat(repository.repository_url, "@", mirrored.digest)
        self.register_outputs({"repository_arn": self.repository_arn, "image_uri": self.image_uri})


MAX_REPLACED = 10
"""Images that are kept after another image got their tag."""


def lifecycle_policy(days: int) -> dict[str, object]:
    """An ECR lifecycle policy that removes untagged images `days` after their push, and the oldest images without their
    own tag any more."""
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days}
    replaced = {"tagStatus": "tagged", "tagPrefixList": [REPLACED], "countType": "imageCountMoreThan"}
    selections = (untagged, replaced | {"countNumber": MAX_REPLACED})
    return {
        "rules": [
            {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}
            for priority, selection in enumerate(selections, start=1)
        ]
    }
