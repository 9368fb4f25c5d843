"""What SageMaker says of an endpoint, read once and named. Pure: no calls are made here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from infra.release import failure

IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
"""Statuses (API `EndpointStatus`) that end by themselves. SageMaker refuses changes while they last."""

LIVE = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})
"""Statuses in which an endpoint answers."""


@dataclass(frozen=True)
class VariantDescription:
    """A variant in an answer of DescribeEndpoint."""

    name: str
    stages: Mapping[str, float | None]
    """What is being done to it (API `VariantStatus`) and since when, in seconds since 1970."""
    current_instances: int
    desired_instances: int | None

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> VariantDescription:
        return cls(
            name=summary["VariantName"],
            stages={
                each["Status"]: each["StartTime"].timestamp() if each.get("StartTime") else None
                for each in summary.get("VariantStatus", [])
            },
            current_instances=summary.get("CurrentInstanceCount", 0),
            desired_instances=summary.get("DesiredInstanceCount"),
        )

    def __str__(self) -> str:
        stages = ", ".join(self.stages)
        desired = "?" if self.desired_instances is None else self.desired_instances
        return f"{self.name} {stages + ', ' if stages else ''}{self.current_instances} of {desired} instances"


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
    variants: tuple[VariantDescription, ...] = ()
    """Of the fleet that is coming up when there is one, else of the live one."""
    live_variants: tuple[VariantDescription, ...] = ()
    """Of the fleet in service."""
    rollout_began: float | None = None
    """When the present rollout began, in seconds since 1970."""
    execution_timeout_seconds: int = 0
    """When SageMaker gives the most recent rollout up; 0 if it does not say. Somebody else may have begun it."""
    deployment: Mapping[str, Any] = field(default_factory=dict)
    """The most recent DeploymentConfig. AWS does not say whether that is the one of a rollout under way."""

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
            variants=tuple(
                VariantDescription.of(each)
                for each in pending.get("ProductionVariants") or answer.get("ProductionVariants") or []
            ),
            live_variants=tuple(VariantDescription.of(each) for each in answer.get("ProductionVariants") or []),
            rollout_began=pending["StartTime"].timestamp() if pending.get("StartTime") else None,
            execution_timeout_seconds=_execution_timeout_seconds(answer.get("LastDeploymentConfig") or {}),
            deployment=answer.get("LastDeploymentConfig") or {},
        )

    @property
    def version(self) -> tuple[str, str, str]:
        """What differs after every update."""
        return self.status, self.config_name, self.modified

    @property
    def in_progress(self) -> bool:
        return self.status in IN_PROGRESS

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def is_rolling_out(self) -> bool:
        """Whether it is on its way to another configuration."""
        return self.status == "Updating" and self.heading_for != self.config_name

    @property
    def keeps_its_variants(self) -> bool:
        """Whether the fleet that is coming up has the variants of the live one."""
        return {each.name for each in self.variants} == {each.name for each in self.live_variants}

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
        """What is being done to the variants (API `VariantStatus`)."""
        return {stage for each in self.variants for stage in each.stages}

    def modified_since(self, time: float) -> bool:
        """Whether SageMaker has changed the endpoint since a time, in seconds since 1970."""
        return bool(self.modified) and datetime.fromisoformat(self.modified).timestamp() > time

    @property
    def baking_since(self) -> float | None:
        """When the present bake began, in seconds since 1970; None outside one or if SageMaker does not say."""
        return next((each.stages["Baking"] for each in self.variants if each.stages.get("Baking")), None)

    @property
    def desired_instances(self) -> int:
        """The size of the fleet; at least 1. What is desired of one that is coming up is what its configuration says,
        while the live count is kept (API `PendingDeploymentSummary`)."""
        desired, live = (sum(each.desired_instances or 0 for each in of) for of in (self.variants, self.live_variants))
        return max(1, desired, live, sum(each.current_instances for each in self.variants))

    def serves(self, config_name: str) -> bool:
        """InService alone is not enough: after a rollback SageMaker is InService on the old configuration."""
        return self.status == "InService" and self.config_name == config_name

    def rolls_out(self, config_name: str) -> bool:
        """Whether it is on its way to that configuration. A fleet that is scaled is Updating too, and serves it."""
        underway = self.status == "Creating" or self.heading_for != self.config_name
        return self.in_progress and underway and self.heading_for == config_name

    def with_reason(self, reason: str) -> EndpointDescription:
        """The same with the last reason that was seen: SageMaker may empty it once a rollback is over."""
        return replace(self, failure_reason=self.failure_reason or reason)


def _execution_timeout_seconds(deployment: Mapping[str, Any]) -> int:
    policy = deployment.get("RollingUpdatePolicy") or deployment.get("BlueGreenUpdatePolicy") or {}
    return int(policy.get("MaximumExecutionTimeoutInSeconds", 0))


def excluded_properties(
    live: Mapping[str, Any], requested: Mapping[str, Any], autoscaled: bool, fixes_counts: bool
) -> list[str]:
    """What an update must not keep of the live fleet (`ExcludeRetainedVariantProperties`), given two endpoint
    configurations.

    Live counts and weights are kept, so that a fleet scaled out to 8 is released as 8. But a count or weight that
    somebody edited in the settings has to arrive: keeping the live one would hide the edit. So does the one that ends
    autoscaling (`fixes_counts`). An autoscaled count is never edited there, and a variant that is added brings its own.
    """
    excluded = []
    if fixes_counts or (not autoscaled and _edited("InitialInstanceCount", live, requested)):
        excluded.append("DesiredInstanceCount")
    if _edited("InitialVariantWeight", live, requested):
        excluded.append("DesiredWeight")
    return excluded


def missing_counts(endpoint: EndpointDescription, config: Mapping[str, Any]) -> dict[str, int]:
    """The instance counts of an endpoint configuration that the live variants do not have."""
    counts = {each["VariantName"]: each["InitialInstanceCount"] for each in config["ProductionVariants"]}
    return {
        each.name: counts[each.name] for each in endpoint.live_variants if each.desired_instances != counts[each.name]
    }


def _edited(key: str, live: Mapping[str, Any], requested: Mapping[str, Any]) -> bool:
    before, after = (
        {variant["VariantName"]: variant.get(key) for variant in config["ProductionVariants"]}
        for config in (live, requested)
    )
    return any(before[name] != after[name] for name in before.keys() & after.keys())


class EndpointReader:
    """Reads endpoints.

    Args:
        sagemaker: boto3's `sagemaker` client.
    """

    def __init__(self, sagemaker: Any) -> None:
        self._sagemaker = sagemaker

    def endpoint(self, name: str) -> EndpointDescription | None:
        """The endpoint as it is now; None if there is none."""
        found = _unless_gone(lambda: self._sagemaker.describe_endpoint(EndpointName=name))
        return EndpointDescription.of(found) if found is not None else None

    def tags(self, endpoint: EndpointDescription) -> dict[str, str]:
        """The endpoint's tags."""
        pages = self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=endpoint.arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        """An endpoint configuration; None if somebody deleted it, which must not keep the endpoint from its next
        release."""
        return _unless_gone(lambda: self._sagemaker.describe_endpoint_config(EndpointConfigName=name))

    def models(self, prefix: str) -> list[str]:
        """The names of all models that begin like this, whatever the case: AWS's own is not always the one given."""
        pages = self._sagemaker.get_paginator("list_models").paginate(NameContains=prefix)
        names = [each["ModelName"] for page in pages for each in page["Models"]]
        return [name for name in names if name.lower().startswith(prefix.lower())]

    def model(self, name: str) -> Mapping[str, Any] | None:
        """A model; None if somebody deleted it."""
        return _unless_gone(lambda: self._sagemaker.describe_model(ModelName=name))


def _unless_gone(describe: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return describe()
    except ClientError as error:
        if failure.not_found(error):
            return None
        raise


_WORDS = {
    "InstanceType": "instance type",
    "InitialInstanceCount": "initial instance count",
    "InitialVariantWeight": "weight",
}
"""Members of API `ProductionVariant`; any other goes by its own name."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What `new` brings, one change a line that begins with the variant.

    Of environment variables the names only: values may be secrets.

    Args:
        old: an answer of DescribeEndpointConfig.
        new: another one.
        models: the answers of DescribeModel, as far as there are any, by name.
    """
    before, after = _variants(old), _variants(new)
    gone = [f"{name}: removed" for name in before if name not in after]
    added = [f"{name}: added" for name in after if name not in before]
    changed = [
        f"{name}: {change}"
        for name, variant in after.items()
        if name in before
        for change in (*_of_fleet(before[name], variant), *_of_model(before[name], variant, models))
    ]
    return (*gone, *added, *changed)


def artifacts(config: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The addresses of the artifacts that a configuration serves; none at all unless every one of its models is known.

    Args:
        config: an answer of DescribeEndpointConfig.
        models: the answers of DescribeModel, as far as there are any, by name.
    """
    names = [variant.get("ModelName", "") for variant in config["ProductionVariants"]]
    if not all(name in models for name in names):
        return ()
    return tuple(sorted({url for name in names if (url := _model_data(_container(models[name])))}))


def _model_data(container: Mapping[str, Any]) -> str | None:
    """The address of what it serves: a .tar.gz, or a prefix (API `ContainerDefinition`)."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    address: str | None = container.get("ModelDataUrl") or source.get("S3Uri")
    return address


def _variants(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {variant["VariantName"]: variant for variant in config["ProductionVariants"]}


def _of_fleet(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*_WORDS, *sorted(old.keys() | new.keys()))):
        if key != "ModelName" and old.get(key) != new.get(key):
            yield f"{_WORDS.get(key, key)} {_shown(old.get(key))} -> {_shown(new.get(key))}"


def _of_model(old: Mapping[str, Any], new: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    names = old.get("ModelName", ""), new.get("ModelName", "")
    if not all(name in models for name in names):
        if names[0] != names[1]:
            yield f"model {names[0]} -> {names[1]}"
        return
    before, after = (_container(models[name]) for name in names)
    images = before.get("Image", ""), after.get("Image", "")
    if images[0] != images[1]:
        yield f"image {_digest(images[0])} -> {_digest(images[1])}"
    if before.get("ModelDataUrl") != after.get("ModelDataUrl"):
        yield f"model data {_shown(before.get('ModelDataUrl'))} -> {_shown(after.get('ModelDataUrl'))}"
    variables = before.get("Environment", {}), after.get("Environment", {})
    if changed := sorted({key for key, _ in variables[0].items() ^ variables[1].items()}):
        yield f"environment variables {', '.join(changed)}"


def _container(model: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = model.get("PrimaryContainer") or next(iter(model.get("Containers", [])), {})
    return container


def _digest(image: str) -> str:
    """`sha256:…` alone where the image is named by it."""
    return image.rpartition("@")[2]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
