"""The settings of one production variant: a model on a fleet of instances."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from infra.aws import gpus, instance_types
from infra.release import estimate
from infra.release.estimate import Duration
from infra.settings.autoscaling import AutoscalingSettings
from infra.settings.effect import Effect, on_change
from infra.settings.environment import (
    DEFAULT_MODEL_NAME,
    DISABLE_MODEL_NAMESPACING,
    MAX_ENVIRONMENT,
    MULTI_MODEL,
    NAMED_BESIDE_THE_MODEL,
    OVERRIDE_PING_MODE,
    PING_MODE,
    SET_BY_THE_PROGRAM,
    EnvironmentKey,
    EnvironmentValue,
    environment_problem,
    option_warning,
)
from infra.settings.model import ModelSettings
from infra.settings.section import Broken, Section, rule, violation, warning
from infra.settings.source import according_to

ASSUMED_DOWNLOAD_SECONDS = 300
"""What the estimate of a release allows for the artifact's download when `modelDataDownloadSeconds` is not given."""

_TimeoutSeconds = Annotated[int, Field(ge=60, le=3600)]


def _instance_type(name: str) -> str:
    if instance_types.is_arm(name):
        alternative = instance_types.amd64_alternative(name)
        raise violation(
            "arm-instance", f"{name} is an Arm type, and AWS's Triton image is amd64 only. Take {alternative}."
        )
    if name not in instance_types.hosting_instance_types():
        near = instance_types.nearest_instance_type(name)
        raise _unknown(
            "unknown-instance-type", name, "a SageMaker hosting instance type", f"Did you mean {near}?" if near else ""
        )
    return name


def _machine_image(name: str) -> str:
    if gpus.InferenceAmi.of(name) is None:
        raise _unknown(
            "unknown-ami", name, "a SageMaker InferenceAmiVersion", f"Use one of {', '.join(gpus.INFERENCE_AMIS)}."
        )
    return name


def _unknown(rule: str, name: str, what: str, way_out: str) -> PydanticCustomError:
    """The aws provider accepts the values that AWS's SDK for Go listed at its release, and refuses all others in the
    preview with that list alone (terraform-provider-aws, internal/service/sagemaker/endpoint_configuration.go)."""
    pins = " and ".join(f"{package} {version(package)}" for package in ("boto3", "pulumi-aws"))
    return violation(
        rule,
        f"{name!r} is not {what} that {pins} know. {way_out}{' ' if way_out else ''}If AWS added it later, raise both "
        "in requirements.in, and run `make lock`.",
    )


BURSTABLE_TYPES_DO_NOT_SCALE: dict[str, JsonValue] = {
    "if": {"required": ["instanceType"], "properties": {"instanceType": {"type": "string", "pattern": r"^ml\.t\d"}}},
    "then": {"properties": {"autoscaling": False}},
}


class Fleet(Section):
    """The instances behind a variant, and the container on them."""

    model_config = ConfigDict(json_schema_extra=BURSTABLE_TYPES_DO_NOT_SCALE)

    instance_type: Annotated[str, AfterValidator(_instance_type)] = Field(
        "ml.c5.xlarge",
        description="An amd64 hosting instance type (API ProductionVariantInstanceType).",
        examples=["ml.r5.xlarge"],
        json_schema_extra=according_to(
            "SageMaker API ProductionVariantInstanceType; this project: amd64, as AWS's Triton image is"
        ),
    )
    autoscaling: AutoscalingSettings | None = Field(
        None,
        description="Scale with traffic; a fixed fleet if not given. Not on ml.t* types. In production, removing it "
        "requires `pulumi up --ignore-protect`. Scheduled actions that you add move min and max of the live target: "
        "`pulumi up` leaves them as they are, and `pulumi up --refresh` puts the values of this file back.",
        json_schema_extra=on_change(Effect.IN_PLACE) | according_to("SageMaker guide, Auto scaling prerequisites"),
    )
    initial_instance_count: int | None = Field(
        None,
        ge=1,
        description="Instances at the first release, and later on too without autoscaling; the autoscaling minimum if "
        "not given, else 1.",
        examples=[2],
        json_schema_extra=according_to("SageMaker API InitialTaskCount"),
    )
    allow_single_instance: bool = Field(
        False,
        description="Acknowledges, in production, that the fleet may be a single instance: its loss, or that of its "
        "Availability Zone, is an outage until another one has started.",
        examples=[True],
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to(
            "SageMaker guide, Best practices for deploying models on SageMaker AI Hosting Services; this project: "
            "production asks for an acknowledgement"
        ),
    )
    initial_variant_weight: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="Share of the traffic among the endpoint's variants: the weight over the sum of all weights.",
        examples=[0.5],
        json_schema_extra=according_to("SageMaker API VariantWeight"),
    )
    startup_health_check_seconds: _TimeoutSeconds = Field(
        60,
        description="Seconds until /ping must answer (60 to 3600; ContainerStartupHealthCheckTimeoutInSeconds).",
        examples=[300],
        json_schema_extra=according_to("SageMaker API ProductionVariantContainerStartupHealthCheckTimeoutInSeconds"),
    )
    model_data_download_seconds: _TimeoutSeconds | None = Field(
        None,
        description="Seconds that the artifact's download may take (60 to 3600; ModelDataDownloadTimeoutInSeconds); "
        "SageMaker's own limit if not given.",
        examples=[900],
        json_schema_extra=according_to("SageMaker API ProductionVariantModelDataDownloadTimeoutInSeconds"),
    )
    volume_size_gb: int | None = Field(
        None,
        ge=1,
        le=512,
        description="Storage of each instance in GB (1 to 512; VolumeSizeInGB); SageMaker's choice if not given. "
        "Not on types with local disks (g4dn, g5, p4d, …), which use those.",
        examples=[50],
        json_schema_extra=according_to("SageMaker API ProductionVariantVolumeSizeInGB"),
    )
    inference_ami_version: Annotated[str, AfterValidator(_machine_image)] | None = Field(
        None,
        description="The machine image of GPU instances, which sets the NVIDIA driver (InferenceAmiVersion): "
        f"{', '.join(gpus.INFERENCE_AMIS)}. SageMaker's choice if not given, which is an old driver on some families.",
        examples=["al2-ami-sagemaker-inference-gpu-3-1"],
        json_schema_extra=according_to("SageMaker API ProductionVariantInferenceAmiVersion"),
    )
    enable_network_isolation: bool = Field(
        False,
        description="Cut the containers off from every network, AWS's services too (EnableNetworkIsolation). SageMaker "
        "itself still downloads the artifact, asks the container and writes its logs; code in a model gets no "
        "credentials of the execution role.",
        examples=[True],
        json_schema_extra=according_to(
            "SageMaker API CreateModelInput (EnableNetworkIsolation); SageMaker guide, Run Training and Inference "
            "Containers in Internet-Free Mode"
        ),
    )
    environment: dict[EnvironmentKey, EnvironmentValue] = Field(
        default_factory=dict,
        description="Environment of the container (at most 98 variables, 31500 bytes together; API EnvironmentMap); "
        "SAGEMAKER_TRITON_* variables set Triton's options.",
        examples=[{"SAGEMAKER_TRITON_THREAD_COUNT": "16"}],
        json_schema_extra={"secret": True, "maxProperties": MAX_ENVIRONMENT - SET_BY_THE_PROGRAM}
        | according_to("SageMaker API EnvironmentMap; this project: 2 of the 100 variables are the program's own"),
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
        return estimate.provisioning(download, self.startup_health_check_seconds)

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
        if scaling and instance_types.is_burstable(instance_type):
            raise violation(
                "burstable-autoscaling",
                f"{instance_type} is a burstable type, which SageMaker does not scale. Use ml.m5.large or larger.",
            )
        return scaling

    @field_validator("initial_instance_count")
    @classmethod
    def initial_count_is_within_autoscaling(cls, count: int | None, info: ValidationInfo) -> int | None:
        scaling = info.data.get("autoscaling")
        if scaling and count and not scaling.min <= count <= scaling.max:
            outside = f"{count} is outside the autoscaling range {scaling.min} to {scaling.max}."
            raise violation("count-outside-autoscaling", f"{outside} Leave the key out to start with the minimum.")
        return count

    @field_validator("volume_size_gb")
    @classmethod
    def no_volume_is_attached_to_types_with_local_disks(cls, size: int | None, info: ValidationInfo) -> int | None:
        instance_type = info.data.get("instance_type")
        if size is not None and instance_type and instance_types.has_local_disks(instance_type):
            raise violation(
                "volume-on-local-disks",
                f"{instance_type} has local disks, and SageMaker rejects a volume size for it (CreateEndpointConfig, "
                "VolumeSizeInGB). Remove the key: the container uses the local disks.",
            )
        return size

    @field_validator("inference_ami_version")
    @classmethod
    def the_machine_image_is_for_the_instances_accelerators(cls, name: str | None, info: ValidationInfo) -> str | None:
        instance_type = info.data.get("instance_type")
        image = gpus.InferenceAmi.of(name) if name else None
        if image is None or instance_type is None:
            return name
        for_gpu = image.accelerator == "gpu"
        if not (instance_types.has_gpu if for_gpu else instance_types.has_neuron)(instance_type):
            raise violation(
                "ami-accelerator",
                f"{name} is for instances with {'NVIDIA GPUs' if for_gpu else 'Inferentia or Trainium'}, which "
                f"{instance_type} has not. Leave the key out, or take another instanceType (InferenceAmiVersion).",
            )
        if problem := gpus.driver_problem(image, instance_types.family(instance_type)):
            raise violation("ami-driver", problem)
        return name

    @warning("environment")
    def unknown_triton_option(self) -> Broken:
        """Triton, docker/sagemaker/serve."""
        return {variable: message for variable in self.environment if (message := option_warning(variable))}

    @rule("environment")
    def the_default_model_is_named_beside_the_model(self) -> Broken:
        """Triton, docker/sagemaker/serve: it loads the model that this variable names."""
        return {DEFAULT_MODEL_NAME: NAMED_BESIDE_THE_MODEL} if DEFAULT_MODEL_NAME in self.environment else None

    @rule("environment")
    def one_model_is_served(self) -> Broken:
        """Triton, docker/sagemaker/serve: with `true` the artifact is not loaded."""
        if self.environment.get(MULTI_MODEL) != "true":
            return None
        return {
            MULTI_MODEL: "in multi-model mode Triton leaves the artifact alone and waits for others to be named in "
            "requests (docker/sagemaker/serve), which these endpoints do not have. Leave the variable out."
        }

    @rule("environment")
    def environment_leaves_room_for_ours(self) -> str | None:
        if len(self.environment) <= MAX_ENVIRONMENT - SET_BY_THE_PROGRAM:
            return None
        return (
            f"{len(self.environment)} variables; SageMaker takes {MAX_ENVIRONMENT}, of which the program sets "
            f"{SET_BY_THE_PROGRAM}."
        )

    @rule("environment")
    def environment_is_not_too_large(self) -> str | None:
        return environment_problem(self.environment)

    @rule("environment")
    def model_namespacing_is_disabled_by_false(self) -> Broken:
        if self.environment.get(DISABLE_MODEL_NAMESPACING) in (None, "false", "0"):
            return None
        return {
            DISABLE_MODEL_NAMESPACING: "Triton gets the value as --model-namespacing (docker/sagemaker/serve), so only "
            "false disables it. Give 'false', or leave the variable out to keep namespacing on."
        }

    @rule("environment")
    def a_ping_mode_is_overridden_where_one_is(self) -> Broken:
        if OVERRIDE_PING_MODE not in self.environment or PING_MODE in self.environment:
            return None
        return {
            OVERRIDE_PING_MODE: f"has no effect alone: it is passed on only where {PING_MODE} is set too "
            "(docker/sagemaker/serve)."
        }


class VariantSettings(Fleet):
    """One of several production variants, which share the endpoint's traffic by their weights."""

    model: ModelSettings = Field(
        description="The Triton model repository to serve: {path: …}, a directory, or {artifact: …}, an upload.",
        json_schema_extra=according_to("SageMaker API ContainerDefinition (ModelDataUrl)"),
    )
