"""How the copy of an image can fail, in words for the person who asked for it, without signed addresses and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.printable import printable


class ImageCopyError(Exception):
    """The image was not copied. The message names the image, the rule and the way out.

    What a registry sends is not printed as it is: see ``printable``.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


class InvalidImageReference(ImageCopyError, ValueError):
    """The text is not an image reference that can be copied."""


class UnknownImage(ImageCopyError, ValueError):
    """AWS offers no Triton image of that version or in that region."""


class ImageNotFound(ImageCopyError):
    """The registry answers, but holds no such image."""


class UnsupportedImage(ImageCopyError):
    """The image exists, but SageMaker cannot run it as it is."""


class ImageTagConflict(ImageCopyError):
    """The tag of an immutable repository already holds another image."""


class DigestMismatch(ImageCopyError):
    """Bytes arrived that are not the ones their digest names."""


class TransferFailed(ImageCopyError):
    """A download or upload broke more often than is retried."""


class RegistryRefused(ImageCopyError):
    """A registry that is not ECR refused a request."""


class EcrRefused(ImageCopyError):
    """ECR refused a call: operation, repository, AWS's own code and words, and what to do.

    ``code`` is AWS's error code; ``details`` holds the modelled fields of the error, such as ``lastValidByteReceived``.
    """

    def __init__(
        self, operation: str, resource: str, code: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        self.operation = operation
        self.code = code
        self.details = dict(details or {})
        way_out = next((hint.format(operation=operation) for codes, hint in _WAYS_OUT if code in codes), "")
        said = printable(message).rstrip(".")
        super().__init__(f"{resource}: {operation} was refused: {code}: {said}. {way_out}".rstrip())


_WAYS_OUT = (
    (
        {"AccessDeniedException", "AccessDenied"},
        "Account and region must be the image's own, and ecr:{operation} must be allowed to the caller; "
        "across accounts by the repository's policy too.",
    ),
    (
        {"RepositoryNotFoundException"},
        "Account, region and name must be right; a destination repository must exist before an image is copied to it.",
    ),
    (
        {"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException", "NoCredentials"},
        "Renew the AWS credentials and run it again.",
    ),
    (
        {"LayerInaccessibleException"},
        "Push the image again, or, if it is archived, restore it with `aws ecr update-image-storage-class`.",
    ),
    ({"KmsException", "KmsError"}, "The caller must be allowed to use the repository's KMS key."),
    ({"LimitExceededException"}, "Raise the quota of Amazon ECR that is named here, or delete images."),
)
