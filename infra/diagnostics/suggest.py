"""The word or value that somebody probably intended."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

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
"""AWS's words for keys that have another name here, by the operation whose parameters they are."""

OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "replicas": ("initialInstanceCount",),  # Kubernetes
    "instances": ("initialInstanceCount",),
    "count": ("initialInstanceCount",),
    "desiredCount": ("initialInstanceCount",),  # ECS
    "minReplicas": ("min",),  # Kubernetes, HorizontalPodAutoscaler
    "maxReplicas": ("max",),
    "cron": ("schedule",),
}
"""Words of other systems."""

_SHORTEST_BEGINNING = 3
"""Letters of a word that identify the only one that begins with them: `env`, `prod`."""

_LEAST_ALIKE = 0.67
"""By difflib's ratio; below it, `artifact` is like `variants`."""

_BOOLEANS = {"true": True, "yes": True, "on": True, "y": True, "false": False, "no": False, "off": False, "n": False}
"""Words of YAML 1.1 and of people for true and false."""

_NUMBER = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?")
"""Without a leading zero: 010 may be octal, or text."""

_RELEASE = re.compile(r"\d\d\.\d\d-py3")
"""A release of Triton, as AWS tags its image."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is a synonym, or begins or is spelled like the word, in any case."""
    return _nearest(word, tuple(known))


@lru_cache(maxsize=1024)
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    by_plain = {_plain(known_word): known_word for known_word in known}
    plain = _plain(word)
    synonyms = (synonym for synonym in _SYNONYMS.get(plain, ()) if synonym in by_plain.values())
    if match := by_plain.get(plain) or next(synonyms, None):
        return match
    matches = [other for other in by_plain if other.startswith(plain)] if len(plain) >= _SHORTEST_BEGINNING else []
    if len(matches) != 1:
        matches = difflib.get_close_matches(plain, by_plain, n=1, cutoff=_LEAST_ALIKE)
    return by_plain[matches[0]] if matches else None


def correction(error: ErrorDetails, field: FieldInfo) -> Any:
    """The value to write instead of an invalid one; None if it is not clear."""
    given = error["input"]
    match error["type"]:
        case "int_type" | "float_type" if isinstance(given, str) and _NUMBER.fullmatch(given.strip()):
            number = float(given)
            if number.is_integer():
                return int(number)
            return number if error["type"] == "float_type" else None
        case "bool_type" if isinstance(given, str):
            return _BOOLEANS.get(given.casefold())
        case "union_tag_invalid" | "enum" | "literal_error" if isinstance(given, str):
            context = error["ctx"]
            choices = re.findall(r"'([^']+)'", context.get("expected") or context["expected_tags"])
            return nearest(given, choices)
        case "string_type" | "string_pattern_mismatch" if isinstance(given, str | float):
            return _release(given) if _RELEASE.fullmatch(str((field.examples or [""])[0])) else None
    return None


def _release(given: str | float) -> str | None:
    """The tag of a release: YAML reads 23.10 as the number 23.1."""
    tag = f"{given:.2f}-py3" if isinstance(given, float) else f"{given}-py3"
    return tag if _RELEASE.fullmatch(tag) else None


def _plain(word: str) -> str:
    """Without the differences between camelCase, snake_case and kebab-case."""
    return word.casefold().replace("_", "").replace("-", "")


_SYNONYMS = {_plain(word): ours for word, ours in {**OTHER_WORDS, **AWS_WORDS}.items()}
