"""The model artifact of an endpoint: packed here, or uploaded beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import pulumi

from infra.components.bucket import ModelBucket
from infra.components.context import StackContext
from infra.components.uploaded_artifact import checked
from infra.dynamic.packed_model import PackedModel
from infra.dynamic.released_artifact import ReleasedArtifact
from infra.settings.tags import COST_TAGS
from infra.stack import Model
from infra.triton.repository import ModelRepository


@dataclass(frozen=True)
class ModelArtifactArgs:
    """
    Attributes:
        prefix: the prefix of the released artifact's key.
    """

    context: StackContext
    model: Model
    prefix: str
    bucket: ModelBucket


class ModelArtifact(pulumi.ComponentResource):
    """A .tar.gz in the bucket, under a key that is never overwritten. A Model names it."""

    url: pulumi.Output[str]
    """`s3://bucket/key`, the form of SageMaker's `ModelDataUrl`."""
    default_model_name: str | None
    """The model in it that answers; None lets Triton serve the only one."""

    def __init__(self, name: str, args: ModelArtifactArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ModelArtifact", name, None, opts)
        # only after the bucket encrypts objects and keeps versions
        child = pulumi.ResourceOptions(parent=self, depends_on=[args.bucket.versioning, args.bucket.encryption])
        # S3 accepts only 10 tags on an object: those that allocate costs
        tags = {key: args.context.tags[key] for key in COST_TAGS}

        # another KMS key requires another copy, because the live fleet still downloads the previous one
        encrypted = f"{sha256(key_arn.encode()).hexdigest()[:8]}/" if (key_arn := args.bucket.kms_key_arn) else ""
        prefix = f"{args.prefix}{encrypted}"

        artifact: PackedModel | ReleasedArtifact
        if isinstance(args.model.source, ModelRepository):
            digest = args.model.source.digest()
            artifact = PackedModel(
                name,
                bucket=args.bucket.name,
                key=f"{prefix}{digest}.tar.gz",
                path=str(args.model.source.path),
                digest=digest,
                tags=tags,
                account_id=args.context.account_id,
                opts=child,
            )
        else:
            artifact = ReleasedArtifact(
                name,
                bucket=args.bucket.name,
                artifact=args.model.source,
                prefix=prefix,
                tags=tags,
                account_id=args.context.account_id,
                opts=pulumi.ResourceOptions.merge(
                    child, pulumi.ResourceOptions(hooks=checked(name, args.model.check_for))
                ),
            )

        self.url = pulumi.Output.concat("s3://", args.bucket.name, "/", artifact.key)
        self.default_model_name = args.model.default_model_name
        self.register_outputs({"url": self.url})
