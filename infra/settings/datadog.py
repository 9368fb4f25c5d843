"""The settings of how CloudWatch's metrics reach Datadog."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from infra.aws.datadog import Site
from infra.settings.section import Section, setting


class Integration(StrEnum):
    """What brings the metrics to Datadog: a metric stream of the stack, or one that exists."""

    METRIC_STREAM = "metricStream"
    EXISTING = "existing"


SecretArn = Annotated[
    str,
    StringConstraints(
        pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@!-]+-[A-Za-z0-9]{6}$"
    ),
]
"""The complete ARN of a secret, with the six characters that Secrets Manager appends to its name."""


class DatadogSettings(Section):
    """A CloudWatch metric stream to Datadog."""

    integration: Integration = setting(
        "`metricStream` creates a CloudWatch metric stream, and a Firehose stream that delivers it to site. It streams "
        "the endpoints of all stacks of the account in the region, so one stack there must have it. `existing` creates "
        "nothing: a metric stream in OpenTelemetry 1.0 format with the namespaces AWS/SageMaker and "
        "/aws/sagemaker/Endpoints, and percentiles of ModelLatency, OverheadLatency and ModelSetupTime, must exist in "
        "the region; the other keys have no effect. Both need Datadog's AWS integration for the account "
        "(docs/datadog.md).",
        default=Integration.METRIC_STREAM,
        strict=False,
        example="existing",
        source="Datadog docs, AWS CloudWatch Metric Streams with Amazon Data Firehose",
    )
    site: Site | None = setting(
        "The Datadog site that receives the metrics. Required for `metricStream`.",
        default=None,
        strict=False,
        example="ap1.datadoghq.com",
        source="Datadog docs, Getting Started with Datadog Sites; DataDog/cloudformation-template, "
        "streams_single_region.yaml (DdSiteToEndpoint)",
    )
    api_key_secret_arn: SecretArn | None = setting(
        "ARN of the Secrets Manager secret, in the stack's region, with the API key of Datadog as "
        '`{"api_key": "…"}`. Firehose alone reads it. Required for `metricStream`.',
        default=None,
        example="arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:datadog-api-key-a1b2c3",
        source="Firehose API SecretsManagerConfiguration (SecretARN); Firehose guide, Understand secrets; this "
        "project: the complete ARN, because the role of Firehose may read this secret only",
    )
