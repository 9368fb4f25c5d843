"""ECR as strict as AWS about what a copy does. Layers are files, so that a test of memory measures the copy alone."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from tests.infra.image.blob_server import BlobServer

MIB = 1024 * 1024
_MODEL = botocore.session.get_session().get_service_model("ecr")
_OPERATIONS = {xform_name(operation): operation for operation in _MODEL.operation_names}

Parameters = dict[str, Any]


@dataclass
class Upload:
    """A layer's upload: what has arrived goes to a file."""

    path: Path
    parts: list[int] = field(default_factory=list)
    content: Any = field(default_factory=hashlib.sha256)

    @property
    def received(self) -> int:
        return sum(self.parts)


@dataclass
class Repository:
    """A repository: manifests by digest with their media type, the archived ones, tags, layers and uploads."""

    directory: Path
    mutability: str = "MUTABLE"
    filters: list[str] = field(default_factory=list)
    pullable: bool = True
    manifests: dict[str, tuple[str, str]] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    layers: dict[str, Path] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def put_layer(self, content: bytes) -> dict[str, Any]:
        """Store a blob. Returns digest and size, as in a descriptor."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = self.directory / digest.removeprefix("sha256:")
        if not path.exists():  # a copy may be reading it
            path.write_bytes(content)
        self.layers[digest] = path
        return {"digest": digest, "size": len(content)}

    def put_manifest(self, document: Parameters, media_type: str, tag: str | None = None) -> str:
        """Store a manifest as it is. Returns its digest."""
        body = json.dumps(document)
        digest = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
        self.manifests[digest] = (body, media_type)
        if tag is not None:
            self.tags[tag] = digest
        return digest

    def immutable(self, tag: str) -> bool:
        excluded = any(fnmatchcase(tag, each) for each in self.filters)
        return self.mutability.startswith("IMMUTABLE") != excluded


class FakeEcr:
    """Every account's and region's ECR. `client` is what a boto3 session's method of that name is."""

    def __init__(self, directory: Path, blobs: BlobServer) -> None:
        self.directory = directory
        self.blobs = blobs
        self.lock = threading.RLock()
        self.repositories: dict[tuple[str, str, str], Repository] = {}
        self.calls: list[tuple[str, Parameters]] = []
        self.before: dict[str, Callable[[Parameters], None]] = {}
        """By operation, what happens before a call is served; it may raise."""

        self.answers_lost: Counter[str] = Counter()
        """By operation, how many answers are lost: as botocore does, the same call is then made again."""

        self.cut_uploads: list[int | None] = []
        """By request over HTTP, bytes of the body after which the connection is cut; None leaves it whole."""

        self.statuses: dict[str, list[int]] = {}
        """By operation over HTTP, statuses to answer with before the request is served."""

        self.damage: Callable[[bytes], bytes] = lambda part: part
        """What becomes of a part on its way over HTTP."""

        blobs.uploads = self._upload_over_http
        self._serving = 0

    def repository(self, account: str, region: str, name: str, **settings: Any) -> Repository:
        """The repository, made if it is not there."""
        key = (account, region, name)
        if key not in self.repositories:
            directory = self.directory / "-".join(key).replace("/", "-")
            directory.mkdir()
            self.repositories[key] = Repository(directory, **settings)
        return self.repositories[key]

    def client(self, service: str, region: str, /) -> FakeEcrClient:
        assert service == "ecr"
        return FakeEcrClient(self, region)

    def operations(self) -> Counter[str]:
        return Counter(operation for operation, _ in self.calls)

    def wait(self) -> None:
        """Wait until requests are served whose client has gone."""
        while self._serving:
            time.sleep(0.01)

    def _upload_over_http(self, request: BaseHTTPRequestHandler) -> None:
        self._serving += 1
        try:
            self._serve_upload(request)
        finally:
            self._serving -= 1

    def _serve_upload(self, request: BaseHTTPRequestHandler) -> None:
        """The registry's HTTP API: a proxy in front of the operations (see `sandbox/aws/registry.py`)."""
        token = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        account, region = token.removeprefix("AWS:").split("/")
        client = self.client("ecr", region)
        name, _, upload = request.path.partition("?")[0].removeprefix("/v2/").partition("/blobs/uploads/")
        place = {"registryId": account, "repositoryName": name}
        operation = {"POST": "InitiateLayerUpload", "PATCH": "UploadLayerPart", "PUT": "CompleteLayerUpload"}[
            request.command
        ]
        if statuses := self.statuses.get(operation):
            request.close_connection = True
            return _answer(request, statuses.pop(0), {"Connection": "close"})
        lost = self.answers_lost[operation]
        self.answers_lost[operation] = 0
        try:
            if request.command == "POST":
                upload = client.initiate_layer_upload(**place)["uploadId"]
                return _answer(request, 202, {"Location": f"/v2/{name}/blobs/uploads/{upload}"})
            place["uploadId"] = upload
            self._receive(request, client, place)
            if request.command == "PUT":
                digest = unquote(request.path.partition("digest=")[2])
                client.complete_layer_upload(**place, layerDigests=[digest])
        except ConnectionError:
            request.close_connection = True
            return None
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status, code = _HTTP_ERRORS.get(code, (400, code))
            body = json.dumps({"errors": [{"code": code, "message": error.response["Error"]["Message"]}]}).encode()
            request.close_connection = True
            return _answer(request, status, {"Connection": "close"}, body)
        if lost:
            request.close_connection = True
            return None
        return _answer(request, 201, {})

    def _receive(self, request: BaseHTTPRequestHandler, client: FakeEcrClient, place: Parameters) -> None:
        """Cut a body into parts. What has arrived of one that breaks is kept."""
        length = int(request.headers["Content-Length"])
        cut = self.cut_uploads.pop(0) if self.cut_uploads and length > 1 else None
        left = length if cut is None else min(cut, length)
        first = int(request.headers.get("Content-Range", "0-").partition("-")[0])
        while left:
            part = request.rfile.read(min(left, 10 * MIB))
            if part:
                last = first + len(part) - 1
                left -= len(part)
                blob = self.damage(part)
                try:
                    client.upload_layer_part(**place, partFirstByte=first, partLastByte=last, layerPartBlob=blob)
                except ClientError:
                    request.rfile.read(left)  # otherwise the client does not see the answer
                    raise
            first += len(part)
            if not part:
                raise ConnectionError
        if cut is not None and cut < length:
            raise ConnectionError


class FakeEcrClient:
    """A client of one region; parameters are validated by botocore's shapes."""

    def __init__(self, ecr: FakeEcr, region: str) -> None:
        self._ecr = ecr
        self._region = region

    def __getattr__(self, method: str) -> Callable[..., Parameters]:
        operation = _OPERATIONS[method]
        serve: Callable[..., Parameters] = getattr(self, f"_{method}")

        def call(**parameters: Any) -> Parameters:
            validate_parameters(parameters, _MODEL.operation_model(operation).input_shape)
            self._ecr.calls.append((operation, {**parameters, "layerPartBlob": None}))
            with self._ecr.lock:
                if operation in self._ecr.before:
                    self._ecr.before[operation](parameters)
            if self._ecr.answers_lost[operation]:
                self._ecr.answers_lost[operation] -= 1
                serve(self._repository(operation, parameters), parameters)
            return serve(self._repository(operation, parameters), parameters)

        return call

    def _repository(self, operation: str, parameters: Parameters) -> Repository:
        name = parameters.get("repositoryName") or parameters["repositoryNames"][0]
        result = self._ecr.repositories.get((parameters["registryId"], self._region, name))
        if result is None:
            raise refusal(operation, "RepositoryNotFoundException", f"The repository with name '{name}' does not exist")
        if not result.pullable:
            raise refusal(operation, "AccessDeniedException", f"User is not authorized to perform: ecr:{operation}")
        return result

    def get_authorization_token(self, **parameters: Any) -> Parameters:
        """Served although it names no repository. The token names the registry, as hosts do on AWS."""
        validate_parameters(parameters, _MODEL.operation_model("GetAuthorizationToken").input_shape)
        self._ecr.calls.append(("GetAuthorizationToken", parameters))
        (account,) = parameters["registryIds"]
        token = base64.b64encode(f"AWS:{account}/{self._region}".encode()).decode()
        return {"authorizationData": [{"authorizationToken": token, "proxyEndpoint": self._ecr.blobs.url}]}

    def _batch_get_image(self, repository: Repository, parameters: Parameters) -> Parameters:
        images, failures = [], []
        for wanted in parameters["imageIds"]:
            digest = wanted.get("imageDigest") or repository.tags.get(wanted.get("imageTag", ""))
            body, media_type = repository.manifests.get(digest or "", ("", ""))
            if media_type in parameters["acceptedMediaTypes"] and digest not in repository.archived:
                image = {"imageManifest": body, "imageManifestMediaType": media_type}
                images.append({"imageId": {**wanted, "imageDigest": digest}, **image})
            else:
                code = "ImageInaccessible" if digest in repository.archived else "ImageNotFound"
                failures.append({"imageId": wanted, "failureCode": code, "failureReason": "no such image"})
        return {"images": images, "failures": failures}

    def _describe_repositories(self, repository: Repository, parameters: Parameters) -> Parameters:
        filters = [{"filterType": "WILDCARD", "filter": each} for each in repository.filters]
        settings = {"imageTagMutability": repository.mutability, "imageTagMutabilityExclusionFilters": filters}
        return {"repositories": [settings if filters else {"imageTagMutability": repository.mutability}]}

    def _batch_check_layer_availability(self, repository: Repository, parameters: Parameters) -> Parameters:
        digests = parameters["layerDigests"]
        if not 1 <= len(digests) <= 100:
            raise refusal("BatchCheckLayerAvailability", "InvalidParameterException", "1 to 100 digests")
        held = {digest: "AVAILABLE" if digest in repository.layers else "UNAVAILABLE" for digest in digests}
        return {"layers": [{"layerDigest": each, "layerAvailability": held[each]} for each in digests], "failures": []}

    def _get_download_url_for_layer(self, repository: Repository, parameters: Parameters) -> Parameters:
        digest = parameters["layerDigest"]
        if digest not in repository.layers:
            raise refusal("GetDownloadUrlForLayer", "LayersNotFoundException", f"The layer {digest} does not exist")
        path = f"/{repository.directory.name}/{digest}"
        self._ecr.blobs.files[path] = repository.layers[digest]
        return {"downloadUrl": self._ecr.blobs.address(path), "layerDigest": digest}

    def _initiate_layer_upload(self, repository: Repository, parameters: Parameters) -> Parameters:
        upload_id = str(uuid.uuid4())
        repository.uploads[upload_id] = Upload(repository.directory / upload_id)
        return {"uploadId": upload_id, "partSize": 10 * MIB}

    def _upload_layer_part(self, repository: Repository, parameters: Parameters) -> Parameters:
        upload = _upload(repository, "UploadLayerPart", parameters["uploadId"])
        first, last, part = parameters["partFirstByte"], parameters["partLastByte"], parameters["layerPartBlob"]
        if len(part) > 20_971_520:
            raise refusal("UploadLayerPart", "InvalidParameterException", "a part has at most 20971520 bytes")
        if first != upload.received or len(part) != last - first + 1:
            received = {"lastValidByteReceived": upload.received - 1} if upload.parts else {}
            raise refusal(
                "UploadLayerPart",
                "InvalidLayerPartException",
                f"First byte of the layer part is {first} instead of {upload.received}",
                **received,
            )
        with upload.path.open("ab") as file:
            file.write(part)
        upload.content.update(part)
        upload.parts.append(len(part))
        return {"uploadId": parameters["uploadId"], "lastByteReceived": last}

    def _complete_layer_upload(self, repository: Repository, parameters: Parameters) -> Parameters:
        operation = "CompleteLayerUpload"
        upload = _upload(repository, operation, parameters["uploadId"])
        digest = f"sha256:{upload.content.hexdigest()}"
        if not upload.parts:
            raise refusal(operation, "EmptyUploadException", "no parts")
        if any(length < 5 * MIB for length in upload.parts[:-1]):
            raise refusal(operation, "LayerPartTooSmallException", "Layer parts must be at least 5 MiB in size.")
        if parameters["layerDigests"] != [digest]:
            raise refusal(operation, "InvalidLayerException", f"the digest is {digest}")
        del repository.uploads[parameters["uploadId"]]
        if digest in repository.layers:
            raise refusal(operation, "LayerAlreadyExistsException", f"{digest} already exists")
        repository.layers[digest] = upload.path
        return {"uploadId": parameters["uploadId"], "layerDigest": digest}

    def _put_image(self, repository: Repository, parameters: Parameters) -> Parameters:
        body, tag = parameters["imageManifest"], parameters["imageTag"]
        digest = f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
        if parameters["imageDigest"] != digest:
            raise refusal("PutImage", "ImageDigestDoesNotMatchException", f"the digest is {digest}")
        document = json.loads(body)
        missing = {each["digest"] for each in (*document["layers"], document["config"])} - repository.layers.keys()
        if missing:
            raise refusal("PutImage", "LayersNotFoundException", f"{missing} do not exist")
        if repository.tags.get(tag) == digest:
            raise refusal("PutImage", "ImageAlreadyExistsException", f"{digest} with tag {tag} already exists")
        if tag in repository.tags and repository.immutable(tag):
            raise refusal("PutImage", "ImageTagAlreadyExistsException", f"tag {tag} is immutable")
        repository.manifests[digest] = (body, parameters["imageManifestMediaType"])
        repository.tags[tag] = digest
        return {"image": {"imageId": {"imageDigest": digest, "imageTag": tag}}}


_HTTP_ERRORS = {
    "AccessDeniedException": (403, "DENIED"),
    "InvalidLayerException": (400, "BLOB_UPLOAD_INVALID"),
    "InvalidLayerPartException": (416, "BLOB_UPLOAD_INVALID"),
    "LayerPartTooSmallException": (400, "BLOB_UPLOAD_INVALID"),
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "ServerException": (500, "UNKNOWN"),
    "UploadNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),
}


def _answer(request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)


def refusal(operation: str, code: str, message: str, **details: Any) -> ClientError:
    """An error as botocore raises it: the modelled members are next to `Error`."""
    response: Any = {"Error": {"Code": code, "Message": message}, **details}
    return ClientError(response, operation)


def _upload(repository: Repository, operation: str, upload_id: str) -> Upload:
    if upload_id not in repository.uploads:
        raise refusal(operation, "UploadNotFoundException", f"upload {upload_id} does not exist")
    return repository.uploads[upload_id]
