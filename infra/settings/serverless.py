"""The settings of a serverless variant, whose capacity AWS starts with the requests."""

from __future__ import annotations

from typing import Any

from infra.release.estimate import Duration
from infra.settings.environment import ContainerSettings
from infra.settings.section import Effect, Section, rule, setting

_CONFIG = "SageMaker API ProductionVariantServerlessConfig"
MAX_CONCURRENCY = 200

MAX_START_SECONDS = 180
"""Until a container answers `/ping`, with the download of the artifact (SageMaker guide, Invoke a serverless
endpoint)."""


def _concurrency(description: str, default: Any = ..., **extra: Any) -> Any:
    return setting(description, default=default, ge=1, le=MAX_CONCURRENCY, source=_CONFIG, **extra)


class ServerlessAutoscalingSettings(Section):
    """Target tracking on the utilization of the provisioned concurrency."""

    min: int = setting(
        "Minimum of the requests for which capacity is always warm (MinCapacity).",
        ge=1,
        le=MAX_CONCURRENCY,
        example=1,
        source="SageMaker guide, Automatically scale Provisioned Concurrency for a serverless endpoint",
    )
    max: int = setting(
        "Maximum of these requests; at most serverless.maxConcurrency (MaxCapacity).",
        ge=1,
        le=MAX_CONCURRENCY,
        example=10,
        source="SageMaker guide, Automatically scale Provisioned Concurrency for a serverless endpoint",
    )
    utilization: float = setting(
        "Target value of SageMakerVariantProvisionedConcurrencyUtilization: the used share of the provisioned "
        "concurrency.",
        default=0.7,
        gt=0,
        lt=1,
        example=0.7,
        source="Application Auto Scaling API MetricType; this project: at 0 and at 1 the target is never reached",
    )

    @rule("min")
    def min_over_max(self) -> str | None:
        return f"{self.min} is more than max ({self.max}). Raise max or lower min." if self.min > self.max else None


class ServerlessSettings(Section):
    """Memory and concurrency of a serverless variant (API `ProductionVariantServerlessConfig`)."""

    memory_mb: int = setting(
        "Memory in MB; the number of vCPUs follows it (MemorySizeInMB).",
        ge=1024,
        le=6144,
        multiple_of=1024,
        example=4096,
        source=f"{_CONFIG} (MemorySizeInMB)",
    )
    max_concurrency: int = _concurrency(
        "Requests that are answered at the same time; SageMaker throttles others (MaxConcurrency).", example=20
    )
    provisioned_concurrency: int | None = _concurrency(
        "Requests for which capacity is always warm, of maxConcurrency (ProvisionedConcurrency). Default: none, so "
        "that the first request after a pause waits for the container to start.",
        default=None,
        example=2,
    )
    autoscaling: ServerlessAutoscalingSettings | None = setting(
        "Scale the provisioned concurrency with the traffic; it is constant by default.",
        default=None,
        source="SageMaker guide, Automatically scale Provisioned Concurrency for a serverless endpoint",
        effect=Effect.IN_PLACE,
    )


class ServerlessVariant(ContainerSettings):
    """A variant without instances."""

    serverless: ServerlessSettings = setting(
        "Serve without instances: AWS starts the container with the requests and stops it when they end.",
        source="SageMaker guide, Deploy models with Amazon SageMaker Serverless Inference",
    )

    @property
    def scaling(self) -> ServerlessAutoscalingSettings | None:
        """How its capacity scales."""
        return self.serverless.autoscaling

    @property
    def provisioned_concurrency(self) -> int | None:
        """Requests for which capacity is warm at the first release."""
        scaling = self.serverless.autoscaling
        return self.serverless.provisioned_concurrency or (scaling.min if scaling else None)

    @property
    def provisioning(self) -> Duration:
        """The time until new capacity answers."""
        return Duration(0, MAX_START_SECONDS)
