"""ECR's types."""

from __future__ import annotations

from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, TagCalls

TYPES = (
    ResourceType(
        token="aws:ecr/repository:Repository",
        service="ecr",
        inputs="name encryptionConfigurations forceDelete imageScanningConfiguration imageTagMutability "
        "imageTagMutabilityExclusionFilters",
        outputs="arn registryId repositoryUrl",
        identity="name",
        autoname=AutoName(longest=255),
        names={
            "name": ("repositoryName", "repositoryNames"),
            "arn": "repositoryArn",
            "repositoryUrl": "repositoryUri",
            "encryptionConfigurations": "encryptionConfiguration",
            "forceDelete": "force",
            "tagsAll": "tags",
        },
        create="CreateRepository",
        reads=(Read("DescribeRepositories", result="repositories"),),
        updates=("PutImageTagMutability", "PutImageScanningConfiguration"),
        delete="DeleteRepository",
        replaces="name encryptionConfigurations",
        defaults={"imageTagMutability": "MUTABLE"},
        computed="encryptionConfigurations kmsKey",
        write_only="forceDelete",
        tags=TagCalls("ListTagsForResource", "TagResource", "UntagResource", result="tags"),
    ),
    ResourceType(
        token="aws:ecr/lifecyclePolicy:LifecyclePolicy",
        service="ecr",
        inputs="repository policy",
        outputs="registryId",
        identity="repository",
        id="{repository}",
        names={"repository": "repositoryName", "policy": "lifecyclePolicyText"},
        create="PutLifecyclePolicy",
        reads=(Read("GetLifecyclePolicy"),),
        delete="DeleteLifecyclePolicy",
        replaces="repository policy",
        delete_before_replace=True,
        documents="policy",
    ),
)
