"""The settings of one endpoint."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from infra import instances
from infra.release import arithmetic
from infra.release.arithmetic import Duration
from infra.settings.alarms import AlarmSettings
from infra.settings.release import AllAtOnce, ReleaseSettings
from infra.settings.section import Section, rule, violation

RELEASED_PREFIX = "models/"
"""Where in the bucket lies what a Model names: the program writes here, and the execution role reads only here."""

MAX_ENVIRONMENT = 100
"""Environment variables of a container (API ``EnvironmentMap``)."""

_EnvironmentKey = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=1024)]
_EnvironmentValue = Annotated[str, StringConstraints(max_length=1024)]
_ModelName = Annotated[str, StringConstraints(pattern=r"^[^/\s]+$", max_length=255)]
TimeoutSeconds = Annotated[int, Field(ge=60, le=3600)]

ASSUMED_DOWNLOAD_SECONDS = 300
"""What the estimate of a release allows for the artifact's download when `modelDataDownloadSeconds` is not given."""


MAX_ENDPOINT_NAME = 55
"""SageMaker's 63 less the 8 characters that Pulumi adds to the names of Model and EndpointConfiguration."""

_ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def _endpoint_name(name: str) -> str:
    if not _ENDPOINT_NAME.fullmatch(name):
        raise violation(f"{name!r} is no endpoint name: letters, digits and hyphens between them (API EndpointName).")
    if len(name) > MAX_ENDPOINT_NAME:
        room = "so that the names of Model and EndpointConfiguration, which end in 8 more, fit in SageMaker's 63"
        raise violation(f"the name has {len(name)} characters; at most {MAX_ENDPOINT_NAME}, {room}.")
    return name


EndpointName = Annotated[str, AfterValidator(_endpoint_name)]


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

    @rule("min")
    def min_is_not_over_max(self) -> str | None:
        if self.min > self.max:
            return f"{self.min} is more than max ({self.max}). Raise max or lower min."
        return None


class EndpointSettings(Section):
    """One SageMaker endpoint: a model on a fleet of instances behind one name."""

    model: ModelSettings = Field(description="The Triton model repository to serve: {path: …} or {artifact: …}.")
    instance_type: Annotated[str, AfterValidator(_instance_type)] = Field(
        "ml.c5.xlarge", description="An amd64 hosting instance type."
    )
    autoscaling: AutoscalingSettings | None = Field(None, description="Scale with traffic; a fixed fleet if not given.")
    initial_instance_count: int | None = Field(
        None, ge=1, description="Instances at the first release; the autoscaling minimum if not given, else 1."
    )
    initial_variant_weight: float = Field(1.0, ge=0, description="Share of the traffic among the endpoint's variants.")
    startup_health_check_seconds: TimeoutSeconds = Field(
        60,
        description="Seconds until /ping must answer (60 to 3600; ContainerStartupHealthCheckTimeoutInSeconds).",
    )
    model_data_download_seconds: TimeoutSeconds | None = Field(
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
    alarms: AlarmSettings = Field(AlarmSettings(), description="Alarms for people, and to roll a release back.")
    release: ReleaseSettings = Field(AllAtOnce(), validate_default=True, description="How a new release takes over.")

    @property
    def instance_count(self) -> int:
        """Instances at the first release."""
        return self.initial_instance_count or (self.autoscaling.min if self.autoscaling else 1)

    @property
    def fleet_sizes(self) -> range:
        """How many instances the live fleet may have when it is released anew."""
        if self.autoscaling:
            return range(self.autoscaling.min, self.autoscaling.max + 1)
        return range(self.instance_count, self.instance_count + 1)

    @property
    def provisioning(self) -> Duration:
        """How long new instances take to answer."""
        download = self.model_data_download_seconds or ASSUMED_DOWNLOAD_SECONDS
        return arithmetic.provisioning(download, self.startup_health_check_seconds)

    @property
    def release_estimate(self) -> Duration:
        """How long a release takes."""
        return arithmetic.estimate(self.release.policy, self.fleet_sizes, self.provisioning)

    @property
    def release_deadline_seconds(self) -> int:
        """How long `pulumi up` waits for the end of a release or of its rollback."""
        return arithmetic.deadline_seconds(self.release.policy, self.provisioning)

    @property
    def release_warnings(self) -> list[str]:
        """What SageMaker takes and the person who wrote it may not have meant, each with its key."""
        policy, alarms, warnings = self.release.policy, self.alarms, []
        if not alarms.rollback_alarms and (policy.strategy != "allAtOnce" or policy.wait_seconds):
            warnings.append(
                "alarms: none is given, so nothing is watched while traffic moves: only a model that does not start "
                "is rolled back."
            )
        if alarms.rollback_alarms and not policy.wait_seconds:
            key = "bakeSeconds" if policy.strategy in ("allAtOnce", "canary") else "intervalSeconds"
            warnings.append(f"release.{key}: is 0, so the release is over before an alarm can fire.")
        elif alarms.made and policy.wait_seconds < 60 * alarms.evaluation_minutes:
            warnings.append(
                f"alarms.evaluationMinutes: {alarms.evaluation_minutes} is longer than a bake of {policy.wait_seconds} "
                "s, so the release goes on before an alarm can fire."
            )
        between = (arithmetic.batch_problem(policy, fleet) for fleet in self.fleet_sizes)
        if problem := next(filter(None, between), None):
            warnings.append(f"release.{problem} SageMaker may refuse a release while the fleet has this size.")
        if self.release_estimate.maximum > policy.timeout_seconds:
            warnings.append(
                f"release.timeoutSeconds: {policy.timeout_seconds} may be too short: a release takes "
                f"{self.release_estimate}, and SageMaker rolls back one that is not over in time."
            )
        return warnings

    @rule("release")
    def a_step_is_of_a_size_that_sagemaker_takes(self) -> str | None:
        fleets = {min(self.fleet_sizes): "smallest", max(self.fleet_sizes): "largest"}
        for fleet, which in fleets.items():
            if problem := arithmetic.batch_problem(self.release.policy, fleet):
                way_out = "Change it, run more instances, or take strategy allAtOnce."
                return f"{problem} That is the {which} fleet ({self._fleet_key(which)}). {way_out}"
        return None

    @rule("release.timeoutSeconds")
    def a_release_can_end_in_time(self) -> str | None:
        release, least = self.release, self.release_estimate.minimum
        if least <= release.timeout_seconds:
            return None
        policy = release.policy
        count = min(arithmetic.steps(policy, fleet).fewest for fleet in self.fleet_sizes)
        needed = (
            f"{count} x {policy.wait_seconds} s of waiting, {policy.termination_wait_seconds} s until termination and "
            f"the start of instances take at least {least} s"
        )
        way_out = f"Give {least} or more (at most 28800), or wait less or in fewer steps."
        return f"{release.timeout_seconds} is too short: {needed}. {way_out}"

    @rule("release.strategy")
    def inferentia_1_moves_all_at_once(self) -> str | None:
        if self.instance_type.startswith("ml.inf1.") and self.release.strategy != "allAtOnce":
            return (
                f"{self.release.strategy}: SageMaker moves traffic to {self.instance_type} all at once whatever is "
                "asked (Deployment guardrails, Exclusions). Take strategy allAtOnce."
            )
        return None

    def _fleet_key(self, which: str) -> str:
        if self.autoscaling:
            return "autoscaling.min" if which == "smallest" else "autoscaling.max"
        return "initialInstanceCount"

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

    @field_validator("release")
    @classmethod
    def a_slow_start_fits_the_timeout(cls, release: AllAtOnce, info: ValidationInfo) -> AllAtOnce:
        start = info.data.get("startup_health_check_seconds", 0) + (info.data.get("model_data_download_seconds") or 0)
        if start >= release.timeout_seconds:
            raise violation(
                f"timeoutSeconds ({release.timeout_seconds}) must be more than startupHealthCheckSeconds and "
                f"modelDataDownloadSeconds together ({start}): a container may take that long to start."
            )
        return release

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
