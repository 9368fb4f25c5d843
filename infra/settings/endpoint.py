"""The settings of one endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator

from infra.aws import instance_types
from infra.names import ONLY_VARIANT
from infra.release import estimate
from infra.release.estimate import Duration
from infra.settings.alarms import MAX_ROLLBACK_ALARMS, AlarmSettings
from infra.settings.effect import Effect, on_change
from infra.settings.kms import KMS_KEY_ARN
from infra.settings.model import ModelSettings
from infra.settings.release import MAX_TIMEOUT_SECONDS, AllAtOnce, ReleaseSettings
from infra.settings.section import Broken, rule, violation, warning
from infra.settings.source import according_to
from infra.settings.variant import BURSTABLE_TYPES_DO_NOT_SCALE, Fleet, VariantSettings

MAX_NAME = 55
"""SageMaker's 63 (API `ModelName`) less the 8 characters that Pulumi adds to the names of Model and
EndpointConfiguration."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def _endpoint_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise violation(
            "endpoint-name",
            f"{name!r} is no endpoint name: letters, digits and hyphens between them (API EndpointName).",
        )
    if len(name) > MAX_NAME:
        room = "so that the names of Model and EndpointConfiguration, which end in 8 more, fit in SageMaker's 63"
        raise violation("endpoint-name-length", f"the name has {len(name)} characters; at most {MAX_NAME}, {room}.")
    return name


def _variant_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise violation(
            "variant-name", f"{name!r} is no variant name: letters, digits and hyphens between them (API VariantName)."
        )
    return name


_NAME_SCHEMA = {"type": "string", "pattern": f"^{_NAME.pattern}$"}
EndpointName = Annotated[str, AfterValidator(_endpoint_name), WithJsonSchema(_NAME_SCHEMA | {"maxLength": MAX_NAME})]
VariantName = Annotated[str, AfterValidator(_variant_name), WithJsonSchema(_NAME_SCHEMA)]


class EndpointSettings(Fleet):
    """One SageMaker endpoint: a model on a fleet of instances behind one name, or several of them as variants."""

    model_config = ConfigDict(
        json_schema_extra={
            **BURSTABLE_TYPES_DO_NOT_SCALE,
            "oneOf": [{"required": ["model"]}, {"required": ["variants"]}],
        }
    )

    variants: dict[VariantName, VariantSettings] | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="Several models behind the one name (1 to 10), each with its own instances and weight, instead of "
        "model.",
        json_schema_extra=according_to("SageMaker API ProductionVariantList"),
    )
    model: ModelSettings | None = Field(
        None,
        validate_default=True,
        description="The Triton model repository to serve: {path: …}, a directory, or {artifact: …}, an upload. "
        "Required unless variants are given.",
        json_schema_extra=according_to("SageMaker API ContainerDefinition (ModelDataUrl)"),
    )
    volume_kms_key_arn: str | None = Field(
        None,
        pattern=KMS_KEY_ARN,
        description="ARN of the KMS key, of the stack's region, that encrypts the instances' storage volume "
        "(KmsKeyId); AWS's own key if not given. Not on types with local disks, which their hardware encrypts.",
        examples=["arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
        json_schema_extra=according_to(
            "SageMaker API CreateEndpointConfigInput (KmsKeyId); this project: the ARN of a key, because the "
            "execution role may use this key alone"
        ),
    )
    alarms: AlarmSettings = Field(
        AlarmSettings(),
        description="Alarms for people, and to roll a release back.",
        json_schema_extra=on_change(Effect.IN_PLACE)
        | according_to("SageMaker guide, Auto-Rollback Configuration and Monitoring"),
    )
    release: ReleaseSettings = Field(
        AllAtOnce(),
        validate_default=True,
        description="How a new release takes over from the live fleet.",
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to("SageMaker guide, Deployment guardrails for updating models in production"),
    )

    @cached_property
    def production_variants(self) -> Mapping[str, VariantSettings]:
        """The variants by name, whichever way they are written."""
        if self.variants is not None:
            return self.variants
        given = {key: getattr(self, key) for key in self.model_fields_set & VariantSettings.model_fields.keys()}
        return {ONLY_VARIANT: VariantSettings.model_construct(**given)}

    @property
    def scaled_variants(self) -> list[str]:
        """The variants with autoscaling."""
        return [name for name, each in self.production_variants.items() if each.autoscaling]

    @property
    def fleet_sizes(self) -> list[int]:
        """How many instances a variant's live fleet may have when it is released anew."""
        return sorted({size for each in self.production_variants.values() for size in each.sizes})

    @property
    def provisioning(self) -> Duration:
        """How long the instances of the slowest variant take to answer."""
        each = [variant.provisioning for variant in self.production_variants.values()]
        return Duration(max(one.minimum for one in each), max(one.maximum for one in each))

    @property
    def release_estimate(self) -> Duration:
        """How long a release takes."""
        return estimate.estimate(self.release.policy, self.fleet_sizes, self.provisioning)

    @property
    def release_deadline_seconds(self) -> int:
        """How long `pulumi up` waits for the end of a release or of its rollback."""
        return estimate.deadline_seconds(self.release.policy, self.provisioning)

    @property
    def watching_alarms(self) -> int:
        """How many alarms watch a release."""
        return self.alarms.made * len(self.production_variants) + len(self.alarms.existing)

    @property
    def can_be_stopped(self) -> bool:
        """Whether there is a wait in which an alarm of ours can stop a release."""
        return self.release.policy.wait_seconds > 0

    @property
    def rollback_alarms(self) -> int:
        """How many alarms can roll a release back."""
        return self.watching_alarms + self.can_be_stopped

    def key(self, variant: str, key: str) -> str:
        """The key of a variant's setting, below the endpoint's name."""
        return f"variants.{variant}.{key}" if self.variants else key

    @property
    def _longer_timeout(self) -> str:
        policy, enough = self.release.policy, self.release_estimate.maximum
        way_out = f"Set {enough}" if enough <= MAX_TIMEOUT_SECONDS else "Take larger or shorter steps"
        if policy.batch is None or policy.batch.unit == "instances" or policy.strategy == "canary":
            return f"{way_out}."
        return f"{way_out}, or count in instances: AWS does not say to how many steps it rounds {policy.batch}."

    @warning("alarms")
    def no_alarms(self) -> str | None:
        """SageMaker guide, Auto-Rollback Configuration and Monitoring."""
        policy = self.release.policy
        if self.watching_alarms or (policy.strategy == "allAtOnce" and not policy.wait_seconds):
            return None
        return "no alarm is set, so SageMaker rolls a release back only if the new model does not start."

    @warning("release")
    def no_bake(self) -> Broken:
        """SageMaker API WaitIntervalInSeconds: the alarms are watched in this time."""
        policy = self.release.policy
        if not self.watching_alarms or policy.wait_seconds:
            return None
        key = "bakeSeconds" if policy.strategy in ("allAtOnce", "canary") else "intervalSeconds"
        return {key: "is 0, so the release ends before an alarm can fire."}

    @warning("alarms.evaluationMinutes")
    def short_bake(self) -> str | None:
        """CloudWatch API EvaluationPeriods: an alarm fires after all of these minutes."""
        wait, minutes = self.release.policy.wait_seconds, self.alarms.evaluation_minutes
        if not self.alarms.made or not wait or wait >= 60 * minutes:
            return None
        return f"{minutes} is longer than a bake of {wait} s, so the release continues before an alarm can fire."

    @warning("release")
    def step_size_between(self) -> Broken:
        """SageMaker API TrafficRoutingConfig, RollingUpdatePolicy: autoscaling may give the fleet such a size."""
        policy = self.release.policy
        problems = (estimate.batch_problem(policy, fleet) for fleet in self.fleet_sizes)
        if (problem := next(filter(None, problems), None)) is None:
            return None
        key, _, message = problem.partition(": ")
        return {key: f"{message} SageMaker may reject a release while the fleet has this size."}

    @warning("release.timeoutSeconds")
    def timeout_may_be_short(self) -> str | None:
        """SageMaker API MaximumExecutionTimeoutInSeconds."""
        timeout, duration = self.release.policy.timeout_seconds, self.release_estimate
        if duration.maximum <= timeout:
            return None
        return (
            f"{timeout} may be too short: a release takes {duration}, and SageMaker rolls back a release that exceeds "
            f"it. {self._longer_timeout}"
        )

    @field_validator("model")
    @classmethod
    def model_or_variants(cls, model: ModelSettings | None, info: ValidationInfo) -> ModelSettings | None:
        if model is None and info.data.get("variants", ...) is None:
            raise violation(
                "model-missing",
                "is required: {path: …}, a directory to pack, or {artifact: …}, a key in the bucket. Or give variants.",
            )
        return model

    @rule("variants")
    def what_a_variant_has_is_written_there(self) -> str | None:
        given = self.model_fields_set & VariantSettings.model_fields.keys()
        if self.variants is None or not given:
            return None
        keys = ", ".join(sorted(str(VariantSettings.model_fields[each].alias) for each in given))
        return f"{keys} stand beside variants; each variant has its own: move them into the variants they are of."

    @rule("volumeKmsKeyArn")
    def local_disks_have_no_key(self) -> str | None:
        """SageMaker API CreateEndpointConfig, KmsKeyId: the key does not encrypt local instance storage. Earlier
        versions of that page say that the call fails."""
        types = sorted(each.instance_type for each in self.production_variants.values())
        local = next(filter(instance_types.has_local_disks, types), None)
        if self.volume_kms_key_arn is None or local is None:
            return None
        return (
            f"{local} keeps its data on local disks, which their hardware encrypts and a KMS key does not "
            "(CreateEndpointConfig, KmsKeyId). Remove the key, or use a type without local disks such as ml.m5.xlarge."
        )

    @rule("variants")
    def all_variants_are_autoscaled_or_none(self) -> str | None:
        scaled = {name for name, each in self.production_variants.items() if each.autoscaling}
        fixed = self.production_variants.keys() - scaled
        if not scaled or not fixed:
            return None
        return (
            f"{', '.join(sorted(fixed))} has no autoscaling while {', '.join(sorted(scaled))} has. A release keeps or "
            "resets the instance counts of all variants together (UpdateEndpoint, ExcludeRetainedVariantProperties). "
            "Give each autoscaling (min equal to max holds a count), or none."
        )

    @rule("release.strategy")
    def several_variants_do_not_roll(self) -> str | None:
        if self.release.strategy == "rolling" and len(self.production_variants) > 1:
            return (
                f"rolling: SageMaker takes it for one variant only, here are {len(self.production_variants)} "
                "(Deployment guardrails, Exclusions). Take canary, linear or allAtOnce."
            )
        return None

    @rule("release.strategy")
    def inferentia_1_moves_all_at_once(self) -> str | None:
        types = sorted(each.instance_type for each in self.production_variants.values())
        inferentia = next((each for each in types if each.startswith("ml.inf1.")), None)
        if inferentia and self.release.strategy != "allAtOnce":
            return (
                f"{self.release.strategy}: SageMaker moves traffic to {inferentia} all at once whatever is "
                "asked (Deployment guardrails, Exclusions). Take strategy allAtOnce."
            )
        return None

    @rule("release")
    def a_step_is_of_a_size_that_sagemaker_takes(self) -> Broken:
        """SageMaker API TrafficRoutingConfig, RollingUpdatePolicy."""
        for name, variant in self.production_variants.items():
            for fleet, key in sorted(variant.extreme_sizes.items()):
                if problem := estimate.batch_problem(self.release.policy, fleet):
                    unit, _, said = problem.partition(": ")
                    way_out = "Change it, run more instances, or take strategy allAtOnce."
                    return {unit: f"{said} That is the fleet at {self.key(name, key)}. {way_out}"}
        return None

    @rule("release.timeoutSeconds")
    def a_release_can_end_in_time(self) -> str | None:
        release, least = self.release, self.release_estimate.minimum
        if least <= release.timeout_seconds:
            return None
        policy = release.policy
        count = min(estimate.steps(policy, fleet).fewest for fleet in self.fleet_sizes)
        needed = (
            f"{count} x {policy.wait_seconds} s of waiting, {policy.termination_wait_seconds} s until termination and "
            f"the start of instances take at least {least} s"
        )
        way_out = f"Give {least} or more (at most {MAX_TIMEOUT_SECONDS}), or wait less or in fewer steps."
        return f"{release.timeout_seconds} is too short: {needed}. {way_out}"

    @rule("release.timeoutSeconds")
    def a_slow_start_fits_the_timeout(self) -> str | None:
        start, timeout = (
            max(each.slowest_start for each in self.production_variants.values()),
            self.release.timeout_seconds,
        )
        if start < timeout:
            return None
        return (
            f"{timeout} must be more than startupHealthCheckSeconds and modelDataDownloadSeconds together ({start}): a "
            "container may take that long to start."
        )

    @rule("alarms.existing")
    def not_more_alarms_than_sagemaker_takes(self) -> str | None:
        if self.rollback_alarms <= MAX_ROLLBACK_ALARMS:
            return None
        made = self.rollback_alarms - len(self.alarms.existing)
        return (
            f"{len(self.alarms.existing)} alarms, with the {made} made here {self.rollback_alarms}; SageMaker takes "
            f"{MAX_ROLLBACK_ALARMS} to roll a release back. Join some in a composite alarm."
        )
