"""What an endpoint is asked to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.release.alarms import MinimumInvocations
from infra.release.freeze import FreezeWindow
from infra.release.policy import ReleasePolicy

OWNER_TAG = "triton-sagemaker:stack"
"""Tag that says which stack an endpoint belongs to: `<project>/<stack>`."""


@dataclass(frozen=True)
class EndpointRequest:
    """What an endpoint is asked to be."""

    name: str
    config_name: str
    owner: str
    tags: Mapping[str, str]
    autoscaled: bool
    """Whether a scalable target moves the instance count, so that an edited initial count must not reset it."""
    deadline_seconds: int
    """How long to wait for SageMaker, for each change that is waited for."""
    policy: ReleasePolicy
    rollback_alarms: tuple[str, ...] = ()
    """Names of the alarms that roll an update back."""
    minimum_invocations: MinimumInvocations | None = None
    former_config_name: str | None = None
    """What it was last known to serve; None if nothing was."""
    former_owner: str | None = None
    """What the owning stack was called before it was renamed."""
    formerly_autoscaled: bool = False
    """Whether a scalable target moved the instance count so far."""
    former_tags: Mapping[str, str] = field(default_factory=dict)
    """Tags that an earlier request put there; those that are no longer asked for go."""
    adopt: bool = False
    """Whether an endpoint that belongs to no stack is taken over."""
    freeze_windows: tuple[FreezeWindow, ...] = ()
    """When an endpoint that serves is not updated."""
    freeze_override: str | None = None
    """Why it is updated in such a window nevertheless."""

    @property
    def owned_tags(self) -> dict[str, str]:
        """The tags with that of ownership."""
        return {**self.tags, OWNER_TAG: self.owner}

    @property
    def holders(self) -> set[str | None]:
        """Whom the endpoint may belong to so far; None is nobody."""
        return {self.owner, self.former_owner or self.owner, *((None,) if self.adopt else ())}

    @property
    def keeps_autoscaling(self) -> bool:
        """Whether autoscaling that is off is put back. What the settings end is over with the release, and what they
        begin, or a refresh found missing, Pulumi registers after it."""
        return self.adopt or self.autoscaled == self.formerly_autoscaled

    @property
    def begins_autoscaling(self) -> bool:
        """Whether Pulumi registers what is put back too, and would be refused."""
        return self.autoscaled and not self.keeps_autoscaling

    @property
    def changes_tags_of_targets(self) -> bool:
        """Whether the scalable targets, which exist already, get other tags. The `aws` provider cannot change them: it
        tags by the ARN in its state, and a target registered anew for a release has another one."""
        return self.autoscaled and self.keeps_autoscaling and self.tags != self.former_tags

    @property
    def fixes_counts(self) -> bool:
        """Whether the fleet that autoscaling sized so far becomes the one of the settings."""
        return self.formerly_autoscaled and not self.autoscaled
