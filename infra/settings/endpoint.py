"""The settings of one endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, GetJsonSchemaHandler, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from infra.aws import instance_types
from infra.diagnostics.problem import Location, Problem
from infra.names import ONLY_VARIANT
from infra.release import estimate
from infra.release.estimate import Duration
from infra.release.policy import TIMEOUT_SECONDS
from infra.settings.alarms import MAX_ROLLBACK_ALARMS, AlarmSettings
from infra.settings.kms import KmsKeyArn
from infra.settings.release import AllAtOnce, ReleaseSettings
from infra.settings.section import Broken, Effect, Section, rule, setting, violation, warning
from infra.settings.variant import InstanceVariant

MAX_NAME = 55
"""SageMaker's 63 (API `ModelName`) without the 8 characters that Pulumi appends to the names of Model and
EndpointConfiguration."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def _name(name: str, kind: str) -> str:
    if not _NAME.fullmatch(name):
        raise violation(
            f"{kind}-name",
            f"{name!r} is not a valid {kind} name: use letters and digits, and hyphens between them (API "
            f"{kind.title()}Name).",
        )
    return name


def _endpoint_name(name: str) -> str:
    if len(name) > MAX_NAME:
        raise violation(
            "endpoint-name-length",
            f"the name has {len(name)} characters; at most {MAX_NAME}, because Pulumi appends 8 to the names of Model "
            "and EndpointConfiguration, and SageMaker accepts 63.",
        )
    return _name(name, "endpoint")


_NAME_SCHEMA = {"type": "string", "pattern": f"^{_NAME.pattern}$"}
EndpointName = Annotated[str, AfterValidator(_endpoint_name), WithJsonSchema(_NAME_SCHEMA | {"maxLength": MAX_NAME})]
VariantName = Annotated[str, AfterValidator(partial(_name, kind="variant")), WithJsonSchema(_NAME_SCHEMA)]


class EndpointSettings(Section):
    """One SageMaker endpoint. In the stack file, the keys of its only variant may be on the endpoint itself."""

    variants: dict[VariantName, InstanceVariant] = setting(
        "Production variants by name, each with its own model, capacity and weight. With one variant, set its keys on "
        f"the endpoint itself instead; it is then named {ONLY_VARIANT}.",
        min_length=1,
        max_length=10,
        source="SageMaker API ProductionVariantList",
    )
    volume_kms_key_arn: KmsKeyArn | None = setting(
        "ARN of the KMS key, in the stack's region, that encrypts the storage volumes of the instances (KmsKeyId). "
        "Default: AWS's key. Not supported on types with local disks, which encrypt their data in hardware.",
        default=None,
        example="arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        source="SageMaker API CreateEndpointConfigInput (KmsKeyId); this project: a key ARN, because the execution "
        "role is granted this key only",
    )
    alarms: AlarmSettings = setting(
        "Alarms that notify operators and roll back releases.",
        default=AlarmSettings(),
        source="SageMaker guide, Auto-Rollback Configuration and Monitoring",
        effect=Effect.IN_PLACE,
    )
    release: ReleaseSettings = setting(
        "How a release shifts traffic to the new fleet.",
        default=AllAtOnce(),
        validate_default=True,
        source="SageMaker guide, Deployment guardrails for updating models in production",
        effect=Effect.NOTHING,
    )

    @classmethod
    def problems_of_text(cls, values: Mapping[str, Any]) -> Iterator[Problem]:
        of_variant = sorted(values.keys() & InstanceVariant.fields_by_key().keys())
        variants = values.get("variants")
        if of_variant and isinstance(variants, dict) and variants:  # others are reported as such
            message = f"cannot be combined with {', '.join(of_variant)}. Set these keys on each variant instead."
            yield Problem("short-form-with-variants", message, path=("variants",))

    @classmethod
    def in_shape(cls, values: dict[str, Any]) -> tuple[dict[str, Any], Location]:
        keys = InstanceVariant.fields_by_key().keys()
        of_variant = {key: value for key, value in values.items() if key in keys}
        of_endpoint = {key: value for key, value in values.items() if key not in keys}
        if "variants" in values:
            return of_endpoint, ()
        return {"variants": {ONLY_VARIANT: of_variant}, **of_endpoint}, ("variants", ONLY_VARIANT)

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        return {**InstanceVariant.fields_by_key(), **super().fields_by_key()}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler.resolve_ref_schema(handler(schema))
        short = handler.resolve_ref_schema(handler(InstanceVariant.__pydantic_core_schema__))
        return {**long, "properties": short["properties"] | long["properties"], "required": []}

    @property
    def scaled_variants(self) -> list[str]:
        """The variants with autoscaling."""
        return [name for name, variant in self.variants.items() if variant.autoscaling]

    @property
    def fleet_sizes(self) -> list[int]:
        """The numbers of instances that a variant's live fleet may have when a release starts."""
        return sorted({size for variant in self.variants.values() for size in variant.sizes})

    @property
    def provisioning(self) -> Duration:
        """The time until the capacity of the slowest variant answers."""
        times = [variant.provisioning for variant in self.variants.values()]
        return Duration(max(time.minimum for time in times), max(time.maximum for time in times))

    @property
    def release_estimate(self) -> Duration:
        """The duration of a release."""
        return estimate.rollouts(self.release.policy, self.fleet_sizes, self.provisioning)

    @property
    def release_deadline_seconds(self) -> int:
        """How long `pulumi up` waits for the end of a release or of its rollback."""
        return estimate.deadline_seconds(self.release.policy, self.provisioning)

    @property
    def watching_alarms(self) -> int:
        """The number of alarms that watch a release."""
        return self.alarms.made * len(self.variants) + len(self.alarms.existing)

    @property
    def can_be_stopped(self) -> bool:
        """Whether a release waits, so that an alarm of ours can stop it."""
        return self.release.policy.wait_seconds > 0

    @property
    def rollback_alarms(self) -> int:
        """The number of alarms that can roll a release back."""
        return self.watching_alarms + self.can_be_stopped

    @warning("alarms")
    def no_rollback_alarm(self) -> str | None:
        policy = self.release.policy
        if self.watching_alarms or (policy.strategy == "allAtOnce" and not policy.wait_seconds):
            return None
        return (
            "has no alarm, so only a model that fails to start is rolled back. Set errorRatePercent, or list an alarm "
            "in existing."
        )

    @warning("release")
    def no_time_for_alarms(self) -> Broken:
        policy = self.release.policy
        if policy.wait_seconds or not self.watching_alarms:
            return None
        enough = 60 * self.alarms.evaluation_minutes
        return {policy.wait_key: f"is 0, so the release ends before an alarm can fire. Set {enough} or more."}

    @warning("alarms.evaluationMinutes")
    def evaluation_longer_than_bake(self) -> str | None:
        minutes, policy = self.alarms.evaluation_minutes, self.release.policy
        wait = policy.wait_seconds
        if not self.alarms.made or not wait or wait >= 60 * minutes:
            return None
        return (
            f"{minutes} minutes are longer than the bake of {wait} s, so the release continues before an alarm can "
            f"fire. Set fewer minutes, or a longer release.{policy.wait_key}."
        )

    @warning("release")
    def step_size_between_limits(self) -> Broken:
        for fleet in self.fleet_sizes:
            if problem := estimate.batch_problem(self.release.policy, fleet):
                key, _, message = problem.partition(": ")
                refusal = "SageMaker may reject a release while the fleet has this size."
                return {key: f"{message} {refusal} Change {key} or the sizes of the fleet."}
        return None

    @warning("release.timeoutSeconds")
    def timeout_may_be_too_short(self) -> str | None:
        policy, enough = self.release.policy, self.release_estimate.maximum
        if enough <= policy.timeout_seconds:
            return None
        way_out = f"Set {enough}" if enough <= TIMEOUT_SECONDS[1] else "Use larger or fewer steps"
        if policy.batch and policy.batch.unit == "percent" and policy.strategy != "canary":
            way_out += f", or set instances instead: AWS does not document to how many steps it rounds {policy.batch}"
        return (
            f"{policy.timeout_seconds} may be too short: a release takes {self.release_estimate}, and SageMaker rolls "
            f"back a release that exceeds the timeout. {way_out}."
        )

    @rule("volumeKmsKeyArn")
    def kms_key_for_local_disks(self) -> str | None:
        """SageMaker API CreateEndpointConfig, KmsKeyId: the key does not encrypt local instance storage. Earlier
        versions of that page say that the call fails."""
        types = sorted(variant.instance_type for variant in self.variants.values())
        local = next(filter(instance_types.has_local_disks, types), None)
        if self.volume_kms_key_arn is None or local is None:
            return None
        return (
            f"{local} stores its data on local disks, which are encrypted in hardware and not by a KMS key "
            "(CreateEndpointConfig, KmsKeyId). Remove the key, or use a type without local disks such as ml.m5.xlarge."
        )

    @rule("variants")
    def some_variants_autoscaled(self) -> str | None:
        """SageMaker API UpdateEndpoint, ExcludeRetainedVariantProperties."""
        scaled = sorted(self.scaled_variants)
        fixed = sorted(self.variants.keys() - set(scaled))
        if not scaled or not fixed:
            return None
        return (
            f"{', '.join(scaled)} has autoscaling and {', '.join(fixed)} does not. A release keeps or resets the "
            "instance counts of all variants together (UpdateEndpoint, ExcludeRetainedVariantProperties). Set "
            "autoscaling on all variants (min equal to max keeps a count), or on none."
        )

    @rule("release.strategy")
    def rolling_with_several_variants(self) -> str | None:
        if self.release.strategy != "rolling" or len(self.variants) == 1:
            return None
        return (
            f"rolling supports one variant, and the endpoint has {len(self.variants)} (Deployment guardrails, "
            "Exclusions). Use canary, linear or allAtOnce."
        )

    @rule("release.strategy")
    def inf1_strategy(self) -> str | None:
        types = sorted(variant.instance_type for variant in self.variants.values())
        inferentia = next((type_ for type_ in types if type_.startswith("ml.inf1.")), None)
        if inferentia is None or self.release.strategy == "allAtOnce":
            return None
        return (
            f"{self.release.strategy}: SageMaker shifts traffic to {inferentia} all at once in any case (Deployment "
            "guardrails, Exclusions). Use allAtOnce."
        )

    @rule("release")
    def step_size(self) -> Broken:
        """SageMaker API TrafficRoutingConfig, RollingUpdatePolicy."""
        for name, variant in self.variants.items():
            for fleet, key in sorted(variant.limits.items()):
                if problem := estimate.batch_problem(self.release.policy, fleet):
                    unit, _, message = problem.partition(": ")
                    fleet_of = key if name == ONLY_VARIANT else f"variants.{name}.{key}"
                    return {unit: f"{message} Change {unit} or {fleet_of}, or use strategy allAtOnce."}
        return None

    @rule("release.timeoutSeconds")
    def timeout_too_short(self) -> str | None:
        policy, least = self.release.policy, self.release_estimate.minimum
        if least <= policy.timeout_seconds:
            return None
        count = min(estimate.steps(policy, fleet).fewest for fleet in self.fleet_sizes)
        return (
            f"{policy.timeout_seconds} is too short: {count} x {policy.wait_seconds} s of waiting, "
            f"{policy.termination_wait_seconds} s until termination and the start of instances take at least {least} "
            f"s. Set {least} or more (at most {TIMEOUT_SECONDS[1]}), or use shorter waits or fewer steps."
        )

    @rule("release.timeoutSeconds")
    def timeout_shorter_than_start(self) -> str | None:
        timeout = self.release.timeout_seconds
        start = max(variant.slowest_start for variant in self.variants.values())
        if start < timeout:
            return None
        return (
            f"{timeout} must be more than startupHealthCheckSeconds and modelDataDownloadSeconds together ({start}), "
            "because a container may take that long to start."
        )

    @rule("alarms.existing")
    def too_many_rollback_alarms(self) -> str | None:
        if self.rollback_alarms <= MAX_ROLLBACK_ALARMS:
            return None
        created = self.rollback_alarms - len(self.alarms.existing)
        return (
            f"{len(self.alarms.existing)} alarms plus the {created} of this endpoint are {self.rollback_alarms}; "
            f"SageMaker accepts {MAX_ROLLBACK_ALARMS} rollback alarms. Combine some in a composite alarm."
        )
