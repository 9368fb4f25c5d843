"""Addresses in AWS's console."""

from __future__ import annotations

from collections.abc import Mapping

_DOMAINS: Mapping[str, str] = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
"""By the beginning of the region's name, if it is not that of most regions."""


def dashboard_url(region: str, name: str) -> str:
    """The address of a CloudWatch dashboard."""
    domain = next((domain for prefix, domain in _DOMAINS.items() if region.startswith(prefix)), None)
    host = domain or f"{region}.console.aws.amazon.com"
    return f"https://{host}/cloudwatch/home?region={region}#dashboards/dashboard/{name}"
