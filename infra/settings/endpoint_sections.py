"""The keys of one endpoint, and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, GetJsonSchemaHandler, Tag, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from infra import names
from infra.aws import metrics
from infra.aws.metrics import Metric, NoTraffic, ScalingLimit
from infra.aws.mode import Mode
from infra.diagnostics.problem import Location, Problem
from infra.names import ONLY_VARIANT
from infra.release import estimate
from infra.release.estimate import Duration
from infra.settings.alarms import AlarmSettings
from infra.settings.asynchronous import AsynchronousSettings
from infra.settings.batch import BatchVariant
from infra.settings.environment import ONE_MODE, ContainerSettings
from infra.settings.kms import KmsKeyArn, kms_key
from infra.settings.release import AllAtOnce, ReleaseSettings
from infra.settings.section import Effect, Section, setting, violation
from infra.settings.serverless import ServerlessVariant
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
            "and EndpointConfiguration, and SageMaker accepts 63. Use a shorter name.",
        )
    return _name(name, "endpoint")


_NAME_SCHEMA = {"type": "string", "pattern": f"^{_NAME.pattern}$"}
EndpointName = Annotated[str, AfterValidator(_endpoint_name), WithJsonSchema(_NAME_SCHEMA | {"maxLength": MAX_NAME})]
VariantName = Annotated[str, AfterValidator(partial(_name, kind="variant")), WithJsonSchema(_NAME_SCHEMA)]


_KINDS: Mapping[str, type[ContainerSettings]] = {
    "instances": InstanceVariant,
    "serverless": ServerlessVariant,
    "batch": BatchVariant,
}
"""The kinds of variants by their tags. All but the first have a key with the name of their tag."""


def _kind(variant: Any) -> str:
    if isinstance(variant, Mapping):
        return next((kind for kind in ("serverless", "batch") if kind in variant), "instances")
    return next(kind for kind, section in _KINDS.items() if isinstance(variant, section))


Variant = InstanceVariant | ServerlessVariant | BatchVariant
_Variant = Annotated[
    Annotated[InstanceVariant, Tag("instances")]
    | Annotated[ServerlessVariant, Tag("serverless")]
    | Annotated[BatchVariant, Tag("batch")],
    Discriminator(_kind),
]


class EndpointSections(Section):
    """One SageMaker endpoint. In the stack file, the keys of its only variant may be on the endpoint itself."""

    variants: dict[VariantName, _Variant] = setting(
        "Production variants by name, each with its own model, capacity and weight. With one variant, set its keys on "
        f"the endpoint itself instead; it is then named {ONLY_VARIANT}.",
        min_length=1,
        max_length=10,
        source="SageMaker API ProductionVariantList",
    )
    asynchronous: AsynchronousSettings | None = setting(
        "Queue requests and write the answers to S3: for long or large requests. Triton accepts 64 MiB unless "
        f"--http-max-input-size in SAGEMAKER_TRITON_ADDITIONAL_ARGS allows more. {ONE_MODE}",
        default=None,
        source="SageMaker guide, Asynchronous inference",
    )
    volume_kms_key_arn: KmsKeyArn | None = kms_key(
        "ARN of the KMS key, in the stack's region, that encrypts the storage volumes of the instances (KmsKeyId). "
        "Default: AWS's key. Not supported on types with local disks, which encrypt their data in hardware.",
        "SageMaker API CreateEndpointConfigInput (KmsKeyId)",
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
        of_variant = sorted(values.keys() & cls.keys_of_variants().keys())
        variants = values.get("variants")
        if of_variant and isinstance(variants, dict) and variants:  # others are reported as such
            message = f"cannot be combined with {', '.join(of_variant)}. Set these keys on each variant instead."
            yield Problem("short-form-with-variants", message, path=("variants",))

    @classmethod
    def in_shape(cls, values: dict[str, Any]) -> tuple[dict[str, Any], Location]:
        keys = cls.keys_of_variants().keys()
        of_variant = {key: value for key, value in values.items() if key in keys}
        of_endpoint = {key: value for key, value in values.items() if key not in keys}
        if "variants" in values:
            return of_endpoint, ()
        return {"variants": {ONLY_VARIANT: of_variant}, **of_endpoint}, ("variants", ONLY_VARIANT)

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        return {**cls.keys_of_variants(), **super().fields_by_key()}

    @classmethod
    def tags_by_key(cls) -> dict[str, tuple[str, ...]]:
        of_kinds = {
            key: tuple(kind for kind, section in _KINDS.items() if key in section.fields_by_key())
            for key in cls.keys_of_variants()
        }
        return {key: kinds for key, kinds in of_kinds.items() if len(kinds) < len(_KINDS)}

    @staticmethod
    def keys_of_variants() -> dict[str, FieldInfo]:
        """The keys of a variant of any kind."""
        return {key: field for kind in _KINDS.values() for key, field in kind.fields_by_key().items()}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler.resolve_ref_schema(handler(schema))
        short: dict[str, Any] = {}
        for kind in _KINDS.values():
            short |= handler.resolve_ref_schema(handler(kind.__pydantic_core_schema__))["properties"]
        modes = [{"required": [mode]} for mode in (*_KINDS, "asynchronous") if mode != "instances"]
        one_mode = [*modes, {"not": {"anyOf": modes}}]
        return {**long, "properties": short | long["properties"], "required": [], "oneOf": one_mode}

    @property
    def mode(self) -> Mode:
        """How the endpoint answers. Variants of different kinds are reported by a rule."""
        kinds = {_kind(variant) for variant in self.variants.values()}
        if "batch" in kinds:
            return Mode.BATCH
        if "serverless" in kinds:
            return Mode.SERVERLESS
        return Mode.ASYNCHRONOUS if self.asynchronous else Mode.REAL_TIME

    @property
    def instance_variants(self) -> dict[str, InstanceVariant]:
        """The variants on fleets of instances."""
        return {name: variant for name, variant in self.variants.items() if isinstance(variant, InstanceVariant)}

    @property
    def serverless_variants(self) -> dict[str, ServerlessVariant]:
        """The variants without instances."""
        return {name: variant for name, variant in self.variants.items() if isinstance(variant, ServerlessVariant)}

    @property
    def serving_variants(self) -> dict[str, InstanceVariant | ServerlessVariant]:
        """The variants behind an endpoint."""
        return {**self.instance_variants, **self.serverless_variants}

    @property
    def batch_variants(self) -> dict[str, BatchVariant]:
        """The variants without an endpoint."""
        return {name: variant for name, variant in self.variants.items() if isinstance(variant, BatchVariant)}

    @property
    def scaled_variants(self) -> list[str]:
        """The variants with autoscaling."""
        return [name for name, variant in self.serving_variants.items() if variant.scaling]

    @property
    def fleet_sizes(self) -> list[int]:
        """The numbers of instances that a variant's live fleet may have when a release starts. A serverless variant
        counts as one: its traffic moves at once."""
        return sorted({size for variant in self.instance_variants.values() for size in variant.sizes} or {1})

    @property
    def provisioning(self) -> Duration:
        """The time until the capacity of the slowest variant answers."""
        times = [variant.provisioning for variant in self.serving_variants.values()]
        return Duration(
            max((time.minimum for time in times), default=0), max((time.maximum for time in times), default=0)
        )

    @property
    def release_estimate(self) -> Duration:
        """The duration of a release."""
        return estimate.rollouts(self.release.policy, self.fleet_sizes, self.provisioning)

    @property
    def release_deadline_seconds(self) -> int:
        """How long `pulumi up` waits for the end of a release or of its rollback."""
        return estimate.deadline_seconds(self.release.policy, self.provisioning)

    def thresholds(self, variant: str, production: bool) -> dict[str, float]:
        """The thresholds of the alarms on a variant for operators, by purpose."""
        thresholds, serving = self.alarms.thresholds(production), self.serving_variants[variant]
        return {
            purpose: threshold for purpose, threshold in thresholds.items() if _can_fire(purpose, self.mode, serving)
        }

    def alarm_names(self, name: str, production: bool) -> list[str]:
        """The names in CloudWatch of the alarms for operators, except the composite one."""
        purposes = (names.RELEASE_FAILED, names.RELEASE_STUCK) if self.alarms.watches_releases(production) else ()
        return [
            names.operators_alarm(names.variant_resource(name, variant), purpose)
            for variant in self.serving_variants
            for purpose in self.thresholds(variant, production)
        ] + [names.operators_alarm(name, purpose) for purpose in purposes]

    @property
    def watching_alarms(self) -> int:
        """The number of alarms that watch a release."""
        return self.rolling_back * len(self.variants) + len(self.alarms.existing)

    @property
    def rolling_back(self) -> int:
        """The number of the stack's own alarms on a variant that watch a release."""
        return self.alarms.rolling_back(self.mode)

    @property
    def can_be_stopped(self) -> bool:
        """Whether a release waits, so that an alarm of ours can stop it."""
        return self.release.policy.wait_seconds > 0

    @property
    def rollback_alarms(self) -> int:
        """The number of alarms that can roll a release back."""
        return self.watching_alarms + self.can_be_stopped


def _can_fire(purpose: str, mode: Mode, variant: InstanceVariant | ServerlessVariant) -> bool:
    """Whether the alarm of a purpose on a variant can ever fire."""
    match metrics.WATCHED[purpose].get(mode):
        case None:
            return False
        case Metric(sum_over=str()) as metric:
            return isinstance(variant, InstanceVariant) and metric.divisor(variant.instance_type) > 0
        case NoTraffic():
            return not isinstance(variant, InstanceVariant) or variant.initial_variant_weight > 0
        case ScalingLimit():
            scaling = variant.scaling
            return scaling is not None and scaling.min < scaling.max
    return True
