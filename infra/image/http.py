"""HTTPS requests to registries, with the proxies and certificates of the AWS calls.

URLs of blobs are signed or go with a token, so no message and no exception contains one.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from infra.diagnostics.printable import printable
from infra.image.retry import Broken, Busy

MAX_CONNECTIONS = 16
"""Open connections that are kept for each host."""

_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_ONCE = urllib3.Retry(0, redirect=False)
_MAX_REDIRECTS = 5  # registries send blobs from elsewhere
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METADATA_IPV6 = ipaddress.ip_address("fd00:ec2::254")  # EC2 User Guide, "Use the Instance Metadata Service"
_FAILED = frozenset({408, 425, 500, 502, 504})
_BUSY = frozenset({429, 503})
# S3's responses to an expired URL or expired credentials: a new URL works, or nothing does
_EXPIRED = frozenset({400, 403})
_EXPIRED_TRIES = 3


class _Sends(HTTPConnection):
    """Sends each block of a body within the timeout of a read. urllib3 gives it the one of a connect, which is too
    short for a block of a layer when eight of them share a slow uplink."""

    def send(self, data: Any) -> None:
        if self.sock is not None:  # connected
            self.sock.settimeout(_TIMEOUT.read_timeout)
        super().send(data)


class _SendsHttps(_Sends, HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Sends


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SendsHttps


class Http:
    """HTTPS with the proxies and certificates of the AWS calls, which botocore reads from the environment."""

    def __init__(self) -> None:
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._proxies: dict[tuple[str, str | None, int | None], str | None] = {}

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The response of any status, with its body unread.

        Redirects are followed, without the token to another host; not from HTTPS to HTTP, and not to link-local
        addresses, where AWS's instances return credentials to every caller.

        Raises:
            Broken: the request fails, a redirect is not followed, or its target is another host that requires to log
                in: only the registry itself names who receives its credentials.
        """
        asked = origin(url)
        for _ in range(_MAX_REDIRECTS + 1):
            response = self.send("GET", url, headers)
            location = response.headers.get("Location")
            if response.status == 401 and origin(url) != asked:
                response.close()
                raise Broken(f"{_host(url)} answered HTTP 401.", tries=_EXPIRED_TRIES)
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            target = _redirected(url, location)
            refuse_link_local(target)
            if origin(target) != origin(url):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise Broken(f"{_host(url)}: more than {_MAX_REDIRECTS} redirects.", tries=1)

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] | None = None
    ) -> BaseHTTPResponse:
        """The response of any status to one request, with its body unread.

        Args:
            body: sent block by block; the header Content-Length has its size.

        Raises:
            Broken: the request fails.
        """
        try:
            return self._manager(self._proxy_of(url)).request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **headers},
                body=body,
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=_ONCE,
                timeout=_TIMEOUT,
            )
        except (HTTPError, OSError, ValueError) as error:  # ValueError: an invalid URL
            raise Broken(f"{_host(url)}: {without_address(error)}.") from None

    def _proxy_of(self, url: str) -> str | None:
        """Found once for each host, because all variables of the environment are read for it."""
        host = origin(url)
        if host not in self._proxies:
            self._proxies[host] = _proxy(url)
        return self._proxies[host]

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        if proxy not in self._managers:
            options = {"ca_certs": get_cert_path(os.environ.get("AWS_CA_BUNDLE") or True), "maxsize": MAX_CONNECTIONS}
            if proxy is None:
                manager = urllib3.PoolManager(**options)
            else:
                headers = ProxyConfiguration().proxy_headers_for(proxy)
                manager = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
            self._managers[proxy] = manager
        return self._managers[proxy]


def check_status(response: BaseHTTPResponse, url: str, if_refused: str = "") -> None:
    """
    Args:
        if_refused: the way out if access is refused repeatedly.

    Raises:
        Broken: the response is not content; with the number of tries that make sense.
    """
    if response.status in (200, 206):
        return
    response.close()
    reason = f"{_host(url)} answered HTTP {response.status}."
    check_busy(response.status, response.headers, url)
    if response.status in _EXPIRED:
        raise Broken(f"{reason} {if_refused}".rstrip(), tries=_EXPIRED_TRIES)
    raise Broken(f"{reason} Push the image again, or choose another one.", tries=1)


def check_busy(status: int, headers: Mapping[str, str], url: str) -> None:
    """
    Raises:
        Broken: the server failed, and the same request may succeed later.
        Busy: it asks for fewer requests.
    """
    reason = f"{_host(url)} answered HTTP {status}."
    if status in _BUSY:
        seconds = headers.get("Retry-After", "")
        raise Busy(reason, pause=float(seconds) if re.fullmatch(r"\d{1,9}", seconds) else 0.0)
    if status in _FAILED:
        raise Broken(reason)


def refuse_link_local(url: str) -> None:
    """Refuse a host that is, or resolves to, a link-local address. A proxy resolves the name itself."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        resolved = [] if _proxy(url) else [info[4][0] for info in socket.getaddrinfo(host, None)]
        addresses = [ipaddress.ip_address(str(address).partition("%")[0]) for address in resolved]
    except (OSError, ValueError):
        return  # the request reports it
    for address in addresses:
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_link_local or address == _METADATA_IPV6:
            raise Broken(f"the registry redirects to {printable(host)}, a link-local address.", tries=1)


def _proxy(url: str) -> str | None:
    proxy: str | None = ProxyConfiguration(get_environ_proxies(url)).proxy_url_for(url)
    return proxy


def _redirected(url: str, location: str) -> str:
    """The target of a redirect that may be followed."""
    try:
        target = urljoin(url, location)
        scheme, host = urlsplit(target).scheme, urlsplit(target).hostname
    except ValueError:
        scheme, host = "", None
    if scheme not in ("http", "https") or not host:
        raise Broken(f"{_host(url)} redirects to an invalid URL.", tries=1)
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise Broken(f"{_host(url)} redirects from HTTPS to HTTP ({printable(host)}). Choose another image.", tries=1)
    return target


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of a URL; nothing of an invalid one."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", None, None


def _host(url: str) -> str:
    return printable(origin(url)[1] or "an invalid URL")


def without_address(error: Exception) -> str:
    """The message of an error, without URLs."""
    reason = getattr(error, "reason", None) or error
    message = re.sub(r"^\w+\(host=[^)]*\)", "", str(next(iter(reason.args), "")))  # urllib3's connection
    message = re.sub(r"\S*(?:://|\?)\S*", "", message).strip(" :")
    return f"{type(reason).__name__}: {printable(message)}" if message else type(reason).__name__
