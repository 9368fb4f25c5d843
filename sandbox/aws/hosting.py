"""What SageMaker keeps of an account in a region (models, configurations, endpoints), and how it lists it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.aws.endpoint import Endpoint
from sandbox.aws.fleet import Variant
from sandbox.aws.protocol import RequestContext

if TYPE_CHECKING:
    from sandbox.aws.transform import Job

Answer = dict[str, Any]


@dataclass
class Definition:
    """A model, an endpoint configuration or a transform job: the request that made it, and what AWS added."""

    request: Mapping[str, Any]
    arn: str
    tags: dict[str, str]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


class Hosting:
    """What one account has in one region. Names that differ only in case collide, because ARNs are in lower case."""

    def __init__(self) -> None:
        self.models: dict[str, Definition] = {}
        self.configs: dict[str, Definition] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.jobs: dict[str, Job] = {}

    def endpoint(self, name: str) -> Endpoint | None:
        return self.endpoints.get(name.lower())

    def variant(self, endpoint: str, variant: str) -> Variant | None:
        """A variant that is in service."""
        owner = self.endpoint(endpoint)
        return owner.fleet.variant(variant) if owner and owner.fleet else None


Hostings = defaultdict[tuple[str, str], Hosting]


def configs_in_use(hosting: Hosting, endpoint: Endpoint) -> list[Definition]:
    """The configurations that an endpoint serves or is being updated to."""
    return [hosting.configs[name.lower()] for name in endpoint.config_names]


def arn_of(context: RequestContext, kind: str, name: str) -> str:
    return context.arn("sagemaker", f"{kind}/{name.lower()}")


def tags_of(params: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags", [])}


def summaries_of(kind: str, definitions: Iterable[Definition]) -> list[Answer]:
    return [
        {f"{kind}Name": item.request[f"{kind}Name"], f"{kind}Arn": item.arn, "CreationTime": item.created}
        for item in definitions
    ]


def page_of(member: str, kind: str, items: list[Answer], params: Mapping[str, Any]) -> Answer:
    """A page of a list operation: filtered, newest first unless asked otherwise, 10 items unless asked otherwise."""
    sort_by = {"Name": f"{kind}Name", "Status": f"{kind}Status"}.get(params.get("SortBy", ""), "CreationTime")
    descending = params.get("SortOrder", "Descending") == "Descending"
    chosen = [item for item in items if _chosen(item, kind, params)]
    chosen.sort(key=lambda item: item[sort_by], reverse=descending)
    first = int(params.get("NextToken", 0))
    last = first + params.get("MaxResults", 10)
    return {member: chosen[first:last], "NextToken": str(last) if last < len(chosen) else None}


def _chosen(item: Answer, kind: str, params: Mapping[str, Any]) -> bool:
    times = ("CreationTime", "LastModifiedTime")
    return (
        params.get("NameContains", "").lower() in item[f"{kind}Name"].lower()
        and all(item[t] <= params[f"{t}Before"] for t in times if f"{t}Before" in params)
        and all(item[t] >= params[f"{t}After"] for t in times if f"{t}After" in params)
    )
