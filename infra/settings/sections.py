"""The sections of a stack's settings: everything that operators edit in `Pulumi.<stack>.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from infra import names
from infra.aws.mode import Mode
from infra.image.aws_images import aws_triton_images
from infra.image.reference import ImageReference
from infra.settings.adopt import AdoptSettings
from infra.settings.asynchronous import AsynchronousSettings
from infra.settings.batch import BatchSettings
from infra.settings.bucket import BucketSettings
from infra.settings.cost import CostSettings
from infra.settings.datadog import DatadogSettings, Integration
from infra.settings.endpoint import EndpointSettings
from infra.settings.endpoint_sections import MAX_NAME, EndpointName
from infra.settings.environment import VariableName, VariableValue
from infra.settings.freeze import FreezeWindowSettings
from infra.settings.image import ImageSettings
from infra.settings.monitoring import MonitoringSettings
from infra.settings.network import VpcSettings
from infra.settings.notifications import (
    CreatedTopicSettings,
    ExistingTopicSettings,
    NotificationSettings,
    SubscriptionSettings,
)
from infra.settings.role import RoleSettings
from infra.settings.section import Broken, Effect, Section, rule, setting
from infra.settings.tags import COST_TAGS, MAX_TAGS, RESERVED_TAGS, TagKey, TagValue


class Environment(StrEnum):
    """The purpose of the stack. Production makes image tags immutable and protects bucket, repository, endpoints and
    their scalable targets."""

    PRODUCTION = "production"
    STAGING = "staging"
    DEVELOPMENT = "development"


def _differ_in_case(names: Iterable[str], service: str) -> Broken:
    """A message for each name that equals an earlier one but for its case."""
    first = {name.casefold(): name for name in reversed([*names])}
    return {
        (name,): f"{other} and {name} differ in case only, and {service} treats them as equal. Rename one."
        for name in names
        if (other := first[name.casefold()]) != name
    }


class StackSections(Section):
    """The keys of a stack, and the rules about one key alone."""

    region: str = setting(
        "The AWS region, set by `pulumi config set aws:region ap-northeast-1`. AWS's image must be available there "
        "unless image.source is set. A change is refused, because an endpoint cannot move: create another stack.",
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d$",
        example="ap-northeast-1",
        source="AWS General Reference, Amazon SageMaker AI endpoints and quotas; this project: a stack has one region, "
        "because an endpoint cannot move",
        effect=Effect.REFUSED,
    )
    environment: Environment = setting(
        "The purpose of the stack. Production protects resources that must not be lost, makes image tags immutable, "
        "and has additional rules. A change renames the ECR repository unless image.repository is set.",
        strict=False,
        example="production",
        source="this project: resources that must not be lost have stricter rules than those for trying out",
        effect=Effect.REPLACEMENT,
    )
    tags: dict[TagKey, TagValue] = setting(
        "Tags of every resource: keys of 1 to 128 characters, values of at most 256. The cost allocation tags CostEnv "
        "and CostService are required.",
        example={"CostEnv": "prod", "CostService": "ranking"},
        source=f"SageMaker API TagList; this project: it needs {RESERVED_TAGS} of the {MAX_TAGS} itself, and costs are "
        "allocated by two",
        effect=Effect.IN_PLACE,
        schema={"maxProperties": MAX_TAGS - RESERVED_TAGS},
    )
    bucket: BucketSettings = setting(
        "The model bucket.",
        default=BucketSettings(),
        source="this project: an object that a Model refers to is never overwritten, so the program has its own bucket",
        effect=Effect.NOTHING,
    )
    image: ImageSettings = setting(
        "The Triton image: AWS's image of the region by default.",
        default=ImageSettings(),
        source="SageMaker API ContainerDefinition (Image)",
        effect=Effect.NOTHING,
    )
    role: RoleSettings = setting(
        "The execution role.",
        default=RoleSettings(),
        source="SageMaker API CreateModelInput (ExecutionRoleArn)",
        effect=Effect.REPLACEMENT,
    )
    vpc: VpcSettings | None = setting(
        "The VPC to attach the containers to; none by default.",
        default=None,
        source="SageMaker API VpcConfig",
        effect=Effect.NEW_RELEASE,
    )
    endpoints: dict[EndpointName, EndpointSettings] = setting(
        f"The endpoints by name: letters, digits and hyphens, at most {MAX_NAME} characters, unique in the account and "
        "region. A new name creates a new endpoint and then deletes the old one. In production, removing or renaming "
        "an endpoint requires `pulumi up --ignore-protect`.",
        min_length=1,
        source=f"SageMaker API EndpointName; this project: {MAX_NAME} characters of the 63, because Pulumi appends 8 "
        "to the names of Model and EndpointConfiguration",
        effect=Effect.NEW_RELEASE,
    )
    secret_environment: dict[EndpointName, dict[VariableName, VariableValue]] = setting(
        "Secret environment variables of an endpoint's containers, by endpoint; they count toward the limits of its "
        "environment. Only Pulumi secrets are accepted: `pulumi config set --secret --path "
        "'triton-sagemaker:secretEnvironment.ENDPOINT.VARIABLE'`.",
        default_factory=dict,
        example={"sagemaker-endpoint": {"LICENSE_KEY": {"secure": "…"}}},
        source="SageMaker API EnvironmentMap; this project: a key of its own, because Pulumi reports which top-level "
        "keys are secret, and nothing below them",
        effect=Effect.NEW_RELEASE,
        secret=True,
    )
    freeze_windows: list[FreezeWindowSettings] = setting(
        "Times when live endpoints of the stack are neither released nor deleted; none by default. Creating an "
        "endpoint is allowed, and so is replacing a Failed one.",
        default_factory=list,
        source="this project: SageMaker has no such feature",
        effect=Effect.NOTHING,
    )
    notifications: NotificationSettings | None = setting(
        "The SNS topic that receives the alarms and the result of each release; none by default.",
        default=None,
        source="this project: operators need not watch `pulumi up`",
        effect=Effect.IN_PLACE,
    )
    monitoring: MonitoringSettings = setting(
        "Logs, the dashboard and alarm notifications.",
        default=MonitoringSettings(),
        source="this project: CloudWatch keeps logs forever by default",
        effect=Effect.IN_PLACE,
    )
    datadog: DatadogSettings | None = setting(
        "Streams the endpoints' metrics to Datadog; off by default.",
        default=None,
        source="CloudWatch API PutMetricStreamInput",
        effect=Effect.NOTHING,
    )
    cost: CostSettings = setting(
        "A limit on the estimated cost, and an AWS Budget.",
        default=CostSettings(),
        source="this project: instances that always run are most of the cost of hosting",
        effect=Effect.NOTHING,
    )
    adopt: AdoptSettings = setting(
        "Existing resources to adopt under their names; none by default (docs/adopt.md).",
        default=AdoptSettings(),
        source="Pulumi docs, Importing resources",
        effect=Effect.NOTHING,
    )

    @property
    def production(self) -> bool:
        """Whether resources that must not be lost are protected."""
        return self.environment is Environment.PRODUCTION

    @property
    def dashboards(self) -> int:
        """The number of CloudWatch dashboards."""
        chosen = self.monitoring.dashboard
        return int(self.production if chosen is None else chosen)

    @property
    def image_sources(self) -> list[ImageReference]:
        """The images to mirror from, in the order to try."""
        if self.image.source is not None:
            return [ImageReference.parse(self.image.source)]
        return aws_triton_images(self.region, self.image.version)

    @property
    def notification_topic_arn(self) -> str | None:
        """The existing SNS topic that operators are notified by."""
        return self.notifications.topic_arn if isinstance(self.notifications, ExistingTopicSettings) else None

    @property
    def metric_stream(self) -> DatadogSettings | None:
        """The settings of the stack's metric stream to Datadog."""
        return self.datadog if self.datadog and self.datadog.integration is Integration.METRIC_STREAM else None

    @property
    def subscriptions(self) -> list[SubscriptionSettings]:
        """The subscriptions to the topic that the stack creates; empty if it creates none."""
        return self.notifications.subscriptions if isinstance(self.notifications, CreatedTopicSettings) else []

    def composite_alarm(self, endpoint: str) -> str | None:
        """The name in CloudWatch of the alarm that notifies operators of an endpoint; None if nothing does."""
        watched = self.endpoints[endpoint].alarm_names(endpoint, self.production)
        return names.composite_alarm(endpoint) if self.notifications and watched else None

    @property
    def served_endpoints(self) -> list[str]:
        """The names of the endpoints on AWS: those that are not for transform jobs alone."""
        return [name for name, endpoint in self.endpoints.items() if endpoint.mode is not Mode.BATCH]

    @property
    def asynchronous(self) -> dict[str, AsynchronousSettings]:
        """The queues of the asynchronous endpoints."""
        return {name: endpoint.asynchronous for name, endpoint in self.endpoints.items() if endpoint.asynchronous}

    @property
    def batch(self) -> dict[str, BatchSettings]:
        """The defaults of transform jobs, by the name of their Model in the settings."""
        variants = ((name, endpoint.batch_variants) for name, endpoint in self.endpoints.items())
        return {name: variant.batch for name, of_name in variants for variant in of_name.values()}

    @property
    def answer_key_arns(self) -> list[str]:
        """The KMS keys that encrypt answers in S3, without duplicates: that of the bucket, and those of the modes."""
        queues, jobs = self.asynchronous.values(), self.batch.values()
        of_modes = {*(queue.kms_key_arn for queue in queues), *(job.kms_key_arn for job in jobs)}
        return sorted(key for key in of_modes | {self.bucket.kms_key_arn} if key)

    @property
    def volume_key_arns(self) -> list[str]:
        """The KMS keys of the instances' volumes, without duplicates."""
        arns = {endpoint.volume_kms_key_arn for endpoint in self.endpoints.values()}
        return sorted(arn for arn in arns if arn)

    def in_other_region(self, arn: str | None) -> str | None:
        """The message about a resource in another region than the stack's, by its ARN."""
        region = arn.split(":")[3] if arn else self.region
        if region == self.region:
            return None
        return f"{arn} is in {region}, but the stack is in {self.region}. Use one in the stack's region."

    @rule("tags")
    def cost_tag_missing(self) -> str | None:
        """This project: costs are allocated by these tags."""
        keys = {key.casefold() for key, value in self.tags.items() if value}
        missing = [key for key in COST_TAGS if key.casefold() not in keys]
        return f"{' and '.join(missing)} must be set, because costs are allocated by them." if missing else None

    @rule("tags")
    def cost_tag_spelling(self) -> Broken:
        """Billing guide, Cost allocation tags: keys are case-sensitive there."""
        right = {key.casefold(): key for key in COST_TAGS if key not in self.tags}
        misspelt = ((key, right[key.casefold()]) for key in self.tags if key.casefold() in right)
        return {(key,): f"must be spelled {cost_tag}: tag keys are case-sensitive." for key, cost_tag in misspelt}

    @rule("tags")
    def tags_differ_in_case(self) -> Broken:
        """IAM guide, Tags for IAM resources: the keys of a role's tags are not case-sensitive."""
        return _differ_in_case(self.tags, "IAM")

    @rule("tags")
    def too_many_tags(self) -> str | None:
        """AWS tagging rules."""
        if len(self.tags) <= MAX_TAGS - RESERVED_TAGS:
            return None
        most = MAX_TAGS - RESERVED_TAGS
        return (
            f"has {len(self.tags)} tags; at most {most}, because the program sets {RESERVED_TAGS} of the {MAX_TAGS} "
            f"that AWS accepts. Remove {len(self.tags) - most}."
        )

    @rule("datadog")
    def incomplete_metric_stream(self) -> Broken:
        """Firehose API HttpEndpointDestinationConfiguration."""
        if (stream := self.metric_stream) is None:
            return None
        given = {"site": stream.site, "apiKeySecretArn": stream.api_key_secret_arn}
        return {
            key: "is required by a metric stream. Set it, or set integration: existing, which creates none."
            for key, value in given.items()
            if value is None
        }

    @rule("datadog.apiKeySecretArn")
    def secret_region(self) -> str | None:
        """Firehose API SecretsManagerConfiguration: the secret must be in the region of the stream."""
        return self.in_other_region(self.datadog.api_key_secret_arn if self.datadog else None)

    @rule("endpoints")
    def endpoints_differ_in_case(self) -> Broken:
        """SageMaker API CreateEndpoint."""
        return _differ_in_case(self.endpoints, "SageMaker")
