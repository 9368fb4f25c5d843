"""An endpoint as SageMaker describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from infra.aws.mode import Mode

IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
"""Statuses (API `EndpointStatus`) that end by themselves. SageMaker refuses changes until then."""

SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})
"""Statuses in which an endpoint answers."""


@dataclass(frozen=True)
class VariantDescription:
    """A variant in an answer of DescribeEndpoint."""

    name: str
    stages: Mapping[str, float | None]
    """The variant's stages (API `VariantStatus`) and when they began, in seconds since 1970."""
    current_instances: int
    desired_instances: int | None
    is_serverless: bool = False
    max_concurrency: int = 0
    """Of a serverless variant: the requests that it answers at the same time."""
    provisioned_concurrency: int | None = None
    """Of a serverless variant: those of them for which capacity is kept warm."""
    weight: float = 1.0
    image: str = ""
    """By digest, of the first container; empty if SageMaker does not say."""

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> VariantDescription:
        serverless = summary.get("DesiredServerlessConfig") or summary.get("CurrentServerlessConfig")
        return cls(
            name=summary["VariantName"],
            stages={
                status["Status"]: timestamp(status.get("StartTime")) for status in summary.get("VariantStatus", [])
            },
            current_instances=summary.get("CurrentInstanceCount", 0),
            desired_instances=summary.get("DesiredInstanceCount"),
            is_serverless=serverless is not None,
            max_concurrency=(serverless or {}).get("MaxConcurrency", 0),
            provisioned_concurrency=(serverless or {}).get("ProvisionedConcurrency"),
            weight=summary.get("DesiredWeight", 1.0),
            image=next((image.get("ResolvedImage", "") for image in summary.get("DeployedImages", [])), ""),
        )

    @property
    def capacity(self) -> int | None:
        """What autoscaling changes: the number of instances, or the provisioned concurrency."""
        return self.provisioned_concurrency if self.is_serverless else self.desired_instances

    def __str__(self) -> str:
        return " ".join([self.name, ", ".join([*self.stages, self._size])])

    @property
    def _size(self) -> str:
        if self.is_serverless:
            provisioned = self.provisioned_concurrency
            return f"serverless, provisioned concurrency {provisioned}" if provisioned else "serverless"
        desired = "?" if self.desired_instances is None else self.desired_instances
        return f"{self.current_instances} of {desired} instances"


@dataclass(frozen=True)
class EndpointDescription:
    """An answer of DescribeEndpoint."""

    name: str
    arn: str
    status: str
    config_name: str
    target_config: str
    """The configuration that is being rolled out; the live one if none is."""
    failure_reason: str
    created: float | None = None
    """In seconds since 1970."""
    modified: float | None = None
    """When SageMaker last changed the endpoint, in seconds since 1970."""
    variants: tuple[VariantDescription, ...] = ()
    """Of the new fleet during a rollout, else of the live one."""
    live_variants: tuple[VariantDescription, ...] = ()
    """Of the fleet in service."""
    rollout_began: float | None = None
    """When the present rollout began, in seconds since 1970."""
    execution_timeout_seconds: int = 0
    """When SageMaker gives up the most recent rollout, of any party; 0 if SageMaker does not say."""
    deployment: Mapping[str, Any] = field(default_factory=dict)
    """The most recent DeploymentConfig. AWS does not document whether it is that of the rollout in progress."""
    is_asynchronous: bool = False

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> EndpointDescription:
        pending = answer.get("PendingDeploymentSummary") or {}
        deployment = answer.get("LastDeploymentConfig") or {}
        update = deployment.get("RollingUpdatePolicy") or deployment.get("BlueGreenUpdatePolicy") or {}
        live = answer.get("ProductionVariants") or []
        return cls(
            name=answer["EndpointName"],
            arn=answer["EndpointArn"],
            status=answer["EndpointStatus"],
            config_name=answer.get("EndpointConfigName", ""),
            target_config=pending.get("EndpointConfigName") or answer.get("EndpointConfigName", ""),
            failure_reason=answer.get("FailureReason", ""),
            created=timestamp(answer.get("CreationTime")),
            modified=timestamp(answer.get("LastModifiedTime")),
            variants=tuple(map(VariantDescription.of, pending.get("ProductionVariants") or live)),
            live_variants=tuple(map(VariantDescription.of, live)),
            rollout_began=timestamp(pending.get("StartTime")),
            execution_timeout_seconds=int(update.get("MaximumExecutionTimeoutInSeconds", 0)),
            deployment=deployment,
            is_asynchronous="AsyncInferenceConfig" in answer,
        )

    @property
    def mode(self) -> Mode:
        """How it serves, or will serve once it is created."""
        if self.is_asynchronous:
            return Mode.ASYNCHRONOUS
        serverless = any(variant.is_serverless for variant in (*self.live_variants, *self.variants))
        return Mode.SERVERLESS if serverless else Mode.REAL_TIME

    @property
    def has_instances(self) -> bool:
        """Whether an instance is in service, or is to be; an asynchronous endpoint may have none."""
        return any(variant.current_instances or variant.desired_instances for variant in self.live_variants)

    @property
    def version(self) -> tuple[str, str, float | None]:
        """Differs after every update."""
        return self.status, self.config_name, self.modified

    @property
    def in_progress(self) -> bool:
        return self.status in IN_PROGRESS

    @property
    def is_serving(self) -> bool:
        return self.status in SERVING

    @property
    def is_rolling_out(self) -> bool:
        """Whether it is being updated to another configuration."""
        return self.status == "Updating" and self.target_config != self.config_name

    @property
    def keeps_its_variants(self) -> bool:
        """Whether the new fleet has the variants of the live one."""
        return {variant.name for variant in self.variants} == {variant.name for variant in self.live_variants}

    @property
    def progress(self) -> str:
        return "; ".join((self.status, *map(str, self.variants)))

    @property
    def where(self) -> str:
        """Region and account, as the ARN names them."""
        region, account = self.arn.split(":")[3:5]
        return f"{region}, account {account}"

    @property
    def stages(self) -> set[str]:
        """The stages of all variants (API `VariantStatus`)."""
        return {stage for variant in self.variants for stage in variant.stages}

    @property
    def baking_since(self) -> float | None:
        """When the present bake began, in seconds since 1970; None outside one or if SageMaker does not say."""
        return next((variant.stages["Baking"] for variant in self.variants if variant.stages.get("Baking")), None)

    @property
    def desired_instances(self) -> int:
        """The size of the fleet; at least 1. Of a new fleet, SageMaker shows the count of its configuration, although
        the live count is kept (API `PendingDeploymentSummary`)."""
        desired, live = (
            sum(variant.desired_instances or 0 for variant in variants)
            for variants in (self.variants, self.live_variants)
        )
        return max(1, desired, live, sum(variant.current_instances for variant in self.variants))

    def serves(self, config_name: str) -> bool:
        """InService alone is not enough: after a rollback SageMaker is InService on the old configuration."""
        return self.status == "InService" and self.config_name == config_name

    def rolls_out(self, config_name: str) -> bool:
        """Whether a rollout of that configuration is in progress. A fleet that scales is Updating too, and serves."""
        underway = self.status == "Creating" or self.target_config != self.config_name
        return self.in_progress and underway and self.target_config == config_name

    def with_reason(self, reason: str) -> EndpointDescription:
        """The same with an earlier reason: SageMaker may clear it once a rollback is over."""
        return replace(self, failure_reason=self.failure_reason or reason)

    def wrong_capacities(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """The wanted capacities, by variant, that the live variants do not have; see `VariantDescription.capacity`."""
        return {
            variant.name: wanted[variant.name]
            for variant in self.live_variants
            if variant.name in wanted and variant.capacity != wanted[variant.name]
        }


def mode_of(config: Mapping[str, Any]) -> Mode:
    """The mode of an endpoint that serves a configuration.

    Args:
        config: an answer of DescribeEndpointConfig.
    """
    if config.get("AsyncInferenceConfig"):
        return Mode.ASYNCHRONOUS
    serverless = any(variant.get("ServerlessConfig") for variant in config["ProductionVariants"])
    return Mode.SERVERLESS if serverless else Mode.REAL_TIME


def capacities(config: Mapping[str, Any]) -> dict[str, int]:
    """The initial capacities of a configuration's variants; those without provisioned concurrency have none."""
    sizes = {
        variant["VariantName"]: variant.get("InitialInstanceCount")
        or variant.get("ServerlessConfig", {}).get("ProvisionedConcurrency")
        for variant in config["ProductionVariants"]
    }
    return {name: size for name, size in sizes.items() if size}


class EndpointReader:
    """Reads endpoints, their configurations and models.

    Args:
        sagemaker: boto3's `sagemaker` client.
    """

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def endpoint(self, name: str) -> EndpointDescription | None:
        """The endpoint as it is now; None if it does not exist."""
        answer = _unless_deleted(lambda: self._sagemaker.describe_endpoint(EndpointName=name))
        return EndpointDescription.of(answer) if answer is not None else None

    def tags(self, endpoint: EndpointDescription) -> dict[str, str]:
        """The endpoint's tags."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint.arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        """An endpoint configuration; None if it was deleted, which must not prevent the endpoint's next release."""
        return _unless_deleted(lambda: self._sagemaker.describe_endpoint_config(EndpointConfigName=name))

    def models(self, prefix: str) -> list[str]:
        """The names of all models that begin with `prefix` in any case: AWS does not always keep the case given."""
        pages = self._sagemaker.get_paginator("list_models").paginate(NameContains=prefix)
        names = [model["ModelName"] for page in pages for model in page["Models"]]
        return [name for name in names if name.lower().startswith(prefix.lower())]

    def model(self, name: str) -> Mapping[str, Any] | None:
        """A model; None if it was deleted."""
        return _unless_deleted(lambda: self._sagemaker.describe_model(ModelName=name))


def is_not_found(error: ClientError) -> bool:
    """Whether a Describe call found nothing: SageMaker answers with a ValidationException that only its text
    distinguishes."""
    answer = error.response["Error"]
    return answer["Code"] in ("ValidationException", "ResourceNotFound") and "Could not find" in answer["Message"]


def is_in_progress(error: ClientError) -> bool:
    """Whether SageMaker refused a change because another one is in progress."""
    return "in-progress" in error.response["Error"]["Message"].lower()


def timestamp(time: datetime | None) -> float | None:
    """A time of AWS's in seconds since 1970; None if AWS gives none."""
    return time.timestamp() if time else None


def _unless_deleted(describe: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return describe()
    except ClientError as error:
        if is_not_found(error):
            return None
        raise
