"""Triton's image in the ECR repository of its publisher."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.components.context import StackContext
from infra.dynamic.resolved_image import ResolvedImage
from infra.image.reference import ImageReference
from infra.settings.stack import Settings


@dataclass(frozen=True)
class PublishedImageArgs:
    context: StackContext
    settings: Settings


class PublishedImage(pulumi.ComponentResource):
    """The image that the Models name by digest, where SageMaker pulls it across accounts: nothing is copied."""

    repository_arn: pulumi.Output[str]
    image_uri: pulumi.Output[str]

    def __init__(self, name: str, args: PublishedImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:PublishedImage", name, None, opts)
        resolved = ResolvedImage(
            name,
            sources=[str(source) for source in args.settings.image_sources],
            follows_tag=args.settings.image.source is not None,
            account_id=args.context.account_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.image_uri = resolved.uri
        self.repository_arn = pulumi.Output.all(args.context.partition, resolved.source).apply(
            lambda known: ImageReference.parse(known[1]).repository_arn(known[0])
        )
        self.register_outputs({"repository_arn": self.repository_arn, "image_uri": self.image_uri})
