"""Upload layers to a repository in Amazon ECR through the registry's HTTP API, as they are.

The API is a proxy in front of InitiateLayerUpload, UploadLayerPart and CompleteLayerUpload (ECR API reference,
UploadLayerPart). It cuts the bytes of a request into parts of 10 MiB, and keeps those of a request that breaks, the
last one as short as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urljoin, urlsplit

from urllib3.exceptions import HTTPError

from infra.image.ecr import EcrRepository, UploadLost, UploadRefused
from infra.image.errors import RUN_AGAIN, EcrRefused, RegistryRefused
from infra.image.http import Http, check_busy, origin
from infra.image.manifest import UNREADABLE
from infra.image.retry import Broken

_MAX_RESPONSE_BYTES = 64 * 1024
_DONE = frozenset({201, 202, 204})
_UNKNOWN_UPLOAD = "BLOB_UPLOAD_UNKNOWN"


class OutOfOrder(Broken):
    """The bytes do not follow those that ECR has, which may still be receiving those of an earlier request."""


class LayerUploads:
    """The uploads of layers to one repository. An upload is a URL."""

    def __init__(self, repository: EcrRepository, http: Http) -> None:
        self._repository = repository
        self._http = http

    def start(self) -> str:
        """Start an upload, and return its URL."""
        url = self._uploads()
        location = self._send("InitiateLayerUpload", "POST", url).get("Location", "")
        upload = urljoin(url, location)
        if not self.is_upload(upload):
            raise RegistryRefused(f"{self._repository}: ECR did not return the URL of an upload. {RUN_AGAIN}")
        return upload

    def is_upload(self, url: str) -> bool:
        """Whether the URL can be an upload to this repository, which gets the authorization."""
        uploads = self._uploads()
        if origin(url) != origin(uploads):
            return False
        path, prefix = urlsplit(url).path, urlsplit(uploads).path
        return path.startswith(prefix) and path != prefix

    def complete(self, upload: str, digest: str, first: int, length: int, body: Iterable[bytes]) -> None:
        """Send the layer from byte `first` on, and end the upload; ECR verifies the digest.

        Raises:
            UploadLost, UploadRefused
        """
        url = f"{upload}{'&' if '?' in upload else '?'}{urlencode({'digest': digest})}"
        # without the header, the bytes are those from the first one on
        extent = {"Content-Range": f"{first}-{first + length - 1}"} if first and length else {}
        self._send("CompleteLayerUpload", "PUT", url, extent, body, length)

    def received(self, upload: str) -> int:
        """How many bytes of an upload ECR has.

        No request reads that, and the `Range` of responses is not reliable
        (https://github.com/aws/containers-roadmap/issues/2831). But ECR reports it when it refuses a byte that it has
        (https://github.com/apple/containerization/issues/790).

        Raises:
            UploadLost
        """
        try:
            self._send("UploadLayerPart", "PATCH", upload, {"Content-Range": "0-0"}, [b"\0"], 1)
        except OutOfOrder as refused:
            if match := re.search(r"is 0 instead of (\d{1,18})", str(refused)):
                return int(match[1])
        raise UploadLost("ECR does not report what it has received.")

    def _uploads(self) -> str:
        """The URL of all uploads to the repository."""
        return f"{self._repository.authorization().registry}/v2/{self._repository.name}/blobs/uploads/"

    def _send(
        self,
        operation: str,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] = (),
        length: int = 0,
    ) -> Mapping[str, str]:
        """The headers of a response that is a success.

        Args:
            operation: ECR's, which the caller must be allowed to call.
        """
        authorization = self._repository.authorization()
        always = {
            "Authorization": authorization.header,
            "Content-Length": str(length),
            "Content-Type": "application/octet-stream",
        }
        response = self._http.send(method, url, {**always, **(headers or {})}, body)
        try:
            content = response.read(_MAX_RESPONSE_BYTES)
        except (HTTPError, OSError):
            content = b""
        finally:
            response.release_conn()
        if response.status in _DONE:
            return response.headers
        check_busy(response.status, response.headers, url)
        code, message = _error(content, response.status)
        # "denied: Your authorization token has expired." (https://github.com/aws/aws-cli/issues/6580)
        if response.status == 401 or (code == "DENIED" and "token has expired" in message):
            self._repository.renew(authorization)
            raise Broken("ECR did not accept the authorization token.", tries=3)
        refused = f"{self._repository}: {operation} was refused: {code}: {message}"
        if response.status == 416:
            raise OutOfOrder(refused, tries=4)
        if response.status == 400 and operation != "InitiateLayerUpload":
            raise UploadRefused(refused)
        if response.status == 404 and code == _UNKNOWN_UPLOAD:
            raise UploadLost(refused)
        raise EcrRefused(operation, str(self._repository), code, message)


def _error(content: bytes, status: int) -> tuple[str, str]:
    """Code and message of an error (OCI distribution-spec, "Error Codes")."""
    try:
        error = json.loads(content)["errors"][0]
        return str(error["code"]), str(error.get("message", ""))
    except (*UNREADABLE, IndexError):
        return f"HTTP {status}", "without a reason"
