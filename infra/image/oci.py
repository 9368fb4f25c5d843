"""A repository in a registry other than ECR, such as NVIDIA's nvcr.io, through the OCI distribution API over HTTPS.

Formats: OCI distribution-spec, "Pull"; the distribution project's "Token Authentication Specification".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from functools import cached_property
from urllib.parse import urlencode, urlsplit

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from infra.image.credentials import NoCredentials, basic_authorization
from infra.image.download import BLOCK_SECONDS, from_byte
from infra.image.errors import ImageNotFound, RegistryRefused, UnsupportedImage
from infra.image.http import Http, check_status, refuse_link_local
from infra.image.manifest import MAX_MANIFEST_BYTES, READABLE_MEDIA_TYPES, UNREADABLE, verify_digest
from infra.image.reference import ImageReference
from infra.image.retry import Broken, Retry

_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d+){3})(?::\d+)?")


class DistributionRepository:
    """A repository of a registry, read with docker's credentials for it, or anonymously."""

    def __init__(self, reference: ImageReference, http: Http, retry: Retry) -> None:
        host = _API_HOSTS.get(reference.registry, reference.registry)
        # as docker: HTTP for a registry on this machine
        self._scheme = "http" if _LOOPBACK.fullmatch(host) else "https"
        self._host = host
        self._registry = reference.registry
        self._name = reference.repository
        self._http = http
        self._retry = retry
        self._authorization: dict[str, str] = {}
        self._no_credentials = ""

    def __str__(self) -> str:
        return f"{self._host}/{self._name}"

    def manifest(self, tag_or_digest: str) -> tuple[bytes, str | None]:
        """A manifest's exact bytes, with a verified digest, and its media type."""
        return self._retry.call(lambda: self._manifest(tag_or_digest), f"{self}: manifest of {tag_or_digest}")

    def open_blob(self, digest: str, start: int) -> BaseHTTPResponse:
        """The response with a blob's bytes from `start` on, its body unread."""
        url = self._url(f"blobs/{digest}")
        response = self._get(url, from_byte(start))
        check_status(response, url)
        return response

    def _manifest(self, tag_or_digest: str) -> tuple[bytes, str | None]:
        url = self._url(f"manifests/{tag_or_digest}")
        response = self._get(url, {"Accept": ", ".join(READABLE_MEDIA_TYPES)})
        if response.status == 404:
            raise ImageNotFound(f"{self} does not have the image {tag_or_digest}.")
        if response.status == 403:
            raise self._refusal(response)
        check_status(response, url)
        body = _read(response, MAX_MANIFEST_BYTES, f"{self}: manifest of {tag_or_digest}")
        digest = tag_or_digest if tag_or_digest.startswith("sha256:") else response.headers.get("Docker-Content-Digest")
        if digest:
            verify_digest(body, digest, f"{self}: manifest of {tag_or_digest}")
        return body, response.headers.get("Content-Type", "").partition(";")[0].strip() or None

    def _get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The response to a request, which is repeated with a new token if the registry requires one."""
        response = self._http.get(url, {**headers, **self._authorization})
        if response.status == 401:
            response.close()
            self._authorization = self._authenticate(response)
            response = self._http.get(url, {**headers, **self._authorization})
        if response.status == 401:
            raise self._refusal(response)
        return response

    def _authenticate(self, response: BaseHTTPResponse) -> dict[str, str]:
        """The header that a registry's challenge requires."""
        challenge = response.headers.get("WWW-Authenticate", "")
        bearer = re.search(r"\bbearer\s+(.*)", challenge, re.IGNORECASE)
        if bearer:
            return {"Authorization": f"Bearer {self._token(dict(_PARAMETER.findall(bearer[1])))}"}
        if re.search(r"\bbasic\b", challenge, re.IGNORECASE) and self._credentials:
            return self._credentials
        raise self._refusal(response)

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        if not realm.startswith(f"{self._scheme}://"):
            raise RegistryRefused(
                f"{self}: the registry's token service does not use {self._scheme}. Choose another registry."
            )
        query = {"scope": f"repository:{self._name}:pull", "service": challenge.get("service", self._host)}
        refuse_link_local(realm)
        response = self._http.get(f"{realm}?{urlencode(query)}", self._credentials)
        if response.status in (400, 401, 403):
            raise self._refusal(response)
        check_status(response, realm)
        try:
            answer = json.loads(_read(response, MAX_MANIFEST_BYTES, f"{self}: token"))
            token = answer.get("token") or answer["access_token"]
            if not re.fullmatch(r"[!-~]+", token):
                raise ValueError
            return str(token)
        except UNREADABLE:
            raise RegistryRefused(
                f"{self}: {urlsplit(realm).hostname} did not return a token. Choose another image."
            ) from None

    @cached_property
    def _credentials(self) -> dict[str, str]:
        """The header that logs in; none to read anonymously."""
        try:
            authorization = basic_authorization(self._registry)
        except NoCredentials as reason:
            self._no_credentials = f" ({reason})"
            return {}
        return {"Authorization": authorization} if authorization else {}

    def _refusal(self, response: BaseHTTPResponse) -> RegistryRefused:
        response.close()
        as_whom = "docker's credentials" if self._credentials else f"no credentials{self._no_credentials}"
        return RegistryRefused(
            f"{self}: access with {as_whom} was refused (HTTP {response.status}): the image is private or does not "
            f"exist. Log in with `docker login {self._registry}`, or choose another image."
        )

    def _url(self, path: str) -> str:
        return f"{self._scheme}://{self._host}/v2/{self._name}/{path}"


def _read(response: BaseHTTPResponse, limit: int, what: str) -> bytes:
    """A body of at most `limit` bytes, and of at most 5 minutes."""
    body, deadline = bytearray(), time.monotonic() + BLOCK_SECONDS
    try:
        while len(body) <= limit and (piece := response.read1(limit + 1 - len(body))):
            body += piece
            if time.monotonic() > deadline:
                raise Broken(f"{len(body)} bytes arrived in {BLOCK_SECONDS:.0f} seconds.", tries=1)
    except (HTTPError, OSError) as error:
        raise Broken(f"the connection broke ({type(error).__name__}).") from None
    finally:
        response.close()
    if len(body) > limit:
        raise UnsupportedImage(f"{what}: more than {limit} bytes. Choose another image.")
    return bytes(body)
