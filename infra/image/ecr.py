"""A repository in Amazon ECR, through its API: read images, upload layers in parts, put manifests.

`upload.py` uploads layers as they are, through the registry's HTTP API."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.response import BaseHTTPResponse

from infra.image.download import from_byte
from infra.image.errors import RESUME, EcrRefused, ImageNotFound, TransferFailed
from infra.image.http import Http, check_status
from infra.image.manifest import READABLE_MEDIA_TYPES, ImageManifest, verify_digest
from infra.image.reference import EcrRegistry
from infra.image.retry import Broken

MAX_DIGESTS_A_CALL = 100
"""In BatchCheckLayerAvailability."""

_VPC_HINT = (
    "If S3 is reached through a VPC endpoint, its policy must allow s3:GetObject on ECR's layers "
    "(arn:aws:s3:::prod-{region}-starport-layer-bucket/*)."
)


class UploadLost(Broken):
    """An upload cannot continue; another one can be started."""


class UploadRefused(UploadLost):
    """ECR does not accept the bytes of an upload, or their digest."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, tries=3)


@dataclass(frozen=True)
class Authorization:
    """Access to the registry's HTTP API: its URL, and the value of the Authorization header."""

    registry: str
    header: str = field(repr=False)


class EcrRepository:
    """A repository of an account in a region.

    Args:
        client: boto3's client of ECR in that region.
    """

    def __init__(self, registry: EcrRegistry, name: str, client: Any, http: Http) -> None:
        self.name = name
        self._registry = registry
        self._client = client
        self._http = http
        self._authorization: Authorization | None = None
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"ECR repository {self.name} of account {self._registry.account} in {self._registry.region}"

    def manifest(self, tag_or_digest: str) -> tuple[bytes, str | None]:
        """A manifest's exact bytes, with a verified digest, and its media type."""
        image = self._image(tag_or_digest)
        body = image["imageManifest"].encode()
        digest = tag_or_digest if tag_or_digest.startswith("sha256:") else image["imageId"]["imageDigest"]
        verify_digest(body, digest, f"{self}: manifest of {tag_or_digest}")
        return body, image.get("imageManifestMediaType")

    def tagged_digest(self, tag: str) -> str | None:
        """The digest of the image that a tag names now; None if the tag is unused."""
        try:
            return str(self._image(tag)["imageId"]["imageDigest"])
        except ImageNotFound:
            return None

    def is_immutable(self, tag: str) -> bool:
        """Whether the repository's settings prevent that the tag names another image."""
        answer = self._call("DescribeRepositories", repositoryNames=[self.name])["repositories"][0]
        filters = [exclusion["filter"] for exclusion in answer.get("imageTagMutabilityExclusionFilters", [])]
        return tag_is_immutable(tag, answer.get("imageTagMutability", "MUTABLE"), filters)

    def open_blob(self, digest: str, start: int) -> BaseHTTPResponse:
        """The response with a blob's bytes from `start` on, from a new URL: URLs expire, started downloads do not."""
        url = self._call("GetDownloadUrlForLayer", repositoryName=self.name, layerDigest=digest)["downloadUrl"]
        response = self._http.get(url, from_byte(start))
        check_status(response, url, if_refused=_VPC_HINT.format(region=self._registry.region))
        return response

    def missing_layers(self, digests: Sequence[str]) -> set[str]:
        """The digests that the repository does not have."""
        available: set[str] = set()
        for batch in _batches(digests, MAX_DIGESTS_A_CALL):
            answer = self._call("BatchCheckLayerAvailability", repositoryName=self.name, layerDigests=batch)
            layers = answer.get("layers", [])
            available |= {layer["layerDigest"] for layer in layers if layer["layerAvailability"] == "AVAILABLE"}
        return set(digests) - available

    def authorization(self) -> Authorization:
        """The authorization of the registry's HTTP API, which is valid for 12 hours."""
        with self._lock:
            if self._authorization is None:
                answer = self._call("GetAuthorizationToken", registryIds=[self._registry.account])
                data = answer["authorizationData"][0]
                self._authorization = Authorization(data["proxyEndpoint"], f"Basic {data['authorizationToken']}")
            return self._authorization

    def renew(self, expired: Authorization) -> None:
        """Have the next request get another authorization."""
        with self._lock:
            if self._authorization is expired:
                self._authorization = None

    def initiate_layer_upload(self) -> str:
        """Start the upload of a layer in parts, and return its ID."""
        return str(self._call("InitiateLayerUpload", repositoryName=self.name)["uploadId"])

    def upload_layer_part(self, upload: str, first_byte: int, part: bytes) -> int:
        """Upload the bytes from `first_byte` on, and return how many bytes ECR has.

        That may be fewer than sent, or all of them at a retry of botocore's whose first response was lost.

        Args:
            part: 5 MiB (the last one may be smaller) to 20,971,520 bytes.

        Raises:
            UploadLost
        """
        try:
            answer = self._call(
                "UploadLayerPart",
                repositoryName=self.name,
                uploadId=upload,
                partFirstByte=first_byte,
                partLastByte=first_byte + len(part) - 1,
                layerPartBlob=part,
            )
            return int(answer["lastByteReceived"]) + 1
        except EcrRefused as refused:
            if refused.code == "InvalidLayerPartException" and "lastValidByteReceived" in refused.details:
                return int(refused.details["lastValidByteReceived"]) + 1
            if refused.code in ("UploadNotFoundException", "InvalidLayerPartException"):
                raise UploadLost(str(refused)) from None
            raise

    def complete_layer_upload(self, upload: str, digest: str) -> None:
        """End a layer's upload; ECR verifies its digest. The layer may exist by then.

        Raises:
            UploadLost, UploadRefused
        """
        try:
            self._call("CompleteLayerUpload", repositoryName=self.name, uploadId=upload, layerDigests=[digest])
        except EcrRefused as refused:
            if refused.code == "UploadNotFoundException":
                raise UploadLost(str(refused)) from None
            if refused.code in ("InvalidLayerException", "LayerPartTooSmallException"):
                raise UploadRefused(str(refused)) from None
            if refused.code != "LayerAlreadyExistsException":
                raise

    def put_image(self, manifest: ImageManifest, tag: str) -> None:
        """Put the manifest under the tag; ECR verifies its digest."""
        try:
            self._call(
                "PutImage",
                repositoryName=self.name,
                imageManifest=manifest.body.decode(),
                imageManifestMediaType=manifest.media_type,
                imageTag=tag,
                imageDigest=manifest.digest,
            )
        except EcrRefused as refused:
            if refused.code != "ImageAlreadyExistsException":  # same image, same tag
                raise

    def _image(self, tag_or_digest: str) -> dict[str, Any]:
        key = "imageDigest" if tag_or_digest.startswith("sha256:") else "imageTag"
        answer = self._call(
            "BatchGetImage",
            repositoryName=self.name,
            imageIds=[{key: tag_or_digest}],
            acceptedMediaTypes=list(READABLE_MEDIA_TYPES),
        )
        if answer.get("images"):
            image: dict[str, Any] = answer["images"][0]
            return image
        failure: dict[str, Any] = next(iter(answer.get("failures", [])), {})
        code = failure.get("failureCode", "ImageNotFound")
        if code in ("ImageNotFound", "ImageInaccessible"):
            archived = " (it is archived)" if code == "ImageInaccessible" else ""
            raise ImageNotFound(f"{self} does not have the image {tag_or_digest}{archived}.")
        raise EcrRefused("BatchGetImage", str(self), code, failure.get("failureReason", ""))

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation of ECR; botocore retries throttling and lost connections."""
        method = getattr(self._client, xform_name(operation))
        if operation != "GetAuthorizationToken":
            parameters["registryId"] = self._registry.account
        try:
            answer: dict[str, Any] = method(**parameters)
            return answer
        except ClientError as error:
            answer = error.response["Error"]
            raise EcrRefused(operation, str(self), answer["Code"], answer.get("Message", ""), error.response) from None
        except NoCredentialsError as error:
            raise EcrRefused(operation, str(self), "NoCredentials", str(error)) from None
        except BotoCoreError as error:
            raise TransferFailed(f"{self}: {operation} failed: {error}. {RESUME}") from None


def tag_is_immutable(tag: str, mutability: str, exclusion_filters: Iterable[str]) -> bool:
    """ECR's rule: the repository's setting, or its opposite for tags that match a filter (`*` is any text)."""
    matches = any(fnmatchcase(tag, pattern) for pattern in exclusion_filters)
    excluded = matches and mutability.endswith("_WITH_EXCLUSION")
    return mutability.startswith("IMMUTABLE") != excluded


def _batches(digests: Sequence[str], size: int) -> list[list[str]]:
    return [list(digests[start : start + size]) for start in range(0, len(digests), size)]
