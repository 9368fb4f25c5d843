"""SageMaker's deployment guardrails, which cannot watch over every update."""

from __future__ import annotations

from collections.abc import Set

from infra.release.gate import ReleaseRefused
from infra.release.policy import ReleasePolicy


class VariantsDiffer(ReleaseRefused):
    """A strategy that moves traffic in steps was asked for, from one set of variants to another."""


def guard(endpoint: str, policy: ReleasePolicy, live: Set[str], requested: Set[str]) -> bool:
    """Whether guardrails watch over an update from the variants `live` to `requested`: both must have the same names
    (developer guide, "Deployment guardrails", Exclusions). Without them SageMaker moves all traffic at once and looks
    at no alarm.

    Raises:
        VariantsDiffer: the names differ, and the strategy is another than all at once.
    """
    if live == requested:
        return True
    if policy.strategy != "allAtOnce":
        raise VariantsDiffer(
            endpoint,
            [
                f"it serves {_names(live)}, and the release is of {_names(requested)}. SageMaker moves traffic by "
                f"{policy.strategy} only between the same variants. Set release.strategy: allAtOnce for this change."
            ],
        )
    return False


def _names(variants: Set[str]) -> str:
    noun = "variant" if len(variants) == 1 else "variants"
    return f"{noun} {', '.join(sorted(variants))}"
