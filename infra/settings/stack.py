"""The settings of a stack: everything that ops edit in ``Pulumi.<stack>.yaml``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from infra.aws import gpus, instance_types
from infra.diagnostics.messages import command_to_encrypt
from infra.diagnostics.problem import Problem, key_of, path_of
from infra.image.aws_images import aws_triton_images, release_warning
from infra.image.reference import ImageReference
from infra.names import variant_resource
from infra.policies.execution import fit_in_role
from infra.settings.adopt import AdoptSettings
from infra.settings.alarms import AlarmSettings
from infra.settings.bucket import BucketSettings
from infra.settings.effect import Effect, on_change
from infra.settings.endpoint import MAX_NAME, EndpointName, EndpointSettings
from infra.settings.environment import (
    DEFAULT_MODEL_NAME,
    LOOKED_AT,
    MAX_ENVIRONMENT,
    NAMED_BESIDE_THE_MODEL,
    SET_BY_THE_PROGRAM,
    EnvironmentKey,
    EnvironmentValue,
    environment_problem,
    option_warning,
)
from infra.settings.freeze import FreezeWindowSettings
from infra.settings.image import ImageSettings
from infra.settings.network import VpcSettings
from infra.settings.notifications import NotificationSettings
from infra.settings.role import RoleSettings
from infra.settings.section import Broken, Section, rule, violation, warning
from infra.settings.source import according_to
from infra.settings.tags import COST_TAGS, MAX_TAGS, RESERVED_TAGS, TagKey, TagValue
from infra.settings.variant import VariantSettings

_OF_A_SECRET = re.compile(
    "(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|API_?KEY|(?:PRIVATE|ACCESS|LICENSE)_KEY|"
    "(?:^|_)(?:HF|HUB|API|AUTH|ACCESS|BEARER|REFRESH|SESSION)_TOKEN)$",
    re.IGNORECASE,
)
"""Names of environment variables that hold a secret as a rule. A token alone may be a language model's."""


class Environment(StrEnum):
    """What the stack is for. Production makes image tags immutable and protects bucket, repository, endpoints and
    their scalable targets."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"


_Name = TypeVar("_Name", str, tuple[str, str])


def _doubled(named: Iterable[tuple[str, Set[_Name]]]) -> Iterator[tuple[str, _Name, str]]:
    """Of each key with a name that a key before it has: the key, the name and that other key."""
    first: dict[_Name, str] = {}
    for key, names in named:
        if taken := next((name for name in sorted(names) if name in first), None):
            yield key, taken, first[taken]
        first = dict.fromkeys(names, key) | first


class Settings(Section):
    """A whole stack."""

    region: str = Field(
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d$",
        description="The AWS region, one that has AWS's image unless image.source is given; `pulumi config set "
        "aws:region ap-northeast-1`. Another region takes a stack of its own: an endpoint cannot move, "
        "and a change is refused.",
        examples=["ap-northeast-1", "us-east-1"],
        json_schema_extra=on_change(Effect.REFUSED)
        | according_to(
            "AWS General Reference, Amazon SageMaker AI endpoints and quotas; this project: a stack is of one "
            "region, for an endpoint cannot move"
        ),
    )
    environment: Environment = Field(
        strict=False,
        description="production, staging or development. Production protects what must not be lost, keeps image tags "
        "immutable, and has rules of its own. A change renames the ECR repository unless image.repository is given.",
        examples=["production"],
        json_schema_extra=on_change(Effect.REPLACEMENT)
        | according_to("this project: what must not be lost has stricter rules than what is for trying"),
    )
    tags: dict[TagKey, TagValue] = Field(
        description=f"Tags on every resource (at most {MAX_TAGS - RESERVED_TAGS}; keys of 1 to 128 characters, values "
        "of at most 256); CostEnv and CostService are required, for costs are booked by them.",
        examples=[{"CostEnv": "prod", "CostService": "ranking"}],
        json_schema_extra=on_change(Effect.IN_PLACE)
        | {"maxProperties": MAX_TAGS - RESERVED_TAGS}
        | according_to(
            "SageMaker API TagList; this project: 16 of the 50 are the program's own, and costs are booked by two"
        ),
    )
    bucket: BucketSettings = Field(
        BucketSettings(),
        description="The model bucket.",
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to("this project: what Models name is never overwritten, so the program has a bucket of its own"),
    )
    image: ImageSettings = Field(
        ImageSettings(),
        validate_default=True,
        description="The Triton image: AWS's for the region, or another one.",
        json_schema_extra=on_change(Effect.NOTHING) | according_to("SageMaker API ContainerDefinition (Image)"),
    )
    role: RoleSettings = Field(
        RoleSettings(),
        description="The execution role.",
        json_schema_extra=on_change(Effect.REPLACEMENT)
        | according_to("SageMaker API CreateModelInput (ExecutionRoleArn)"),
    )
    vpc: VpcSettings | None = Field(
        None,
        description="Attach the containers to a VPC; none if not given.",
        json_schema_extra=on_change(Effect.NEW_RELEASE) | according_to("SageMaker API VpcConfig"),
    )
    endpoints: dict[EndpointName, EndpointSettings] = Field(
        min_length=1,
        description="The endpoints by name: letters, digits and hyphens, at most 55 characters, unique in account and "
        "region. Under a new name a new endpoint is made, then the old one deleted. In production, removing or "
        "renaming an endpoint requires `pulumi up --ignore-protect`.",
        json_schema_extra=on_change(Effect.NEW_RELEASE)
        | according_to(
            "SageMaker API EndpointName; this project: 55 characters of the 63, for Pulumi adds 8 to the "
            "names of Model and EndpointConfiguration"
        ),
    )
    secret_environment: dict[EndpointName, dict[EnvironmentKey, EnvironmentValue]] = Field(
        default_factory=dict,
        description="Environment variables of an endpoint's containers that hold a secret, by endpoint (at most 98, "
        "with those of its environment). Only taken as a Pulumi secret: `pulumi config set --secret --path "
        "'triton-sagemaker:secretEnvironment.ENDPOINT.VARIABLE'`.",
        examples=[{"sagemaker-endpoint": {"LICENSE_KEY": {"secure": "…"}}}],
        json_schema_extra=on_change(Effect.NEW_RELEASE)
        | {"secret": True}
        | according_to(
            "SageMaker API EnvironmentMap; this project: Pulumi tells the program of top-level keys which are "
            "secret, and of nothing below them"
        ),
    )
    freeze_windows: list[FreezeWindowSettings] = Field(
        default_factory=list,
        description="Times in which no live endpoint of the stack is released anew or deleted; none if not given. The "
        "creation of an endpoint, a Failed one's too, passes.",
        json_schema_extra=on_change(Effect.NOTHING)
        | according_to("this project: SageMaker itself knows no such times"),
    )
    notifications: NotificationSettings | None = Field(
        None,
        description="Where the end of each release of the stack's endpoints is published; nowhere if not given.",
        json_schema_extra=on_change(Effect.IN_PLACE) | according_to("this project: nobody has to watch `pulumi up`"),
    )
    adopt: AdoptSettings = Field(
        AdoptSettings(),
        description="What exists already and is taken over under its name; nothing if not given (docs/adopt.md).",
        json_schema_extra=on_change(Effect.NOTHING) | according_to("Pulumi docs, Importing resources"),
    )

    @property
    def production(self) -> bool:
        """Whether what must not be lost is protected."""
        return self.environment is Environment.PRODUCTION

    @property
    def image_sources(self) -> list[ImageReference]:
        """The images to mirror from, in the order to try."""
        if self.image.source is not None:
            return [ImageReference.parse(self.image.source)]
        return aws_triton_images(self.region, self.image.version)

    @property
    def notification_topic_arn(self) -> str | None:
        """The SNS topic that is told of each release."""
        return self.notifications.topic_arn if self.notifications else None

    def warnings(self, project: str, secret: Collection[str] = ()) -> list[Problem]:
        """What AWS takes and the person who wrote it may not have meant.

        Args:
            secret: the keys of the configuration that hold a secret, at any depth.
        """
        found = [replace(problem, path=path_of(problem.path, project)) for problem in self.broken_warnings()]
        return found if f"{project}:endpoints" in secret else [*found, *self._plain_text_warnings(project)]

    @property
    def volume_key_arns(self) -> list[str]:
        """The KMS keys of the instances' volumes, each once."""
        return sorted({each.volume_kms_key_arn for each in self.endpoints.values() if each.volume_kms_key_arn})

    @property
    def _variants(self) -> Iterator[tuple[str, VariantSettings]]:
        """Every variant of every endpoint, by its key below `endpoints`; that key ends in a dot."""
        for name, endpoint in self.endpoints.items():
            for variant, settings in endpoint.production_variants.items():
                yield f"{name}.{endpoint.key(variant, '')}", settings

    @property
    def _named(self) -> list[tuple[str, str, AlarmSettings]]:
        """Of every variant its key below `endpoints`, its resources' name and its alarms; those that are called like
        their endpoint first, for they are not the ones to rename."""
        named = [
            (f"{name}.{endpoint.key(variant, '')}".rstrip("."), variant_resource(name, variant), endpoint.alarms)
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.production_variants
        ]
        return sorted(named, key=lambda each: each[1] != each[0])

    @warning("image.version")
    def unknown_image_version(self) -> str | None:
        """AWS Deep Learning Containers, NVIDIA Triton Inference Containers."""
        return None if self.image.source else release_warning(self.region, self.image.version)

    @warning("endpoints")
    def shared_log_access(self) -> str | None:
        """IAM guide, IAM and AWS STS quotas: the inline policies of a role."""
        if self.role.arn is not None or fit_in_role([*self.endpoints], self.region):
            return None
        return (
            f"the inline policies of a role (10,240 characters, IAM quotas) have no room for {len(self.endpoints)} log "
            "groups, so the execution role may write to the log group of every endpoint of the region. Divide the "
            "stack where others serve there too."
        )

    @warning("endpoints")
    def gpu_driver(self) -> Broken:
        """NVIDIA Deep Learning Frameworks Support Matrix: the driver that a release of Triton requires."""
        if (release := gpus.release_of(self.image.tag)) is None:
            return None
        images = ((key, each, gpus.InferenceAmi.of(each.inference_ami_version or "")) for key, each in self._variants)
        return {
            f"{key}{'inferenceAmiVersion' if image else 'instanceType'}": message
            for key, each, image in images
            if (message := gpus.driver_warning(release, instance_types.family(each.instance_type), image))
        }

    @warning("endpoints")
    def neuron_runtime(self) -> Broken:
        """Triton docs, Using Triton with Inferentia."""
        if self.image.source is not None:
            return None
        return {
            f"{key}instanceType": f"{each.instance_type} has Inferentia or Trainium, which Triton uses through a "
            "Neuron runtime in its container (Triton docs, Using Triton with Inferentia), and AWS's image has none. "
            "Mirror one that has with image.source, or take another type."
            for key, each in self._variants
            if instance_types.has_neuron(each.instance_type)
        }

    @warning("secretEnvironment")
    def unknown_triton_option(self) -> Broken:
        """Triton, docker/sagemaker/serve."""
        return {
            f"{name}.{variable}": message
            for name, variables in self.secret_environment.items()
            for variable in variables
            if (message := option_warning(variable))
        }

    def _plain_text_warnings(self, project: str) -> Iterator[Problem]:
        """Pulumi tells the program of the endpoints together whether there is a secret among them."""
        for name, endpoint in self.endpoints.items():
            for variant, each in endpoint.production_variants.items():
                for variable in filter(_OF_A_SECRET.search, each.environment):
                    path = ("endpoints", name, *endpoint.key(variant, "environment").split("."), variable)
                    secret = key_of((f"{project}:secretEnvironment", name, variable))
                    yield Problem(
                        "plaintext-variable",
                        "has the name of a secret, and stands in plain text here and in Pulumi's state. If it is one, "
                        f"take it out and type: {command_to_encrypt(secret, None)}",
                        "warning",
                        path_of(path, project),
                    )

    @rule("tags")
    def costs_are_booked_by_two_tags(self) -> str | None:
        """This project: costs are booked by these tags."""
        there = {key.casefold() for key in self.tags}
        missing = [key for key in COST_TAGS if key.casefold() not in there]
        return f"{' and '.join(missing)} must be set: costs are booked by them." if missing else None

    @rule("tags")
    def the_tags_of_costs_are_spelled_as_they_are_booked(self) -> Broken:
        """Billing guide, Cost allocation tags: keys are case-sensitive there."""
        as_booked = {key.casefold(): key for key in COST_TAGS if key not in self.tags}
        misspelt = ((key, as_booked[key.casefold()]) for key in self.tags if key.casefold() in as_booked)
        return {key: f"is spelled {meant}: costs are booked by it, and case counts." for key, meant in misspelt}

    @rule("tags")
    def the_tags_of_costs_are_not_empty(self) -> Broken:
        """This project: costs are booked by these tags."""
        return {key: "must be set: costs are booked by it." for key in COST_TAGS if self.tags.get(key) == ""}

    @rule("tags")
    def tags_differ_in_more_than_case(self) -> Broken:
        """IAM guide, Tags for IAM resources: the keys of a role's tags are not case-sensitive."""
        first = {key.casefold(): key for key in reversed(self.tags)}
        return {
            (key,): f"{other} and {key} differ in case only; IAM takes them for the same (Tags for IAM resources)."
            for key in self.tags
            if (other := first[key.casefold()]) != key
        }

    @rule("tags")
    def tags_leave_room_for_ours(self) -> str | None:
        """AWS tagging rules: 50 tags a resource."""
        if len(self.tags) <= MAX_TAGS - RESERVED_TAGS:
            return None
        return f"{len(self.tags)} tags; AWS takes {MAX_TAGS}, of which the program needs {RESERVED_TAGS}."

    @rule("adopt.bucket")
    def an_adopted_bucket_is_named(self) -> str | None:
        if self.adopt.bucket and self.bucket.name is None:
            return "which one is not said. Give its name as bucket.name, and leave it there."
        return None

    @rule("adopt.role")
    def an_adopted_role_is_named(self) -> str | None:
        if self.adopt.role and self.role.name is None and self.role.arn is None:
            return "which one is not said. Give its name as role.name, and leave it there."
        return None

    @rule("adopt.role")
    def an_adopted_role_is_not_used_as_it_is(self) -> str | None:
        if self.adopt.role and self.role.arn is not None:
            return "cannot be combined with role.arn, which uses a role as it is. Give role.name instead of role.arn."
        return None

    @rule("adopt.endpoints")
    def an_adopted_endpoint_is_one_of_the_stack(self) -> str | None:
        if unknown := [name for name in self.adopt.endpoints if name not in self.endpoints]:
            return f"{', '.join(unknown)}: no such key below endpoints, which has {', '.join(self.endpoints)}."
        return None

    @rule("adopt.endpoints")
    def an_adopted_endpoints_scaling_policy_is_named(self) -> str | None:
        """PutScalingPolicy changes a policy of the same name, and refuses a second one on the same metric."""
        for name in self.adopt.endpoints:
            variants = self.endpoints[name].production_variants.values() if name in self.endpoints else ()
            if any(each.autoscaling and each.autoscaling.policy_name is None for each in variants):
                return (
                    f"{name} is autoscaled without autoscaling.policyName, and AWS takes one target-tracking policy a "
                    "metric. Give the name that its policy has (aws application-autoscaling describe-scaling-policies "
                    "--service-namespace sagemaker), or any if it has none, and leave it there."
                )
        return None

    @field_validator("image")
    @classmethod
    def the_region_has_the_image(cls, image: ImageSettings, info: ValidationInfo) -> ImageSettings:
        if image.source is None and (region := info.data.get("region")):
            try:
                aws_triton_images(region, image.version)
            except ValueError as error:
                raise violation(
                    "image-not-in-region", f"{error} Or mirror another image with image.source.", at="region"
                ) from None
        return image

    @rule("bucket.kmsKeyArn")
    def the_key_is_in_the_region(self) -> str | None:
        arn = self.bucket.kms_key_arn
        if arn is None or (of := arn.split(":")[3]) == self.region:
            return None
        return f"this is a key of {of}, the bucket is in {self.region}; S3 needs a key of its own region."

    @rule("endpoints")
    def the_keys_of_volumes_are_in_the_region(self) -> Broken:
        """KMS guide, Multi-Region keys: services use a key of their own region."""
        return {
            f"{name}.volumeKmsKeyArn": f"{arn} is a key of {of}; the endpoint is in {self.region}. Use a key of that "
            "region."
            for name, endpoint in self.endpoints.items()
            if (arn := endpoint.volume_kms_key_arn) and (of := arn.split(":")[3]) != self.region
        }

    @rule("notifications.topicArn")
    def the_topic_is_in_the_region(self) -> str | None:
        topic = self.notifications
        if topic is None or topic.region == self.region:
            return None
        return (
            f"{topic.topic_arn} is in {topic.region}, the stack in {self.region}. Give a topic of the stack's region; "
            "SNS delivers from there to other regions."
        )

    @rule("endpoints")
    def names_differ_in_more_than_case(self) -> Broken:
        first = {name.lower(): name for name in reversed(self.endpoints)}
        return {
            name: f"{other} and {name} differ in case only; SageMaker takes them for the same (CreateEndpoint)."
            for name in self.endpoints
            if (other := first[name.lower()]) != name
        }

    @rule("endpoints")
    def names_of_models_fit_in_sagemakers_63_characters(self) -> Broken:
        return {
            f"{name}.variants.{variant}": f"the Model is named {model} ({len(model)} characters); at most {MAX_NAME}, "
            "so that with the 8 that Pulumi adds it fits in SageMaker's 63. Shorten one of the two."
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.variants or ()
            if len(model := variant_resource(name, variant)) > MAX_NAME
        }

    @rule("endpoints")
    def models_have_names_of_their_own(self) -> Broken:
        """Pulumi docs, Resource URNs: two resources of a type have two names, whichever endpoints they belong to."""
        named = [(key, {resource}) for key, resource, _ in self._named]
        return {
            key: f"the Model would be called {name} like that of endpoints.{other}, and Pulumi takes a name once "
            "(Resource URNs). Rename one of the two."
            for key, name, other in _doubled(named)
        }

    @rule("endpoints")
    def alarms_have_names_of_their_own(self) -> Broken:
        """Pulumi docs, Resource URNs; CloudWatch API PutMetricAlarm, which overwrites an alarm of the same name. Where
        Models have the same name, that is said of them."""
        by_resource = {resource: (key, alarms.names(resource)) for key, resource, alarms in reversed(self._named)}
        return {
            key: f"its alarms would be called {name} like those of endpoints.{other}, and Pulumi and CloudWatch take a "
            "name once (Resource URNs; API PutMetricAlarm). Rename one of the two."
            for key, (_, name), other in _doubled(reversed(by_resource.values()))
        }

    @rule("endpoints")
    def gpus_are_used(self) -> Broken:
        if not self.image.tag.endswith("-cpu"):
            return None
        return {
            f"{key}instanceType": f"{each.instance_type} has GPUs, and the image {self.image.tag} does not use them. "
            f"Take {self.image.tag.removesuffix('-cpu')}, or a type without GPUs such as ml.c5.xlarge."
            for key, each in self._variants
            if instance_types.has_gpu(each.instance_type)
        }

    @rule("endpoints")
    def the_triton_release_runs_on_the_gpus(self) -> Broken:
        release = gpus.release_of(self.image.tag)
        if release is None:
            return None
        found = (
            (key, each.instance_type, gpus.release_problem(release, instance_types.family(each.instance_type)))
            for key, each in self._variants
        )
        return {f"{key}instanceType": f"{type_}: {problem}" for key, type_, problem in found if problem}

    @rule("endpoints")
    def production_survives_the_loss_of_an_instance(self) -> Broken:
        if not self.production:
            return None
        return {
            f"{key}{'autoscaling.min' if each.autoscaling else 'initialInstanceCount'}": "in production a fleet has 2 "
            "instances or more, which SageMaker spreads over Availability Zones (Best practices for deploying models). "
            "Give 2, or acknowledge the risk with allowSingleInstance: true."
            for key, each in self._variants
            if min(each.sizes) < 2 and not each.allow_single_instance
        }

    @rule("endpoints")
    def production_rolls_back_on_alarms(self) -> Broken:
        if not self.production:
            return None
        return {
            f"{name}.alarms": "a production endpoint needs an alarm that rolls a bad release back: without one "
            "SageMaker keeps whatever starts (Deployment guardrails). Give errorRatePercent, or name one in existing."
            for name, endpoint in self.endpoints.items()
            if not endpoint.watching_alarms
        }

    @rule("secretEnvironment")
    def secrets_are_for_endpoints_that_exist(self) -> Broken:
        return {
            name: f"there is no endpoint {name}; the stack has: {', '.join(self.endpoints)}."
            for name in self.secret_environment
            if name not in self.endpoints
        }

    @rule("secretEnvironment")
    def a_variable_is_secret_or_plain(self) -> Broken:
        return {
            f"{name}.{variable}": f"{variable} is in endpoints.{name} too; leave it out there."
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.production_variants.values()
            for variable in self.secret_environment.get(name, {})
            if variable in variant.environment
        }

    @rule("secretEnvironment")
    def a_variable_that_a_rule_is_about_is_plain(self) -> Broken:
        """This project: a rule that is told of a secret would show what it is."""
        return {
            f"{name}.{variable}": NAMED_BESIDE_THE_MODEL
            if variable == DEFAULT_MODEL_NAME
            else f"{variable} is an option of Triton's container whose value is checked, and no secret. Give it in "
            f"endpoints.{name}.environment."
            for name, variables in self.secret_environment.items()
            for variable in sorted(variables.keys() & LOOKED_AT)
        }

    @rule("secretEnvironment")
    def all_variables_together_are_not_too_many(self) -> Broken:
        most = MAX_ENVIRONMENT - SET_BY_THE_PROGRAM
        return {
            name: f"{count} variables with those of endpoints.{name}; at most {most} (API EnvironmentMap)."
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.production_variants.values()
            if (secret := self.secret_environment.get(name))
            and (count := len(variant.environment) + len(secret)) > most
        }

    @rule("secretEnvironment")
    def all_variables_together_are_not_too_large(self) -> Broken:
        return {
            name: f"with those of endpoints.{name}, {problem}"
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.production_variants.values()
            if (secret := self.secret_environment.get(name))
            and (problem := environment_problem(variant.environment | secret))
        }
