"""The metric stream to Datadog: from CloudWatch through Firehose to the intake of the site."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pulumi
from botocore.exceptions import BotoCoreError, ClientError
from pulumi_aws import cloudwatch, iam, kinesis

from infra import names
from infra.aws import datadog, metrics
from infra.aws.datadog import Site
from infra.aws.errors import code
from infra.aws.metrics import NAMESPACES, PERCENTILES
from infra.aws.session import AwsSession
from infra.components.context import StackContext, stack_config
from infra.errors import UserError
from infra.policies import metric_stream as policies
from infra.policies.document import Policy
from infra.settings.datadog import DatadogSettings, Integration
from infra.settings.stack import Settings


class SecretMissing(UserError):
    """The secret with the API key does not exist."""


@dataclass(frozen=True)
class MetricStreamArgs:
    context: StackContext
    settings: Settings
    site: Site
    secret_arn: str
    bucket_arn: pulumi.Input[str]


class DatadogMetricStream(pulumi.ComponentResource):
    """A CloudWatch metric stream, the Firehose stream that delivers it, and a role for each of the two."""

    name: pulumi.Output[str]
    delivery_stream_name: pulumi.Output[str]

    def __init__(self, name: str, args: MetricStreamArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("triton-sagemaker:infra:DatadogMetricStream", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        delivery = self._delivery()
        role, with_role = self._role(
            names.metric_stream_role(args.context.stack),
            "Streams metrics to Firehose",
            policies.stream_trust,
            delivery.arn.apply(lambda arn: json.dumps(policies.put_records(arn))),
        )
        stream = cloudwatch.MetricStream(
            names.metric_stream(args.context.stack),
            firehose_arn=delivery.arn,
            role_arn=role.arn,
            output_format="opentelemetry1.0",
            include_filters=[{"namespace": namespace} for namespace in NAMESPACES],
            statistics_configurations=[
                {
                    "include_metrics": [
                        {"namespace": metric.namespace, "metric_name": metric.name} for metric in metrics.LATENCIES
                    ],
                    "additional_statistics": list(PERCENTILES),
                }
            ],
            tags=args.context.tags,
            opts=with_role,
        )
        self.name, self.delivery_stream_name = stream.name, delivery.name
        self.register_outputs({"name": self.name, "deliveryStreamName": self.delivery_stream_name})

    def _delivery(self) -> kinesis.FirehoseDeliveryStream:
        """The Firehose stream, which keeps in the bucket what Datadog did not accept."""
        args = self._args
        role, with_role = self._role(
            names.delivery_role(args.context.stack),
            "Delivers metrics to Datadog",
            policies.delivery_trust,
            pulumi.Output.from_input(args.bucket_arn).apply(
                lambda arn: json.dumps(policies.deliver(arn, args.secret_arn, args.settings.bucket.kms_key_arn))
            ),
        )
        return kinesis.FirehoseDeliveryStream(
            names.metric_stream(args.context.stack),
            destination="http_endpoint",
            http_endpoint_configuration={
                "name": "Datadog",
                "url": args.site.intake_url,
                "role_arn": role.arn,
                # the key is neither here nor in the state
                "secrets_manager_configuration": {"enabled": True, "secret_arn": args.secret_arn},
                "request_configuration": {"content_encoding": "GZIP"},
                **datadog.BUFFERING,
                "retry_duration": datadog.RETRY_SECONDS,
                "s3_backup_mode": "FailedDataOnly",
                "s3_configuration": {
                    "role_arn": role.arn,
                    "bucket_arn": args.bucket_arn,
                    "error_output_prefix": names.FAILED_METRICS,
                    "compression_format": "GZIP",
                    **datadog.BUFFERING,
                },
            },
            tags=args.context.tags,
            opts=pulumi.ResourceOptions.merge(with_role, pulumi.ResourceOptions(hooks=_secret(args))),
        )

    def _role(
        self, name: str, purpose: str, trust: Callable[[str], Policy], permissions: pulumi.Output[str]
    ) -> tuple[iam.Role, pulumi.ResourceOptions]:
        """A role with one policy, and the options of what cannot work without it."""
        context = self._args.context
        role = iam.Role(
            name,
            description=purpose,
            assume_role_policy=context.account_id.apply(lambda account: json.dumps(trust(account))),
            permissions_boundary=self._args.settings.role.permissions_boundary,
            tags=context.tags,
            opts=self._child,
        )
        policy = iam.RolePolicy(name, role=role.name, policy=permissions, opts=self._child)
        return role, pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=[policy]))


def _secret(args: MetricStreamArgs) -> pulumi.ResourceHookBinding:
    """The check that the secret exists, which Firehose makes only when it delivers; its value is not read."""

    def check(_: pulumi.ResourceHookArgs) -> None:
        if problem := missing(args.secret_arn, AwsSession(stack_config()).client("secretsmanager")):
            raise SecretMissing(f"{pulumi.get_project()}:datadog.apiKeySecretArn: {problem}")

    hook = pulumi.ResourceHook("the API key of Datadog exists", check)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


def missing(secret_arn: str, client: object) -> str | None:
    """The problem if the secret does not exist; None if it does, or if the credentials cannot describe it."""
    try:
        described = client.describe_secret(SecretId=secret_arn)  # type: ignore[attr-defined]
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            return None
    except BotoCoreError:
        return None
    else:
        if "DeletedDate" not in described:
            return None
    name = secret_arn.split(":", 6)[6].rpartition("-")[0]
    return (
        f"{secret_arn} does not exist, or is scheduled for deletion. Create it with `aws secretsmanager create-secret "
        f"--name {name} --secret-string file://api-key.json`, where api-key.json is "
        '{"api_key": "…"}, and set its ARN.'
    )


def announcement(settings: DatadogSettings, region: str) -> str:
    """What a preview says of Datadog: where the metrics go, or what must exist."""
    namespaces = " and ".join(NAMESPACES)
    if settings.site and settings.api_key_secret_arn and settings.integration is Integration.METRIC_STREAM:
        return (
            f"datadog: streams {namespaces}, of all endpoints of the account in {region}, to {settings.site}. The tags "
            "of the endpoints come from Datadog's AWS integration of the account, which must exist (docs/datadog.md)"
        )
    latencies = ", ".join(metric.name for metric in metrics.LATENCIES)
    return (
        f"datadog: creates nothing. These must exist: a CloudWatch metric stream in {region}, in OpenTelemetry 1.0 "
        f"format, with {namespaces}, and with {', '.join(PERCENTILES)} of {latencies}; a Firehose stream that delivers "
        f"it to {settings.site or 'the site'}, with its role and S3 bucket; Datadog's AWS integration of the account "
        "(docs/datadog.md)"
    )
