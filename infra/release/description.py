"""What SageMaker says of an endpoint, read once and named. Pure: no calls are made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
"""Statuses (API `EndpointStatus`) that end by themselves. SageMaker refuses changes while they last."""


@dataclass(frozen=True)
class EndpointDescription:
    """An answer of DescribeEndpoint."""

    name: str
    arn: str
    status: str
    config_name: str
    heading_for: str
    """The configuration that is being rolled out; the live one when nothing is."""
    failure_reason: str
    modified: str = ""
    """When SageMaker last changed the endpoint."""
    variants: tuple[str, ...] = ()
    """The state of each variant, as `AllTraffic 2 of 2 instances`, of the fleet that is coming up when there is one."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> EndpointDescription:
        pending = answer.get("PendingDeploymentSummary") or {}
        return cls(
            name=answer["EndpointName"],
            arn=answer["EndpointArn"],
            status=answer["EndpointStatus"],
            config_name=answer.get("EndpointConfigName", ""),
            heading_for=pending.get("EndpointConfigName") or answer.get("EndpointConfigName", ""),
            failure_reason=answer.get("FailureReason", ""),
            modified=str(answer.get("LastModifiedTime", "")),
            variants=tuple(_variants(pending.get("ProductionVariants") or answer.get("ProductionVariants") or [])),
        )

    @property
    def in_progress(self) -> bool:
        return self.status in IN_PROGRESS

    @property
    def progress(self) -> str:
        return "; ".join((self.status, *self.variants))

    def serves(self, config_name: str) -> bool:
        """InService alone is not enough: after a rollback SageMaker is InService on the old configuration."""
        return self.status == "InService" and self.config_name == config_name

    def with_reason(self, reason: str) -> EndpointDescription:
        """The same with the last reason that was seen: SageMaker may empty it once a rollback is over."""
        return replace(self, failure_reason=self.failure_reason or reason)


def _variants(summaries: list[Mapping[str, Any]]) -> Iterator[str]:
    for each in summaries:
        states = ", ".join(status["Status"] for status in each.get("VariantStatus", []))
        counts = f"{each.get('CurrentInstanceCount', 0)} of {each.get('DesiredInstanceCount', '?')} instances"
        yield f"{each['VariantName']} {states + ', ' if states else ''}{counts}"


def excluded_properties(live: Mapping[str, Any], requested: Mapping[str, Any], *, autoscaled: bool) -> list[str]:
    """What an update must not keep of the live fleet (`ExcludeRetainedVariantProperties`), given two endpoint
    configurations.

    Live counts and weights are kept, so that a fleet scaled out to 8 is released as 8. But a count or weight that
    somebody edited in the settings has to arrive: keeping the live one would hide the edit. An autoscaled count is
    never edited there.
    """
    excluded = []
    if not autoscaled and _by_variant(live, "InitialInstanceCount") != _by_variant(requested, "InitialInstanceCount"):
        excluded.append("DesiredInstanceCount")
    if _by_variant(live, "InitialVariantWeight") != _by_variant(requested, "InitialVariantWeight"):
        excluded.append("DesiredWeight")
    return excluded


def _by_variant(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {variant["VariantName"]: variant.get(key) for variant in config["ProductionVariants"]}
