"""The settings of one production variant: a model and the capacity that serves it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from infra.aws import gpus, instance_types
from infra.aws.hardware import Hardware
from infra.release import estimate
from infra.release.estimate import Duration
from infra.settings.autoscaling import AutoscalingSettings, outside_range
from infra.settings.environment import InstanceContainer
from infra.settings.section import Effect, rule, setting, violation

ASSUMED_DOWNLOAD_SECONDS = 300
"""Seconds that the estimate of a release allows for the download of the artifact by default."""


def require_amd64(name: str) -> None:
    """
    Raises:
        PydanticCustomError: the instance type is an Arm type.
    """
    if instance_types.is_arm(name):
        alternative = instance_types.amd64_alternative(name)
        raise violation("arm-instance", f"{name} is an Arm type; AWS's Triton image is amd64 only. Use {alternative}.")


def _instance_type(name: str) -> str:
    require_amd64(name)
    if name not in instance_types.hosting_instance_types():
        near = instance_types.nearest_instance_type(name)
        hint = f"Did you mean {near}? " if near else ""
        raise _unknown("unknown-instance-type", name, "SageMaker hosting instance type", hint)
    return name


InstanceType = Annotated[str, AfterValidator(_instance_type)]


def _inference_ami(name: str) -> str:
    if name not in gpus.INFERENCE_AMIS:
        raise _unknown("unknown-ami", name, "InferenceAmiVersion", f"Use one of {', '.join(gpus.INFERENCE_AMIS)}. ")
    return name


def _unknown(rule: str, name: str, kind: str, hint: str) -> PydanticCustomError:
    """The aws provider accepts the values that AWS's SDK for Go listed at its release and rejects all others in the
    preview, with that list alone (terraform-provider-aws, internal/service/sagemaker/endpoint_configuration.go)."""
    versions = " and ".join(f"{package} {version(package)}" for package in ("boto3", "pulumi-aws"))
    return violation(
        rule,
        f"{name!r} is not a known {kind} of {versions}. {hint}If AWS added it later, raise both in requirements.in and "
        "run `make lock`.",
    )


class InstanceVariant(InstanceContainer):
    """A variant on a fleet of instances."""

    initial_variant_weight: float = setting(
        "Share of the endpoint's traffic: this weight divided by the sum of the weights of all variants.",
        default=1.0,
        ge=0,
        allow_inf_nan=False,
        example=0.5,
        source="SageMaker API VariantWeight",
    )
    instance_type: InstanceType = setting(
        "An amd64 hosting instance type (API ProductionVariantInstanceType).",
        default="ml.c5.xlarge",
        example="ml.r5.xlarge",
        source="SageMaker API ProductionVariantInstanceType; this project: amd64, the platform of AWS's Triton image",
    )
    autoscaling: AutoscalingSettings | None = setting(
        "Scale with traffic; a fixed fleet by default. Not supported on ml.t* types. In production, removing it "
        "requires `pulumi up --ignore-protect`. Your scheduled actions may change min and max of the live target: "
        "`pulumi up` keeps their values, `pulumi up --refresh` restores those of this file.",
        default=None,
        source="SageMaker guide, Auto scaling prerequisites",
        effect=Effect.IN_PLACE,
    )
    initial_instance_count: int | None = setting(
        "Instances of the first release, and of later ones without autoscaling. Default: autoscaling.min, or 1 without "
        "autoscaling.",
        default=None,
        ge=1,
        example=2,
        source="SageMaker API InitialTaskCount",
    )
    allow_single_instance: bool = setting(
        "Accept a fleet of one instance in production. If it or its Availability Zone fails, the endpoint is down "
        "until a replacement has started.",
        default=False,
        example=True,
        source="SageMaker guide, Best practices for deploying models on SageMaker AI Hosting Services; this project: "
        "production requires an acknowledgment",
        effect=Effect.NOTHING,
    )
    startup_health_check_seconds: int = setting(
        "Seconds that the container may take to answer /ping (ContainerStartupHealthCheckTimeoutInSeconds).",
        default=60,
        ge=60,
        le=3600,
        example=300,
        source="SageMaker API ProductionVariantContainerStartupHealthCheckTimeoutInSeconds",
    )
    model_data_download_seconds: int | None = setting(
        "Seconds that the download of the artifact may take (ModelDataDownloadTimeoutInSeconds). Default: SageMaker's.",
        default=None,
        ge=60,
        le=3600,
        example=900,
        source="SageMaker API ProductionVariantModelDataDownloadTimeoutInSeconds",
    )
    volume_size_gb: int | None = setting(
        "Storage of each instance in GB (VolumeSizeInGB). Default: SageMaker's. Not supported on types with local "
        "disks (g4dn, g5, p4d, …), which use those.",
        default=None,
        ge=1,
        le=512,
        example=50,
        source="SageMaker API ProductionVariantVolumeSizeInGB",
    )
    inference_ami_version: Annotated[str, AfterValidator(_inference_ami)] | None = setting(
        "Machine image of instances with accelerators, which determines the NVIDIA driver (InferenceAmiVersion): "
        f"{', '.join(gpus.INFERENCE_AMIS)}. Default: SageMaker's, which has an old driver on some families.",
        default=None,
        example="al2-ami-sagemaker-inference-gpu-3-1",
        source="SageMaker API ProductionVariantInferenceAmiVersion",
    )

    @property
    def hardware(self) -> Hardware:
        return self.instance_type

    @property
    def scaling(self) -> AutoscalingSettings | None:
        """How its capacity scales."""
        return self.autoscaling

    @property
    def instance_count(self) -> int:
        """Instances of the first release, of which there is at least one (API `InitialTaskCount`)."""
        return self.initial_instance_count or (max(1, self.autoscaling.min) if self.autoscaling else 1)

    @property
    def sizes(self) -> range:
        """The numbers of instances that the live fleet may have when a release starts."""
        least, most = min(self.limits), max(self.limits)
        return range(least, most + 1)

    @property
    def limits(self) -> dict[int, str]:
        """The smallest and the largest of these numbers, with the keys that set them. A fleet at zero counts as one:
        traffic cannot move in steps."""
        if self.autoscaling:
            return {self.autoscaling.max: "autoscaling.max", max(1, self.autoscaling.min): "autoscaling.min"}
        return {self.instance_count: "initialInstanceCount"}

    @property
    def provisioning(self) -> Duration:
        """The time until new instances answer."""
        download = self.model_data_download_seconds or ASSUMED_DOWNLOAD_SECONDS
        return estimate.provisioning(download, self.startup_health_check_seconds)

    @property
    def inference_ami(self) -> gpus.InferenceAmi | None:
        """The machine image, if it is set."""
        return gpus.INFERENCE_AMIS.get(self.inference_ami_version or "")

    @property
    def slowest_start(self) -> int:
        """Seconds that SageMaker waits for a container."""
        return self.startup_health_check_seconds + (self.model_data_download_seconds or 0)

    @rule("autoscaling")
    def burstable_autoscaling(self) -> str | None:
        if self.autoscaling and instance_types.is_burstable(self.instance_type):
            return (
                f"{self.instance_type} is a burstable type, for which SageMaker does not support autoscaling. Use "
                "ml.m5.large or larger."
            )
        return None

    @rule("initialInstanceCount")
    def count_outside_autoscaling(self) -> str | None:
        scaling, count = self.autoscaling, self.initial_instance_count
        if scaling is None or count is None:
            return None
        return outside_range(count, scaling.min, scaling.max)

    @rule("volumeSizeGb")
    def volume_on_local_disks(self) -> str | None:
        """SageMaker API CreateEndpointConfig, VolumeSizeInGB."""
        if self.volume_size_gb is None or not instance_types.has_local_disks(self.instance_type):
            return None
        return (
            f"{self.instance_type} has local disks, for which SageMaker rejects a volume size (CreateEndpointConfig, "
            "VolumeSizeInGB). Remove the key: the container uses the local disks."
        )

    @rule("inferenceAmiVersion")
    def ami_for_other_accelerators(self) -> str | None:
        image = self.inference_ami
        if image is None:
            return None
        has_accelerator, accelerator = {
            "gpu": (instance_types.has_gpu, "NVIDIA GPUs"),
            "neuron": (instance_types.has_neuron, "Inferentia or Trainium"),
        }[image.accelerator]
        if has_accelerator(self.instance_type):
            return None
        return (
            f"{image.name} requires instances with {accelerator}, and {self.instance_type} has none. Remove the key, "
            "or use another instanceType."
        )

    @rule("inferenceAmiVersion")
    def driver_too_old(self) -> str | None:
        image = self.inference_ami
        return gpus.driver_problem(image, instance_types.family(self.instance_type)) if image else None
