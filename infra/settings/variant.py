"""The settings of one production variant: a model on a fleet of instances."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from infra import instances
from infra.release import arithmetic
from infra.release.arithmetic import Duration
from infra.settings.section import Section, rule, violation

RELEASED_PREFIX = "models/"
"""Where in the bucket lies what a Model names: the program writes here, and the execution role reads only here."""

MAX_ENVIRONMENT = 100
"""Environment variables of a container (API ``EnvironmentMap``)."""

ASSUMED_DOWNLOAD_SECONDS = 300
"""What the estimate of a release allows for the artifact's download when `modelDataDownloadSeconds` is not given."""

_EnvironmentKey = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=1024)]
_EnvironmentValue = Annotated[str, StringConstraints(max_length=1024)]
_ModelName = Annotated[str, StringConstraints(pattern=r"^[^/\s]+$", max_length=255)]
_TimeoutSeconds = Annotated[int, Field(ge=60, le=3600)]


def _artifact_key(key: str) -> str:
    if not PurePosixPath(key).name.removesuffix(".tar.gz") or not key.endswith(".tar.gz"):
        raise violation(f"{key!r} does not name a .tar.gz; SageMaker unpacks nothing else (CreateModel, ModelDataUrl).")
    if key.startswith(("/", "s3:")) or ".." in key.split("/"):
        raise violation(f"{key!r} must be a key inside the model bucket, such as artifacts/model_7.tar.gz.")
    if key.startswith(RELEASED_PREFIX):
        raise violation(
            f"{key!r} lies under {RELEASED_PREFIX}, where released copies are kept; upload under artifacts/ instead."
        )
    if len(key) > 900:
        raise violation(
            f"the key has {len(key)} characters; S3 takes 1024, and the released copy's is longer: stay under 900."
        )
    return key


def _instance_type(name: str) -> str:
    if instances.is_arm(name):
        alternative = instances.amd64_alternative(name) or "an amd64 type such as ml.c7i.xlarge"
        raise violation(f"{name} is an Arm type, and AWS's Triton image is amd64 only. Take {alternative}.")
    if name not in instances.hosting_instance_types():
        nearest = instances.nearest_instance_type(name)
        hint = f" Did you mean {nearest}?" if nearest else ""
        raise violation(f"{name!r} is not a SageMaker hosting instance type.{hint}")
    return name


class ModelSettings(Section):
    """Which Triton model repository an endpoint serves: exactly one of ``path`` and ``artifact``."""

    path: str | None = Field(
        None,
        min_length=1,
        description="A Triton model repository on disk, relative to Pulumi.yaml; packed and uploaded by `pulumi up`.",
    )
    artifact: Annotated[str, AfterValidator(_artifact_key)] | None = Field(
        None,
        description="Key of a .tar.gz in the model bucket, uploaded beforehand; a new version of it is a new release.",
    )
    default_model_name: _ModelName | None = Field(
        None,
        description="The model that answers (SAGEMAKER_TRITON_DEFAULT_MODEL_NAME); needed when there are several.",
    )

    @rule("path")
    def path_or_artifact(self) -> str | None:
        if (self.path is None) == (self.artifact is None):
            return "give exactly one of path (a directory to pack) and artifact (a key in the model bucket)."
        return None


class AutoscalingSettings(Section):
    """Target tracking on the invocations an instance answers in a minute."""

    min: int = Field(
        ge=1, description="Fewest instances. (Zero works only with inference components or asynchronous endpoints.)"
    )
    max: int = Field(ge=1, description="Most instances.")
    invocations_per_instance: int = Field(
        70, ge=1, description="Target of SageMakerVariantInvocationsPerInstance: invocations a minute and instance."
    )
    scale_in_cooldown: int = Field(600, ge=0, description="Seconds between two scale-ins.")
    scale_out_cooldown: int = Field(30, ge=0, description="Seconds between two scale-outs.")
    policy_name: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        pattern=r"^\P{C}+$",
        description="The scaling policy's name (API PolicyName); Pulumi chooses one if not given.",
    )

    @rule("min")
    def min_is_not_over_max(self) -> str | None:
        if self.min > self.max:
            return f"{self.min} is more than max ({self.max}). Raise max or lower min."
        return None


class Fleet(Section):
    """The instances behind a variant, and the container on them."""

    instance_type: Annotated[str, AfterValidator(_instance_type)] = Field(
        "ml.c5.xlarge", description="An amd64 hosting instance type."
    )
    autoscaling: AutoscalingSettings | None = Field(None, description="Scale with traffic; a fixed fleet if not given.")
    initial_instance_count: int | None = Field(
        None, ge=1, description="Instances at the first release; the autoscaling minimum if not given, else 1."
    )
    initial_variant_weight: float = Field(1.0, ge=0, description="Share of the traffic among the endpoint's variants.")
    startup_health_check_seconds: _TimeoutSeconds = Field(
        60,
        description="Seconds until /ping must answer (60 to 3600; ContainerStartupHealthCheckTimeoutInSeconds).",
    )
    model_data_download_seconds: _TimeoutSeconds | None = Field(
        None, description="How long the artifact's download may take (60 to 3600; ModelDataDownloadTimeoutInSeconds)."
    )
    volume_size_gb: int | None = Field(
        None, ge=1, le=512, description="Storage of each instance in GB (1 to 512; VolumeSizeInGB)."
    )
    inference_ami_version: str | None = Field(
        None,
        min_length=1,
        description="The machine image of GPU instances, which sets the NVIDIA driver (InferenceAmiVersion).",
    )
    environment: dict[_EnvironmentKey, _EnvironmentValue] = Field(
        default_factory=dict,
        description="Environment of the container; SAGEMAKER_TRITON_* variables set Triton's options.",
    )

    @property
    def instance_count(self) -> int:
        """Instances at the first release."""
        return self.initial_instance_count or (self.autoscaling.min if self.autoscaling else 1)

    @property
    def sizes(self) -> range:
        """How many instances the live fleet may have when it is released anew."""
        if self.autoscaling:
            return range(self.autoscaling.min, self.autoscaling.max + 1)
        return range(self.instance_count, self.instance_count + 1)

    @property
    def extreme_sizes(self) -> dict[int, str]:
        """The smallest and the largest of these sizes, each with the key that sets it."""
        if self.autoscaling:
            return {self.autoscaling.max: "autoscaling.max", self.autoscaling.min: "autoscaling.min"}
        return {self.instance_count: "initialInstanceCount"}

    @property
    def provisioning(self) -> Duration:
        """How long new instances take to answer."""
        download = self.model_data_download_seconds or ASSUMED_DOWNLOAD_SECONDS
        return arithmetic.provisioning(download, self.startup_health_check_seconds)

    @property
    def slowest_start(self) -> int:
        """Seconds that SageMaker is told to wait for a container at most."""
        return self.startup_health_check_seconds + (self.model_data_download_seconds or 0)

    @field_validator("autoscaling")
    @classmethod
    def burstable_types_do_not_scale(
        cls, scaling: AutoscalingSettings | None, info: ValidationInfo
    ) -> AutoscalingSettings | None:
        instance_type = info.data.get("instance_type", "")
        if scaling and instances.is_burstable(instance_type):
            raise violation(
                f"{instance_type} is a burstable type, which SageMaker does not auto scale. Take ml.m5.large or larger."
            )
        return scaling

    @field_validator("initial_instance_count")
    @classmethod
    def initial_count_is_within_autoscaling(cls, count: int | None, info: ValidationInfo) -> int | None:
        scaling = info.data.get("autoscaling")
        if scaling and count and not scaling.min <= count <= scaling.max:
            outside = f"{count} is outside the autoscaling range {scaling.min} to {scaling.max}."
            raise violation(f"{outside} Leave the key out to start with the minimum.")
        return count

    @field_validator("environment")
    @classmethod
    def environment_leaves_room_for_ours(cls, environment: dict[str, str]) -> dict[str, str]:
        if "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME" in environment:
            raise violation(
                "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME is set from model.defaultModelName; give the name there."
            )
        if len(environment) > MAX_ENVIRONMENT - 2:  # the default model's name and the log level
            raise violation(
                f"{len(environment)} variables; SageMaker takes {MAX_ENVIRONMENT}, of which the program sets 2."
            )
        return environment


class VariantSettings(Fleet):
    """One of several production variants, which share the endpoint's traffic by their weights."""

    model: ModelSettings = Field(description="The Triton model repository to serve: {path: …} or {artifact: …}.")
