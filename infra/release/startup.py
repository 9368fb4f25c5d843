"""A container that did not answer SageMaker's health check in time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from infra.aws import instance_types
from infra.release.log import errors

_PING_FAILED = re.compile(r"container for production variant (\S+) did not pass the ping health check")
"""FailureReason in https://github.com/aws/amazon-sagemaker-examples/issues/210."""


def too_slow(reason: str, config: Mapping[str, Any] | None, log: Sequence[str]) -> str | None:
    """Which limit a container ran into that logged no error; None if its log says why it failed.

    Args:
        reason: SageMaker's FailureReason.
        config: the answer of DescribeEndpointConfig.
        log: what the containers logged; empty if it cannot be read.
    """
    found = _PING_FAILED.search(reason)
    if found is None or errors(log):
        return None
    variants = config["ProductionVariants"] if config else []
    limits = {each["VariantName"]: each.get("ContainerStartupHealthCheckTimeoutInSeconds") for each in variants}
    limit = limits.get(found[1])
    if limit is None:
        return None
    silent = "logged no error, and " if log else ""
    return (
        f"The container of variant {found[1]} {silent}did not answer /ping within startupHealthCheckSeconds "
        f"({limit} s). If the model needs longer to load, raise startupHealthCheckSeconds."
    )


def has_gpu(config: Mapping[str, Any] | None) -> bool:
    """Whether an instance of the configuration has a GPU; True if that is not known."""
    if config is None:
        return True
    return any(instance_types.has_gpu(each.get("InstanceType", "")) for each in config["ProductionVariants"])

