"""SageMaker's types."""

from __future__ import annotations

import uuid
from typing import Any

from sandbox.provider.lifecycle import Work
from sandbox.provider.naming import AutoName
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls


def _name_variants(work: Work) -> dict[str, Any]:
    """AWS wants a name for every variant; Terraform makes one up."""
    for variants in ("productionVariants", "shadowProductionVariants"):
        for variant in work.state.get(variants) or []:
            variant.setdefault("variantName", f"terraform-{uuid.uuid4().hex}")
    return work.send("CreateEndpointConfig")


_SAGEMAKER_TAGS = TagCalls("ListTags", "AddTags", "DeleteTags")

TYPES = (
    ResourceType(
        token="aws:sagemaker/model:Model",
        service="sagemaker",
        inputs="name executionRoleArn primaryContainer containers enableNetworkIsolation inferenceExecutionConfig "
        "vpcConfig",
        outputs="arn",
        identity="name",
        autoname=AutoName(longest=63),
        names={"name": "ModelName", "arn": "ModelArn", "tagsAll": "Tags"},
        nested_names={"s3DataSources": "S3DataSource"},
        create="CreateModel",
        reads=(Read("DescribeModel"),),
        delete="DeleteModel",
        replaces="*",
        # terraform-provider-aws marks the block ForceNew but not its arguments: it "updates" and tells AWS nothing
        in_place="vpcConfig.subnets vpcConfig.securityGroupIds",
        defaults={"primaryContainer.mode": "SingleModel", "containers.mode": "SingleModel"},
        sets="subnets securityGroupIds",
        computed="inferenceExecutionConfig modelDataSource additionalModelDataSources",
        tags=_SAGEMAKER_TAGS,
        gone="Could not find",
    ),
    ResourceType(
        token="aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        service="sagemaker",
        inputs="name productionVariants shadowProductionVariants asyncInferenceConfig dataCaptureConfig "
        "executionRoleArn kmsKeyArn",
        outputs="arn",
        identity="name",
        autoname=AutoName(longest=63),
        names={
            "name": "EndpointConfigName",
            "arn": "EndpointConfigArn",
            "kmsKeyArn": "KmsKeyId",
            "tagsAll": "Tags",
        },
        nested_names={"routingConfigs": "RoutingConfig", "includeInferenceResponseIns": "IncludeInferenceResponseIn"},
        create=Step("CreateEndpointConfig", run=_name_variants),
        reads=(Read("DescribeEndpointConfig"),),
        delete="DeleteEndpointConfig",
        replaces="*",
        defaults={"productionVariants.initialVariantWeight": 1, "shadowProductionVariants.initialVariantWeight": 1},
        sets="includeInferenceResponseIns csvContentTypes jsonContentTypes",
        computed="variantName volumeSizeInGb executionRoleArn",
        tags=_SAGEMAKER_TAGS,
        gone="Could not find",
    ),
)
