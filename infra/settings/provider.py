"""The configuration of the `aws` provider: what our own AWS calls make of each of its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FOLLOWED = frozenset(
    {
        *("accessKey", "secretKey", "token", "profile", "region", "sharedConfigFiles", "sharedCredentialsFiles"),
        *("assumeRoles", "assumeRoleWithWebIdentity", "allowedAccountIds", "forbiddenAccountIds", "stsRegion"),
        *("endpoints", "useDualstackEndpoint", "useFipsEndpoint", "s3UsePathStyle", "s3UsEast1RegionalEndpoint"),
        *("httpProxy", "httpsProxy", "noProxy", "customCaBundle", "insecure", "maxRetries", "retryMode"),
        *("ec2MetadataServiceEndpoint", "ec2MetadataServiceEndpointMode", "defaultTags"),
    }
)
"""Our calls do as the provider does."""

WITHOUT_EFFECT = frozenset(
    {
        *("ignoreTags", "tagPolicyCompliance", "userAgents", "version", "tokenBucketRateLimiterCapacity"),
        *("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId"),
    }
)
"""They change nothing of where our calls go, in whose name and through what."""

AWS_KEYS = FOLLOWED | WITHOUT_EFFECT
"""Keys of pulumi-aws (pulumi.com/registry/packages/aws/installation-configuration). Any other one is refused."""

ENDPOINT_KEYS = {
    "application-autoscaling": ("appautoscaling", "applicationautoscaling"),
    "cloudwatch": ("cloudwatch",),
    "ecr": ("ecr",),
    "logs": ("logs", "cloudwatchlog", "cloudwatchlogs"),
    "s3": ("s3", "s3api"),
    "sagemaker": ("sagemaker",),
    "sns": ("sns",),
    "sts": ("sts",),
}
"""By boto3's name of each service that is called: its keys in `endpoints`, the first of which that is given counts
(terraform-provider-aws, names/data/names_data.hcl)."""


def refusals(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys in the provider's configuration that our calls cannot follow, each with the reason and the way out."""
    for key in sorted(config.keys() - AWS_KEYS):
        yield (
            key,
            "is not a key of this version of the aws provider, so the image mirror, artifacts and endpoints cannot "
            "follow it. Remove it, or set what it does through the environment or an AWS profile, which they follow.",
        )
    for key in ("sharedConfigFiles", "sharedCredentialsFiles"):
        if isinstance(files := config.get(key), list) and len(files) > 1:
            yield (
                key,
                f"lists {len(files)} files, and the image mirror, artifacts and endpoints read only one (boto3). Put "
                "the profiles into one file.",
            )
