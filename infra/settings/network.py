"""The settings of the VPC that the serving containers are attached to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from infra.settings.section import Section, rule
from infra.settings.source import according_to

_SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]+$", max_length=32)]
_SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$", max_length=32)]


class VpcSettings(Section):
    """The VPC that the serving containers are attached to (API ``VpcConfig``)."""

    subnet_ids: list[_SubnetId] = Field(
        min_length=1,
        max_length=16,
        description="Subnets, 1 to 16; in two Availability Zones or more, or the endpoint is lost with one.",
        examples=[["subnet-0a1b2c3d", "subnet-4e5f6a7b"]],
        json_schema_extra={"uniqueItems": True} | according_to("SageMaker API Subnets"),
    )
    security_group_ids: list[_SecurityGroupId] = Field(
        min_length=1,
        max_length=5,
        description="Security groups, 1 to 5.",
        examples=[["sg-0a1b2c3d"]],
        json_schema_extra={"uniqueItems": True} | according_to("SageMaker API VpcSecurityGroupIds"),
    )

    @rule("subnetIds")
    def each_subnet_is_named_once(self) -> str | None:
        return _repeated(self.subnet_ids)

    @rule("securityGroupIds")
    def each_security_group_is_named_once(self) -> str | None:
        return _repeated(self.security_group_ids)


def _repeated(ids: list[str]) -> str | None:
    repeated = {each for each in ids if ids.count(each) > 1}
    return f"{', '.join(sorted(repeated))}: named more than once." if repeated else None
