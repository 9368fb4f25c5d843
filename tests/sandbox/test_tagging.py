"""The tagging API finds endpoints by their tags, as AWS pages and limits it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Host, RunningAws

ENDPOINTS = ["sagemaker:endpoint"]


def test_endpoints_are_found_by_their_tags(host: Host) -> None:
    tagging = host.aws.client("resourcegroupstaggingapi")
    config = host.config()
    owners = {host.endpoint(config, wait=None, Tags=[{"Key": "k", "Value": owner}]): owner for owner in ("a", "a", "b")}
    untagged = host.endpoint(config, wait=None)

    def found(*values: str, size: int = 50, key: str = "k") -> list[list[str]]:
        filters = [{"Key": key, **({"Values": [*values]} if values else {})}] if key else []
        pages = tagging.get_paginator("get_resources").paginate(
            ResourceTypeFilters=ENDPOINTS, TagFilters=filters, PaginationConfig={"PageSize": size}
        )
        return [[each["ResourceARN"].rpartition("/")[2] for each in page["ResourceTagMappingList"]] for page in pages]

    of_a = sorted(name.lower() for name, owner in owners.items() if owner == "a")
    assert [sorted(page) for page in found("a")] == [of_a]
    assert sorted(name for page in found("a", size=1) for name in page) == of_a
    assert [len(page) for page in found(size=2)] == [2, 1]
    assert found("c") == [[]]
    assert not {untagged.lower()} & {name for page in found(key="") for name in page}


@pytest.mark.parametrize(
    "params",
    [
        {"ResourcesPerPage": 101},
        {"ResourcesPerPage": 0},
        {"TagFilters": [{"Key": "k", "Values": [str(number) for number in range(21)]}]},
        {"ResourceARNList": ["arn:aws:sagemaker:ap-northeast-1:123456789012:endpoint/e"]},
    ],
)
def test_what_the_api_refuses(aws: RunningAws, params: dict[str, Any]) -> None:
    """API GetResources."""
    with pytest.raises(ClientError, match="InvalidParameterException"):
        aws.client("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=ENDPOINTS, **params)
