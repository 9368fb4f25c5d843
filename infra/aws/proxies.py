"""Proxies, chosen as the `aws` provider chooses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Proxies:
    """The proxies of the provider's configuration and, where it has none, of the environment.

    The rules are those of aws-sdk-go-base (`HTTPTransportOptions`) and of Go's `httpproxy`: `httpProxy` also serves
    HTTPS unless HTTPS has its own proxy, and requests to this machine never use a proxy.

    Attributes:
        no_proxy: comma-separated hosts and domains, or `*`.
    """

    http: str
    https: str
    no_proxy: str

    @classmethod
    def of(cls, config: Mapping[str, Any], environment: Mapping[str, str]) -> Proxies:
        """
        Args:
            config: the provider's configuration by its keys.
        """
        http = config.get("httpProxy", _variable(environment, "HTTP_PROXY"))
        https = _variable(environment, "HTTPS_PROXY") or config.get("httpProxy", "")
        no_proxy = config.get("noProxy") or _variable(environment, "NO_PROXY")
        return cls(http, config.get("httpsProxy", https), no_proxy)

    def of_url(self, url: str) -> str | None:
        """The proxy for a URL; None to connect directly."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        proxy = self.https if parts.scheme == "https" else self.http
        excluded = any(_matches(entry, host, port) for entry in self.no_proxy.split(","))
        if not proxy or excluded or _on_this_machine(host):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY (`*`, a host or domain, optionally with a port) matches the host."""
    domain, _, only_port = entry.strip().lower().lstrip(".").partition(":")
    below = domain != "" and f".{host}".endswith(f".{domain}")
    return domain == "*" or (below and only_port in ("", str(port)))


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def _on_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
