"""The configuration of the aws provider, as far as a stack file is checked for it."""

from __future__ import annotations

AWS_KEYS = frozenset(
    {
        *("accessKey", "secretKey", "token", "profile", "region", "sharedConfigFiles", "sharedCredentialsFiles"),
        *("assumeRoles", "assumeRoleWithWebIdentity", "allowedAccountIds", "forbiddenAccountIds", "stsRegion"),
        *("endpoints", "useDualstackEndpoint", "useFipsEndpoint", "s3UsePathStyle", "s3UsEast1RegionalEndpoint"),
        *("httpProxy", "httpsProxy", "noProxy", "customCaBundle", "insecure", "maxRetries", "retryMode"),
        *("defaultTags", "ignoreTags", "tagPolicyCompliance", "userAgents", "tokenBucketRateLimiterCapacity"),
        *("ec2MetadataServiceEndpoint", "ec2MetadataServiceEndpointMode", "skipCredentialsValidation"),
        *("skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId", "version"),
    }
)
"""Keys of pulumi-aws (pulumi.com/registry/packages/aws/installation-configuration)."""
