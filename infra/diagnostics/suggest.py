"""Which word was meant by one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache

AWS_WORDS: Mapping[str, tuple[str, ...]] = {
    "MinCapacity": ("min",),  # RegisterScalableTarget
    "MaxCapacity": ("max",),
    "MinInstanceCount": ("min",),  # CreateEndpointConfig, ProductionVariantManagedInstanceScaling
    "MaxInstanceCount": ("max",),
    "TargetValue": ("invocationsPerInstance",),  # PutScalingPolicy, TargetTrackingScalingPolicyConfiguration
    "ModelDataUrl": ("artifact", "model"),  # CreateModel, ContainerDefinition
    "DeploymentConfig": ("release",),  # UpdateEndpoint
    "Type": ("strategy",),  # UpdateEndpoint, TrafficRoutingConfig
    "WaitIntervalInSeconds": ("intervalSeconds", "bakeSeconds"),  # UpdateEndpoint, TrafficRoutingConfig
    "MaximumExecutionTimeoutInSeconds": ("timeoutSeconds",),  # UpdateEndpoint, BlueGreenUpdatePolicy
    "MaximumBatchSize": ("percent",),  # UpdateEndpoint, RollingUpdatePolicy
    "RollbackMaximumBatchSize": ("rollbackPercent",),
    "CanarySize": ("percent",),  # UpdateEndpoint, TrafficRoutingConfig
    "LinearStepSize": ("percent",),
    "AlarmName": ("existing",),  # UpdateEndpoint, Alarm
}
"""What AWS calls the keys that have another name here, by the operation whose parameters they are."""

OTHERS_WORDS: Mapping[str, tuple[str, ...]] = {
    "replicas": ("initialInstanceCount",),  # Kubernetes
    "instances": ("initialInstanceCount",),
    "count": ("initialInstanceCount",),
    "desiredCount": ("initialInstanceCount",),  # ECS
    "minReplicas": ("min",),  # Kubernetes, HorizontalPodAutoscaler
    "maxReplicas": ("max",),
    "cron": ("schedule",),
}
"""What others call them."""

_SHORTEST_BEGINNING = 3
"""Letters of a word that tell which one is meant where a single one begins with them: `env`, `prod`."""

_LEAST_ALIKE = 0.67
"""By difflib's ratio; below, `artifact` is taken for `variants`."""


def same(word: str, known: Iterable[str]) -> str | None:
    """The known word that is written the same but for its case, or is another name for the same."""
    by_plain = _by_plain(tuple(known))
    others = (each for each in _OTHERS.get(_plain(word), ()) if each in by_plain.values())
    return by_plain.get(_plain(word)) or next(others, None)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is another name for the same, begins like it or is spelled like it, whatever the case."""
    by_plain = _by_plain(tuple(known))
    plain = _plain(word)
    if found := same(word, by_plain.values()):
        return found
    beginning = [each for each in by_plain if each.startswith(plain)] if len(plain) >= _SHORTEST_BEGINNING else []
    if len(beginning) != 1:
        beginning = difflib.get_close_matches(plain, by_plain, n=1, cutoff=_LEAST_ALIKE)
    return by_plain[beginning[0]] if beginning else None


@lru_cache(maxsize=1024)
def _by_plain(known: tuple[str, ...]) -> Mapping[str, str]:
    return {_plain(each): each for each in known}


def _plain(word: str) -> str:
    """Without what differs between camelCase, snake_case and kebab-case."""
    return word.casefold().replace("_", "").replace("-", "")


_OTHERS = {_plain(word): ours for word, ours in {**OTHERS_WORDS, **AWS_WORDS}.items()}
