"""The settings of the VPC that the serving containers are attached to."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from infra.settings.section import Section, setting, unique

_SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$", max_length=32)]
_SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$", max_length=32)]


class VpcSettings(Section):
    """The VPC that the serving containers are attached to (API `VpcConfig`)."""

    subnet_ids: Annotated[list[_SubnetId], AfterValidator(unique)] = setting(
        "Subnets. Use at least two Availability Zones, so that the endpoint survives the loss of one.",
        min_length=1,
        max_length=16,
        example=["subnet-0a1b2c3d", "subnet-4e5f6a7b"],
        source="SageMaker API Subnets",
        schema={"uniqueItems": True},
    )
    security_group_ids: Annotated[list[_SecurityGroupId], AfterValidator(unique)] = setting(
        "Security groups.",
        min_length=1,
        max_length=5,
        example=["sg-0a1b2c3d"],
        source="SageMaker API VpcSecurityGroupIds",
        schema={"uniqueItems": True},
    )
