"""The settings of a serverless variant, whose capacity AWS starts with the requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from infra.aws.hardware import Hardware, ServerlessContainer
from infra.diagnostics.problem import Problem
from infra.release.estimate import SERVERLESS_START_SECONDS, Duration
from infra.settings.autoscaling import outside_range, over_maximum
from infra.settings.environment import ONE_MODE, ContainerSettings
from infra.settings.section import Effect, Section, rule, setting

_CONFIG = "SageMaker API ProductionVariantServerlessConfig"
_AUTOSCALING = "SageMaker guide, Automatically scale Provisioned Concurrency for a serverless endpoint"
MAX_CONCURRENCY = 200


def _concurrency(description: str, default: Any = ..., **extra: Any) -> Any:
    return setting(description, default=default, ge=1, le=MAX_CONCURRENCY, source=_CONFIG, **extra)


class ServerlessAutoscalingSettings(Section):
    """Target tracking on the utilization of the provisioned concurrency."""

    min: int = setting(
        "Minimum of the requests for which capacity is always warm (MinCapacity). Without provisionedConcurrency it is "
        "in the endpoint configuration too, so that a change is a release.",
        ge=1,
        le=MAX_CONCURRENCY,
        example=1,
        source=_AUTOSCALING,
    )
    max: int = setting(
        "Maximum of these requests; at most serverless.maxConcurrency (MaxCapacity).",
        ge=1,
        le=MAX_CONCURRENCY,
        example=10,
        source=_AUTOSCALING,
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
        return over_maximum(self.min, self.max)


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
        source=_AUTOSCALING,
        effect=Effect.IN_PLACE,
    )

    @rule("provisionedConcurrency")
    def provisioned_over_max_concurrency(self) -> str | None:
        """SageMaker API ProductionVariantServerlessConfig, ProvisionedConcurrency."""
        provisioned = self.provisioned_concurrency
        if provisioned is None or provisioned <= self.max_concurrency:
            return None
        return (
            f"{provisioned} is more than maxConcurrency ({self.max_concurrency}), of which it is a part "
            "(ProductionVariantServerlessConfig). Lower it, or raise maxConcurrency."
        )

    @rule("autoscaling.max")
    def autoscaling_over_max_concurrency(self) -> str | None:
        """SageMaker API ProductionVariantServerlessConfig, ProvisionedConcurrency."""
        if self.autoscaling is None or self.autoscaling.max <= self.max_concurrency:
            return None
        return (
            f"{self.autoscaling.max} is more than maxConcurrency ({self.max_concurrency}), which limits the "
            "provisioned concurrency (ProductionVariantServerlessConfig). Lower it, or raise maxConcurrency."
        )

    @rule("provisionedConcurrency")
    def provisioned_outside_autoscaling(self) -> str | None:
        scaling, provisioned = self.autoscaling, self.provisioned_concurrency
        if scaling is None or provisioned is None:
            return None
        return outside_range(provisioned, scaling.min, scaling.max)


_EXCLUSIONS = "SageMaker guide, Serverless Inference, Feature exclusions"


class ServerlessVariant(ContainerSettings):
    """A variant without instances."""

    excluded: ClassVar[Mapping[str, Problem]] = {
        "instanceType": Problem(
            "serverless-instance-type",
            "selects instances, and a serverless variant has none (API ProductionVariant). Remove the key, and choose "
            "serverless.memoryMb instead.",
        ),
        "initialInstanceCount": Problem(
            "serverless-instance-count",
            "counts instances, and a serverless variant has none (API ProductionVariant). Remove the key, and set "
            "serverless.maxConcurrency instead.",
        ),
        "autoscaling": Problem(
            "serverless-instance-autoscaling",
            "scales instances, and a serverless variant has none. AWS scales it up to serverless.maxConcurrency; for "
            "warm capacity, set serverless.autoscaling.",
        ),
        "allowSingleInstance": Problem(
            "serverless-single-instance",
            "accepts a fleet of one instance, and a serverless variant has no fleet. Remove the key.",
        ),
        "startupHealthCheckSeconds": Problem(
            "serverless-startup-timeout",
            "applies to instances. A serverless container must always answer /ping within "
            f"{SERVERLESS_START_SECONDS} s (SageMaker guide, Invoke a serverless endpoint). Remove the key; a "
            "slower model needs instances.",
        ),
        "modelDataDownloadSeconds": Problem(
            "serverless-download-timeout",
            f"applies to instances. A serverless container has {SERVERLESS_START_SECONDS} s for download and start "
            "together (SageMaker guide, Invoke a serverless endpoint). Remove the key; a slower model needs instances.",
        ),
        "volumeSizeGb": Problem(
            "serverless-volume",
            "is the storage of instances. A serverless container always has 5 GB (SageMaker guide, Serverless "
            "Inference, Memory size). Remove the key; a larger model needs instances.",
        ),
        "inferenceAmiVersion": Problem(
            "serverless-ami",
            f"selects the driver of accelerators, which serverless variants do not have ({_EXCLUSIONS}: GPUs). Remove "
            "the key; a model on GPUs needs instances.",
        ),
        "enableNetworkIsolation": Problem(
            "serverless-network-isolation",
            f"is not supported by serverless variants ({_EXCLUSIONS}). Remove the key, or serve the model on "
            "instances.",
        ),
        "initialVariantWeight": Problem(
            "serverless-weight",
            f"shares traffic between variants, and a serverless endpoint has one variant ({_EXCLUSIONS}). Remove the "
            "key.",
        ),
        "batch": Problem("several-modes", f"is combined with serverless. {ONE_MODE} Remove one of the two."),
    }

    serverless: ServerlessSettings = setting(
        f"Serve without instances: AWS starts the container with the requests and stops it when they end. {ONE_MODE}",
        source="SageMaker guide, Deploy models with Amazon SageMaker Serverless Inference",
    )

    @property
    def scaling(self) -> ServerlessAutoscalingSettings | None:
        """How its capacity scales."""
        return self.serverless.autoscaling

    @property
    def hardware(self) -> Hardware:
        return ServerlessContainer(self.serverless.memory_mb)

    @property
    def provisioned_concurrency(self) -> int | None:
        """Requests for which capacity is warm at the first release."""
        scaling = self.serverless.autoscaling
        return self.serverless.provisioned_concurrency or (scaling.min if scaling else None)

    @property
    def provisioning(self) -> Duration:
        """The time until new capacity answers."""
        return Duration(0, SERVERLESS_START_SECONDS)
