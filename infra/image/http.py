"""Download a blob over unreliable connections: with a bounded number of retries, each resumed by Range.

URLs of blobs are signed or go with a token, so no message and no exception contains one.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from infra.diagnostics.printable import printable
from infra.image.errors import RESUME, DigestMismatch, TransferFailed

T = TypeVar("T")

_CHUNK_BYTES = 1024 * 1024
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_ONCE = urllib3.Retry(0, redirect=False)
_MAX_REDIRECTS = 5  # registries send blobs from elsewhere
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METADATA_IPV6 = ipaddress.ip_address("fd00:ec2::254")  # EC2 User Guide, "Use the Instance Metadata Service"
_LENGTH = r"\d{1,18}"
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
# S3's responses to an expired URL or expired credentials: a new URL works, or nothing does
_EXPIRED = frozenset({400, 403})
_EXPIRED_TRIES = 3


class Broken(Exception):
    """A request failed, but a retry may succeed.

    Args:
        tries: at most so many in all, if fewer than usual make sense.
    """

    def __init__(self, reason: str, tries: int | None = None) -> None:
        super().__init__(reason)
        self.tries = tries


@dataclass(frozen=True)
class Retry:
    """How often a failed request is repeated, after pauses (in seconds) that double.

    Attributes:
        tries: including the first one.
    """

    tries: int = 8
    first_pause: float = 0.5
    max_pause: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def call(self, action: Callable[[], T], what: str) -> T:
        """The result of `action`, repeated while it raises Broken. The last one becomes a TransferFailed of `what`."""
        attempt = 1
        while True:
            try:
                return action()
            except Broken as broken:
                if attempt >= min(self.tries, broken.tries or self.tries):
                    again = f" Tried {attempt} times. {RESUME}"
                    raise TransferFailed(f"{what}: {broken}{again if attempt > 1 else ''}") from None
            self.sleep(self._pause(attempt))
            attempt += 1

    def _pause(self, attempt: int) -> float:
        # random, so that clients which were disconnected together do not reconnect together
        return min(self.max_pause, self.first_pause * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


class Http:
    """HTTPS with the proxies and certificates of the AWS calls, which botocore reads from the environment."""

    def __init__(self) -> None:
        self._managers: dict[str | None, urllib3.PoolManager] = {}

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The response of any status, with its body unread.

        Redirects are followed, without the token to another host; not from HTTPS to HTTP, and not to link-local
        addresses, where AWS's instances return credentials to every caller.

        Raises:
            Broken: the request fails, or a redirect is not followed.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._get(url, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            target = _redirected(url, location)
            refuse_link_local(target)
            if _origin(target) != _origin(url):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise Broken(f"{_host(url)}: more than {_MAX_REDIRECTS} redirects.", tries=1)

    def _get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        try:
            return self._manager(_proxy(url)).request(
                "GET",
                url,
                headers={"Accept-Encoding": "identity", **headers},
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=_ONCE,
                timeout=_TIMEOUT,
            )
        except (HTTPError, OSError, ValueError) as error:  # ValueError: an invalid URL
            raise Broken(f"{_host(url)}: {_without_address(error)}.") from None

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        if proxy not in self._managers:
            trusted = get_cert_path(os.environ.get("AWS_CA_BUNDLE") or True)
            if proxy is None:
                self._managers[proxy] = urllib3.PoolManager(ca_certs=trusted)
            else:
                headers = ProxyConfiguration().proxy_headers_for(proxy)
                self._managers[proxy] = urllib3.ProxyManager(proxy, proxy_headers=headers, ca_certs=trusted)
        return self._managers[proxy]


class BlobReader:
    """Reads a blob of known size from any byte on, over one connection, and over another one if that breaks.

    Args:
        open_blob: requests the blob from a byte on, and returns the response with its body unread.
    """

    def __init__(self, open_blob: Callable[[int], BaseHTTPResponse], size: int, what: str, retry: Retry) -> None:
        self._open_blob = open_blob
        self._size = size
        self._what = what
        self._retry = retry
        self._response: BaseHTTPResponse | None = None
        self._position = 0

    def read(self, position: int, length: int) -> bytearray:
        """`length` bytes from `position` on."""
        part = bytearray(length)
        filled = 0

        def fill() -> None:
            nonlocal filled
            while filled < length:
                chunk = self._read_chunk(position + filled, min(_CHUNK_BYTES, length - filled))
                part[filled : filled + len(chunk)] = chunk
                filled += len(chunk)

        self._retry.call(fill, self._what)
        return part

    def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _read_chunk(self, position: int, length: int) -> bytes:
        if self._response is None or self._position != position:
            self._open(position)
        assert self._response is not None
        try:
            chunk = self._response.read(length)
        except (HTTPError, OSError) as error:
            self.close()
            broke = f"the connection broke at byte {position} of {self._size}: {_without_address(error)}."
            raise Broken(broke) from None
        if not chunk:
            self.close()
            raise Broken(f"the connection ended at byte {position} of {self._size}.")
        self._position = position + len(chunk)
        return chunk

    def _open(self, position: int) -> None:
        self.close()
        response = self._open_blob(position)
        first, total = _extent(response)
        if total is not None and total != self._size:
            response.close()
            raise DigestMismatch(
                f"{self._what} has {total} bytes in the registry, but {self._size} in the manifest. Push the image "
                "again."
            )
        if first > position:
            response.close()
            raise Broken(f"the registry sent the bytes from {first} on instead of {position}.")
        self._response, self._position = response, first
        while self._position < position:  # a server without Range sends the blob from its beginning
            self._read_chunk(self._position, min(_CHUNK_BYTES, position - self._position))


def from_byte(start: int) -> dict[str, str]:
    """The header that requests a blob from a byte on."""
    return {"Range": f"bytes={start}-"} if start else {}


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
    if response.status in _BUSY:
        raise Broken(reason)
    if response.status in _EXPIRED:
        raise Broken(f"{reason} {if_refused}".rstrip(), tries=_EXPIRED_TRIES)
    raise Broken(f"{reason} Push the image again, or choose another one.", tries=1)


def _extent(response: BaseHTTPResponse) -> tuple[int, int | None]:
    """The first byte of the body, and the blob's size if the response has it."""
    if response.status == 206:
        extent = re.fullmatch(rf"bytes ({_LENGTH})-{_LENGTH}/({_LENGTH}|\*)", response.headers.get("Content-Range", ""))
        if extent is None:
            response.close()
            raise Broken("the registry sent a part without a valid Content-Range.")
        return int(extent[1]), None if extent[2] == "*" else int(extent[2])
    length = response.headers.get("Content-Length", "")
    if length and not re.fullmatch(_LENGTH, length):
        response.close()
        raise Broken("the registry sent an invalid Content-Length.")
    return 0, int(length) if length else None


def refuse_link_local(url: str) -> None:
    """Refuse a host that is, or resolves to, a link-local address. A proxy resolves the name itself."""
    host = urlsplit(url).hostname or ""
    try:
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


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _host(url: str) -> str:
    return printable(urlsplit(url).hostname or "")


def _without_address(error: Exception) -> str:
    """The message of an error, without URLs."""
    reason = getattr(error, "reason", None) or error
    message = re.sub(r"\S*(?:://|\?)\S*", "", str(next(iter(reason.args), ""))).strip(" :")
    return f"{type(reason).__name__}: {printable(message)}" if message else type(reason).__name__
