"""The Datadog sites, and the intake of each for CloudWatch metric streams.

Sources: Datadog docs, Getting Started with Datadog Sites; DataDog/cloudformation-template, aws_streams/
streams_single_region.yaml (`DdSiteToEndpoint`, 2026-06-26), which has an intake for each of these sites.
"""

from __future__ import annotations

from enum import StrEnum


class Site(StrEnum):
    """A Datadog site by its domain, as Datadog's SITE parameter names it."""

    US1 = "datadoghq.com"
    US3 = "us3.datadoghq.com"
    US5 = "us5.datadoghq.com"
    EU1 = "datadoghq.eu"
    AP1 = "ap1.datadoghq.com"
    AP2 = "ap2.datadoghq.com"
    UK1 = "uk1.datadoghq.com"
    US1_FED = "ddog-gov.com"
    US2_FED = "us2.ddog-gov.com"

    @property
    def intake_url(self) -> str:
        """Where Firehose delivers the metrics to."""
        return f"https://awsmetrics-intake.{self.value}/api/v2/awsmetrics?dd-protocol=aws-kinesis-firehose"


BUFFERING = {"buffering_size": 4, "buffering_interval": 60}
"""MiB and seconds of metrics in one request (the same template)."""

RETRY_SECONDS = 60
"""How long Firehose repeats a request before the metrics are failed data (the same template)."""
