"""The bucket that holds model artifacts."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from infra import names
from infra.components import existing
from infra.components.context import StackContext
from infra.policies.execution import protect_bucket
from infra.settings.adopt import AdoptSettings
from infra.settings.bucket import BucketSettings


@dataclass(frozen=True)
class ModelBucketArgs:
    context: StackContext
    settings: BucketSettings
    adopt: AdoptSettings


class ModelBucket(pulumi.ComponentResource):
    """A versioned, encrypted, private bucket that outlives the stack, and keeps all its settings then.

    Only the bucket itself is protected: one call restores any of its settings.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    kms_key_arn: str | None
    """The key that encrypts new objects; None is S3's own."""

    def __init__(self, name: str, args: ModelBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:ModelBucket", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, retain_on_delete=True)

        def adopted(adopt: bool) -> pulumi.ResourceOptions:
            """An import shows in the preview what the program's own settings overwrite; a create would not."""
            import_ = args.settings.name if adopt else None
            return pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(import_=import_))

        # Pulumi generates a physical name from the resource's; the alias keeps it one resource when the settings begin
        # or cease to name the bucket
        generated = names.bucket(args.context.stack)
        resource, alias = (name, generated) if args.settings.name else (generated, name)
        self.bucket = s3.Bucket(
            resource,
            bucket=args.settings.name,
            tags=args.context.tags,
            opts=pulumi.ResourceOptions.merge(
                adopted(args.adopt.bucket),
                pulumi.ResourceOptions(
                    protect=args.context.production,
                    aliases=[pulumi.Alias(name=alias)],
                    hooks=existing.refused(existing.BUCKET, args.settings.name),
                ),
            ),
        )
        self.versioning = s3.BucketVersioning(
            f"{name}-versioning", bucket=self.bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
        )
        self.encryption = s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=self.bucket.id,
            rules=[_encryption(args.settings.kms_key_arn)],
            opts=adopted(args.adopt.bucket),
        )
        public_access_block = s3.BucketPublicAccessBlock(
            f"{name}-public-access-block",
            bucket=self.bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        s3.BucketPolicy(
            f"{name}-policy",
            bucket=self.bucket.id,
            policy=self.bucket.arn.apply(lambda arn: json.dumps(protect_bucket(arn))),
            # S3 rejects concurrent changes of a bucket's access settings (OperationAborted)
            opts=pulumi.ResourceOptions.merge(
                adopted(args.adopt.bucket_policy), pulumi.ResourceOptions(depends_on=[public_access_block])
            ),
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=self.bucket.id,
            rules=_lifecycle(args.settings),
            # a rule about noncurrent versions requires versioning
            opts=pulumi.ResourceOptions.merge(
                adopted(args.adopt.bucket_lifecycle), pulumi.ResourceOptions(depends_on=[self.versioning])
            ),
        )

        self.kms_key_arn = args.settings.kms_key_arn
        self.name, self.arn = self.bucket.bucket, self.bucket.arn
        self.register_outputs({"name": self.name, "arn": self.arn})


def _encryption(kms_key_arn: str | None) -> s3.BucketServerSideEncryptionConfigurationRuleArgsDict:
    if kms_key_arn is None:
        return {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    return {
        "apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": kms_key_arn},
        "bucket_key_enabled": True,
    }


def _lifecycle(settings: BucketSettings) -> list[s3.BucketLifecycleConfigurationRuleArgsDict]:
    """Current versions of artifacts never expire, because a live Model may name any of them."""
    results: list[s3.BucketLifecycleConfigurationRuleArgsDict] = [
        {
            "id": f"expire-{prefix.strip('/')}",
            "status": "Enabled",
            "filter": {"prefix": prefix},
            "expiration": {"days": settings.result_expiration_days},
            "noncurrent_version_expiration": {"noncurrent_days": 1},
        }
        for prefix in names.EXPIRING
    ]
    return [
        *results,
        {
            "id": "expire-noncurrent-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": settings.noncurrent_version_expiration_days},
        },
        {
            "id": "abort-incomplete-uploads",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {
                "days_after_initiation": settings.abort_incomplete_multipart_upload_days
            },
        },
    ]
