"""A repository in Amazon ECR, through its API: reading images, uploading layers, putting manifests.

Limits of the API: 100 digests in BatchCheckLayerAvailability; parts of a layer in order, of 5 MiB (the last one may be
smaller) to 20,971,520 bytes (LayerPartTooSmallException, shape ``LayerPartBlob``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from urllib3.response import BaseHTTPResponse

from infra.image.errors import DigestMismatch, EcrRefused, ImageNotFound, TransferFailed
from infra.image.http import Http, check_status, from_byte
from infra.image.manifest import READABLE_MEDIA_TYPES, ImageManifest, verify_digest
from infra.image.reference import EcrRegistry

MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PART_BYTES = 20_971_520
MAX_DIGESTS_A_CALL = 100

_VPC_HINT = (
    "Where S3 is reached through a VPC endpoint, its policy must allow s3:GetObject on ECR's layers "
    "(arn:aws:s3:::prod-{region}-starport-layer-bucket/*)."
)


class UploadLost(Exception):
    """An upload of a layer that cannot be gone on with; another one may be begun."""


@dataclass(frozen=True)
class LayerUpload:
    """A layer's upload in progress: its id and the size in bytes of its parts."""

    id: str
    part_bytes: int


class EcrRepository:
    """One repository of one account in one region. ``client`` is a boto3 client of ECR in that region."""

    def __init__(self, registry: EcrRegistry, name: str, client: Any, http: Http) -> None:
        self._registry = registry
        self._name = name
        self._client = client
        self._http = http

    def __str__(self) -> str:
        return f"ECR repository {self._name} of account {self._registry.account} in {self._registry.region}"

    def manifest(self, tag_or_digest: str) -> tuple[bytes, str | None]:
        """A manifest's exact bytes, digest checked, and its media type.

        Raises ImageNotFound, EcrRefused, DigestMismatch.
        """
        image = self._image(tag_or_digest)
        body = image["imageManifest"].encode()
        digest = tag_or_digest if tag_or_digest.startswith("sha256:") else image["imageId"]["imageDigest"]
        verify_digest(body, digest, f"{self}: manifest of {tag_or_digest}")
        return body, image.get("imageManifestMediaType")

    def tagged_digest(self, tag: str) -> str | None:
        """The digest of the image that a tag names now; None if the tag is free. Raises EcrRefused."""
        try:
            return str(self._image(tag)["imageId"]["imageDigest"])
        except ImageNotFound:
            return None

    def is_immutable(self, tag: str) -> bool:
        """Whether the repository's settings keep the tag from naming another image."""
        answer = self._call("DescribeRepositories", repositoryNames=[self._name])["repositories"][0]
        filters = [each["filter"] for each in answer.get("imageTagMutabilityExclusionFilters", [])]
        return tag_is_immutable(tag, answer.get("imageTagMutability", "MUTABLE"), filters)

    def open_blob(self, digest: str, start: int) -> BaseHTTPResponse:
        """A blob's bytes from ``start`` on, by a fresh address: one expires, a download that has begun does not."""
        address = self._call("GetDownloadUrlForLayer", repositoryName=self._name, layerDigest=digest)["downloadUrl"]
        response = self._http.get(address, from_byte(start))
        check_status(response, address, if_refused=_VPC_HINT.format(region=self._registry.region))
        return response

    def missing_layers(self, digests: Sequence[str]) -> set[str]:
        """Those of the digests that the repository does not hold."""
        held: set[str] = set()
        for batch in _batches(digests, MAX_DIGESTS_A_CALL):
            answer = self._call("BatchCheckLayerAvailability", repositoryName=self._name, layerDigests=batch)
            layers = answer.get("layers", [])
            held |= {layer["layerDigest"] for layer in layers if layer["layerAvailability"] == "AVAILABLE"}
        return set(digests) - held

    def initiate_layer_upload(self) -> LayerUpload:
        """Begin to upload a layer, in parts of the size that ECR asks for."""
        answer = self._call("InitiateLayerUpload", repositoryName=self._name)
        return LayerUpload(answer["uploadId"], min(max(answer["partSize"], MIN_PART_BYTES), MAX_PART_BYTES))

    def upload_layer_part(self, upload: LayerUpload, first_byte: int, part: bytearray) -> int:
        """Upload the bytes from ``first_byte`` on. Returns the last byte that ECR holds now. Raises UploadLost.

        ECR may hold less than was sent, and also all of it where the answer to a first try of botocore's was lost.
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
        """End a layer's upload; ECR checks its digest. A layer that is there meanwhile is fine. Raises UploadLost."""
        try:
            self._call("CompleteLayerUpload", repositoryName=self._name, uploadId=upload.id, layerDigests=[digest])
        except EcrRefused as refused:
            match refused.code:
                case "LayerAlreadyExistsException":
                    return
                case "UploadNotFoundException":
                    raise UploadLost(str(refused)) from None
                case "InvalidLayerException":
                    raise DigestMismatch(f"{refused} Layer {digest} was changed on its way; run it again.") from None
            raise

    def put_image(self, manifest: ImageManifest, tag: str) -> None:
        """Put the manifest under the tag; ECR checks its digest. Raises EcrRefused, DigestMismatch."""
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
            match refused.code:
                case "ImageAlreadyExistsException":  # same image, same tag
                    return
                case "ImageDigestDoesNotMatchException":
                    raise DigestMismatch(f"{refused} The manifest was changed on its way; run it again.") from None
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
            raise ImageNotFound(f"{self} holds no image {tag_or_digest}{archived}.")
        raise EcrRefused("BatchGetImage", str(self), code, failure.get("failureReason", ""))

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call of an operation of ECR's. Throttling and lost connections are retried by botocore."""
        method = getattr(self._client, xform_name(operation))
        try:
            answer: dict[str, Any] = method(registryId=self._registry.account, **parameters)
            return answer
        except ClientError as error:
            said = error.response["Error"]
            raise EcrRefused(operation, str(self), said["Code"], said.get("Message", ""), error.response) from None
        except NoCredentialsError as error:
            raise EcrRefused(operation, str(self), "NoCredentials", str(error)) from None
        except BotoCoreError as error:
            raise TransferFailed(f"{self}: {operation} failed: {error}. Run it again: complete layers stay.") from None


def tag_is_immutable(tag: str, mutability: str, exclusion_filters: Iterable[str]) -> bool:
    """ECR's rule: the repository's setting; for tags that match one of the filters (``*``: any text) its opposite."""
    excluded = mutability.endswith("_WITH_EXCLUSION") and any(fnmatchcase(tag, each) for each in exclusion_filters)
    return mutability.startswith("IMMUTABLE") != excluded


def _batches(digests: Sequence[str], size: int) -> list[list[str]]:
    return [list(digests[start : start + size]) for start in range(0, len(digests), size)]
