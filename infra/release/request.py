"""What an endpoint is asked to be, and how that differs from what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.release.freeze import FreezeWindow
from infra.release.gates import MinimumInvocations
from infra.release.policy import ReleasePolicy

OWNER_TAG = "triton-sagemaker:stack"
"""Tag that names the stack that an endpoint belongs to: `<project>/<stack>`."""


@dataclass(frozen=True)
class PreviousRelease:
    """The endpoint in the stack's state; by default it is new to the stack."""

    config_name: str = ""
    """The configuration that it served; empty if it had failed."""
    owner: str = ""
    """The owning stack, which may have been renamed since."""
    autoscaled: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags that the stack set; those that are no longer requested are removed."""


@dataclass(frozen=True)
class EndpointRequest:
    """What an endpoint is asked to be."""

    name: str
    config_name: str
    owner: str
    tags: Mapping[str, str]
    autoscaled: bool
    """Whether a scalable target controls the instance count, so that an edited initial count must not reset it."""
    deadline_seconds: int
    """How long to wait for SageMaker at each change."""
    policy: ReleasePolicy
    rollback_alarms: tuple[str, ...] = ()
    """Names of the alarms that roll an update back."""
    minimum_invocations: MinimumInvocations | None = None
    previous: PreviousRelease = PreviousRelease()
    adopt: bool = False
    """Whether an endpoint that belongs to no stack is adopted."""
    freeze_windows: tuple[FreezeWindow, ...] = ()
    """When a serving endpoint is not updated."""
    freeze_override: str | None = None
    """Why it is updated in such a window nevertheless."""

    @property
    def owned_tags(self) -> dict[str, str]:
        """The tags with that of ownership."""
        return {**self.tags, OWNER_TAG: self.owner}

    @property
    def accepted_owners(self) -> set[str | None]:
        """Owner tags this stack may take over from; None means untagged."""
        return {self.owner, self.previous.owner or self.owner, *([None] if self.adopt else [])}

    @property
    def restores_autoscaling(self) -> bool:
        """Whether autoscaling that was removed is restored. If the settings end it, it stays removed; if they begin it,
        or a refresh found it missing, Pulumi registers it after the release."""
        return self.adopt or self.autoscaled == self.previous.autoscaled

    @property
    def registers_autoscaling(self) -> bool:
        """Whether Pulumi registers it, which AWS refuses for a target that was restored too."""
        return self.autoscaled and not self.restores_autoscaling

    @property
    def retags_targets(self) -> bool:
        """Whether the existing scalable targets need other tags. The `aws` provider cannot change them: it tags by the
        ARN in its state, which differs once a release has registered the target again."""
        return self.autoscaled and self.restores_autoscaling and self.tags != self.previous.tags

    @property
    def resets_counts(self) -> bool:
        """Whether the fleet that autoscaling sized so far gets the instance count of the settings."""
        return self.previous.autoscaled and not self.autoscaled

    def excluded_properties(self, live: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
        """What an update must not retain of the live fleet (`ExcludeRetainedVariantProperties`).

        Live counts and weights are retained, so that a fleet scaled out to 8 is released as 8. But a count or weight
        that was edited in the settings must arrive: retaining the live one would hide the edit. So must the count that
        ends autoscaling, and that of a variant that was serverless. An autoscaled count is never edited there, and an
        added variant has its own.

        Args:
            live: the configuration that the endpoint serves, as DescribeEndpointConfig returns it.
            requested: the one that it is updated to.
        """
        excluded = []
        counts = _differing("InitialInstanceCount", live, requested)
        from_serverless = any(before is None for before, _ in counts)
        if self.resets_counts or from_serverless or (counts and not self.autoscaled):
            excluded.append("DesiredInstanceCount")
        if _differing("InitialVariantWeight", live, requested):
            excluded.append("DesiredWeight")
        return excluded


def _differing(key: str, live: Mapping[str, Any], requested: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The old and the new value of the variants that stay and differ in a member."""
    before, after = (
        {variant["VariantName"]: variant.get(key) for variant in config["ProductionVariants"]}
        for config in (live, requested)
    )
    pairs = ((before[name], after[name]) for name in before.keys() & after.keys())
    return [(old, new) for old, new in pairs if old != new]
