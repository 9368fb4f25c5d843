"""The settings of one endpoint: its keys, and the rules across them."""

from __future__ import annotations

from infra import names
from infra.aws import instance_types
from infra.aws.mode import Mode
from infra.diagnostics.problem import Location
from infra.release import estimate
from infra.release.policy import TIMEOUT_SECONDS
from infra.settings.alarms import MAX_ROLLBACK_ALARMS
from infra.settings.endpoint_modes import EndpointModes
from infra.settings.section import Broken, rule, warning

_REQUIRED = {
    names.GPU_UTILIZATION: "GPUs",
    names.GPU_MEMORY_UTILIZATION: "GPUs",
    names.NO_TRAFFIC: "a weight above 0",
    names.SCALING_LIMIT: "autoscaling with min below max",
}
"""What a variant must have for the alarm of a purpose."""


class EndpointSettings(EndpointModes):
    """One SageMaker endpoint. In the stack file, the keys of its only variant may be on the endpoint itself."""

    @rule("alarms")
    def alarm_without_effect(self) -> Broken:
        """SageMaker guide, Amazon SageMaker AI metrics in Amazon CloudWatch, and Deployment guardrails."""
        firing = {purpose for variant in self.serving_variants for purpose in self.thresholds(variant, False)}
        missing: dict[str | Location, str] = {
            self.alarms.key(purpose): f"could never fire, because no variant has {_REQUIRED[purpose]}. Remove the key."
            for purpose in self.alarms.purposes
            if purpose in _REQUIRED and purpose not in firing
        }
        return {**missing, **self.alarms.useless(self.mode)}

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
        if not self.rolling_back or not wait or wait >= 60 * minutes:
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
        types = sorted(variant.instance_type for variant in self.instance_variants.values())
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

    @rule("variants")
    def autoscaling_of_another_mode(self) -> Broken:
        """SageMaker guide, Monitor an asynchronous endpoint; Autoscale an asynchronous endpoint."""
        return {
            (name, "autoscaling", str(key)): message
            for name, variant in self.instance_variants.items()
            if variant.autoscaling
            for key, message in variant.autoscaling.unsuitable(self.mode).items()
        }

    @rule("release")
    def release_without_guardrails(self) -> Broken:
        """SageMaker guide, Deployment guardrails: they apply to real-time and asynchronous endpoints only."""
        if self.mode not in (Mode.SERVERLESS, Mode.BATCH):
            return None
        reason = "Deployment guardrails" if self.mode is Mode.SERVERLESS else "there is no endpoint"
        return {
            key: f"has no effect, because SageMaker does not move traffic in steps for {self.mode} models ({reason}). "
            "Remove the key."
            for key in self.release.chosen
        }

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
        types = sorted(variant.instance_type for variant in self.instance_variants.values())
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
        for name, variant in self.instance_variants.items():
            for fleet, key in sorted(variant.limits.items()):
                if problem := estimate.batch_problem(self.release.policy, fleet):
                    unit, _, message = problem.partition(": ")
                    fleet_of = names.variant_key(name, key)
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
        start = max((variant.slowest_start for variant in self.instance_variants.values()), default=0)
        if start < timeout:
            return None
        return (
            f"is {timeout}, but must be more than startupHealthCheckSeconds plus modelDataDownloadSeconds ({start}), "
            "because a container may take that long to start. Raise it, or lower the other two."
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
