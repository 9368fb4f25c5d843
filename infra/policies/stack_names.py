"""The names of a stack's resources, to which the policies of its principals are restricted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from infra import names
from infra.aws.mode import Mode

if TYPE_CHECKING:
    from infra.settings.stack import Settings


@dataclass(frozen=True)
class StackNames:
    """The names of a stack's resources, to which permissions are restricted; some with IAM's `?` and `*`.

    Attributes:
        stack: its name.
        also: endpoints that the settings do not contain any more, or not yet; `ENDPOINT.VARIANT` for one variant.
    """

    settings: Settings
    stack: str
    partition: str
    account_id: str
    also: Sequence[str] = ()

    @cached_property
    def endpoints(self) -> Mapping[str, Sequence[str]]:
        """The names of the variants by that of their endpoint, also of those that are for transform jobs alone."""
        endpoints = {name: [*endpoint.variants] for name, endpoint in self.settings.endpoints.items()}
        for endpoint, _, variant in (name.partition(".") for name in self.also):
            known = endpoints.setdefault(endpoint, [])
            known += {variant or names.ONLY_VARIANT} - {*known}
        return endpoints

    @property
    def served(self) -> list[str]:
        """The endpoints on AWS."""
        batch = self.settings.batch
        return [name for name in self.endpoints if name not in batch or name in self.also]

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource in the stack's account and region."""
        return f"arn:{self.partition}:{service}:{self.settings.region}:{self.account_id}:{resource}"

    @property
    def bucket_arn(self) -> str:
        name = self.settings.bucket.name or names.bucket(self.stack) + names.AUTONAMED
        return f"arn:{self.partition}:s3:::{name}"

    @property
    def repository_arn(self) -> str:
        repository = names.repository(self.stack, self.settings.production, self.settings.image.repository)
        return self.arn("ecr", f"repository/{repository}")

    @property
    def pulled_arns(self) -> list[str]:
        """The ECR repositories that SageMaker may pull the image from."""
        return [self.repository_arn] if self.settings.image.mirror else self.image_arns

    @property
    def image_arns(self) -> list[str]:
        """The ECR repositories that publish the image; none for another registry."""
        return [image.repository_arn(self.partition) for image in self.settings.image_sources if image.ecr]

    @property
    def role_arns(self) -> list[str]:
        role, prefix = self.settings.role, f"arn:{self.partition}:iam::{self.account_id}:role/"
        if role.arn:
            return [role.arn]
        if role.name:  # an adopted role may have a path, and names are unique in an account regardless of the path
            return [f"{prefix}{role.name}", f"{prefix}*/{role.name}"]
        return [self.role_arn(names.execution_role(self.stack))]

    def role_arn(self, name: str) -> str:
        """The ARN of a role whose name Pulumi completes."""
        return f"arn:{self.partition}:iam::{self.account_id}:role/{name}{names.AUTONAMED}"

    @property
    def endpoint_arns(self) -> list[str]:
        return self.sagemaker_arns("endpoint", self.served)

    @property
    def configuration_arns(self) -> list[str]:
        return self.sagemaker_arns("endpoint-config", [name + names.AUTONAMED for name in self.served])

    @property
    def model_arns(self) -> list[str]:
        return self.sagemaker_arns("model", [resource + names.AUTONAMED for resource in self._variant_resources])

    @property
    def alarm_arns(self) -> list[str]:
        """The alarms on whole endpoints, those on the fleet of one configuration, and those that Application Auto
        Scaling creates in the caller's name."""
        alarms: list[str] = []
        for endpoint in self.served:
            known = self.settings.endpoints.get(endpoint)
            variants = [names.variant_resource(endpoint, variant) for variant in self.endpoints[endpoint]]
            alarms += dict.fromkeys(names.operators_alarm(watched, "*") for watched in (endpoint, *variants))
            if known is None or known.mode is Mode.ASYNCHRONOUS:
                alarms += (names.backlog_alarm(endpoint, variant) for variant in self.endpoints[endpoint])
            configuration = endpoint + names.AUTONAMED
            # `*` matches a variant, or the beginning of `server-error-rate`
            alarms += (names.alarm(configuration, f"*{end}") for end in (names.ERROR_RATE, names.P99_MODEL_LATENCY))
            alarms += [names.stop_alarm(configuration), f"TargetTracking-endpoint/{endpoint}/*"]
        return [self.arn("cloudwatch", f"alarm:{alarm}") for alarm in alarms]

    @property
    def topic_arns(self) -> list[str]:
        """The topics that the stack creates for asynchronous endpoints, or may have created for those in `also`."""
        creating = [name for name, queue in self.settings.asynchronous.items() if queue.notify]
        former = [name for name in self.also if name in self.endpoints and name not in creating]
        topics = (topic(name) for name in (*creating, *former) for topic in (names.success_topic, names.error_topic))
        return [self.arn("sns", topic + names.AUTONAMED) for topic in topics]

    @property
    def budget_arn(self) -> str:
        """Budgets are global."""
        budget = names.budget(self.stack) + names.AUTONAMED
        return f"arn:{self.partition}:budgets::{self.account_id}:budget/{budget}"

    @property
    def notification_topic_arn(self) -> str | None:
        """The topic that notifies operators: the existing one, or the one that the stack creates."""
        if self.settings.subscriptions:
            return self.arn("sns", names.notification_topic(self.stack) + names.AUTONAMED)
        return self.settings.notification_topic_arn

    @property
    def mute_rule_arns(self) -> list[str]:
        """The rules that silence the composite alarms in up to 100 freeze windows."""
        rules = (names.mute_rule(self.stack, window) for window in ("?", "??"))
        return [self.arn("cloudwatch", f"alarm-mute-rule:{rule}") for rule in rules]

    @property
    def composite_alarm_arns(self) -> list[str]:
        return [self.arn("cloudwatch", f"alarm:{names.composite_alarm(endpoint)}") for endpoint in self.served]

    @property
    def stop_alarm_arns(self) -> list[str]:
        alarms = (names.stop_alarm(endpoint + names.AUTONAMED) for endpoint in self.served)
        return [self.arn("cloudwatch", f"alarm:{alarm}") for alarm in alarms]

    @property
    def dashboard_arn(self) -> str:
        """Without a region (Service Authorization Reference, CloudWatch)."""
        return f"arn:{self.partition}:cloudwatch::{self.account_id}:dashboard/{names.dashboard(self.stack)}"

    @property
    def log_group_arns(self) -> list[str]:
        """They end in `:*`, except in permissions to tag (CloudWatch Logs API LogGroup, `arn` and `logGroupArn`)."""
        return [f"{arn}:*" for arn in self.tagged_log_group_arns]

    @property
    def tagged_log_group_arns(self) -> list[str]:
        return [self.arn("logs", f"log-group:{names.log_group(name)}") for name in self.served]

    @property
    def _variant_resources(self) -> list[str]:
        return [
            names.variant_resource(name, variant) for name, variants in self.endpoints.items() for variant in variants
        ]

    def sagemaker_arns(self, kind: str, resources: Iterable[str]) -> list[str]:
        """SageMaker writes names in ARNs in lower case and checks some calls by the name as given, and IAM compares
        case-sensitively: both forms."""
        forms = (form for resource in resources for form in dict.fromkeys([resource, resource.lower()]))
        return [self.arn("sagemaker", f"{kind}/{form}") for form in forms]
