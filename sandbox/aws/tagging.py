"""The Resource Groups Tagging API's GetResources, of SageMaker's endpoints alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.aws.hosting import Hostings
from sandbox.aws.protocol import AwsError, RequestContext, not_in_sandbox

ENDPOINTS: Final = "sagemaker:endpoint"
MAX_VALUES: Final = 20
"""Of a key in the filters (API GetResources, TagFilters)."""
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50
"""Resources of a page (API GetResources, ResourcesPerPage)."""


class Tagging:
    """Resources have all keys of the filters, each with one of its values if it has any (API GetResources)."""

    def __init__(self, hostings: Hostings) -> None:
        self._hostings = hostings

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> dict[str, Any]:
        if operation != "GetResources" or params.get("ResourceTypeFilters") != [ENDPOINTS]:
            raise not_in_sandbox(f"{operation} of the tagging API, except GetResources of {ENDPOINTS}")
        filters, size = params.get("TagFilters", []), params.get("ResourcesPerPage", DEFAULT_PAGE)
        if "ResourceARNList" in params:
            raise _invalid("ResourceARNList cannot be combined with filters")
        if not 1 <= size <= MAX_PAGE:
            raise _invalid(f"ResourcesPerPage must be 1 to {MAX_PAGE}")
        if any(len(wanted.get("Values", [])) > MAX_VALUES for wanted in filters):
            raise _invalid(f"a key of TagFilters must have at most {MAX_VALUES} values")
        endpoints = [*self._hostings[context.account, context.region].endpoints.values()]
        found = [one for one in endpoints if one.tags and all(_passes(one.tags, wanted) for wanted in filters)]
        start = int(params.get("PaginationToken") or 0)
        return {
            "PaginationToken": str(start + size) if start + size < len(found) else "",
            "ResourceTagMappingList": [
                {"ResourceARN": one.arn, "Tags": [{"Key": key, "Value": value} for key, value in one.tags.items()]}
                for one in found[start : start + size]
            ],
        }


def _passes(tags: Mapping[str, str], wanted: Mapping[str, Any]) -> bool:
    values = wanted.get("Values")
    return wanted["Key"] in tags and (not values or tags[wanted["Key"]] in values)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)
