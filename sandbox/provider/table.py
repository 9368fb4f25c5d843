"""The table of types: what a program may use on the sandbox.

To add a type, add an entry to its service's file in `services/`: the properties as pulumi-aws names them, boto3's
operations, and what terraform-provider-aws says about defaults and replacement. A function is needed only where one
call does not do.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.provider.resource_type import ResourceType
from sandbox.provider.services import autoscaling, budgets, cloudwatch, ecr, firehose, iam, kms, s3, sagemaker, sns

_SERVICES = (autoscaling, budgets, cloudwatch, ecr, firehose, iam, kms, s3, sagemaker, sns)

TYPES: Mapping[str, ResourceType] = {entry.token: entry for service in _SERVICES for entry in service.TYPES}


class UnknownType(Exception):
    """A program uses a type that the table does not hold."""


def find(token: str) -> ResourceType:
    """The table's entry for a Pulumi type.

    Raises:
        UnknownType: there is none.
    """
    if token not in TYPES:
        raise UnknownType(
            f"{token} is not among the {len(TYPES)} types that the sandbox's stand-in for pulumi-aws knows. "
            "To add it, see sandbox/provider/table.py."
        )
    return TYPES[token]
