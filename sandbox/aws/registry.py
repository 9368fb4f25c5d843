"""The HTTP API of ECR's registries, which docker pushes to and pulls from, and the download addresses of layers.

It performs ECR's operations (`Perform`) as ECR's own proxy does, and adds what is different over HTTP:

- Basic authentication with an authorization token. The token also names the registry and its region. On AWS, the host
  does.
- The body of a PATCH or PUT is cut into layer parts of 10 MiB (GoogleContainerTools/kaniko#607). A body without a
  Content-Range starts at byte 0. What arrived of a body that broke off stays, its end as a part of its own (inferred
  from apple/containerization#790: 10 MiB and 800 KiB). A part below 5 MiB that is not the last one makes the upload
  worthless (dotnet/sdk-container-builds#424).
- Several PATCHes of an upload are stored, but answered 201, and with the `Range` of the first one
  (aws/containers-roadmap#2831, the author's second comment). The state of an upload cannot be read (dotnet/sdk#33019).
- An image that is pushed again is accepted, but not in a repository with immutable tags (aws/containers-roadmap#2179).
- Errors are JSON with the API's messages; `_ERRORS` has the codes and their sources.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from sandbox.aws.access import is_loopback
from sandbox.aws.layers import LayerStore
from sandbox.aws.protocol import AwsError, HttpAnswer, serialize_error

#: The layers' parts that a body is cut into are multiples of it.
_CHUNK: Final = 1024 * 1024
_LARGEST_MANIFEST: Final = 4_194_304  # PutImage$imageManifest
_LINGER_SECONDS: Final = 2.0
_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_CONTENT_RANGE = re.compile(r"(\d+)-\d+")

Perform = Callable[[str, str, dict[str, Any], str, str], dict[str, Any]]
"""`EmbeddedAws.perform`."""

_ERRORS: Final[Mapping[str, tuple[int, str]]] = {
    "AccessDeniedException": (403, "DENIED"),
    "EmptyUploadException": (400, "BLOB_UPLOAD_INVALID"),  # radius-project/radius#7855
    "ImageNotFoundException": (404, "MANIFEST_UNKNOWN"),  # moby/buildkit#5747
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),  # osscontainertools/kaniko#204; the status is inferred
    "InvalidLayerException": (400, "BLOB_UPLOAD_INVALID"),  # dotnet/sdk-container-builds#424
    "InvalidLayerPartException": (416, "BLOB_UPLOAD_INVALID"),  # apple/containerization#790
    "InvalidParameterException": (405, "UNSUPPORTED"),  # opcr-io/policy#149
    "LayerInaccessibleException": (404, "BLOB_UNKNOWN"),  # inferred
    "LayerPartTooSmallException": (400, "BLOB_UPLOAD_INVALID"),  # inferred
    "LayersNotFoundException": (404, "MANIFEST_BLOB_UNKNOWN"),  # inferred from the next one
    "ReferencedImagesNotFoundException": (404, "MANIFEST_BLOB_UNKNOWN"),  # int128/docker-manifest-create-action#63
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),  # OCI distribution-spec, "Error Codes"
    "ThrottlingException": (429, "TOOMANYREQUESTS"),  # OCI distribution-spec, "Error Codes"
    "UploadNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),  # OCI distribution-spec, "Error Codes"
}


@dataclass(frozen=True)
class Caller:
    """Who asks which registry: account numbers, and the registry's region."""

    account: str
    registry: str
    region: str


class Body:
    """A request's body, read once, in chunks of 1 MiB (the last one is shorter) that share their memory."""

    def __init__(self, file: BufferedReader, headers: Mapping[str, str]) -> None:
        self._file = file
        self._chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else int(headers.get("Content-Length") or 0)
        self.is_read = not self._chunked and not self._left

    def __iter__(self) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(_CHUNK))
        while not self.is_read:
            filled, broken = 0, None
            try:
                while filled < _CHUNK and self._has_more():
                    length = self._file.readinto(buffer[filled : filled + min(self._left, _CHUNK - filled)])
                    if not length:
                        raise ConnectionError("the client closed the connection within a body")
                    filled += length
                    self._left -= length
            except OSError as error:
                broken = error
            if filled:
                yield buffer[:filled]
            if broken:
                raise broken

    def read(self, limit: int) -> bytes:
        """All of a small body, or its first `limit` bytes and a few more."""
        content = b""
        for chunk in self:
            content += chunk
            if len(content) > limit:
                break
        return content

    def _has_more(self) -> bool:
        """Whether there are bytes to read; goes to the next chunk of the transfer encoding (RFC 9112, section 7.1)."""
        if self._left == 0 and self._chunked and not self.is_read:
            line = self._file.readline(100).strip() or self._file.readline(100).strip()
            if not line:
                raise ConnectionError("the client closed the connection within a body")
            self._left = int(line.partition(b";")[0], 16)
            if self._left == 0:
                self._file.readline(100)
        self.is_read = self._left == 0
        return not self.is_read


class ImmutableTag(Protocol):
    """Whether a tag of a repository cannot be moved."""

    def __call__(self, account: str, region: str, repository: str, tag: str) -> bool: ...


class RegistryServer(ThreadingHTTPServer):
    """Listens on a free port of loopback, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, layers: LayerStore, perform: Perform, is_immutable: ImmutableTag) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.layers = layers
        self.perform = perform
        self.is_immutable = is_immutable
        self._key = secrets.token_bytes()

    def token(self, caller: Caller, expires: datetime) -> str:
        """An authorization token: user name and password in base64."""
        claims = ":".join((*astuple(caller), str(expires.timestamp())))
        return base64.b64encode(f"AWS:{claims}:{self._sign(claims)}".encode()).decode()

    def authenticate(self, header: str) -> Caller | None:
        """Whom an Authorization header names, or None.

        Raises:
            AwsError: the token has expired.
        """
        kind, _, token = header.partition(" ")
        try:
            user, account, registry, region, expires, given = base64.b64decode(token).decode().split(":")
        except (binascii.Error, ValueError):
            return None
        claims = ":".join((account, registry, region, expires))
        if kind.lower() != "basic" or user != "AWS" or not hmac.compare_digest(given, self._sign(claims)):
            return None
        if datetime.now(UTC).timestamp() >= float(expires):
            raise AwsError(
                "AccessDeniedException", "Your authorization token has expired. Reauthenticate and try again."
            )
        return Caller(account, registry, region)

    def _sign(self, claims: str) -> str:
        return hmac.digest(self._key, claims.encode(), "sha256").hex()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes its connection is not an error of the server."""


class _Request(BaseHTTPRequestHandler):
    """A connection and its requests."""

    server: RegistryServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 256 * 1024
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_PATCH = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """The call log has the operations; clients that try TLS first are answered as any other bad request."""

    def _answer(self) -> None:
        self._body = Body(self.rfile, self.headers)  # type: ignore[arg-type]
        try:
            if not is_loopback(self.headers.get("Host", "")):
                self._send(HttpAnswer(403))
            elif self.path.startswith(LayerStore.http_prefix):
                self._download()
            else:
                self._send(self._registry_answer())
        except ConnectionError:
            self.close_connection = True
        if not self._body.is_read:
            self._linger()

    def _download(self) -> None:
        try:
            download = self.server.layers.download(self.command, self.path, self.headers.get("Range", ""))
        except AwsError as error:
            return self._send(serialize_error("rest-xml", error, secrets.token_hex(8)))
        length = download.last - download.first + 1
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
            "Accept-Ranges": "bytes",
        }
        if download.partial:
            headers["Content-Range"] = f"bytes {download.first}-{download.last}/{download.size}"
        self._send(HttpAnswer(206 if download.partial else 200, headers))
        with download.content as content:
            self.connection.sendfile(content, download.first, length)
        return None

    def _registry_answer(self) -> HttpAnswer:
        path, _, query = self.path.partition("?")
        try:
            caller = self.server.authenticate(self.headers.get("Authorization", ""))
            if caller is None:
                return self._not_authorized()
            for pattern, methods in _ROUTES:
                match = pattern.fullmatch(path)
                if match and self.command in methods:
                    asked = _Asked(self, caller, match.groupdict(), parse_qs(query))
                    return methods[self.command](asked)
        except AwsError as error:
            status, code = _ERRORS.get(error.code, (error.status, "UNKNOWN"))
            return _error(status, code, error.message)
        return _error(405, "UNSUPPORTED", "The operation is unsupported.")

    def _not_authorized(self) -> HttpAnswer:
        """As ECR answers (wom.icu, "Curl OCI Registry"), but for the host's name."""
        challenge = f'Basic realm="{self.server.url}/",service="ecr.amazonaws.com"'
        return HttpAnswer(401, {"WWW-Authenticate": challenge, "Content-Type": "text/plain"}, b"Not Authorized\n")

    def _send(self, answer: HttpAnswer) -> None:
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not self._body.is_read:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _linger(self) -> None:
        """Close a connection without reading its body, but only after the client has the answer."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            while self.connection.recv(_CHUNK):
                pass


@dataclass(frozen=True)
class _Asked:
    """A request to a registry."""

    http: _Request
    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, list[str]]

    def perform(self, operation: str, **params: Any) -> dict[str, Any]:
        place = {"registryId": self.caller.registry, "repositoryName": self.path["name"]}
        server = self.http.server
        return server.perform("ecr", operation, place | params, self.caller.account, self.caller.region)

    def ping(self) -> HttpAnswer:
        return HttpAnswer(200, {"Docker-Distribution-Api-Version": "registry/2.0"})

    def get_manifest(self) -> HttpAnswer:
        reference = self.path["reference"]
        key = "imageDigest" if ":" in reference else "imageTag"
        accepted = [kind.partition(";")[0].strip() for kind in ",".join(self._headers("Accept")).split(",")]
        params = {} if accepted in ([""], ["*/*"]) else {"acceptedMediaTypes": accepted}
        answer = self.perform("BatchGetImage", imageIds=[{key: reference}], **params)
        if not answer["images"]:
            raise AwsError("ImageNotFoundException", answer["failures"][0]["failureReason"])
        (image,) = answer["images"]
        body = image["imageManifest"].encode()
        headers = {
            "Content-Type": image["imageManifestMediaType"],
            "Docker-Content-Digest": image["imageId"]["imageDigest"],
            "Content-Length": str(len(body)),
        }
        return HttpAnswer(200, headers, body)

    def put_manifest(self) -> HttpAnswer:
        reference = self.path["reference"]
        params: dict[str, Any] = {"imageDigest" if ":" in reference else "imageTag": reference}
        if media_type := self.http.headers.get("Content-Type"):
            params["imageManifestMediaType"] = media_type
        manifest = self.http._body.read(_LARGEST_MANIFEST)
        digest = params.get("imageDigest")
        try:
            put = self.perform("PutImage", imageManifest=manifest.decode(errors="replace"), **params)
            digest = put["image"]["imageId"]["imageDigest"]
        except AwsError as error:
            if error.code != "ImageAlreadyExistsException":
                raise
            where = (self.caller.registry, self.caller.region, self.path["name"])
            if digest is None and self.http.server.is_immutable(*where, reference):
                words = f"The image tag '{reference}' already exists in the '{self.path['name']}' repository"
                raise AwsError(
                    "ImageTagAlreadyExistsException",
                    f"{words} and cannot be overwritten because the repository is immutable.",
                ) from None
        headers = {"Location": self._url(f"manifests/{reference}")}
        return HttpAnswer(201, headers | ({"Docker-Content-Digest": digest} if digest else {}))

    def head_blob(self) -> HttpAnswer:
        (layer,) = self.perform("BatchCheckLayerAvailability", layerDigests=[self.path["digest"]])["layers"]
        if layer["layerAvailability"] != "AVAILABLE":
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(layer["layerSize"]),
            "Docker-Content-Digest": self.path["digest"],
        }
        return HttpAnswer(200, headers)

    def get_blob(self) -> HttpAnswer:
        try:
            answer = self.perform("GetDownloadUrlForLayer", layerDigest=self.path["digest"])
        except AwsError as error:
            if error.code == "LayersNotFoundException":
                return _error(404, "BLOB_UNKNOWN", error.message)
            raise
        return HttpAnswer(307, {"Location": answer["downloadUrl"]})

    def begin_upload(self) -> HttpAnswer:
        """A mount is not made, unless the registry's settings allow it; then as without one: an upload begins.

        ECR sends no Docker-Upload-UUID (distribution/distribution#2927).
        """
        upload = self.perform("InitiateLayerUpload")["uploadId"]
        return HttpAnswer(202, {"Location": self._url(f"blobs/uploads/{upload}"), "Range": "0-0"})

    def patch_upload(self) -> HttpAnswer:
        first_request = self._upload_body()
        headers = {"Location": self._url(f"blobs/uploads/{self.path['upload']}")}
        return HttpAnswer(201, headers | {"Range": f"0-{max(0, first_request - 1)}"})

    def put_upload(self) -> HttpAnswer:
        digest = self.query.get("digest", [""])[0]
        if not self.http._body.is_read:
            self._upload_body()
        try:
            self.perform("CompleteLayerUpload", uploadId=self.path["upload"], layerDigests=[digest])
        except AwsError as error:
            if error.code != "LayerAlreadyExistsException":
                raise
        return HttpAnswer(201, {"Location": self._url(f"blobs/{digest}"), "Docker-Content-Digest": digest})

    def get_upload(self) -> HttpAnswer:
        return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")

    def _upload_body(self) -> int:
        """Append the body, and return the bytes that the upload's first request brought."""
        content_range = _CONTENT_RANGE.fullmatch(self.http.headers.get("Content-Range", ""))
        first = int(content_range[1]) if content_range else 0
        params = {"uploadId": self.path["upload"], "partFirstByte": first, "layerPartBlob": self.http._body}
        return int(self.perform("UploadLayerPart", **params)["firstRequest"] or 0)

    def _headers(self, name: str) -> list[str]:
        return self.http.headers.get_all(name) or []

    def _url(self, path: str) -> str:
        return f"http://{self.http.headers['Host']}/v2/{self.path['name']}/{path}"


_ROUTES: Final[tuple[tuple[re.Pattern[str], Mapping[str, Callable[[_Asked], HttpAnswer]]], ...]] = (
    (re.compile(r"/v2/"), {"GET": _Asked.ping, "HEAD": _Asked.ping}),
    (
        re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[^/]+)"),
        {"GET": _Asked.get_manifest, "HEAD": _Asked.get_manifest, "PUT": _Asked.put_manifest},
    ),
    (
        re.compile(rf"/v2/{_NAME}/blobs/(?P<digest>sha256:[0-9a-f]{{64}})"),
        {"GET": _Asked.get_blob, "HEAD": _Asked.head_blob},
    ),
    (re.compile(rf"/v2/{_NAME}/blobs/uploads/"), {"POST": _Asked.begin_upload}),
    (
        re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<upload>[0-9a-f-]{{36}})"),
        {"GET": _Asked.get_upload, "PATCH": _Asked.patch_upload, "PUT": _Asked.put_upload},
    ),
)


def _error(status: int, code: str, message: str) -> HttpAnswer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}) + "\n"
    return HttpAnswer(status, {"Content-Type": "application/json; charset=utf-8"}, body.encode())
