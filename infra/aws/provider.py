"""The configuration of the `aws` provider: which of its keys the program's own AWS calls honour, ignore or refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_CREDENTIALS = ("accessKey", "secretKey", "token", "profile", "sharedConfigFiles", "sharedCredentialsFiles")
_ROLES = ("assumeRoles", "allowedAccountIds", "forbiddenAccountIds", "stsRegion")
_ENDPOINTS = ("region", "endpoints", "useDualstackEndpoint", "useFipsEndpoint", "s3UsePathStyle")
_VALIDATION = ("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId")

HONOURED = frozenset({*_CREDENTIALS, *_ROLES, *_ENDPOINTS, "maxRetries", "retryMode", "defaultTags"})
"""The calls honour these as the provider does."""

WITHOUT_EFFECT = frozenset(
    {"ignoreTags", "tagPolicyCompliance", "userAgents", "version", "tokenBucketRateLimiterCapacity", *_VALIDATION}
)
"""These change neither the address nor the credentials nor the connection of a call."""

_VARIABLES = {
    "assumeRoleWithWebIdentity": "AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE",
    "customCaBundle": "AWS_CA_BUNDLE",
    "ec2MetadataServiceEndpoint": "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "ec2MetadataServiceEndpointMode": "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "insecure": "AWS_CA_BUNDLE",
    "noProxy": "NO_PROXY",
    "s3UsEast1RegionalEndpoint": "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
}
"""The calls do not honour these. The provider and boto3 both read the environment variables instead."""

AWS_KEYS = HONOURED | WITHOUT_EFFECT | _VARIABLES.keys()
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
"""The keys in `endpoints` of each service that is called, by boto3's name. The first one given counts
(terraform-provider-aws, names/data/names_data.hcl)."""


def refusals(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys that the calls cannot honour, each with the reason and the way out."""
    for key in sorted(config.keys() - AWS_KEYS):
        yield (
            key,
            "is not a key of this version of the aws provider, so the program's own resources (image mirror, "
            "artifacts, endpoints) do not support it. Remove it, or use an environment variable or an AWS profile.",
        )
    for key in sorted(config.keys() & _VARIABLES.keys()):
        yield (
            key,
            "is not supported for image mirror, artifacts and endpoints. Remove it, and set in the environment: "
            f"{_VARIABLES[key]}.",
        )
    for key in ("sharedConfigFiles", "sharedCredentialsFiles"):
        if isinstance(files := config.get(key), list) and len(files) > 1:
            yield (
                key,
                f"lists {len(files)} files, but the program's own resources (image mirror, artifacts, endpoints) read "
                "only one, because boto3 does. Merge the files.",
            )
