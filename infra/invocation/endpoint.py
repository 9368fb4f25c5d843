"""The endpoint that answers now: its mode, its Models, and where it writes answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from infra import names
from infra.aws.errors import aws_calls
from infra.aws.mode import Mode
from infra.aws.s3_location import SCHEME, S3Location
from infra.errors import UserError
from infra.release.live import SERVING, EndpointReader, mode_of
from infra.settings.environment import DEFAULT_MODEL_NAME

_WAY_OUT = "Give `invoke` a request with --input; `batch` cannot use it."


class EndpointUnavailable(UserError):
    """The endpoint cannot answer now, does not have the requested variant, or has a Model of an unknown shape."""

    exit_code = 2


@dataclass(frozen=True)
class LiveEndpoint:
    """An endpoint with the configuration that serves its requests.

    Attributes:
        config: the configuration, as DescribeEndpointConfig returns it.
        instances: by variant; 0 for one without instances.
    """

    name: str
    status: str
    config_name: str
    config: Mapping[str, Any]
    instances: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, sagemaker: Any, name: str) -> LiveEndpoint | None:
        """The endpoint; None if it does not exist.

        Raises:
            EndpointUnavailable: it has no fleet that answers.
        """
        reader = EndpointReader(sagemaker)
        with aws_calls(f"endpoint {name}"):
            endpoint = reader.endpoint(name)
            if endpoint is None:
                return None
            if endpoint.status not in SERVING:
                reason = f": {endpoint.failure_reason}" if endpoint.failure_reason else ""
                raise EndpointUnavailable(f"endpoint {name} does not answer: it is {endpoint.status}{reason}")
            config = reader.configuration(endpoint.config_name)
        if config is None:
            raise EndpointUnavailable(
                f"endpoint {name}: its configuration {endpoint.config_name} was deleted. To create it again, run "
                "`pulumi refresh` and `pulumi up`."
            )
        instances = {variant.name: variant.current_instances for variant in endpoint.live_variants}
        return cls(name, endpoint.status, endpoint.config_name, config, instances)

    @property
    def mode(self) -> Mode:
        """How it answers."""
        return mode_of(self.config)

    @property
    def bucket(self) -> str | None:
        """The stack's bucket, if an asynchronous endpoint writes its answers or its failures to their default place."""
        defaults = {"S3OutputPath": names.async_output(self.name), "S3FailurePath": names.async_failure(self.name)}
        for member, default in defaults.items():
            place = S3Location.parse(self.config["AsyncInferenceConfig"]["OutputConfig"].get(member, "s3://-"))
            if place.key.startswith(default.rstrip("/")):
                return place.bucket
        return None

    def variant(self, name: str | None) -> Mapping[str, Any]:
        """A variant of the configuration (API `ProductionVariant`); the first one by default.

        Raises:
            EndpointUnavailable: it does not exist.
        """
        if name is not None and name not in self._variants:
            raise EndpointUnavailable(
                f"endpoint {self.name} has no variant {name}. Its variants: {', '.join(self._variants)}."
            )
        return self._variants[name] if name else next(iter(self._variants.values()))

    def model_name(self, variant: str | None) -> str:
        """The name of a variant's Model.

        Raises:
            EndpointUnavailable: the configuration was not made by this program.
        """
        name = self.variant(variant).get("ModelName")
        if not name:
            raise EndpointUnavailable(
                f"endpoint {self.name}: its configuration {self.config_name} was not made by this program: it names no "
                f"Model. {_WAY_OUT}"
            )
        return str(name)

    def fleet(self, variant: str | None) -> tuple[str, int] | None:
        """The instance type and the number of instances that answer; None for several variants, or without instances.

        Args:
            variant: the one that is asked; None for all.
        """
        asked = [self.variant(variant)] if variant else [*self._variants.values()]
        count, kind = self.instances.get(asked[0]["VariantName"], 0), asked[0].get("InstanceType")
        return (str(kind), count) if len(asked) == 1 and count and kind else None

    @cached_property
    def _variants(self) -> Mapping[str, Mapping[str, Any]]:
        return {variant["VariantName"]: variant for variant in self.config["ProductionVariants"]}


@dataclass(frozen=True)
class ServedModel:
    """A Model, as DescribeModel returns it. The environment in its container may have secrets."""

    name: str
    container: Mapping[str, Any] = field(repr=False)
    created: float = 0.0

    @classmethod
    def read(cls, sagemaker: Any, name: str) -> ServedModel:
        """A Model.

        Raises:
            AwsRequestRefused: it does not exist, or the caller may not read it.
            EndpointUnavailable: it was not made by this program.
        """
        with aws_calls(f"model {name}"):
            answer = sagemaker.describe_model(ModelName=name)
        container = answer.get("PrimaryContainer", {})
        if not container.get("ModelDataUrl", "").startswith(SCHEME):
            raise EndpointUnavailable(
                f"model {name} was not made by this program: it has no PrimaryContainer with a ModelDataUrl in S3. "
                f"{_WAY_OUT}"
            )
        return cls(answer["ModelName"], container, answer["CreationTime"].timestamp())

    @property
    def artifact(self) -> S3Location:
        """The artifact, which is in the stack's bucket."""
        return S3Location.parse(self.container["ModelDataUrl"])

    @property
    def default_model(self) -> str | None:
        """The model of the repository that answers."""
        name: str | None = self.container.get("Environment", {}).get(DEFAULT_MODEL_NAME)
        return name
