"""Triton's image in the account's own ECR."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr

from infra import existing
from infra.dynamic.mirrored_image import MirroredImage
from infra.image.copy import REPLACED
from infra.image.reference import ImageReference


@dataclass(frozen=True)
class ImageMirrorArgs:
    repository_name: str
    sources: list[ImageReference]
    """Where the image may be, in the order to try."""
    follows_tag: bool
    """Whether a new image behind a source's tag is mirrored too."""
    untagged_image_expiration_days: int
    account_id: pulumi.Input[str]
    tags: dict[str, str]
    production: bool
    """Immutable tags, and a repository that stays with its images when the stack goes; elsewhere they go too."""
    adopt: bool
    """Whether the repository exists and is taken over."""


class ImageMirror(pulumi.ComponentResource):
    """An ECR repository and the one image in it that the Models name by digest."""

    repository_arn: pulumi.Output[str]
    image_uri: pulumi.Output[str]

    def __init__(self, name: str, args: ImageMirrorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ImageMirror", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        of_repository = pulumi.ResourceOptions(
            protect=args.production,
            retain_on_delete=args.production,
            import_=args.repository_name if args.adopt else None,
            hooks=existing.refused(existing.REPOSITORY, args.repository_name),
        )
        repository = ecr.Repository(
            name,
            name=args.repository_name,
            image_tag_mutability="IMMUTABLE" if args.production else "MUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            force_delete=not args.production,
            tags=args.tags,
            opts=pulumi.ResourceOptions.merge(child, of_repository),
        )
        ecr.LifecyclePolicy(
            f"{name}-lifecycle",
            repository=repository.name,
            policy=json.dumps(lifecycle_policy(args.untagged_image_expiration_days)),
            # it goes with its repository; deleting a replaced one by itself would delete its successor, because a
            # repository has one (ECR API PutLifecyclePolicy)
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(retain_on_delete=True)),
        )
        image = MirroredImage(
            name,
            sources=[str(source) for source in args.sources],
            follows_tag=args.follows_tag,
            destination=pulumi.Output.concat(repository.repository_url, ":", mirrored_tag(args.sources[0])),
            account_id=args.account_id,
            opts=child,
        )

        self.repository_arn = repository.arn
        self.image_uri = pulumi.Output.concat(repository.repository_url, "@", image.digest)
        self.register_outputs({"repository_arn": self.repository_arn, "image_uri": self.image_uri})


def mirrored_tag(source: ImageReference) -> str:
    """The tag of the copy: the source's own, or one made of its digest."""
    return source.tag or (source.digest or "").replace(":", "-")[:19]


MAX_REPLACED = 10
"""Images that are kept after their tag moved to another one."""


def lifecycle_policy(days: int) -> dict[str, object]:
    """An ECR lifecycle policy that removes images without a tag that were pushed more than `days` ago, and the oldest
    of those whose tag moved."""
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": f"Remove untagged images {days} days after their push",
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": days,
                },
                "action": {"type": "expire"},
            },
            {
                "rulePriority": 2,
                "description": f"Keep {MAX_REPLACED} images whose tag moved to another one",
                "selection": {
                    "tagStatus": "tagged",
                    "tagPrefixList": [REPLACED],
                    "countType": "imageCountMoreThan",
                    "countNumber": MAX_REPLACED,
                },
                "action": {"type": "expire"},
            },
        ]
    }
