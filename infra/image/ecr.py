"""A repository in Amazon ECR, through its API: read images, upload layers, put manifests.

Limits of the API: 100 digests in BatchCheckLayerAvailability; a layer's parts in order, each of 5 MiB (the last one may
be smaller) to 20,971,520 bytes (LayerPartTooSmallException, shape `LayerPartBlob`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.response import BaseHTTPResponse

from infra.image.errors import RESUME, EcrRefused, ImageNotFound, TransferFailed
from infra.image.http import Http, check_status, from_byte
from infra.image.manifest import READABLE_MEDIA_TYPES, ImageManifest, verify_digest
from infra.image.reference import EcrRegistry

MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PART_BYTES = 20_971_520
MAX_DIGESTS_A_CALL = 100

_VPC_HINT = (
    "If S3 is reached through a VPC endpoint, its policy must allow s3:GetObject on ECR's layers "
    "(arn:aws:s3:::prod-{region}-starport-layer-bucket/*)."
)


class UploadLost(Exception):
    """ECR does not know the upload of a layer any more; another one can be started."""


@dataclass(frozen=True)
class LayerUpload:
    """A layer's upload in progress: its ID and the bytes of a part."""

    id: str
    part_bytes: int


class EcrRepository:
    """A repository of an account in a region.

    Args:
        client: boto3's client of ECR in that region.
    """

    def __init__(self, registry: EcrRegistry, name: str, client: Any, http: Http) -> None:
        self._registry = registry
        self._name = name
        self._client = client
        self._http = http

    def __str__(self) -> str:
        return f"ECR repository {self._name} of account {self._registry.account} in {self._registry.region}"

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
        answer = self._call("DescribeRepositories", repositoryNames=[self._name])["repositories"][0]
        filters = [exclusion["filter"] for exclusion in answer.get("imageTagMutabilityExclusionFilters", [])]
        return tag_is_immutable(tag, answer.get("imageTagMutability", "MUTABLE"), filters)

    def open_blob(self, digest: str, start: int) -> BaseHTTPResponse:
        """The response with a blob's bytes from `start` on, from a new URL: URLs expire, started downloads do not."""
        url = self._call("GetDownloadUrlForLayer", repositoryName=self._name, layerDigest=digest)["downloadUrl"]
        response = self._http.get(url, from_byte(start))
        check_status(response, url, if_refused=_VPC_HINT.format(region=self._registry.region))
        return response

    def missing_layers(self, digests: Sequence[str]) -> set[str]:
        """The digests that the repository does not have."""
        available: set[str] = set()
        for batch in _batches(digests, MAX_DIGESTS_A_CALL):
            answer = self._call("BatchCheckLayerAvailability", repositoryName=self._name, layerDigests=batch)
            layers = answer.get("layers", [])
            available |= {layer["layerDigest"] for layer in layers if layer["layerAvailability"] == "AVAILABLE"}
        return set(digests) - available

    def initiate_layer_upload(self) -> LayerUpload:
        """Start the upload of a layer, in parts of the size that ECR requests."""
        answer = self._call("InitiateLayerUpload", repositoryName=self._name)
        return LayerUpload(answer["uploadId"], min(max(answer["partSize"], MIN_PART_BYTES), MAX_PART_BYTES))

    def upload_layer_part(self, upload: LayerUpload, first_byte: int, part: bytearray) -> int:
        """Upload the bytes from `first_byte` on, and return the last byte that ECR has received.

        That may be fewer bytes than sent, or all of them at a retry of botocore's whose first response was lost.

        Raises:
            UploadLost: ECR does not know the upload any more.
        """
        try:
            answer = self._call(
                "UploadLayerPart",
                repositoryName=self._name,
                uploadId=upload.id,
                partFirstByte=first_byte,
                partLastByte=first_byte + len(part) - 1,
                layerPartBlob=part,
            )
            return int(answer["lastByteReceived"])
        except EcrRefused as refused:
            if refused.code == "UploadNotFoundException":
                raise UploadLost(str(refused)) from None
            if refused.code == "InvalidLayerPartException" and "lastValidByteReceived" in refused.details:
                return int(refused.details["lastValidByteReceived"])
            raise

    def complete_layer_upload(self, upload: LayerUpload, digest: str) -> None:
        """End a layer's upload; ECR verifies its digest. The layer may exist by then. Raises UploadLost too."""
        try:
            self._call("CompleteLayerUpload", repositoryName=self._name, uploadId=upload.id, layerDigests=[digest])
        except EcrRefused as refused:
            if refused.code == "UploadNotFoundException":
                raise UploadLost(str(refused)) from None
            if refused.code != "LayerAlreadyExistsException":
                raise

    def put_image(self, manifest: ImageManifest, tag: str) -> None:
        """Put the manifest under the tag; ECR verifies its digest."""
        try:
            self._call(
                "PutImage",
                repositoryName=self._name,
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
            repositoryName=self._name,
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
        try:
            answer: dict[str, Any] = method(registryId=self._registry.account, **parameters)
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
