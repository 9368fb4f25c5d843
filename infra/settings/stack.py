"""The settings of a stack, and the rules across their sections."""

from __future__ import annotations

from collections.abc import Iterator

from infra.aws import gpus, instance_types, mute_rules
from infra.aws.mode import Mode
from infra.diagnostics.messages import command_to_encrypt
from infra.diagnostics.problem import Location, key_of
from infra.image.aws_images import release_warning
from infra.image.reference import ImageReference
from infra.names import EXPIRING, variant_resource
from infra.policies.document import MAX_INLINE_POLICIES
from infra.policies.execution import fit_in_role
from infra.settings import environment
from infra.settings.endpoint import EndpointSettings
from infra.settings.endpoint_sections import MAX_NAME
from infra.settings.section import Broken, rule, warning
from infra.settings.stack_modes import StackModes
from infra.settings.variant import InstanceVariant


class Settings(StackModes):
    """A stack: its sections and the rules across them."""

    @property
    def _variants(self) -> Iterator[tuple[tuple[str, ...], InstanceVariant]]:
        """The variants on instances, with their paths below `endpoints`."""
        for name, endpoint in self.endpoints.items():
            for variant, settings in endpoint.instance_variants.items():
                yield (name, "variants", variant), settings

    @property
    def _instance_types(self) -> Iterator[tuple[Location, str]]:
        """The instance types of endpoints and of transform jobs, with their paths below `endpoints`."""
        yield from (((*path, "instanceType"), variant.instance_type) for path, variant in self._variants)
        yield from ((self.batch_type_path(name), job.instance_type) for name, job in self.batch.items())

    @property
    def _resources(self) -> list[tuple[Location, str, EndpointSettings]]:
        """Each variant's path below `endpoints`, the name of its resources and its endpoint; variants that are named
        after their endpoint first, because the others are easier to rename."""
        named = [
            ((name, "variants", variant), variant_resource(name, variant), endpoint)
            for name, endpoint in self.endpoints.items()
            for variant in endpoint.variants
        ]
        return sorted(named, key=lambda resource: resource[1] != resource[0][0])

    @rule("adopt.bucket")
    def adopted_bucket_without_name(self) -> str | None:
        if self.adopt.bucket and self.bucket.name is None:
            return "requires bucket.name. Set it to the existing bucket's name, and keep it set."
        return None

    @warning("adopt.bucket")
    def adopted_bucket_expiration(self) -> str | None:
        """S3 guide, Lifecycle and other bucket configurations: the rules apply to existing objects too."""
        if not self.adopt.bucket:
            return None
        return (
            f"all objects of the bucket below {', '.join(EXPIRING)} expire after "
            f"{self.bucket.result_expiration_days} days, also those that exist already (bucket.resultExpirationDays). "
            "Move what must be kept to other prefixes first."
        )

    @rule("adopt.role")
    def adopted_role_without_name(self) -> str | None:
        if self.adopt.role and self.role.name is None and self.role.arn is None:
            return "requires role.name. Set it to the existing role's name, and keep it set."
        return None

    @rule("adopt.role")
    def adopted_role_with_arn(self) -> str | None:
        if self.adopt.role and self.role.arn is not None:
            return "cannot be combined with role.arn, which uses a role unchanged. Set role.name instead of role.arn."
        return None

    @rule("adopt.endpoints")
    def adopted_endpoint_unknown(self) -> str | None:
        if unknown := [name for name in self.adopt.endpoints if name not in self.endpoints]:
            known = ", ".join(self.endpoints)
            return f"{', '.join(unknown)}: not in endpoints, which has {known}. Correct the name, or remove it."
        return None

    @rule("adopt.endpoints")
    def adopted_policy_without_name(self) -> str | None:
        """PutScalingPolicy updates a policy of the same name, and rejects a second policy on the same metric."""
        for name in self.adopt.endpoints:
            variants = self.endpoints[name].instance_variants.values() if name in self.endpoints else ()
            if any(variant.autoscaling and variant.autoscaling.policy_name is None for variant in variants):
                return (
                    f"{name} has autoscaling without autoscaling.policyName, and AWS accepts one target-tracking "
                    "policy per metric. Set the name of its policy (aws application-autoscaling "
                    "describe-scaling-policies --service-namespace sagemaker), or a new name if it has none."
                )
        return None

    @rule("region")
    def image_not_in_region(self) -> str | None:
        try:
            _ = self.image_sources
        except ValueError as error:
            return f"{error} Use one of these, or mirror another image with image.source."
        return None

    @rule("image.mirror")
    def in_place_in_other_region(self) -> str | None:
        """SageMaker API ContainerDefinition: the image must be in the region of the endpoint."""
        ecr = ImageReference.parse(self.image.source).ecr if self.image.source and not self.image.mirror else None
        if ecr is not None and ecr.region != self.region:
            return f"must be true for an image in {ecr.region}, because the stack is in {self.region}. Remove it."
        return None

    @rule("adopt.repository")
    def adopted_repository_without_mirror(self) -> str | None:
        if self.adopt.repository and not self.image.mirror:
            return "cannot be combined with image.mirror: false, which has no repository. Remove one of them."
        return None

    @rule("bucket.kmsKeyArn")
    def bucket_key_region(self) -> str | None:
        """KMS guide, Multi-Region keys: services use keys in their own region."""
        return self.in_other_region(self.bucket.kms_key_arn)

    @rule("endpoints")
    def volume_key_region(self) -> Broken:
        """KMS guide, Multi-Region keys: services use keys in their own region."""
        keys = {name: endpoint.volume_kms_key_arn for name, endpoint in self.endpoints.items()}
        return {
            (name, "volumeKmsKeyArn"): problem for name, key in keys.items() if (problem := self.in_other_region(key))
        }

    @rule("notifications.topicArn")
    def topic_region(self) -> str | None:
        """This project: SNS can deliver from a topic in the stack's region to other regions."""
        return self.in_other_region(self.notification_topic_arn)

    @rule("monitoring.muteInFreezeWindows")
    def mute_without_effect(self) -> str | None:
        if not self.monitoring.mute_in_freeze_windows or (self.notifications and self.freeze_windows):
            return None
        missing = "freezeWindows" if self.notifications else "notifications"
        return f"has no effect without {missing}. Set {missing}, or remove the key."

    @rule("freezeWindows")
    def window_cannot_mute(self) -> Broken:
        """CloudWatch API Schedule (of an alarm mute rule)."""
        if not self.monitoring.mute_in_freeze_windows:
            return None
        problems: dict[str | Location, str] = {}
        for index, setting in enumerate(self.freeze_windows):
            window = setting.window
            for key, problem in (
                ("schedule", mute_rules.schedule_problem(window.schedule)),
                ("durationMinutes", mute_rules.duration_problem(window.duration)),
            ):
                if problem:
                    problems[index, key] = (
                        f"CloudWatch cannot mute alarms by this window: {problem} (API PutAlarmMuteRule). Change it, "
                        "or remove monitoring.muteInFreezeWindows."
                    )
        return problems

    @rule("endpoints")
    def model_name_length(self) -> Broken:
        return {
            path: f"the Model is named {model} ({len(model)} characters); at most {MAX_NAME}, because Pulumi appends 8 "
            "and SageMaker accepts 63. Use a shorter name for the endpoint or the variant."
            for path, model, _ in self._resources
            if len(model) > MAX_NAME
        }

    @rule("endpoints")
    def duplicate_name(self) -> Broken:
        """Pulumi docs, Resource URNs: two resources of a type must have different names; CloudWatch API PutMetricAlarm
        overwrites an alarm of the same name."""
        first: dict[tuple[str, str], Location] = {}
        problems: dict[str | Location, str] = {}
        for path, resource, endpoint in self._resources:
            on_endpoint = endpoint.thresholds(str(path[-1]), self.production) if endpoint.mode is not Mode.BATCH else ()
            names = [("Model", resource), *sorted(endpoint.alarms.names(resource, on_endpoint))]
            if duplicate := next((name for name in names if name in first), None):
                kind, name = duplicate
                problems[path] = (
                    f"its {kind} would have the same name, {name}, as that of endpoints.{first[duplicate][0]}. Rename "
                    "one of the two."
                )
            first = dict.fromkeys(names, path) | first
        return problems

    @rule("endpoints")
    def cpu_image_on_gpus(self) -> Broken:
        triton = self.image.triton
        if triton is None or not triton.is_cpu_only:
            return None
        return {
            path: f"{type_} has GPUs, which the image {triton} does not use. Use "
            f"{str(triton).removesuffix('-cpu')}, or a type without GPUs such as ml.c5.xlarge."
            for path, type_ in self._instance_types
            if instance_types.has_gpu(type_)
        }

    @rule("endpoints")
    def triton_does_not_support_gpu(self) -> Broken:
        if (triton := self.image.triton) is None:
            return None
        return {
            path: f"{type_}: {problem}"
            for path, type_ in self._instance_types
            if (problem := gpus.release_problem(triton.release, instance_types.family(type_)))
        }

    @rule("endpoints")
    def single_instance(self) -> Broken:
        """SageMaker guide, Best practices for deploying models on SageMaker AI Hosting Services. An asynchronous
        endpoint keeps its requests until an instance has started again."""
        if not self.production:
            return None
        return {
            (
                *path,
                *variant.limits[min(variant.sizes)].split("."),
            ): "must be at least 2 in production: SageMaker spreads "
            "the instances over Availability Zones (Best practices for deploying models). Set 2, or accept the risk "
            "with allowSingleInstance: true."
            for path, variant in self._variants
            if min(variant.sizes) < 2 and not variant.allow_single_instance
            if self.endpoints[path[0]].mode is not Mode.ASYNCHRONOUS
        }

    @rule("endpoints")
    def production_without_alarms(self) -> Broken:
        """SageMaker guide, Deployment guardrails."""
        if not self.production:
            return None
        return {
            (name, "alarms"): "must have an alarm in production that rolls back a bad release; without one, SageMaker "
            "keeps any model that starts (Deployment guardrails). Set errorRatePercent, or list an alarm in existing."
            for name, endpoint in self.endpoints.items()
            if not endpoint.watching_alarms and endpoint.mode in (Mode.REAL_TIME, Mode.ASYNCHRONOUS)
        }

    @rule("secretEnvironment")
    def secret_of_unknown_endpoint(self) -> Broken:
        return {
            (
                name,
            ): f"endpoint {name} does not exist; the endpoints are {', '.join(self.endpoints)}. Correct the name, or "
            "remove it."
            for name in self.secret_environment
            if name not in self.endpoints
        }

    @rule("secretEnvironment")
    def secret_and_plain_variable(self) -> Broken:
        return {
            (name, variable): f"{variable} is also set in endpoints.{name}. Remove it there."
            for name, endpoint in self.endpoints.items()
            for settings in endpoint.variants.values()
            for variable in self.secret_environment.get(name, {})
            if variable in settings.environment
        }

    @rule("secretEnvironment")
    def secret_option(self) -> Broken:
        """This project: a rule that reads a secret would reveal it."""
        return {
            (name, variable): environment.SET_DEFAULT_MODEL
            if variable == environment.DEFAULT_MODEL_NAME
            else f"{variable} is an option of Triton's container with a checked value, so it cannot be secret. Set "
            f"it in endpoints.{name}.environment."
            for name, variables in self.secret_environment.items()
            for variable in sorted(variables.keys() & environment.CHECKED)
        }

    @rule("endpoints")
    def environment_too_large(self) -> Broken:
        """SageMaker API EnvironmentMap, ContainerDefinition."""
        return {
            (name, "variants", variant, "environment"): f"{'with secretEnvironment, ' * bool(secrets)}{problem}."
            for name, endpoint in self.endpoints.items()
            for variant, settings in endpoint.variants.items()
            for secrets in [self.secret_environment.get(name, {})]
            if (problem := environment.size_problem({**settings.environment, **secrets}))
        }

    @warning("image.version")
    def unpublished_version(self) -> str | None:
        """The SageMaker Python SDK's tables of AWS's accounts."""
        return None if self.image.source else release_warning(self.region, self.image.version)

    @warning("notifications")
    def notifications_without_runbook(self) -> str | None:
        """This project: a description of an alarm has the next command, and only a runbook has what follows it."""
        notifies = self.notification_topic_arn or any("alarms" in each.receives for each in self.subscriptions)
        if not self.production or not notifies or not self.served_endpoints or self.monitoring.runbook_url:
            return None
        return (
            "notifies operators of alarms whose descriptions have no runbook. Set monitoring.runbookUrl to the address "
            "of yours."
        )

    @warning("endpoints")
    def shared_log_access(self) -> str | None:
        """IAM guide, IAM and AWS STS quotas: the inline policies of a role."""
        names = self.served_endpoints
        if self.role.arn is not None or fit_in_role(names, self.region):
            return None
        return (
            f"the inline policies of a role ({MAX_INLINE_POLICIES:,} characters, IAM quotas) cannot name {len(names)} "
            "log groups, so the execution role may write to the log group of every endpoint in the region. Split the "
            "stack if the region has endpoints of others."
        )

    @warning("endpoints")
    def old_gpu_driver(self) -> Broken:
        """NVIDIA, CUDA Compatibility."""
        if (triton := self.image.triton) is None:
            return None
        images = ((path, variant, variant.inference_ami) for path, variant in self._variants)
        return {
            (*path, "inferenceAmiVersion" if ami else "instanceType"): message
            for path, variant, ami in images
            if (message := gpus.driver_warning(triton.release, instance_types.family(variant.instance_type), ami))
        }

    @warning("endpoints")
    def neuron_runtime_missing(self) -> Broken:
        """Triton docs, Using Triton with Inferentia."""
        if self.image.source is not None:
            return None
        return {
            path: f"{type_} has Inferentia or Trainium, for which Triton needs a Neuron runtime in its container "
            "(Triton docs, Using Triton with Inferentia). AWS's image has none. Mirror an image that does with "
            "image.source, or use another type."
            for path, type_ in self._instance_types
            if instance_types.has_neuron(type_)
        }

    @warning("endpoints")
    def plaintext_variable(self) -> Broken:
        """This project: the environment is in the configuration and in the state."""
        return {
            (name, "variants", variant, "environment", variable): "looks like a secret but is stored in plaintext here "
            "and in Pulumi's state. If it is one, remove it and run: "
            f"{command_to_encrypt(key_of(('secretEnvironment', name, variable)), None)}"
            for name, endpoint in self.endpoints.items()
            for variant, settings in endpoint.variants.items()
            for variable in filter(environment.SECRET_NAME.search, settings.environment)
        }

    @warning("secretEnvironment")
    def unknown_option(self) -> Broken:
        """Triton, docker/sagemaker/serve."""
        return {
            (name, variable): message
            for name, variables in self.secret_environment.items()
            for variable in variables
            if (message := environment.option_warning(variable))
        }
